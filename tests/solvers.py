"""Solvers that misbehave, for the child process to run in place of Z3, of the search for certificates and of HiGHS."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from compiler.highs import Answer, Matrices, solve


def hangs(*_: Any) -> None:
    time.sleep(600)


def crashes(*_: Any) -> None:
    os._exit(139)


def fails(*_: Any) -> None:
    raise RuntimeError("no memory")


def missing(*_: Any) -> None:
    raise ImportError("No module named 'highspy' or 'z3'")


def babbles(*args: Any) -> Any:
    """Not the form of an answer: to `find` with its five arguments, to HiGHS with its matrices, to `refute`."""
    if isinstance(args[0], Matrices):
        return "optimal, believe me"
    return ["nonsense"] if len(args) == 5 else ("tree", ["nonsense"])


# in place of Z3 and of the search


def lies(*args: Any) -> Any:
    """A state that does not satisfy the facts, to `find`; an unearned certificate, to `refute`."""
    if len(args) == 5:
        return {i: Fraction(low) for i, (low, _) in enumerate(args[0])}
    return "tree", ("F", ())


def lies_of_a_point(*args: Any) -> Any:
    return "point", {i: Fraction(0) for i in range(args[0].n)}


# in place of HiGHS


def short(matrices: Matrices, *_: Any) -> Answer:
    return Answer("kOptimal", np.zeros(3), None)


def not_finite(matrices: Matrices, *_: Any) -> Answer:
    return Answer("kOptimal", np.full(matrices.cost.size, np.nan), None)


def says_infeasible(matrices: Matrices, *_: Any) -> Answer:
    return Answer("kInfeasible", None, None)


def out_of_time(matrices: Matrices, *_: Any) -> Answer:
    return Answer("kTimeLimit", None, None)


def breaks_rows(matrices: Matrices, *_: Any) -> Answer:
    """The point that would earn most if there were no rows."""
    return Answer("kOptimal", np.where(matrices.cost < 0, 1.0, 0.0), None)


def forgets_rows(matrices: Matrices, seconds: float, gap: float) -> Answer:
    """The best point of a problem whose inequalities were left out."""
    free = np.where(matrices.lower == matrices.upper, matrices.upper, np.inf)
    low, high = np.maximum(matrices.low, -1), np.minimum(matrices.high, 1)
    none = np.zeros_like(matrices.whole)
    return solve(replace(matrices, upper=free, low=low, high=high, whole=none), seconds, gap)


def wrong_duals(matrices: Matrices, seconds: float, gap: float) -> Answer:
    """A right answer with dual values out of the air."""
    found = solve(matrices, seconds, gap)
    assert found.duals is not None
    return replace(found, duals=found.duals * np.linspace(0.9, 1.2, found.duals.size))


def no_duals(matrices: Matrices, seconds: float, gap: float) -> Answer:
    return replace(solve(matrices, seconds, gap), duals=None)
