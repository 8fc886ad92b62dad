"""How far a schedule can be from the best one: an exact bound, block by block, that the independent checker confirms.

The claim of a block is that nothing satisfies the model's rows, without the room left for rounding and with binaries
anywhere between 0 and 1, and is worth more than a stated sum. The numbers of the rows are those that the solver was
given, read as exact fractions. The solver's dual values serve as multipliers: whatever they are, the bound that follows
from them holds; how good they are decides how near it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, isfinite, lcm

import numpy as np

from compiler.highs import Floats, Matrices, NoAnswer, ask, parts
from dispatch.model import Model
from dispatch.schedule import LIMIT_S, Schedule
from proofs.checker.certificate import Bound, Fact, Problem, Tree, refutes
from proofs.encode import claim_bytes

GRAIN = 2**40
"""Bounds are rounded up to this part of a EUR."""

Terms = dict[int, Fraction]


class NoBound(Exception):
    """No bound was found; the message says why."""


@dataclass(frozen=True, slots=True)
class Block:
    """Units that share no row with others are worth at most `most` EUR: `tree` refutes that they are worth more."""

    units: tuple[str, ...]
    most: Fraction
    problem: Problem
    tree: Tree

    def claim(self) -> bytes:
        """Problem and certificate in binary form, for anybody to check."""
        return claim_bytes(self.problem, self.tree)


@dataclass(frozen=True, slots=True)
class Optimality:
    """What a schedule is worth and the most that any compliant one could be, in EUR."""

    worth: Fraction
    blocks: tuple[Block, ...]

    @property
    def most(self) -> Fraction:
        """The sum of the blocks' bounds."""
        return sum((block.most for block in self.blocks), Fraction(0))

    @property
    def gap(self) -> Fraction:
        """No compliant schedule is worth more than this above the one at hand."""
        return self.most - self.worth


def certify(model: Model, schedule: Schedule) -> Optimality:
    """A checked bound on what any schedule can be worth. Raises `NoBound` when the solver gives no dual values or they
    bound nothing."""
    try:
        matrices = _relaxed(model)
        answer = ask(matrices, LIMIT_S)
    except NoAnswer as error:
        raise NoBound(f"the solver gave no answer: {error}") from error
    if answer.duals is None:
        raise NoBound(f"the solver gave no dual values: {answer.status}")
    owners = {j: unit for unit, m in model.units.items() for j in model.compiled.columns(m.out).tolist()}
    rows = _rows(matrices)
    blocks = []
    for columns, lines in parts(matrices):
        units = tuple(sorted({owners[j] for j in columns.tolist() if j in owners}))
        own = {k: rows[k] for k in lines.tolist()}
        blocks.append(_block(matrices, own, columns.tolist(), answer.duals, units))
    return Optimality(schedule.worth, tuple(b for b in blocks if b.units or b.most))


def _relaxed(model: Model) -> Matrices:
    """The model's rows without room for rounding, whole columns anywhere in their range."""
    strict, model.strict = model.strict, {}
    try:
        model.margin.value = 0
        found = model.matrices()
        return replace(found, whole=np.zeros_like(found.whole))
    finally:
        model.margin.value, model.strict = 1, strict


def _rows(matrices: Matrices) -> list[Terms]:
    rows: list[Terms] = [{} for _ in range(matrices.lower.size)]
    for j in range(matrices.cost.size):
        for at in range(matrices.starts[j], matrices.starts[j + 1]):
            if matrices.data[at]:
                rows[matrices.indices[at]][j] = Fraction(float(matrices.data[at]))
    return rows


def _block(
    matrices: Matrices, rows: Mapping[int, Terms], columns: Sequence[int], duals: Floats, units: tuple[str, ...]
) -> Block:
    place = {j: i for i, j in enumerate(columns)}
    cost = {place[j]: Fraction(float(matrices.cost[j])) for j in columns if matrices.cost[j]}
    box = _box(matrices, rows, columns)
    facts: list[Fact] = []
    weights: list[Fraction] = []
    residual, right = dict(cost), Fraction(0)
    for k, row in rows.items():
        # A row bounds from above, an equation from both sides; the multiplier's sign says which side counts.
        weight = -Fraction(float(duals[k]))
        if not weight or not isfinite(matrices.upper[k]):
            continue
        if weight < 0 and matrices.lower[k] != matrices.upper[k]:
            continue
        sign = 1 if weight > 0 else -1
        terms = {place[j]: sign * a for j, a in row.items()}
        side = sign * Fraction(float(matrices.upper[k]))
        fact, scale = _fact(terms, side, False)
        facts.append(fact)
        weights.append(abs(weight) / scale)
        right += abs(weight) * side
        for i, a in terms.items():
            residual[i] = residual.get(i, Fraction(0)) + abs(weight) * a
    least = Fraction(0)
    for i, a in residual.items():
        end = box[i][0] if a > 0 else box[i][1]
        if a and end is None:
            raise NoBound(f"nothing bounds a column of {', '.join(units) or 'the model'}")
        least += a * (end or 0)
    most = Fraction(ceil((right - least) * GRAIN), GRAIN)
    claim, scale = _fact(cost, -most, True)
    whole = lcm(*(w.denominator for w in weights), scale)
    leaf = tuple((k, int(w * whole)) for k, w in enumerate(weights, 1)) if cost else ()
    problem = Problem(len(columns), tuple(box), frozenset(), (), (claim, *facts))
    tree: Tree = ("F", ((0, whole // scale), *leaf))
    if not refutes(problem, tree):
        raise NoBound(f"the bound for {', '.join(units)} does not check")
    return Block(units, most, problem, tree)


def _fact(terms: Terms, side: Fraction, strict: bool) -> tuple[Fact, int]:
    """The row in whole numbers, and what it was multiplied by."""
    scale = lcm(side.denominator, *(a.denominator for a in terms.values()))
    return ("L", tuple((i, int(a * scale)) for i, a in sorted(terms.items())), int(side * scale), strict), scale


def _box(matrices: Matrices, rows: Mapping[int, Terms], columns: Sequence[int]) -> list[tuple[Bound, Bound]]:
    """Whole bounds, outward, that columns have by themselves or by rows that speak of them alone."""
    place = {j: i for i, j in enumerate(columns)}
    low = [Fraction(float(matrices.low[j])) if isfinite(matrices.low[j]) else None for j in columns]
    high = [Fraction(float(matrices.high[j])) if isfinite(matrices.high[j]) else None for j in columns]
    for k, row in rows.items():
        if len(row) != 1 or not isfinite(matrices.upper[k]):
            continue
        ((j, a),) = row.items()
        i, end = place[j], Fraction(float(matrices.upper[k])) / a
        if a > 0:
            high[i] = end if high[i] is None else min(high[i], end)  # type: ignore[type-var]
        else:
            low[i] = end if low[i] is None else max(low[i], end)  # type: ignore[type-var]
    return [
        (None if lo is None else floor(lo), None if hi is None else ceil(hi)) for lo, hi in zip(low, high, strict=True)
    ]


__all__ = ["Block", "NoBound", "Optimality", "certify"]
