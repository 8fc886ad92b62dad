"""HiGHS in a child process, under a hard limit. What it answers is a proposal: callers check what they use of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler import child

SOLVE = "compiler.highs:solve"
"""The function that the child runs."""
GRACE_S = 5.0
"""What a solver may take beyond its limit before its process is ended."""

Floats = NDArray[np.float64]


class NoAnswer(Exception):
    """The solver gave no usable answer: it hung, died, failed, is missing or lied; the message says which."""


@dataclass(frozen=True, slots=True)
class Matrices:
    """Minimize `cost` x with `lower` <= A x <= `upper` and `low` <= x <= `high`; `whole` columns take whole values.

    A stands by columns: `starts`, `indices`, `data` as in a compressed sparse column matrix.
    """

    cost: Floats
    starts: NDArray[np.int32]
    indices: NDArray[np.int32]
    data: Floats
    lower: Floats
    upper: Floats
    low: Floats
    high: Floats
    whole: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is HiGHS's word. `x` is a point where one was found; `duals` are what one more unit of each row's side
    adds to the cost, with whole columns held at their values in `x`."""

    status: str
    x: Floats | None
    duals: Floats | None


def ask(matrices: Matrices, seconds: float, gap: float = 0.0) -> Answer:
    """HiGHS's answer, from the child; `gap` is relative, where columns are whole. Raises `NoAnswer`."""
    try:
        found = child.call(SOLVE, matrices, seconds, gap, seconds=seconds + GRACE_S)
    except child.Lost as error:
        raise NoAnswer(str(error)) from error
    if not isinstance(found, Answer) or not isinstance(found.status, str):
        raise NoAnswer("what the solver gave back is no answer")
    for vector, size in ((found.x, matrices.cost.size), (found.duals, matrices.lower.size)):
        if vector is None:
            continue
        if not isinstance(vector, np.ndarray) or vector.dtype != np.float64 or vector.shape != (size,):
            raise NoAnswer("what the solver gave back is no answer")
        if not np.isfinite(vector).all():
            raise NoAnswer("the solver gave back a number that is not finite")
    return found


def solve(matrices: Matrices, seconds: float, gap: float) -> Answer:
    """What `ask` asks, in the child. A mixed-integer answer is solved once more with its whole columns held: the point
    is then the best one for them, and its rows have duals."""
    if not matrices.whole.any():
        return _run(matrices, seconds, gap)
    first = _run(matrices, seconds, gap)
    if first.x is None:
        return first
    held = np.where(matrices.whole, np.round(first.x), 0)
    low, high = (np.where(matrices.whole, held, end) for end in (matrices.low, matrices.high))
    none = np.zeros_like(matrices.whole)
    again = _run(replace(matrices, low=low, high=high, whole=none), seconds, gap)
    return Answer(first.status, first.x, None) if again.x is None else replace(again, status=first.status)


def _run(matrices: Matrices, seconds: float, gap: float) -> Answer:
    import highspy

    model = highspy.HighsModel()
    lp: Any = model.lp_
    lp.num_col_, lp.num_row_ = matrices.cost.size, matrices.lower.size
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = matrices.cost, matrices.low, matrices.high
    lp.row_lower_, lp.row_upper_ = matrices.lower, matrices.upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = matrices.starts, matrices.indices
    lp.a_matrix_.value_ = matrices.data
    if matrices.whole.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(w)] for w in matrices.whole]
    highs = highspy.Highs()
    for name, value in (("output_flag", False), ("time_limit", float(seconds)), ("mip_rel_gap", float(gap))):
        highs.setOptionValue(name, value)
    highs.passModel(model)
    highs.run()
    status = str(highs.getModelStatus().name)
    solution, feasible = highs.getSolution(), highs.getInfo().primal_solution_status == 2
    if not feasible or status in ("kInfeasible", "kUnboundedOrInfeasible", "kUnbounded"):
        return Answer(status, None, None)
    duals = np.array(solution.row_dual, dtype=np.float64) if solution.dual_valid else None
    return Answer(status, np.array(solution.col_value, dtype=np.float64), duals)


__all__ = ["Answer", "Matrices", "NoAnswer", "ask", "solve"]
