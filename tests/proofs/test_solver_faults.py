"""A solver that hangs, crashes, lies or is missing costs a bounded wait and never yields an accepted false claim."""

from __future__ import annotations

import pickle
import signal
import time

import pytest

from compiler import child, to_z3
from proofs import maker
from proofs.analyses import Analysis
from proofs.checker.certificate import Problem, refutes
from proofs.maker import Undecided, refute
from proofs.policies import Commands, groups
from tests.packs import unit_rules

FAULTS = ["hangs", "crashes", "fails", "missing", "lies", "lies_of_a_point", "babbles"]
TRUE = Problem(1, ((0, 9),), frozenset(), (), (("L", ((0, 1),), -1, False),))
FALSE = Problem(1, ((1, 9),), frozenset(), (), (("L", ((0, 1),), 5, False),))


@pytest.fixture
def faulty(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(maker, "SEARCH", f"tests.solvers:{request.param}")
    monkeypatch.setattr(to_z3, "SOLVER", f"tests.solvers:{request.param}")
    monkeypatch.setattr(maker, "QUERY_MS", 100)
    monkeypatch.setattr(child, "START_S", 3.0)
    return str(request.param)


@pytest.mark.parametrize("faulty", FAULTS, indirect=True)
def test_no_false_claim_and_a_bounded_wait(faulty: str) -> None:
    began = time.monotonic()
    for problem in (TRUE, FALSE):
        with pytest.raises(Undecided):
            refute(problem, seconds=0.5)
    assert to_z3.find([(1, 9)], [], [("L", ((0, 1),), 0, False)], timeout_ms=300) is None
    assert to_z3.find([(1, 9)], [], [("L", ((0, -1),), -5, False)], timeout_ms=300) is None
    assert time.monotonic() - began < 40, faulty
    child.stop()


@pytest.mark.parametrize("faulty", ["crashes", "lies", "missing"], indirect=True)
def test_an_analysis_then_says_undecided(faulty: str) -> None:
    instance, _ = unit_rules()
    analysis = Analysis(instance)
    found = [
        *list(analysis.each_rule())[:6],
        *(Commands(Analysis(part), "command").some() for part in groups(analysis, "command")),
    ]
    assert found
    assert all(f.good is None for f in found), faulty
    child.stop()


def test_the_child_is_started_anew_after_a_crash() -> None:
    with pytest.raises(child.Lost):
        child.call("tests.solvers:crashes", seconds=1)
    assert refutes(TRUE, refute(TRUE))
    with pytest.raises(child.Lost, match="no memory"):
        child.call("tests.solvers:fails", seconds=1)


def test_a_child_that_died_while_it_waited_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    child.stop()
    assert child.call("builtins:sum", [1], seconds=5) == 1
    (waiting,) = child._idle
    waiting.process.kill()
    waiting.process.wait()
    monkeypatch.setattr(waiting.process, "poll", lambda: None)
    assert child.call("builtins:sum", [1, 2], seconds=5) == 3


def test_a_child_that_does_not_read_costs_a_bounded_wait() -> None:
    child.stop()
    assert child.call("builtins:len", b"x" * 3_000_000, seconds=5) == 3_000_000
    (waiting,) = child._idle
    waiting.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(child.Lost, match="time limit"):
        child.call("builtins:len", b"x" * 3_000_000, seconds=0.3)
    assert time.monotonic() - began < 20
    assert waiting.process.poll() is not None


@pytest.mark.parametrize("answer", ["babble", b"no pair"])
def test_an_answer_that_cannot_be_read_is_no_answer(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    child.stop()
    assert child.call("builtins:len", b"x", seconds=5) == 1
    data = pickle.dumps(answer) if isinstance(answer, bytes) else b"cno.such.module\nname\n."
    monkeypatch.setattr(child._Child, "_read", lambda self, size, until: data)
    with pytest.raises(child.Lost, match="cannot be read"):
        child.call("builtins:len", b"x", seconds=1)


def test_what_a_solver_prints_does_not_reach_the_answers() -> None:
    assert child.call("builtins:print", "LWC1" * 1000, seconds=5) is None
    assert child.call("builtins:sum", [1, 2], seconds=5) == 3
