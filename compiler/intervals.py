"""The exact admissible set of one quantity: a union of intervals, all other quantities being known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from compiler.facts import Fact


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, ends included unless open."""

    low: Fraction
    high: Fraction
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        """Whether no number lies inside."""
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def meet(self, other: Interval) -> Interval:
        """What lies in both."""
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, shut = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Interval(low, high, low_open, not shut)


Intervals = tuple[Interval, ...]
"""Disjoint, ascending, none empty."""


def admissible(fact: Fact, variable: int, within: Interval) -> Intervals:
    """Where `variable` may lie for the fact to hold, inside `within`, in steps.

    The fact speaks of this variable alone (see `bind.substitute`); raises `ValueError` for another.
    """
    if fact[0] == "L":
        slope, rest = Fraction(0), Fraction(fact[2])
        for i, a in fact[1]:
            if i != variable:
                raise ValueError(f"variable {i} has no value")
            slope += a
        strict = fact[3]
        if not slope:
            return (within,) if rest > 0 or (rest == 0 and not strict) else ()
        limit = rest / slope
        half = (
            Interval(within.low, limit, within.low_open, strict)
            if slope > 0
            else Interval(limit, within.high, strict, within.high_open)
        )
        cut = within.meet(half)
        return () if cut.empty else (cut,)
    parts = [admissible(part, variable, within) for part in fact[1]]
    if fact[0] == "O":
        return union([i for part in parts for i in part])
    out: Intervals = (within,)
    for part in parts:
        out = tuple(m for a in out for b in part if not (m := a.meet(b)).empty)
    return union(out)


def union(intervals: Sequence[Interval]) -> Intervals:
    """Disjoint ascending intervals that cover the same numbers."""
    out: list[Interval] = []
    for item in sorted(intervals, key=lambda i: (i.low, i.low_open)):
        if out and (
            item.low < out[-1].high or (item.low == out[-1].high and not (item.low_open and out[-1].high_open))
        ):
            last = out[-1]
            high, shut = max((last.high, not last.high_open), (item.high, not item.high_open))
            out[-1] = Interval(last.low, high, last.low_open, not shut)
        else:
            out.append(item)
    return tuple(out)


def closest(intervals: Intervals, target: Fraction, grid: int) -> int | None:
    """The multiple of `grid` inside the intervals that lies nearest to the target, the one nearer zero of two equals;
    None when there is none."""
    best: int | None = None
    for item in intervals:
        first = ceil(item.low / grid)
        if item.low_open and first * grid == item.low:
            first += 1
        last = floor(item.high / grid)
        if item.high_open and last * grid == item.high:
            last -= 1
        if first > last:
            continue
        below = min(max(floor(target / grid), first), last)
        for k in (below, min(below + 1, last)):
            candidate = k * grid
            if best is None or (abs(candidate - target), abs(candidate)) < (abs(best - target), abs(best)):
                best = candidate
    return best
