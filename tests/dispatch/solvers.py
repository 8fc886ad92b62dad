"""HiGHS as it should not be, for the child process to run in its place."""

from __future__ import annotations

import os
import time
from dataclasses import replace
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
    raise ImportError("No module named 'highspy'")


def babbles(*_: Any) -> Any:
    return "optimal, believe me"


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
