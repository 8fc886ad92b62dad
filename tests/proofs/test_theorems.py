"""The shipped packs' theorems are proved; broken packs give counterexamples that the interpreter replays."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from compiler.core import Core
from compiler.instance import of_one
from compiler.to_exact import Subject, Verdict, judge
from lexwatt.show import answer_lines
from lexwatt.site import decide
from proofs.checker.certificate import refutes
from proofs.checker.claim import from_bytes
from proofs.theorems import Proved, Refuted
from tests.packs import broken, core


def test_every_theorem_of_the_shipped_packs_is_proved_by_a_certificate_that_checks() -> None:
    answers = decide(core())
    assert len(answers) == 2
    for answer in answers:
        assert isinstance(answer, Proved)
        assert refutes(answer.problem, from_bytes(answer.certificate))
        assert json.loads(answer.to_document())["type"] == "lexwatt/theorem/v1"
        weaker = replace(answer.problem, facts=answer.problem.facts[1:])
        assert not refutes(weaker, ("F", ()))


BROKEN = {
    "a ramp that holds back stopping": (
        "  except when active_power >= 0 W and active_power <= previous_setpoint\n",
        "",
        "operator/some_command",
    ),
    "a dead band that forbids stopping": ("  except when active_power = 0 W\n", "", "operator/some_command"),
    "a reserve that charges by force": (
        "active_power * command_duration\n    must be at most max(0 Wh, state_of_charge",
        "active_power * command_duration\n    must be at most max(-1 Wh, state_of_charge",
        "operator/some_command",
    ),
    "a droop the wrong way round": (
        "(frequency - lfsm_o_threshold) / (lfsm",
        "(lfsm_o_threshold - frequency) / (lfsm",
        "entsoe/less_at_higher_frequency",
    ),
    "a limit below the threshold only": (
        "when frequency > lfsm_o_threshold",
        "when frequency < lfsm_o_threshold",
        "entsoe/less_at_higher_frequency",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_pack_gives_a_counterexample_that_the_interpreter_replays(what: str) -> None:
    old, new, theorem = BROKEN[what]
    changed = broken(old, new)
    answer = next(a for a in decide(changed) if a.theorem.id == theorem)
    assert isinstance(answer, Refuted)
    text = "\n".join(answer_lines(answer, changed))
    assert "counterexample" in text
    assert " W" in text
    assert " Hz" in text
    if answer.theorem.kind == "always_some":
        for watts in range(-21, 22):
            assert _refused(changed, answer.states[0], Fraction(watts * 10**6, 1))
        for steps in _near(answer.states[0]):
            assert _refused(changed, answer.states[0], steps)
    else:
        lower, upper = answer.states
        assert lower[answer.theorem.cause] <= upper[answer.theorem.cause]
        power = lower["active_power"]
        assert upper["active_power"] == power
        about = [r.id for r in changed.rules if r.id == "entsoe/lfsm_o"]
        assert _refused(changed, lower, power, about)
        assert not _refused(changed, upper, power, about)


def _near(state: object) -> list[Fraction]:
    assert isinstance(state, dict)
    previous = state["previous_setpoint"]
    return [previous + d for d in (-1, 0, 1)] + [Fraction(0), Fraction(1), Fraction(-1)]


def _refused(rules: Core, state: object, power: Fraction, only: list[str] | None = None) -> bool:
    assert isinstance(state, dict)
    instance = of_one(rules, "unit", "command")
    values = {n: s * instance.vocabulary[n].resolution for n, s in {**state, "active_power": power}.items()}
    verdicts = [judge(r, Subject(values)).verdict for r in instance.rules if only is None or r.id in only]
    return any(v in (Verdict.VIOLATES, Verdict.CANNOT_TELL) for v in verdicts)
