"""A whole fleet in one step: verdicts by the kernel, the closest compliant commands by vectors, all in whole numbers.

The answers are those of the guard for each unit alone: admitted, repaired to the nearest multiple of the device's step,
or refused. What was repaired is judged again by the kernel before it counts. A fact set whose sums might leave 64 bits
is repaired unit by unit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray

from compiler.facts import FactSet
from compiler.instance import Instance
from compiler.steps import EXACT
from compiler.to_intervals import CannotVector, Stretches
from compiler.to_kernel import Kernel
from guardrails.repair import closest_command
from guardrails.state import NANO

Whole = NDArray[np.int64]
Truth = NDArray[np.bool_]

OUTCOMES = ("admitted", "repaired", "refused")
"""Outcome of each code."""
ADMITTED, REPAIRED, REFUSED = range(3)
_VIOLATES, _BLIND = 2, 3


@dataclass(frozen=True, slots=True)
class Step:
    """What became of each unit's request.

    `requested` and `command` are W on the device's grid (`command` 0 where refused); `codes` (rules, units) are the
    kernel's verdicts on the request, all 0 where the request itself could not be used: there `judged` is false. `late`
    is true where its deadline had passed. `moved` is how far the closest compliant command lies, -1 where there is none
    or nobody looked. `values` and `usable` (variables, units) are what was judged by; the next step overwrites them.
    `spent_ns` is what gathering, the verdicts, and the closest commands took.
    """

    outcome: NDArray[np.int8]
    requested: Whole
    command: Whole
    codes: NDArray[np.int8]
    judged: Truth
    late: Truth
    moved: Whole
    values: Whole
    usable: Truth
    spent_ns: tuple[int, int, int]


class Batch:
    """The rules of a fleet's units with everything registered for them. For one thread."""

    def __init__(
        self,
        instance: Instance,
        facts: FactSet,
        commanded: str,
        settled: Mapping[str, Whole],
        grid: Whole,
        unusable: Mapping[str, Truth] | None = None,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """`settled` holds columns in steps of what stays from step to step, `unusable` where one cannot be used, `grid`
        the step of each device. What `settled` does not name is a reading; `names` gives their order. Stages are timed
        by `clock_ns`.

        Raises `ValueError` for a column of another length or type, or a grid below one or beyond any device.
        """
        place, self._clock = facts.index(), clock_ns
        self.facts, self.kernel, self.commanded = facts, Kernel(facts), place[commanded]
        self.units = len(grid)
        if grid.dtype != np.int64 or grid.ndim != 1 or (self.units and not 1 <= grid.min() <= grid.max() < EXACT):
            raise ValueError("grid: one whole number from 1 to 2^51 for each unit was expected")
        for name, column in settled.items():
            if column.dtype != np.int64 or column.shape != grid.shape:
                raise ValueError(f"{name}: one whole number for each unit was expected")
        self.names = tuple(v.name for v in facts.variables if v.name not in settled and v.name != commanded)
        self._rows = np.array([place[name] for name in self.names], dtype=np.intp)
        self._grid, self._coarse = grid, bool((grid != 1).any())
        self._values = np.zeros((len(facts.variables), self.units), dtype=np.int64)
        self._usable = np.ones(self._values.shape, dtype=np.bool_)
        for name, column in settled.items():
            if name in place:
                self._values[place[name]] = column
        for name, truth in (unusable or {}).items():
            if name in place:
                self._usable[place[name]] = ~truth
        blocking = np.array([r for r, rule in enumerate(facts.rules) if rule.blocks], dtype=np.intp)
        self._blocking = slice(None) if len(blocking) == len(facts.rules) else blocking
        limits = [instance.vocabulary[name].stale for name in self.names]
        self._stale = np.array([_nanoseconds(limit) for limit in limits], dtype=np.int64)[:, None]
        self._steps: Stretches | None
        try:
            self._steps = Stretches(facts, self.commanded)
        except CannotVector:
            self._steps = None

    def step(
        self,
        asked: Whole,
        readings: Whole,
        usable: Truth,
        ages_ns: Whole | None = None,
        given: Truth | None = None,
        tolerance: Whole | None = None,
        late: Truth | None = None,
    ) -> Step:
        """The decisions on one command for each unit.

        `asked` in W; `readings`, `usable` and `ages_ns` are (names, units), in steps; where `given` is false there is
        no usable request, where `late` is true its deadline has passed; `tolerance` is how far a command may be moved.
        Raises `ValueError` or `TypeError` for arrays of another shape or type.
        """
        shape = (len(self.names), self.units)
        if asked.dtype != np.int64 or readings.dtype != np.int64 or usable.dtype != np.bool_:
            raise TypeError("asked and readings must be int64, usable bool")
        if asked.shape != (self.units,) or readings.shape != shape or usable.shape != shape:
            raise ValueError(f"asked must have shape ({self.units},), readings and usable {shape}")
        began = self._clock()
        values, known = self._values, self._usable
        declared = self.facts.variables[self.commanded]
        requested = self._on_grid(asked)
        values[self._rows], known[self._rows] = readings, usable
        if ages_ns is not None:
            known[self._rows] &= (ages_ns >= 0) & (ages_ns <= self._stale)
        values[self.commanded] = requested
        judged = (asked >= declared.low) & (asked <= declared.high)
        if given is not None:
            judged &= given
        late = np.zeros(self.units, dtype=np.bool_) if late is None else late
        timely = judged & ~late
        gathered = self._clock()
        codes = self.kernel.judge_columns(values, known)
        worst = codes[self._blocking].max(axis=0, initial=0)
        told = self._clock()
        outcome = np.where(timely & (worst < _VIOLATES), ADMITTED, REFUSED).astype(np.int8)
        command = np.where(outcome == ADMITTED, requested, 0)
        moved = np.where(outcome == ADMITTED, 0, -1)
        broken = np.flatnonzero(timely & (worst == _VIOLATES))
        if len(broken):
            found, ok = self._closest(broken, requested[broken])
            at, found = broken[ok], found[ok]
            moved[at] = np.abs(found - requested[at])
            within = np.ones(len(at), dtype=np.bool_) if tolerance is None else moved[at] <= tolerance[at]
            command[at[within]], outcome[at[within]] = found[within], REPAIRED
        if not judged.all():
            codes[:, ~judged] = 0
        spent = gathered - began, told - gathered, self._clock() - told
        return Step(outcome, requested, command, codes, judged, late, moved, values, known, spent)

    def _on_grid(self, asked: Whole) -> Whole:
        """In whole steps of the device, rounded toward zero."""
        return asked - np.fmod(asked, self._grid) if self._coarse else asked.copy()

    def _closest(self, units: NDArray[np.intp], asked: Whole) -> tuple[Whole, Truth]:
        """The nearest compliant command of some units, and where there is one, judged like any other command."""
        values, known = self._values, self._usable
        if self._steps is None:
            return self._one_by_one(values[:, units], known[:, units], asked, self._grid[units])
        # Where all are asked for, none has to be picked out.
        at = None if len(units) == self.units else units
        where = slice(None) if at is None else at
        # A value that is missing is asked for nowhere: its rule does not apply. Any number in range may stand for it.
        found, ok = self._steps.nearest(values, known, asked, self._grid[where], at)
        values[self.commanded, where] = found
        codes = self.kernel.judge_columns(values, known, at)
        values[self.commanded, where] = asked
        return found, ok & (codes[self._blocking].max(axis=0, initial=0) < _VIOLATES)

    def _one_by_one(self, values: Whole, known: Truth, asked: Whole, grid: Whole) -> tuple[Whole, Truth]:
        found, ok = asked.copy(), np.zeros(len(asked), dtype=np.bool_)
        for k in range(len(asked)):
            state = {
                i: Fraction(int(values[i, k]))
                for i in range(len(values))
                if i != self.commanded
                and known[i, k]
                and self.facts.variables[i].low <= values[i, k] <= self.facts.variables[i].high
            }
            answer = closest_command(self.facts, state, {self.commanded: int(asked[k])}, {self.commanded: int(grid[k])})
            if answer is not None:
                found[k], ok[k] = answer[self.commanded], True
        return found, ok


def _nanoseconds(limit: Fraction | None) -> int:
    """The greatest age; without a limit, any."""
    return np.iinfo(np.int64).max if limit is None else floor(limit * NANO)
