"""Facts to a kernel over arrays: the verdicts of the interpreter for many states at once.

Values are whole steps in int64. The declared ranges bound every partial sum, so when the kernel is made each row is
known to stay inside int64 and becomes steps of a program (`compiler.steps`); one that might leave it is worked out on
Python integers. In the place of a missing value stands some number of its range; what the steps find of it is covered
afterwards by *cannot tell*.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.facts import FactSet, RuleFact
from compiler.literals import Atom, Literal, Normal, normal, reach
from compiler.steps import (
    ABSENT,
    ADD,
    AND,
    BUT,
    CODE,
    LE,
    LOAD,
    LT,
    MUL,
    OR,
    SUB,
    TIMES,
    TRUTH,
    UNLESS,
    XOR,
    Number,
    Program,
)
from compiler.to_exact import Verdict

CODES: tuple[Verdict, ...] = (
    Verdict.COMPLIES,
    Verdict.NOT_APPLICABLE,
    Verdict.VIOLATES,
    Verdict.CANNOT_TELL,
)
"""Verdict of each code that the kernel returns; codes from 2 on block."""

_Truth = tuple[int, bool] | bool
"""A step of truth values and whether it is meant as it stands or reversed; or a constant."""


class Kernel:
    """The rules of one fact set over arrays of states; several threads may use one kernel at once."""

    def __init__(self, facts: FactSet) -> None:
        self.facts = facts
        self._box = facts.box()
        self._program = Program([(v.low, v.high) for v in facts.variables])
        self._wide: dict[Atom, int] = {}
        self._truths: dict[Normal, _Truth] = {}
        found = [self._codes(r, rule) for r, rule in enumerate(facts.rules)]
        for i in set[int]().union(*(facts.plain(part) for rule in facts.rules for part in (rule.scope, rule.body))):
            self._program.leaf(LOAD, i)
        self._program.afterwards()
        for r, (rule, (scope, code)) in enumerate(zip(facts.rules, found, strict=True)):
            self._cover(r, rule, scope, code)

    def judge(self, values: NDArray[np.int64], usable: NDArray[np.bool_]) -> NDArray[np.int8]:
        """Codes (see `CODES`) of shape (states, rules), stored rule by rule.

        `values` is (states, variables) in steps; where `usable` is false the value is not looked at. A value outside
        its declared range counts as unusable. Raises `TypeError` or `ValueError` for arrays of another type or shape.
        """
        self._refuse(values, usable, 1, f"(states, {len(self.facts.variables)})")
        return self._judge(values, usable, True, None).T

    def judge_columns(
        self, values: NDArray[np.int64], usable: NDArray[np.bool_], at: NDArray[np.int64] | None = None
    ) -> NDArray[np.int8]:
        """Codes of shape (rules, states) for `values` and `usable` of shape (variables, states), else as `judge`.

        Nothing is transposed; it is fastest where the values of one variable stand side by side. `at` says which states
        are judged, and in which order; without it all are. Raises `IndexError` for a state that is not there.
        """
        self._refuse(values, usable, 0, f"({len(self.facts.variables)}, states)")
        if at is not None and len(at) and not 0 <= at.min() <= at.max() < values.shape[1]:
            raise IndexError("at: a state that is not there")
        return self._judge(values, usable, False, at)

    def _refuse(self, values: NDArray[np.int64], usable: NDArray[np.bool_], axis: int, shape: str) -> None:
        if values.dtype != np.int64 or usable.dtype != np.bool_:
            raise TypeError("values must be int64 and usable bool")
        if values.ndim != 2 or values.shape[axis] != len(self.facts.variables) or usable.shape != values.shape:
            raise ValueError(f"values and usable must have shape {shape}")

    def _judge(
        self, values: NDArray[np.int64], usable: NDArray[np.bool_], by_state: bool, at: NDArray[np.int64] | None
    ) -> NDArray[np.int8]:
        states = values.shape[0 if by_state else 1] if at is None else len(at)
        codes = np.empty((len(self.facts.rules), states), dtype=np.int8)
        given = np.empty((len(self._wide), states), dtype=np.int64)
        for atom, row in self._wide.items():
            columns = values.T if by_state else values if at is None else values[:, at]
            given[row] = self._on_python_integers(atom, columns)
        self._program.run(values, usable, codes=codes, by_state=by_state, at=at, given=given)
        return codes

    # sums

    def _column(self, i: int) -> int:
        plain = len(self.facts.variables)
        if i < plain:
            return self._program.leaf(LOAD, i)
        _, x, y = self.facts.products[i - plain]
        return self._program.call(MUL, self._column(x), self._column(y))

    def _scaled(self, i: int, a: int) -> int:
        column = self._column(i)
        return column if a == 1 else self._program.call(MUL, column, Number(a))

    def _sum(self, terms: Sequence[tuple[int, int]]) -> int:
        """The sum of terms of which the first coefficient is positive."""
        (i, a), *rest = terms
        total = self._scaled(i, a)
        for j, b in rest:
            total = self._program.call(ADD if b > 0 else SUB, total, self._scaled(j, abs(b)))
        return total

    def _atom(self, atom: Atom) -> int:
        # INVARIANT: no partial sum, scaled term, product or bound leaves int64.
        if max(reach(self._box, atom.terms), abs(atom.bound)) >= 2**63:
            return self._program.leaf(TRUTH, self._wide.setdefault(atom, len(self._wide)))
        above = [(i, a) for i, a in atom.terms if a > 0]
        below = [(i, -a) for i, a in atom.terms if a < 0]
        if below and atom.bound in (0, -1):
            return self._program.call(LT if atom.bound else LE, self._sum(above), self._sum(below))
        return self._program.call(LE, self._sum(atom.terms), Number(atom.bound))

    def _on_python_integers(self, atom: Atom, values: NDArray[np.int64]) -> NDArray[np.bool_]:
        plain, total = len(self.facts.variables), np.zeros(values.shape[1], dtype=object)
        for i, a in atom.terms:
            term: Any = a
            for j in (i,) if i < plain else self.facts.products[i - plain][1:]:
                term = term * values[j].astype(object)
            total = total + term
        return total <= atom.bound

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
        """Both, or at least one, in a single step: a reversed operand is what comparing truth values is for."""
        if isinstance(left, bool):
            return right if left is every else left
        if isinstance(right, bool):
            return left if right is every else right
        (x, x_stands), (y, y_stands) = left, right
        if x == y:
            return left if x_stands is y_stands else not every
        if x_stands is y_stands:
            return self._program.call(AND if every is x_stands else OR, min(x, y), max(x, y)), x_stands
        if not x_stands:
            x, y = y, x
        return self._program.call(BUT if every else UNLESS, x, y), True

    def _step(self, truth: _Truth) -> int:
        """A step that is 1 where it is true."""
        if isinstance(truth, bool):
            return self._program.constant(CODE, int(truth))
        step, stands = truth
        return step if stands else self._program.call(XOR, step, Number(1))

    # codes

    def _codes(self, r: int, rule: RuleFact) -> tuple[_Truth, int]:
        """Where a rule applies, and its codes as if no value were missing."""
        scope, body = self._truth(normal(rule.scope, self._box)), self._truth(normal(rule.body, self._box))
        violates = self._step(self._join(True, scope, _reversed(body)))
        code = self._program.call(TIMES, violates, Number(2))
        if scope is not True:
            code = self._program.call(OR, code, self._step(_reversed(scope)))
        self._program.keep_code(code, r)
        return scope, code

    def _cover(self, r: int, rule: RuleFact, scope: _Truth, code: int) -> None:
        """Puts *cannot tell* where the scope, or a body that the scope calls for, needs a value that is not there."""
        asked = self.facts.plain(rule.scope)
        for i in sorted(asked):
            code = self._program.call(OR, code, self._program.leaf(ABSENT, i))
        missing = [self._program.leaf(ABSENT, i) for i in sorted(self.facts.plain(rule.body) - asked)]
        if missing and scope is not False:
            either = reduce(lambda left, right: self._program.call(OR, left, right), missing)
            if scope is not True:
                either = self._program.call(TIMES, self._step(scope), either)
            code = self._program.call(OR, code, either)
        self._program.keep_code(code, r)


def _reversed(truth: _Truth) -> _Truth:
    return not truth if isinstance(truth, bool) else (truth[0], not truth[1])
