"""Programs over whole numbers for many states at once: a list of steps, each one operation on a few hundred states.

The steps are data. One compiled loop runs every program, so that no rule set has to wait until it is compiled, and what
is in hand stays in the cache. Equal steps are done once. Numbers are int64; truth, and codes of a few bits, int8.
Whoever writes a program shows that no number leaves int64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.compiled import compiled

Whole = NDArray[np.int64]
Truth = NDArray[np.bool_]

WIDTH = 512
"""States that a step works on at once."""
EXACT = 2**51
"""Where dividends and divisors are less than twice this in size, `DIVIDE` does what else `DIVIDE_WIDE` has to."""

# Of numbers: a variable brought into its range, one of the other rows, a constant, and what is made of them. `PICK` is
# the third operand where the left one, a truth, is 1, else the right one. Quotients are rounded down, divisors are at
# least 1.
LOAD, GIVEN, SET, ADD, SUB, MUL, MIN, MAX, PICK, DIVIDE, DIVIDE_WIDE = range(11)
# Truths of numbers: a row that is given as such, and comparisons.
TRUTH, LE, LT, EQ = range(11, 15)
# Of truths and codes: 3 where a variable cannot be used, else 0; a constant; `BUT` is left and not right, `UNLESS` left
# or not right.
ABSENT, CODE, AND, OR, XOR, BUT, UNLESS, TIMES = range(15, 23)
# What is kept, a code or a number.
_KEEP_CODE, _KEEP = 23, 24
_NONE = -1
_LEAVES = (LOAD, GIVEN, SET, TRUTH, ABSENT, CODE)
_KEPT = (_KEEP_CODE, _KEEP)


@dataclass(frozen=True, slots=True)
class Number:
    """A constant operand."""

    value: int


Operand = int | Number
"""An earlier step or a constant."""


@dataclass(frozen=True, slots=True)
class _Step:
    op: int
    left: int
    right: Operand = _NONE
    third: int = _NONE

    def reads(self) -> set[int]:
        """The steps whose results it takes."""
        operands = () if self.op in _LEAVES else (self.left, self.right, self.third if self.op == PICK else _NONE)
        return {o for o in operands if isinstance(o, int) and o != _NONE}


class Program:
    """Steps, each named by its number, and what is kept of them. Once written, several threads may run it at once."""

    def __init__(self, ends: Sequence[tuple[int, int]]) -> None:
        """`ends` are the ranges of the variables."""
        inside = [(max(low, -(2**63)), min(high, 2**63 - 1)) for low, high in ends]
        # No value lies in an empty range, and 0 stands for it.
        ends = [(low, high) if low <= high else (1, 0) for low, high in inside]
        self._ends = np.array(ends, dtype=np.int64).reshape(-1, 2)
        self._steps: list[_Step] = []
        self._known: dict[_Step, int] = {}
        self._always: int | None = None
        self._bound: tuple[Whole, int, int, int] | None = None
        _run.ready()

    def leaf(self, op: int, row: int) -> int:
        """A variable (`LOAD`, `ABSENT`), or a row that a run is given besides (`GIVEN`, `TRUTH`)."""
        return self._add(_Step(op, row))

    def constant(self, op: int, value: int) -> int:
        """The same number (`SET`) or code (`CODE`) for all."""
        return self._add(_Step(op, _NONE, Number(value)))

    def call(self, op: int, left: int, right: Operand) -> int:
        """An operation on two operands."""
        return self._add(_Step(op, left, right))

    def pick(self, truth: int, value: int, other: Operand) -> int:
        """A value where the truth is 1, else the other."""
        return self._add(_Step(PICK, truth, other, value))

    def keep_code(self, step: int, row: int) -> None:
        """Keeps a step as a row of `codes`."""
        self._steps.append(_Step(_KEEP_CODE, step, _NONE, row))

    def keep(self, step: int, row: int) -> None:
        """Keeps a step as a row of `found`."""
        self._steps.append(_Step(_KEEP, step, _NONE, row))

    def afterwards(self) -> None:
        """What follows is done only for states beside which a loaded value cannot be used."""
        self._always = len(self._steps)

    def run(
        self,
        values: Whole,
        usable: Truth,
        *,
        codes: NDArray[np.int8] | None = None,
        found: Whole | None = None,
        by_state: bool = False,
        at: Whole | None = None,
        given: Whole | None = None,
    ) -> None:
        """Fills `codes` and `found`, which have one column for each state.

        `values` and `usable` are (variables, states), or `by_state` (states, variables); of the former, `at` may say
        which states are asked for. `given` has one column for each state that is asked for.
        """
        if self._bound is None:
            self._bound = self._bind()
        code, always, numbers, truths = self._bound
        _run.ready()(
            code,
            always,
            self._ends,
            np.ascontiguousarray(values),
            np.ascontiguousarray(usable),
            by_state,
            at is None,
            _NOTHING[0] if at is None else at,
            _NOTHING if given is None else given,
            np.empty((numbers, WIDTH), dtype=np.int64),
            np.empty((truths, WIDTH), dtype=np.int8),
            _NO_CODES if codes is None else codes,
            _NOTHING if found is None else found,
        )

    def _add(self, step: _Step) -> int:
        if step not in self._known:
            self._known[step] = len(self._steps)
            self._steps.append(step)
        return self._known[step]

    def _bind(self) -> tuple[Whole, int, int, int]:
        """The steps with their buffers as rows of numbers, those done always, and how many buffers of each kind.

        A buffer is used again after the last step that reads it; the last of each kind holds a step's constant.
        """
        last = {o: n for n, step in enumerate(self._steps) for o in step.reads()}
        free: tuple[list[int], list[int]] = ([], [])
        slots = [0, 0]
        held: dict[int, int] = {}
        rows = []
        for n, step in enumerate(self._steps):
            kind = int(step.op >= TRUTH)
            into = _NONE
            if step.op not in _KEPT:
                if not free[kind]:
                    free[kind].append(slots[kind])
                    slots[kind] += 1
                into = held[n] = free[kind].pop()
            reads = step.reads()
            left, third = (
                held[o] if o in reads and p else o
                for o, p in ((step.left, step.op not in _LEAVES), (step.third, step.op == PICK))
            )
            right = held.get(step.right, _NONE) if isinstance(step.right, int) else _NONE
            constant = step.right.value if isinstance(step.right, Number) else 0
            rows.append((step.op, left, right, third, into, constant))
            # Freed after the step has its own: none writes on what it reads, else its loop would go state by state.
            for o in reads:
                if last[o] == n:
                    free[int(self._steps[o].op >= TRUTH)].append(held[o])
            if into != _NONE and n not in last:
                free[kind].append(into)
        always = len(rows) if self._always is None else self._always
        return np.array(rows, dtype=np.int64).reshape(-1, 6), always, slots[0] + 1, slots[1] + 1


_NOTHING = np.empty((1, 0), dtype=np.int64)
_NO_CODES = np.empty((0, 0), dtype=np.int8)


@compiled(
    "void(i8[:,::1], i8, i8[:,::1], i8[:,::1], b1[:,::1], b1, b1, i8[::1], i8[:,::1], i8[:,::1], i1[:,::1], i1[:,::1],"
    " i8[:,::1])"
)
def _run(code, always, ends, values, usable, by_state, whole, at, given, numbers, truths, codes, found):  # type: ignore[no-untyped-def]
    states, width = max(codes.shape[1], found.shape[1]), numbers.shape[1]
    for start in range(0, states, width):
        size, lost = min(width, states - start), np.int8(0)
        end = start + size
        for step in range(len(code)):
            if step == always and not lost:
                break
            op, left, right, third, into, constant = code[step]
            if op in (LOAD, ABSENT):
                low, high = ends[left]
                raw = numbers[into if op == LOAD else -1]
                known = truths[into if op == ABSENT else -1]
                if by_state:
                    for k in range(size):
                        raw[k], known[k] = values[start + k, left], usable[start + k, left]
                elif whole:
                    column, told = values[left, start:end], usable[left, start:end]
                    for k in range(size):
                        raw[k], known[k] = column[k], told[k]
                else:
                    column, told, which = values[left], usable[left], at[start:end]
                    for k in range(size):
                        raw[k], known[k] = column[which[k]], told[which[k]]
                if op == LOAD:
                    for k in range(size):
                        value = raw[k]
                        lost |= (known[k] ^ 1) | np.int8(value < low) | np.int8(value > high)
                        raw[k] = min(max(value, low), high)
                else:
                    for k in range(size):
                        value = raw[k]
                        known[k] = 3 * ((known[k] ^ 1) | np.int8(value < low) | np.int8(value > high))
            elif op < TRUTH:
                if right < 0:
                    for k in range(size):
                        numbers[right, k] = constant
                if op == GIVEN:
                    row = given[left, start:end]
                    for k in range(size):
                        numbers[into, k] = row[k]
                elif op == SET:
                    for k in range(size):
                        numbers[into, k] = constant
                elif op == ADD:
                    for k in range(size):
                        numbers[into, k] = numbers[left, k] + numbers[right, k]
                elif op == SUB:
                    for k in range(size):
                        numbers[into, k] = numbers[left, k] - numbers[right, k]
                elif op == MUL:
                    for k in range(size):
                        numbers[into, k] = numbers[left, k] * numbers[right, k]
                elif op == MIN:
                    for k in range(size):
                        numbers[into, k] = min(numbers[left, k], numbers[right, k])
                elif op == MAX:
                    for k in range(size):
                        numbers[into, k] = max(numbers[left, k], numbers[right, k])
                elif op == PICK:
                    for k in range(size):
                        numbers[into, k] = numbers[third, k] if truths[left, k] else numbers[right, k]
                elif op == DIVIDE:
                    for k in range(size):
                        # A float proposes, at most one off for dividends below EXACT; the remainder decides.
                        quotient = np.int64(np.floor(numbers[left, k] / numbers[right, k]))
                        rest = numbers[left, k] - quotient * numbers[right, k]
                        numbers[into, k] = quotient + (rest >= numbers[right, k]) - (rest < 0)
                else:
                    for k in range(size):
                        numbers[into, k] = numbers[left, k] // numbers[right, k]
            elif op < ABSENT:
                if right < 0:
                    for k in range(size):
                        numbers[right, k] = constant
                if op == TRUTH:
                    row = given[left, start:end]
                    for k in range(size):
                        truths[into, k] = row[k]
                elif op == LE:
                    for k in range(size):
                        truths[into, k] = numbers[left, k] <= numbers[right, k]
                elif op == LT:
                    for k in range(size):
                        truths[into, k] = numbers[left, k] < numbers[right, k]
                else:
                    for k in range(size):
                        truths[into, k] = numbers[left, k] == numbers[right, k]
            elif op < _KEEP_CODE:
                if right < 0:
                    for k in range(size):
                        truths[right, k] = constant
                if op == CODE:
                    for k in range(size):
                        truths[into, k] = constant
                elif op == AND:
                    for k in range(size):
                        truths[into, k] = truths[left, k] & truths[right, k]
                elif op == OR:
                    for k in range(size):
                        truths[into, k] = truths[left, k] | truths[right, k]
                elif op == XOR:
                    for k in range(size):
                        truths[into, k] = truths[left, k] ^ truths[right, k]
                elif op == BUT:
                    for k in range(size):
                        truths[into, k] = truths[left, k] & (truths[right, k] ^ 1)
                elif op == UNLESS:
                    for k in range(size):
                        truths[into, k] = truths[left, k] | (truths[right, k] ^ 1)
                else:
                    for k in range(size):
                        truths[into, k] = truths[left, k] * truths[right, k]
            elif op == _KEEP_CODE:
                p, kept = truths[left], codes[third, start:end]
                for k in range(size):
                    kept[k] = p[k]
            else:
                x, row = numbers[left], found[third, start:end]
                for k in range(size):
                    row[k] = x[k]
