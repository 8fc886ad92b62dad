"""Facts to a NumPy kernel: the verdicts of the interpreter for many states at once.

Values are whole steps in int64. The declared ranges bound every partial sum, so when the kernel is made each row is
known to stay inside int32 or int64 and runs there; one that might leave int64 runs on Python integers instead.

A kernel is a list of steps, each one NumPy call on buffers that are allocated once and stay in the cache: states are
taken a few thousand at a time. Steps that rows or rules share are done once. The steps compute on whatever a missing
value's place holds, and wrap around there; what they find of it is covered afterwards by *cannot tell*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.facts import FactSet, RuleFact
from compiler.literals import Atom, Literal, Normal, normal, reach
from compiler.to_exact import Verdict

CODES: tuple[Verdict, ...] = (
    Verdict.COMPLIES,
    Verdict.NOT_APPLICABLE,
    Verdict.VIOLATES,
    Verdict.CANNOT_TELL,
)
"""Verdict of each code that the kernel returns; codes from 2 on block."""

CHUNK = 8192
"""States that are judged at once."""

_SMALLEST = 64
_INT64 = np.iinfo(np.int64)
_BLIND = 3


@dataclass(frozen=True, slots=True)
class _Number:
    """A constant operand."""

    value: int
    kind: str


_Operand = int | _Number


@dataclass(frozen=True, slots=True)
class _Step:
    """`op(left, right, out)`: operands are earlier steps or constants, `kind` is the type of the result.

    `kind` "i4", "i8": sums. "?": truth values. "u1": codes. `column`: no call, the values of a variable. `rule`: the
    result is the codes of that rule. `wide`: the columns that a row on Python integers is given instead of operands.
    """

    op: Callable[..., Any] | None
    kind: str
    left: _Operand | None = None
    right: _Operand | None = None
    column: int | None = None
    rule: int | None = None
    wide: tuple[int, ...] = ()


_Truth = tuple[int, bool] | bool
"""A step of truth values and whether it is meant as it stands or reversed; or a constant."""


class _Program:
    """The steps of a fact set, equal ones joined."""

    def __init__(self, facts: FactSet) -> None:
        self.facts = facts
        self.box = facts.box()
        self.steps: list[_Step] = []
        self.scoped: list[bool] = []
        self._known: dict[_Step, int] = {}
        self._truths: dict[Normal, _Truth] = {}
        for r, rule in enumerate(facts.rules):
            self._rule(r, rule)

    def _add(self, step: _Step) -> int:
        if step not in self._known:
            self._known[step] = len(self.steps)
            self.steps.append(step)
        return self._known[step]

    def _call(self, op: Callable[..., Any], kind: str, left: _Operand, right: _Operand) -> int:
        return self._add(_Step(op, kind, left, right))

    # sums

    def _column(self, i: int, kind: str) -> int:
        plain = len(self.facts.variables)
        if i < plain:
            return self._add(_Step(None, kind, column=i))
        _, x, y = self.facts.products[i - plain]
        return self._call(np.multiply, kind, self._column(x, kind), self._column(y, kind))

    def _scaled(self, i: int, a: int, kind: str) -> int:
        column = self._column(i, kind)
        return column if a == 1 else self._call(np.multiply, kind, column, _Number(a, kind))

    def _sum(self, terms: Sequence[tuple[int, int]], kind: str) -> int:
        """The sum of terms of which the first coefficient is positive."""
        (i, a), *rest = terms
        total = self._scaled(i, a, kind)
        for j, b in rest:
            total = self._call(np.add if b > 0 else np.subtract, kind, total, self._scaled(j, abs(b), kind))
        return total

    def _atom(self, atom: Atom) -> int:
        # INVARIANT: no partial sum, scaled term, product or bound leaves the type that the row runs on.
        bounded = max(reach(self.box, atom.terms), abs(atom.bound))
        if bounded >= 2**63:
            return self._wide(atom)
        kind = "i4" if bounded < 2**31 else "i8"
        above = [(i, a) for i, a in atom.terms if a > 0]
        below = [(i, -a) for i, a in atom.terms if a < 0]
        if below and atom.bound in (0, -1):
            op = np.less if atom.bound else np.less_equal
            return self._call(op, "?", self._sum(above, kind), self._sum(below, kind))
        return self._call(np.less_equal, "?", self._sum(atom.terms, kind), _Number(atom.bound, kind))

    def _wide(self, atom: Atom) -> int:
        plain = len(self.facts.variables)
        factors = [
            (a, (i,) if i < plain else (self.facts.products[i - plain][1], self.facts.products[i - plain][2]))
            for i, a in atom.terms
        ]

        def run(columns: dict[int, NDArray[np.int64]], _: None, out: NDArray[np.bool_]) -> None:
            total: Any = 0
            for a, indices in factors:
                term: Any = a
                for i in indices:
                    term = term * columns[i].astype(object)
                total = total + term
            out[...] = total <= atom.bound

        return self._add(_Step(run, "?", wide=tuple(sorted({i for _, indices in factors for i in indices}))))

    # truth

    def _truth(self, fact: Normal) -> _Truth:
        if isinstance(fact, bool):
            return fact
        if fact not in self._truths:
            if isinstance(fact, Literal):
                n = self._atom(fact.atom)
                self._truths[Literal(fact.atom, True)], self._truths[Literal(fact.atom, False)] = (n, True), (n, False)
            else:
                total, *parts = [self._truth(part) for part in fact.parts]
                for part in parts:
                    total = self._join(fact.every, total, part)
                self._truths[fact] = total
        return self._truths[fact]

    def _join(self, every: bool, left: _Truth, right: _Truth) -> _Truth:
        """Both, or at least one, in a single call: a reversed operand is what comparing truth values is for."""
        if isinstance(left, bool):
            return right if left is every else left
        if isinstance(right, bool):
            return left if right is every else right
        (x, x_stands), (y, y_stands) = left, right
        if x == y:
            return left if x_stands is y_stands else not every
        if x_stands is y_stands:
            op = np.logical_and if every is x_stands else np.logical_or
            return self._call(op, "?", min(x, y), max(x, y)), x_stands
        if not x_stands:
            x, y = y, x
        return self._call(np.greater if every else np.greater_equal, "?", x, y), True

    # codes

    def _rule(self, r: int, rule: RuleFact) -> None:
        scope, body = self._truth(normal(rule.scope, self.box)), self._truth(normal(rule.body, self.box))
        self.scoped.append(scope is not True)
        one = _Number(1, "u1")
        if scope is False:
            return self._end(r, np.bitwise_or, one, one)
        if isinstance(body, bool):
            broken: _Operand = _Number(0 if body else 1, "u1")
        else:
            broken = self._call(np.bitwise_xor, "u1", body[0], one) if body[1] else body[0]
        if scope is True:
            return self._end(r, np.add, broken, broken)
        inside, outside = scope[0], self._call(np.bitwise_xor, "u1", scope[0], one)
        if not scope[1]:
            inside, outside = outside, inside
        found = self._call(np.bitwise_and, "u1", inside, broken)
        return self._end(r, np.bitwise_or, self._call(np.add, "u1", found, found), outside)

    def _end(self, r: int, op: Callable[..., Any], left: _Operand, right: _Operand) -> None:
        self._add(_Step(op, "u1", left, right, rule=r))


class _Workspace:
    """Buffers for up to `size` states and the calls of a program on them."""

    def __init__(self, program: _Program, low: NDArray[np.int64], high: NDArray[np.int64], size: int) -> None:
        self.size = size
        self.low, self.high = low[:, None], high[:, None]
        self.columns = np.zeros((len(low), size), dtype=np.int64)
        self.narrow = np.zeros((len(low), size), dtype=np.int32)
        self.good = np.empty((len(low), size), dtype=np.bool_)
        self.other = np.empty((len(low), size), dtype=np.bool_)
        self.codes = np.empty((len(program.facts.rules), size), dtype=np.uint8)
        self.scratch = np.empty((2, size), dtype=np.uint8)
        self.any_narrow = any(s.column is not None and s.kind == "i4" for s in program.steps)
        self.calls = self._bind(program.steps)

    def _bind(self, steps: Sequence[_Step]) -> list[tuple[Callable[..., Any], Any, Any, Any]]:
        """The calls with their buffers; a buffer is used again after the last step that reads it."""
        last = {o: n for n, step in enumerate(steps) for o in (step.left, step.right) if isinstance(o, int)}
        free: dict[int, list[NDArray[Any]]] = {1: [], 4: [], 8: []}
        held: dict[int, NDArray[Any]] = {}
        calls: list[tuple[Callable[..., Any], Any, Any, Any]] = []

        def given(operand: _Operand | None, kind: str) -> Any:
            if isinstance(operand, _Number):
                return np.array(operand.value, dtype=operand.kind)
            assert operand is not None
            return held[operand].view(kind) if held[operand].itemsize == 1 else held[operand]

        for n, step in enumerate(steps):
            if step.op is None:
                assert step.column is not None
                held[n] = (self.narrow if step.kind == "i4" else self.columns)[step.column]
                continue
            left: Any = {i: self.columns[i] for i in step.wide} if step.wide else given(step.left, step.kind)
            right: Any = None if step.wide else given(step.right, step.kind)
            for operand in {o for o in (step.left, step.right) if isinstance(o, int) and last[o] == n}:
                if steps[operand].op is not None:
                    free[held[operand].itemsize].append(held[operand])
            if step.rule is not None:
                out: NDArray[Any] = self.codes[step.rule]
            else:
                unused = free[np.dtype(step.kind).itemsize]
                out = unused.pop() if unused else np.zeros(self.size, dtype=step.kind)
            held[n] = out.view(step.kind)
            calls.append((step.op, left, right, held[n]))
        return calls


class Kernel:
    """The rules of one fact set over arrays of states; several threads may use one kernel at once."""

    def __init__(self, facts: FactSet) -> None:
        self.facts = facts
        self._program = _Program(facts)
        ends = [(max(v.low, int(_INT64.min)), min(v.high, int(_INT64.max))) for v in facts.variables]
        ends = [(low, high) if low <= high else (1, 0) for low, high in ends]
        self.low = np.array([low for low, _ in ends], dtype=np.int64)
        self.high = np.array([high for _, high in ends], dtype=np.int64)
        self._needs = [
            (sorted(facts.plain(rule.scope)), sorted(facts.plain(rule.scope) | facts.plain(rule.body)))
            for rule in facts.rules
        ]
        self._free: dict[int, list[_Workspace]] = {}

    def judge(self, values: NDArray[np.int64], usable: NDArray[np.bool_]) -> NDArray[np.int8]:
        """Codes (see `CODES`) of shape (states, rules), stored rule by rule.

        `values` is (states, variables) in steps; where `usable` is false the value is not looked at. A value outside
        its declared range counts as unusable. Raises `TypeError` or `ValueError` for arrays of another type or shape.
        """
        self._refuse(values, usable, 1, f"(states, {len(self.facts.variables)})")
        return self._judge(values.T, usable.T).T

    def judge_columns(self, values: NDArray[np.int64], usable: NDArray[np.bool_]) -> NDArray[np.int8]:
        """Codes of shape (rules, states) for `values` and `usable` of shape (variables, states), else as `judge`.

        Nothing is transposed; it is fastest where the values of one variable stand side by side.
        """
        self._refuse(values, usable, 0, f"({len(self.facts.variables)}, states)")
        return self._judge(values, usable)

    def _refuse(self, values: NDArray[np.int64], usable: NDArray[np.bool_], axis: int, shape: str) -> None:
        if values.dtype != np.int64 or usable.dtype != np.bool_:
            raise TypeError("values must be int64 and usable bool")
        if values.ndim != 2 or values.shape[axis] != len(self.facts.variables) or usable.shape != values.shape:
            raise ValueError(f"values and usable must have shape {shape}")

    def _judge(self, values: NDArray[np.int64], usable: NDArray[np.bool_]) -> NDArray[np.int8]:
        states = values.shape[1]
        out = np.empty((len(self.facts.rules), states), dtype=np.int8)
        for start, end in pairwise([*range(0, states, CHUNK), states]):
            space = self._take(end - start)
            self._chunk(space, values[:, start:end], usable[:, start:end], out[:, start:end])
            self._free[space.size].append(space)
        return out

    def _take(self, states: int) -> _Workspace:
        """A workspace that nobody else uses: popping from a list is one step, whatever other threads do."""
        size = max(_SMALLEST, 1 << (states - 1).bit_length())
        try:
            return self._free.setdefault(size, []).pop()
        except IndexError:
            return _Workspace(self._program, self.low, self.high, size)

    def _chunk(
        self, space: _Workspace, values: NDArray[np.int64], usable: NDArray[np.bool_], out: NDArray[np.int8]
    ) -> None:
        n = values.shape[1]
        columns, good, other = space.columns[:, :n], space.good[:, :n], space.other[:, :n]
        np.copyto(columns, values)
        np.greater_equal(columns, space.low, out=good)
        np.less_equal(columns, space.high, out=other)
        np.logical_and(good, other, out=good)
        np.copyto(other, usable)
        np.logical_and(good, other, out=good)
        if space.any_narrow:
            np.copyto(space.narrow[:, :n], columns, casting="unsafe")
        for op, left, right, into in space.calls:
            op(left, right, into)
        if not good.all():
            self._cover(space, n)
        np.copyto(out, space.codes[:, :n], casting="unsafe")

    def _cover(self, space: _Workspace, n: int) -> None:
        """Puts *cannot tell* where the scope, or a body that the scope calls for, needs a value that is not there."""
        good = space.good[:, :n]
        absent = set(np.flatnonzero(~np.all(good, axis=1)).tolist())
        # Absence as codes, 0 or 3, so that covering is a bitwise or.
        bad = good.view(np.uint8)
        np.subtract(1, bad, out=bad)
        np.multiply(bad, _BLIND, out=bad)
        either, kept = space.scratch[:, :n]
        for codes, (scope, both), scoped in zip(space.codes[:, :n], self._needs, self._program.scoped, strict=True):
            missing = [i for i in both if i in absent]
            if not missing:
                continue
            covering = bad[missing[0]]
            for i in missing[1:]:
                covering = np.bitwise_or(covering, bad[i], out=either)
            if scoped:
                # Where the rule does not apply (code 1), only the scope's own values are asked for.
                np.not_equal(codes, 1, out=kept.view(np.bool_))
                covering = np.multiply(kept, covering, out=kept)
                for i in scope:
                    if i in absent:
                        np.bitwise_or(kept, bad[i], out=kept)
            np.bitwise_or(codes, covering, out=codes)
