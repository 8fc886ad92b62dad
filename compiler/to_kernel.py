"""Facts to a NumPy kernel: the verdicts of the interpreter for many states at once.

Values are whole steps in int64. The declared ranges bound every partial sum, so at compile time each row is known to
stay inside int64; one that might not runs on Python integers instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.facts import Fact, FactSet, RuleFact, rows
from compiler.to_exact import Verdict

CODES: tuple[Verdict, ...] = (
    Verdict.COMPLIES,
    Verdict.NOT_APPLICABLE,
    Verdict.VIOLATES,
    Verdict.CANNOT_TELL,
)
"""Verdict of each code that the kernel returns; codes from 2 on block."""

_LIMIT = 2**63


@dataclass(frozen=True, slots=True)
class _Row:
    terms: tuple[tuple[int, int], ...]
    bound: int
    wide: bool


class Kernel:
    """The rules of one fact set over arrays of states."""

    def __init__(self, facts: FactSet) -> None:
        self.facts = facts
        self.low = np.array([v.low for v in facts.variables], dtype=np.int64)
        self.high = np.array([v.high for v in facts.variables], dtype=np.int64)
        box = facts.box()
        reach = [max(abs(low), abs(high)) for low, high in box]
        self._wide_products = [reach[x] * reach[y] >= _LIMIT for _, x, y in facts.products]
        self._rows: dict[Fact, _Row] = {}
        for rule in facts.rules:
            for row in (*rows(rule.scope), *rows(rule.body)):
                bound = row[2] - 1 if row[3] else row[2]
                wide = sum(abs(a) * reach[i] for i, a in row[1]) >= _LIMIT or abs(bound) >= _LIMIT
                wide |= any(
                    self._wide_products[i - len(facts.variables)] for i, _ in row[1] if i >= len(facts.variables)
                )
                self._rows[row] = _Row(row[1], bound, wide)
        self._needs = [
            (sorted(facts.plain(rule.scope)), sorted(facts.plain(rule.scope) | facts.plain(rule.body)))
            for rule in facts.rules
        ]

    def judge(self, values: NDArray[np.int64], usable: NDArray[np.bool_]) -> NDArray[np.int8]:
        """Codes (see `CODES`) of shape (states, rules).

        `values` is (states, variables) in steps; where `usable` is false the value is not looked at. A value outside
        its declared range counts as unusable. Raises `TypeError` or `ValueError` for arrays of another type or shape.
        """
        if values.dtype != np.int64 or usable.dtype != np.bool_:
            raise TypeError("values must be int64 and usable bool")
        if values.ndim != 2 or values.shape[1] != len(self.facts.variables) or usable.shape != values.shape:
            raise ValueError(f"values and usable must have shape (states, {len(self.facts.variables)})")
        usable = usable & (values >= self.low) & (values <= self.high)
        clean = np.where(usable, values, np.clip(0, self.low, self.high))
        columns: list[NDArray[np.generic]] = [clean[:, i] for i in range(clean.shape[1])]
        for (_, x, y), wide in zip(self.facts.products, self._wide_products, strict=True):
            columns.append(clean[:, x].astype(object) * clean[:, y] if wide else clean[:, x] * clean[:, y])
        known: dict[Fact, NDArray[np.bool_]] = {}
        out = np.empty((len(values), len(self.facts.rules)), dtype=np.int8)
        for r, rule in enumerate(self.facts.rules):
            out[:, r] = self._rule(rule, self._needs[r], columns, usable, known)
        return out

    def _rule(
        self,
        rule: RuleFact,
        needs: tuple[list[int], list[int]],
        columns: list[NDArray[np.generic]],
        usable: NDArray[np.bool_],
        known: dict[Fact, NDArray[np.bool_]],
    ) -> NDArray[np.int8]:
        size = len(usable)
        scope, body = (
            self._fact(rule.scope, columns, known, size),
            self._fact(rule.body, columns, known, size),
        )
        blind_scope = ~usable[:, needs[0]].all(axis=1)
        blind_body = ~usable[:, needs[1]].all(axis=1)
        return np.select([blind_scope, ~scope, blind_body, body], [3, 1, 3, 0], default=2).astype(np.int8)

    def _fact(
        self, fact: Fact, columns: list[NDArray[np.generic]], known: dict[Fact, NDArray[np.bool_]], size: int
    ) -> NDArray[np.bool_]:
        if fact in known:
            return known[fact]
        found: NDArray[np.bool_]
        if fact[0] == "L":
            row = self._rows[fact]
            total = np.zeros(size, dtype=object if row.wide else np.int64)
            for i, a in row.terms:
                total = total + a * columns[i]
            found = np.asarray(total <= row.bound, dtype=np.bool_)
        else:
            every = fact[0] == "A"
            found = np.full(size, every)
            for part in fact[1]:
                inner = self._fact(part, columns, known, size)
                found = found & inner if every else found | inner
        known[fact] = found
        return found
