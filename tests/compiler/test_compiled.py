"""Compiled loops compute what Python does, and are there whatever becomes of the folder they are kept in."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler import steps
from compiler.compiled import Compiled
from compiler.steps import DIVIDE, DIVIDE_WIDE, EXACT, GIVEN, PICK, SET, TRUTH, Number, Program

TEXT = "def add(a):\n    return a + {}\n"


def written(path: Path, number: int) -> Compiled:
    """A function of a file, as if imported anew; the file's time of change is always the same."""
    path.write_text(TEXT.format(number))
    os.utime(path, (10**9, 10**9))
    spec = importlib.util.spec_from_file_location("made", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return Compiled("i8(i8)", module.add)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where compiled functions are kept."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_what_is_kept_is_used_again_and_never_for_another_text(tmp_path: Path, kept: Path) -> None:
    assert written(tmp_path / "made.py", 1).ready()(1) == 2
    first = files(kept)
    assert len(first) == 2
    assert written(tmp_path / "made.py", 1).ready()(1) == 2
    assert files(kept) == first
    # A text as long, changed at the same time.
    assert written(tmp_path / "made.py", 2).ready()(1) == 3


@pytest.mark.parametrize("damage", [b"", b"junk", b"\x80\x04."])
def test_a_damaged_folder_does_no_harm(tmp_path: Path, kept: Path, damage: bytes) -> None:
    assert written(tmp_path / "made.py", 1).ready()(1) == 2
    for path in files(kept):
        path.write_bytes(damage)
    assert written(tmp_path / "made.py", 1).ready()(1) == 2


def test_without_a_folder_it_is_compiled_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> None:
        raise OSError("read only")

    monkeypatch.setattr("os.makedirs", nowhere)
    monkeypatch.setattr("tempfile.TemporaryFile", nowhere)
    assert written(tmp_path / "made.py", 3).ready()(1) == 4


def test_a_function_that_cannot_be_compiled_says_so() -> None:
    def wrong(a: object) -> object:
        return a.nothing  # type: ignore[attr-defined]

    with pytest.raises(numba.core.errors.TypingError):
        Compiled("i8(i8)", wrong).ready()


EDGES = st.one_of(
    st.integers(-2 * EXACT + 1, 2 * EXACT - 1),
    st.integers(-40, 40),
    st.builds(lambda n, d: n - d, st.sampled_from([2 * EXACT, -2 * EXACT + 6, EXACT, 2**40]), st.integers(1, 3)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(EDGES, EDGES.map(lambda n: max(1, abs(n)))), min_size=1, max_size=40))
def test_quotients_are_rounded_down_exactly(pairs: list[tuple[int, int]]) -> None:
    pairs += [(q * d + r, d) for _, d in pairs if d < 2**20 for q in (-7, 0, 2**30) for r in (-1, 0, 1)]
    given_ = np.array(pairs, dtype=np.int64).T.copy()
    for op in (DIVIDE, DIVIDE_WIDE):
        assert kept_row(lambda p, o=op: p.call(o, p.leaf(GIVEN, 0), p.leaf(GIVEN, 1)), given_) == [  # type: ignore[misc]
            n // d for n, d in pairs
        ]


def kept_row(write: Callable[[Program], int], given_: np.ndarray[Any, Any]) -> list[int]:
    """What a step finds."""
    program = Program([])
    program.keep(write(program), 0)
    found = np.empty((1, given_.shape[1]), dtype=np.int64)
    nothing = np.empty((0, given_.shape[1]), dtype=np.int64)
    program.run(nothing, nothing.astype(np.bool_), found=found, given=given_)
    return [int(x) for x in found[0]]


def test_every_operation_is_what_python_computes() -> None:
    """The loop compiled and not: every operation, constants, states that are missing, picked out or lie across."""
    pick = np.random.default_rng(1)
    n = steps.WIDTH + 9
    values, usable = pick.integers(-9, 10, (3, n)), pick.random((3, n)) > 0.02
    given_ = np.stack([pick.integers(0, 2, n), pick.integers(-(2**40), 2**40, n)])
    program = Program([(-8, 8), (1, 8), (1, 0)])
    x, y, z = (program.leaf(steps.LOAD, i) for i in range(3))
    truth, wide = program.leaf(TRUTH, 0), program.leaf(GIVEN, 1)
    numbers = [x, y, z, wide, program.constant(SET, 5)]
    numbers += [program.call(op, a, b) for op in range(steps.ADD, PICK) for a, b in ((x, y), (wide, Number(-3)))]
    numbers += [program.call(op, wide, b) for op in (DIVIDE, DIVIDE_WIDE) for b in (y, Number(7))]
    numbers += [program.pick(truth, x, wide), program.pick(truth, wide, Number(4))]
    truths = [truth, program.constant(steps.CODE, 2)]
    truths += [program.call(op, x, b) for op in (steps.LE, steps.LT, steps.EQ) for b in (y, Number(0))]
    truths += [program.call(op, truth, b) for op in range(steps.AND, steps.TIMES + 1) for b in (truths[2], Number(1))]
    for row, step in enumerate(numbers):
        program.keep(step, row)
    for row, step in enumerate(truths):
        program.keep_code(step, row)
    program.afterwards()
    program.keep_code(program.call(steps.OR, truth, program.leaf(steps.ABSENT, 1)), 0)
    by_hand, machine = steps._run.plain, steps._run.ready()
    at = pick.permutation(n)
    for by_state, which in ((False, None), (True, None), (False, at)):
        found = []
        for run in (by_hand, machine):
            steps._run._found = run
            try:
                codes = np.zeros((len(truths), n), dtype=np.int8)
                kept_numbers = np.zeros((len(numbers), n), dtype=np.int64)
                turned = (values.T, usable.T) if by_state else (values, usable)
                program.run(*turned, codes=codes, found=kept_numbers, by_state=by_state, at=which, given=given_)
            finally:
                steps._run._found = machine
            found.append((codes, kept_numbers))
        assert (found[0][0] == found[1][0]).all()
        assert (found[0][1] == found[1][1]).all()
        assert (found[0][0][0] > 1).any()
