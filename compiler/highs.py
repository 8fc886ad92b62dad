"""HiGHS in a child process, under a hard limit. What it answers is a proposal: callers check what they use of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler import child

SOLVE = "compiler.highs:solve"
"""The function that the child runs."""
OPTIMAL = "kOptimal"
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


def parts(matrices: Matrices) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Columns and rows, in groups that share nothing; rows without an end bind nothing and belong nowhere. Columns that
    no row binds make one group."""
    live = np.isfinite(matrices.lower) | np.isfinite(matrices.upper)
    n = matrices.cost.size
    leader = list(range(n))

    def find(j: int) -> int:
        while leader[j] != j:
            leader[j] = leader[leader[j]]
            j = leader[j]
        return j

    owner: dict[int, int] = {}
    column = np.repeat(np.arange(n), np.diff(matrices.starts))
    used = live[matrices.indices] & (matrices.data != 0)
    bound = np.zeros(n, dtype=np.bool_)
    bound[column[used]] = True
    for j, k in zip(column[used].tolist(), matrices.indices[used].tolist(), strict=True):
        leader[find(j)] = find(owner.setdefault(k, j))
    groups: dict[int, tuple[list[int], list[int]]] = {}
    for j in range(n):
        groups.setdefault(find(j) if bound[j] else -1, ([], []))[0].append(j)
    for k, j in sorted(owner.items()):
        groups[find(j)][1].append(k)
    return [(np.array(columns), np.array(rows, dtype=np.int64)) for columns, rows in groups.values()]


def solve(matrices: Matrices, seconds: float, gap: float) -> Answer:
    """What `ask` asks, in the child: part by part, where parts share nothing. The first status that is not optimal
    stands for all."""
    until = time.monotonic() + seconds
    x, duals = np.zeros_like(matrices.cost), np.zeros_like(matrices.lower)
    status, priced = OPTIMAL, True
    # The smallest first: the time they leave is the largest one's.
    split = sorted(parts(matrices), key=lambda part: len(part[1]))
    alone = [_part(matrices, columns, rows) for columns, rows in split]
    slack = _slack(alone, until, gap)
    for (columns, rows), part in zip(split, alone, strict=True):
        found = _solve(part, max(0.1, until - time.monotonic()), gap, slack)
        if found.x is None:
            return Answer(found.status, None, None)
        x[columns] = found.x
        if found.duals is not None:
            duals[rows] = found.duals
        priced = priced and found.duals is not None
        status = found.status if status == OPTIMAL else status
    return Answer(status, x, duals if priced else None)


def _slack(alone: list[Matrices], until: float, gap: float) -> float:
    """By how much the search in each part may miss its best, so that together they miss no more than `gap` of the
    whole: a small part need not be searched to a share of its own small worth."""
    mixed = [part for part in alone if part.whole.any()]
    if not gap or len(mixed) < 2:
        return 0.0
    total = 0.0
    for part in alone:
        left = max(0.1, until - time.monotonic())
        found = _run(replace(part, whole=np.zeros_like(part.whole)), left, gap, 0.0)
        if found.x is not None:
            total += float(part.cost @ found.x)
    return gap * abs(total) / len(mixed)


def _part(matrices: Matrices, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> Matrices:
    """The columns and rows of a part alone."""
    place = np.full(matrices.lower.size, -1, dtype=np.int64)
    place[rows] = np.arange(rows.size)
    sizes = np.diff(matrices.starts)[columns]
    take = np.repeat(matrices.starts[columns] - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
    take = take + np.arange(take.size)
    kept = place[matrices.indices[take]] >= 0
    owner = np.repeat(np.arange(columns.size), sizes)[kept]
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=columns.size))])
    return Matrices(
        matrices.cost[columns],
        starts.astype(np.int32),
        place[matrices.indices[take][kept]].astype(np.int32),
        matrices.data[take][kept],
        matrices.lower[rows],
        matrices.upper[rows],
        matrices.low[columns],
        matrices.high[columns],
        matrices.whole[columns],
    )


def _solve(matrices: Matrices, seconds: float, gap: float, slack: float) -> Answer:
    """A mixed-integer answer is solved once more with its whole columns held: the point is then the best one for them,
    and its rows have duals."""
    if not matrices.whole.any():
        return _run(matrices, seconds, gap, slack)
    first = _run(matrices, seconds, gap, slack)
    if first.x is None:
        return first
    held = np.where(matrices.whole, np.round(first.x), 0)
    low, high = (np.where(matrices.whole, held, end) for end in (matrices.low, matrices.high))
    none = np.zeros_like(matrices.whole)
    again = _run(replace(matrices, low=low, high=high, whole=none), seconds, gap, slack)
    return Answer(first.status, first.x, None) if again.x is None else replace(again, status=first.status)


def _run(matrices: Matrices, seconds: float, gap: float, slack: float) -> Answer:
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
    highs.setOptionValue("output_flag", False)
    for name, value in (("time_limit", seconds), ("mip_rel_gap", gap), ("mip_abs_gap", max(slack, 1e-6))):
        highs.setOptionValue(name, float(value))
    highs.passModel(model)
    highs.run()
    status = str(highs.getModelStatus().name)
    solution, feasible = highs.getSolution(), highs.getInfo().primal_solution_status == 2
    if not feasible or status in ("kInfeasible", "kUnboundedOrInfeasible", "kUnbounded"):
        return Answer(status, None, None)
    duals = np.array(solution.row_dual, dtype=np.float64) if solution.dual_valid else None
    return Answer(status, np.array(solution.col_value, dtype=np.float64), duals)


__all__ = ["Answer", "Matrices", "NoAnswer", "ask", "parts", "solve"]
