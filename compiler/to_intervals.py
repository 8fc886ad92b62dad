"""Facts to NumPy: the nearest admissible step of one commanded quantity, for many states at once.

With a state put in, a row over whole numbers is a half-line. "All of" meets, "at least one of" joins; half-lines to one
side join to a half-line, so most rules become one interval for each state. The rest are unions of a few. The nearest
admissible step above and below a wish is found by going from rule to rule until none objects.

The declared ranges bound every sum, so that a fact set that might leave int64 is refused when it is taken up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.breakpoints import split
from compiler.facts import FactSet, negate
from compiler.literals import Atom, Group, Literal, Normal, normal, reach
from compiler.lower import disjunction

Whole = NDArray[np.int64]
Truth = NDArray[np.bool_]

FAR = 2**62
"""Beyond every value: ends of what is not bounded, and of what is empty."""


class CannotVector(Exception):
    """A fact set whose sums might leave int64, or that has a square of the commanded quantity."""


@dataclass(slots=True)
class _Set:
    """What a fact leaves: `low` to `high` (None: no end) inside each of `unions`, nothing where `when` is false."""

    low: Whole | None = None
    high: Whole | None = None
    unions: tuple[tuple[tuple[Whole | None, Whole | None], ...], ...] = ()
    when: Truth | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """A row apart: what multiplies the commanded quantity (a number and terms, and its range), and the other terms."""

    about: bool
    fixed: int
    free: tuple[tuple[int, int], ...]
    least: int
    most: int
    rest: tuple[tuple[int, int], ...]


class Stretches:
    """The blocking rules of a fact set as stretches of one commanded quantity."""

    def __init__(self, facts: FactSet, commanded: int) -> None:
        """Raises `CannotVector` naming a rule."""
        self.facts, self.commanded, self._box = facts, commanded, facts.box()
        self._demands: list[Normal] = []
        self.plans: dict[Atom, _Plan] = {}
        for rule in facts.rules:
            if rule.blocks:
                demand = normal(disjunction([negate(rule.scope), rule.body]), self._box)
                self._fits(rule.rule, demand)
                if demand is not True:
                    self._demands.append(demand)

    def _fits(self, rule: str, fact: Normal) -> None:
        if isinstance(fact, Group):
            for part in fact.parts:
                self._fits(rule, part)
        elif isinstance(fact, Literal):
            # INVARIANT: no partial sum, slope or right side leaves half of int64, so their sums do not leave int64.
            if reach(self._box, fact.atom.terms) + abs(fact.atom.bound) >= FAR:
                raise CannotVector(f"rule `{rule}`: a row may leave 64 bits")
            try:
                self.plans[fact.atom] = self._plan(fact.atom)
            except ValueError as error:
                raise CannotVector(f"rule `{rule}`: {error}") from error

    def _plan(self, atom: Atom) -> _Plan:
        slope, rest = split(self.facts, atom, self.commanded)
        ends = [(a, a) if i is None else sorted(a * e for e in self._box[i]) for a, i in slope]
        fixed = sum(a for a, i in slope if i is None)
        free = tuple((i, a) for a, i in slope if i is not None)
        return _Plan(bool(slope), fixed, free, sum(e[0] for e in ends), sum(e[1] for e in ends), tuple(rest))

    def nearest(self, values: Whole, asked: Whole, grid: Whole) -> tuple[Whole, Truth]:
        """The admissible multiples of `grid` nearest to `asked`, and where there is any.

        `values` is (variables, states) in steps, inside the declared ranges; the commanded row is not looked at.
        `asked` are multiples of `grid`. Of two equally near the one nearer zero is taken, then the lower.
        """
        step, low, high, unions = self._stretches(values, grid)
        wish = asked // step
        up, down = _climb(np.maximum(wish, low), unions), _descend(np.minimum(wish, high), unions)
        up_ok, down_ok = up <= high, down >= low
        over, under = up - wish, wish - down
        above = up_ok & (~down_ok | (over < under) | ((over == under) & (np.abs(up) < np.abs(down))))
        return np.where(above, up, down) * step, up_ok | down_ok

    def around(self, values: Whole, at: Whole, grid: Whole) -> tuple[Whole, Whole]:
        """The stretch of admissible multiples of `grid` around each admissible multiple `at`, ends included.

        Where no stretch holds `at`, the ends are crossed.
        """
        step, low, high, unions = self._stretches(values, grid)
        here = at // step
        for first, last in unions:
            # Intervals that share a step are one stretch.
            holds = (first <= here) & (here <= last)
            low = np.maximum(low, np.where(holds, first, FAR).min(axis=0))
            high = np.minimum(high, np.where(holds, last, -FAR).max(axis=0))
        crossed = (low > here) | (here > high)
        return np.where(crossed, 1, low) * step, np.where(crossed, 0, high) * step

    def _stretches(self, values: Whole, grid: Whole) -> tuple[Any, Whole, Whole, list[tuple[Whole, Whole]]]:
        """What one device step is, and in such steps the ends of all and the intervals of each union."""
        run = _Run(self, values)
        declared = self.facts.variables[self.commanded]
        all_of = _every([run.set(demand) for demand in self._demands])
        low = np.maximum(declared.low, -FAR if all_of.low is None else all_of.low)
        high = np.minimum(declared.high, FAR if all_of.high is None else all_of.high)
        if all_of.when is not None:
            low = np.where(all_of.when, low, FAR)
        # A divisor that all devices share is divided by many times faster.
        step: Any = grid[0] if len(grid) and (grid == grid[0]).all() else grid
        unions = []
        for union in all_of.unions:
            ends = np.empty((2, len(union), len(grid)), dtype=np.int64)
            for k, (first, last) in enumerate(union):
                # Lower ends are turned, so that both are rounded inward by the same division.
                ends[0, k] = FAR if first is None else -first
                ends[1, k] = FAR if last is None else last
            ends //= step
            np.negative(ends[0], out=ends[0])
            unions.append((ends[0], ends[1]))
        return step, -(-low // step), high // step, unions


def _climb(at: Whole, unions: Sequence[tuple[Whole, Whole]]) -> Whole:
    """The least step from `at` on inside every union; beyond every value where there is none."""
    while unions:
        start = at
        for low, high in unions:
            step = np.maximum(at, low)
            at = np.where(step <= high, step, FAR).min(axis=0)
        if len(unions) == 1 or (at == start).all():
            break
    return at


def _descend(at: Whole, unions: Sequence[tuple[Whole, Whole]]) -> Whole:
    """The greatest step up to `at` inside every union; below every value where there is none."""
    while unions:
        start = at
        for low, high in unions:
            step = np.minimum(at, high)
            at = np.where(step >= low, step, -FAR).max(axis=0)
        if len(unions) == 1 or (at == start).all():
            break
    return at


class _Run:
    """One evaluation; what several rows share is computed once."""

    def __init__(self, stretches: Stretches, values: Whole) -> None:
        self.of, self.values = stretches, values
        self._columns: dict[int, Whole] = {}
        self._edges: dict[Atom, tuple[_Set, _Set]] = {}
        self._truths: dict[Atom, Truth] = {}

    def column(self, i: int) -> Whole:
        plain = len(self.of.facts.variables)
        if i < plain:
            found: Whole = self.values[i]
            return found
        if i not in self._columns:
            _, x, y = self.of.facts.products[i - plain]
            self._columns[i] = np.multiply(self.values[x], self.values[y])
        return self._columns[i]

    def total(self, terms: Sequence[tuple[int, int]]) -> Any:
        out: Any = None
        for i, a in terms:
            term = self.column(i) if abs(a) == 1 else self.column(i) * abs(a)
            signed = term if a > 0 else -term
            out = signed if out is None else out + signed
        return 0 if out is None else out

    def set(self, fact: Normal) -> _Set:
        if isinstance(fact, bool):
            return _Set(when=None if fact else np.zeros(self.values.shape[1], dtype=np.bool_))
        if isinstance(fact, Literal):
            return self.row(fact)
        parts = [self.set(part) for part in fact.parts]
        return _every(parts) if fact.every else _some(parts)

    def row(self, literal: Literal) -> _Set:
        atom = literal.atom
        plan = self.of.plans[atom]
        if not plan.about:
            if atom not in self._truths:
                self._truths[atom] = self.total(plan.rest) <= atom.bound
            return _Set(when=self._truths[atom] if literal.positive else ~self._truths[atom])
        if atom not in self._edges:
            self._edges[atom] = self.edge(plan, atom.bound)
        return self._edges[atom][0 if literal.positive else 1]

    def edge(self, plan: _Plan, bound: int) -> tuple[_Set, _Set]:
        """Where slope times the quantity and the rest are at most the bound, and where not."""
        right = bound - self.total(plan.rest)
        if isinstance(right, int):
            right = np.full(self.values.shape[1], right)
        by: Any = plan.fixed
        for i, a in plan.free:
            term = self.values[i] if a == 1 else self.values[i] * a
            by = by + term if isinstance(by, np.ndarray) or by else term
        if plan.least > 0:
            edge = right if isinstance(by, int) and by == 1 else right // by
            return _Set(high=edge), _Set(low=edge + 1)
        if plan.most < 0:
            edge = -right if isinstance(by, int) and by == -1 else -(right // -by)
            return _Set(low=edge), _Set(high=edge - 1)
        size = np.maximum(np.abs(by), 1)
        rising, falling, level = by > 0, by < 0, by == 0
        met = right >= 0
        up, down = right // size, -(right // size)
        high = np.where(rising, up, FAR)
        low = np.where(falling, down, np.where(level & ~met, FAR, -FAR))
        other_low = np.where(rising, up + 1, np.where(level & met, FAR, -FAR))
        other_high = np.where(falling, down - 1, FAR)
        return _Set(low, high), _Set(other_low, other_high)


def _every(parts: Sequence[_Set]) -> _Set:
    out = _Set()
    for part in parts:
        out.low = part.low if out.low is None else out.low if part.low is None else np.maximum(out.low, part.low)
        out.high = part.high if out.high is None else out.high if part.high is None else np.minimum(out.high, part.high)
        out.when = part.when if out.when is None else out.when if part.when is None else out.when & part.when
        out.unions += part.unions
    return out


def _some(parts: Sequence[_Set]) -> _Set:
    """The join: half-lines to one side are one half-line, a truth alone makes everything admissible."""
    whole: Truth | None = None
    below: Whole | None = None
    above: Whole | None = None
    others: list[tuple[Whole | None, Whole | None]] = []
    for part in parts:
        for low, high in _pieces(part):
            if low is None and high is None:
                if part.when is None:
                    return _Set()
                whole = part.when if whole is None else whole | part.when
                continue
            if part.when is not None:
                if low is not None:
                    low = np.where(part.when, low, FAR)
                if high is not None:
                    high = np.where(part.when, high, -FAR)
            if low is None and high is not None:
                below = high if below is None else np.maximum(below, high)
            elif high is None and low is not None:
                above = low if above is None else np.minimum(above, low)
            else:
                others.append((low, high))
    pieces = [*others]
    if below is not None:
        pieces.append((None, below if whole is None else np.where(whole, FAR, below)))
        whole = None
    if above is not None:
        pieces.append((above if whole is None else np.where(whole, -FAR, above), None))
        whole = None
    if not pieces:
        return _Set(when=whole)
    if whole is not None:
        low, high = pieces[0]
        pieces[0] = (
            None if low is None else np.where(whole, -FAR, low),
            None if high is None else np.where(whole, FAR, high),
        )
    if len(pieces) == 1:
        return _Set(*pieces[0])
    return _Set(unions=(tuple(pieces),))


def _pieces(part: _Set) -> list[tuple[Whole | None, Whole | None]]:
    """The intervals of a set: its own, cut by each union."""
    found = [(part.low, part.high)]
    for union in part.unions:
        found = [
            (
                a if b is None else b if a is None else np.maximum(a, b),
                c if d is None else d if c is None else np.minimum(c, d),
            )
            for a, c in found
            for b, d in union
        ]
    return found
