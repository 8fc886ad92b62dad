"""Facts to a program: the nearest admissible step of one commanded quantity, for many states at once.

With a state put in, a row over whole numbers is a half-line. "All of" meets, "at least one of" joins; half-lines to one
side join to a half-line, so most rules become one interval for each state. The rest are unions of a few. The nearest
admissible step above and below a wish is found by going from rule to rule until none objects.

The declared ranges bound every sum, so that a fact set that might leave int64 is refused when it is taken up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.breakpoints import split
from compiler.compiled import compiled
from compiler.facts import FactSet, negate
from compiler.literals import Atom, Literal, Normal, normal, reach
from compiler.lower import disjunction
from compiler.steps import (
    ADD,
    AND,
    BUT,
    CODE,
    DIVIDE,
    DIVIDE_WIDE,
    EQ,
    EXACT,
    GIVEN,
    LE,
    LOAD,
    LT,
    MAX,
    MIN,
    MUL,
    OR,
    SET,
    SUB,
    WIDTH,
    XOR,
    Number,
    Operand,
    Program,
)

Whole = NDArray[np.int64]
Truth = NDArray[np.bool_]

FAR = 2**62
"""Beyond every value: ends of what is not bounded, and of what is empty."""


class CannotVector(Exception):
    """A fact set whose sums might leave int64, or that has a square of the commanded quantity."""


@dataclass(slots=True)
class _Set:
    """What a fact leaves: `low` to `high` (None: no end) inside each of `unions`, nothing where `when` is false; all of
    them steps of the program."""

    low: int | None = None
    high: int | None = None
    unions: tuple[tuple[tuple[int | None, int | None], ...], ...] = ()
    when: int | None = None


class Stretches:
    """The blocking rules of a fact set as stretches of one commanded quantity; several threads may use them at once."""

    def __init__(self, facts: FactSet, commanded: int) -> None:
        """Raises `CannotVector` naming a rule."""
        self.facts, self.commanded, self._box = facts, commanded, facts.box()
        self._program = Program([(v.low, v.high) for v in facts.variables])
        self._zero = self._program.constant(SET, 0)
        declared = facts.variables[commanded]
        # One step beyond the declared range is as good as any number beyond it: there ends what is not bounded.
        self._under, self._over = declared.low - 1, declared.high + 1
        self._most = max(abs(self._under), abs(self._over))
        self._edges: dict[Atom, tuple[_Set, _Set]] = {}
        sets = []
        for rule in facts.rules:
            if rule.blocks:
                try:
                    sets.append(self._set(normal(disjunction([negate(rule.scope), rule.body]), self._box)))
                except ValueError as error:
                    raise CannotVector(f"rule `{rule.rule}`: {error}") from error
        self._unions = self._keep(self._every(sets))
        _settle.ready()

    def nearest(
        self, values: Whole, usable: Truth, asked: Whole, grid: Whole, at: Whole | None = None
    ) -> tuple[Whole, Truth]:
        """The admissible multiples of `grid` nearest to `asked`, and where there is any.

        `values` and `usable` are (variables, states) in steps; the commanded row is not looked at, and some number of
        its range stands for a value that is outside. `at` says which states are asked for; `asked`, multiples of
        `grid` inside the declared range, and `grid`, from 1 to `EXACT`, have an entry for each of these. Of two equally
        near the one nearer zero is taken, then the lower.
        """
        ends = self._ends(values, usable, asked, grid, at)
        found, ok = np.empty_like(asked), np.empty(len(asked), dtype=np.bool_)
        _settle.ready()(ends, self._unions, np.empty((3, WIDTH), dtype=np.int64), found, ok)
        return found * grid, ok

    def around(self, values: Whole, usable: Truth, at: Whole, grid: Whole) -> tuple[Whole, Whole]:
        """The stretch of admissible multiples of `grid` around each admissible multiple `at`, ends included.

        Where no stretch holds `at`, the ends are crossed.
        """
        here, low, high, *ends = self._ends(values, usable, at, grid, None)
        for size in self._unions.tolist():
            # Intervals that share a step are one stretch.
            union, ends = np.array(ends[: 2 * size]), ends[2 * size :]
            first, last = union[::2], union[1::2]
            holds = (first <= here) & (here <= last)
            low = np.maximum(low, np.where(holds, first, FAR).min(axis=0))
            high = np.minimum(high, np.where(holds, last, -FAR).max(axis=0))
        crossed = (low > here) | (here > high)
        return np.where(crossed, 1, low) * grid, np.where(crossed, 0, high) * grid

    def _ends(self, values: Whole, usable: Truth, asked: Whole, grid: Whole, at: Whole | None) -> Whole:
        """In steps of the devices: what is asked, the ends of all, and of each interval of each union."""
        ends = np.empty((3 + 2 * int(self._unions.sum()), len(asked)), dtype=np.int64)
        self._program.run(values, usable, found=ends, at=at, given=np.stack([asked, grid]))
        return ends

    # The program

    def _keep(self, all_of: _Set) -> Whole:
        """Writes what `_ends` gives; returns how many intervals each union has."""
        call, declared = self._program.call, self.facts.variables[self.commanded]
        divide = self._divide(self._most)
        asked, grid = self._program.leaf(GIVEN, 0), self._program.leaf(GIVEN, 1)
        short = call(SUB, grid, Number(1))
        self._program.keep(call(divide, asked, grid), 0)

        def up(end: int) -> int:
            return call(divide, call(ADD, end, short), grid)

        def down(end: int) -> int:
            return call(divide, end, grid)

        low, high = self._program.constant(SET, declared.low), self._program.constant(SET, declared.high)
        if all_of.low is not None:
            low = call(MAX, low, all_of.low)
        if all_of.high is not None:
            high = call(MIN, high, all_of.high)
        if all_of.when is not None:
            low = self._program.pick(all_of.when, low, Number(self._over))
        ends = [up(low), down(high)]
        for union in all_of.unions:
            for first, last in union:
                ends.append(self._program.constant(SET, -FAR) if first is None else up(first))
                ends.append(self._program.constant(SET, FAR) if last is None else down(last))
        for row, end in enumerate(ends):
            self._program.keep(end, 1 + row)
        return np.array([len(union) for union in all_of.unions], dtype=np.int64)

    @staticmethod
    def _divide(most: int) -> int:
        """The division for dividends and divisors of at most this size."""
        return DIVIDE if most < EXACT else DIVIDE_WIDE

    def _scaled(self, i: int, a: int) -> int:
        plain = len(self.facts.variables)
        if i < plain:
            column = self._program.leaf(LOAD, i)
        else:
            _, x, y = self.facts.products[i - plain]
            column = self._program.call(MUL, self._program.leaf(LOAD, x), self._program.leaf(LOAD, y))
        return column if a == 1 else self._program.call(MUL, column, Number(a))

    def _less(self, number: int, terms: Sequence[tuple[int, int]]) -> int:
        """A number less some terms."""
        total = self._program.constant(SET, number)
        for i, a in terms:
            total = self._program.call(SUB if a > 0 else ADD, total, self._scaled(i, abs(a)))
        return total

    def _not(self, truth: int) -> int:
        return self._program.call(XOR, truth, Number(1))

    def _set(self, fact: Normal) -> _Set:
        if isinstance(fact, bool):
            return _Set() if fact else _Set(when=self._program.constant(CODE, 0))
        if isinstance(fact, Literal):
            if fact.atom not in self._edges:
                self._edges[fact.atom] = self._row(fact.atom)
            return self._edges[fact.atom][0 if fact.positive else 1]
        parts = [self._set(part) for part in fact.parts]
        return self._every(parts) if fact.every else self._some(parts)

    def _row(self, atom: Atom) -> tuple[_Set, _Set]:
        """What a row leaves of the commanded quantity, and what its opposite does."""
        # INVARIANT: no partial sum, slope or right side leaves half of int64, so their sums do not leave int64.
        most = reach(self._box, atom.terms) + abs(atom.bound)
        if most >= FAR:
            raise ValueError("a row may leave 64 bits")
        self._most = max(self._most, most + 1)
        call, pick = self._program.call, self._program.pick
        slope, rest = split(self.facts, atom, self.commanded)
        right = self._less(atom.bound, rest)
        met = call(LE, self._zero, right)
        if not slope:
            return _Set(when=met), _Set(when=self._not(met))
        ends = [(a, a) if i is None else sorted(a * e for e in self._box[i]) for a, i in slope]
        least, greatest = sum(e[0] for e in ends), sum(e[1] for e in ends)
        fixed = sum(a for a, i in slope if i is None)
        free = [(i, -a) for a, i in slope if i is not None]
        divide = self._divide(max(most, -least, greatest))
        if least > 0:
            by: Operand = self._less(fixed, free) if free else Number(fixed)
            high = right if by == Number(1) else call(divide, right, by)
            return _Set(high=high), _Set(low=call(ADD, high, Number(1)))
        if greatest < 0:
            by = self._less(-fixed, [(i, -a) for i, a in free]) if free else Number(-fixed)
            low = call(SUB, self._zero, right if by == Number(1) else call(divide, right, by))
            return _Set(low=low), _Set(high=call(SUB, low, Number(1)))
        by = self._less(fixed, free)
        rising, falling, level = call(LT, self._zero, by), call(LT, by, Number(0)), call(EQ, by, Number(0))
        size = call(MAX, call(MAX, by, call(SUB, self._zero, by)), Number(1))
        up = call(divide, right, size)
        down, over = call(SUB, self._zero, up), self._program.constant(SET, self._over)
        nothing, all_else = (pick(call(op, level, met), over, Number(self._under)) for op in (BUT, AND))
        return (
            _Set(pick(falling, down, nothing), pick(rising, up, Number(self._over))),
            _Set(
                pick(rising, call(ADD, up, Number(1)), all_else),
                pick(falling, call(SUB, down, Number(1)), Number(self._over)),
            ),
        )

    def _join(self, op: int, left: int | None, right: int | None) -> int | None:
        return right if left is None else left if right is None else self._program.call(op, left, right)

    def _every(self, parts: Sequence[_Set]) -> _Set:
        out = _Set()
        for part in parts:
            out.low, out.high = self._join(MAX, out.low, part.low), self._join(MIN, out.high, part.high)
            out.when = self._join(AND, out.when, part.when)
            out.unions += part.unions
        return out

    def _some(self, parts: Sequence[_Set]) -> _Set:
        """The join: half-lines to one side are one half-line, a truth alone makes everything admissible."""
        pick = self._program.pick
        whole: int | None = None
        below: int | None = None
        above: int | None = None
        pieces: list[tuple[int | None, int | None]] = []
        for part in parts:
            for low, high in self._pieces(part):
                if low is None and high is None:
                    if part.when is None:
                        return _Set()
                    whole = self._join(OR, whole, part.when)
                    continue
                if part.when is not None:
                    low = None if low is None else pick(part.when, low, Number(self._over))
                    high = None if high is None else pick(part.when, high, Number(self._under))
                if low is None:
                    below = self._join(MAX, below, high)
                elif high is None:
                    above = self._join(MIN, above, low)
                else:
                    pieces.append((low, high))
        if below is not None:
            pieces.append((None, below))
        if above is not None:
            pieces.append((above, None))
        if not pieces:
            return _Set(when=whole)
        if whole is not None:
            low, high = pieces[-1]
            unless = self._not(whole)
            pieces[-1] = (
                None if low is None else pick(unless, low, Number(self._under)),
                None if high is None else pick(unless, high, Number(self._over)),
            )
        return _Set(*pieces[0]) if len(pieces) == 1 else _Set(unions=(tuple(pieces),))

    def _pieces(self, part: _Set) -> list[tuple[int | None, int | None]]:
        """The intervals of a set: its own, cut by each union."""
        found = [(part.low, part.high)]
        for union in part.unions:
            found = [(self._join(MAX, a, b), self._join(MIN, c, d)) for a, c in found for b, d in union]
        return found


@compiled("void(i8[:,::1], i8[::1], i8[:,::1], i8[::1], b1[::1])")
def _settle(ends, unions, work, found, ok):  # type: ignore[no-untyped-def]
    """The admissible step nearest to each wish: on either side, on from union to union until none objects."""
    up, down, best = work[0], work[1], work[2]
    for start in range(0, len(found), len(up)):
        size = min(len(up), len(found) - start)
        stop = start + size
        wish, low, high = ends[0, start:stop], ends[1, start:stop], ends[2, start:stop]
        nearest, there = found[start:stop], ok[start:stop]
        for k in range(size):
            up[k], down[k] = max(wish[k], low[k]), min(wish[k], high[k])
        kept, union, row = 0, 0, 3
        while kept < len(unions):
            for k in range(size):
                best[k] = FAR
            for _ in range(unions[union]):
                first, last = ends[row, start:stop], ends[row + 1, start:stop]
                for k in range(size):
                    step = max(up[k], first[k])
                    best[k] = min(best[k], step if step <= last[k] else FAR)
                row += 2
            moved = 0
            for k in range(size):
                moved |= up[k] ^ best[k]
                up[k] = best[k]
            kept, union = 1 if moved else kept + 1, union + 1
            if union == len(unions):
                union, row = 0, 3
        kept, union, row = 0, 0, 3
        while kept < len(unions):
            for k in range(size):
                best[k] = -FAR
            for _ in range(unions[union]):
                first, last = ends[row, start:stop], ends[row + 1, start:stop]
                for k in range(size):
                    step = min(down[k], last[k])
                    best[k] = max(best[k], step if step >= first[k] else -FAR)
                row += 2
            moved = 0
            for k in range(size):
                moved |= down[k] ^ best[k]
                down[k] = best[k]
            kept, union = 1 if moved else kept + 1, union + 1
            if union == len(unions):
                union, row = 0, 3
        for k in range(size):
            above, below = up[k] <= high[k], down[k] >= low[k]
            over, under = up[k] - wish[k], wish[k] - down[k]
            nearer = (over < under) | ((over == under) & (abs(up[k]) < abs(down[k])))
            there[k] = above | below
            nearest[k] = up[k] if above & (nearer | (not below)) else down[k]
