"""Facts to CVXPY constraints, each with the rule and clause it came from.

A fact over whole device steps becomes the same row over real numbers; where a rule offers alternatives, those that the
ranges rule out are dropped, and what is left takes binary variables. What does not fit is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cvxpy as cp
import numpy as np

from compiler.facts import FALSE, TRUE, Fact, FactSet, RuleFact, mentions, negate
from compiler.lower import disjunction


class CannotExpress(Exception):
    """A rule that this target cannot express; the message names the rule and the construct."""


class AllowsNothing(Exception):
    """A rule that no value inside the ranges satisfies; the message names the rule and its clause."""


@dataclass(frozen=True, slots=True)
class Row:
    """One constraint of one rule: `slack >= 0` elementwise is what it demands.

    Slack is counted in steps of `quantity`, the one with the largest coefficient; a step is `step` `unit`s. A row that
    only joins alternatives has no quantity. Where several subjects share a row, it has one line for each of `subjects`.
    """

    rule: str
    clause: str
    form: str
    subjects: tuple[str, ...]
    quantity: str
    unit: str
    step: Fraction
    slack: Any
    constraint: Any


def constraints(
    facts: FactSet | Mapping[str, FactSet],
    bindings: Mapping[str, Any],
    margin: Mapping[str, Fraction] | None = None,
    tight: Any = 1,
) -> list[Row]:
    """The rows of every blocking rule.

    `bindings` gives each variable that the facts mention an expression in the variable's own steps, scalars or vectors
    of one length; for facts by subject, matrices with one line for each subject in order, and rules that are alike in
    form then share rows. `margin` says by how many steps each variable may later be away from its planned value: rows
    are tightened by what that can do to them, so that rounding keeps them, and strict rows by one unit of their right
    side; all that is multiplied by `tight`, between 0 and 1. Raises `CannotExpress` naming rule and construct,
    `AllowsNothing` where the ranges leave a rule no value.
    """
    sets = {"": facts} if isinstance(facts, FactSet) else facts
    out: list[Row] = []
    for at, rule in enumerate(next(iter(sets.values())).rules if sets else ()):
        if not rule.blocks:
            continue
        alike: dict[Any, list[int]] = {}
        demands = [disjunction([negate(f.rules[at].scope), f.rules[at].body]) for f in sets.values()]
        for i, fact in enumerate(demands):
            alike.setdefault(_form(fact), []).append(i)
        for group in alike.values():
            lines = None if isinstance(facts, FactSet) else group
            names = tuple(name for i, name in enumerate(sets) if i in group and name)
            chosen = [list(sets.values())[i] for i in group]
            _Rule(chosen, names, rule, lines, bindings, margin or {}, tight, out).add([demands[i] for i in group], None)
    return out


def _form(fact: Fact) -> Any:
    """Facts of one form differ in numbers alone, and each row's largest coefficient stands at the same variable."""
    if fact[0] == "L":
        return tuple(i for i, _ in fact[1]), _lead(fact)
    return fact[0], *(_form(part) for part in fact[1])


def _lead(fact: Fact) -> int:
    return int(max(fact[1], key=lambda term: abs(term[1]))[0])


def capability(facts: FactSet) -> dict[str, str]:
    """For each rule `linear`, `mixed-integer`, or `cannot: why`."""
    found = {}
    for rule in facts.rules:
        fact = disjunction([negate(rule.scope), rule.body])
        product = next((i for i in mentions(fact) if i >= len(facts.variables)), None)
        if product is not None:
            _, x, y = facts.products[product - len(facts.variables)]
            names = f"`{facts.variables[x].name}` and `{facts.variables[y].name}`"
            found[rule.rule] = f"cannot: a product of {names}"
        else:
            found[rule.rule] = "mixed-integer" if _offers(fact) else "linear"
    return found


def _offers(fact: Fact) -> bool:
    if fact[0] == "L":
        return False
    return fact[0] == "O" or any(_offers(part) for part in fact[1])


@dataclass(slots=True)
class _Rule:
    """One rule of subjects whose facts are alike in form; `lines` are theirs in the bindings' matrices."""

    sets: Sequence[FactSet]
    subjects: tuple[str, ...]
    rule: RuleFact
    lines: Sequence[int] | None
    bindings: Mapping[str, Any]
    margin: Mapping[str, Fraction]
    tight: Any
    out: list[Row]

    def add(self, facts: Sequence[Fact], guard: Any) -> None:
        """Adds facts that must hold, one for each subject, or, under a guard, wherever the binary `guard` is one."""
        if facts[0] == TRUE:
            return
        if facts[0][0] == "A":
            for parts in zip(*(fact[1] for fact in facts), strict=True):
                self.add(parts, guard)
        elif facts[0][0] == "L":
            self._row(facts, guard)
        else:
            self._choice(facts, guard)

    def _choice(self, facts: Sequence[Fact], guard: Any) -> None:
        alternatives = [parts for parts in zip(*(fact[1] for fact in facts), strict=True) if parts[0] != FALSE]
        if not alternatives:
            whose = "".join(f" for {name}" for name in self.subjects[:1])
            raise AllowsNothing(
                f"{self.rule.rule} ({self.rule.clause}) allows nothing inside the ranges of the plan{whose}"
            )
        if len(alternatives) == 1:
            self.add(alternatives[0], guard)
            return
        shape = max((self._bound(i).shape for i in mentions(facts[0])), key=len, default=())
        picks = [cp.Variable(shape, boolean=True) for _ in alternatives]
        self._keep(None, sum(picks[1:], picks[0]) - (1 if guard is None else guard), guard)
        for parts, pick in zip(alternatives, picks, strict=True):
            self.add(parts, pick)

    def _bound(self, i: int) -> Any:
        facts = self.sets[0]
        if i >= len(facts.variables):
            _, x, y = facts.products[i - len(facts.variables)]
            names = f"`{facts.variables[x].name}` and `{facts.variables[y].name}`"
            raise CannotExpress(f"rule `{self.rule.rule}` multiplies {names}, which a linear plan cannot")
        name = facts.variables[i].name
        if name not in self.bindings:
            raise CannotExpress(f"rule `{self.rule.rule}` speaks of `{name}`, which the plan does not have")
        bound = self.bindings[name]
        return bound if self.lines is None or len(self.lines) == bound.shape[0] else bound[self.lines, :]

    def _spread(self, values: Sequence[Fraction], shape: tuple[int, ...]) -> Any:
        """One number for each subject, as wide as the expressions are."""
        floats = [float(v) for v in values]
        return floats[0] if self.lines is None else np.tile(np.array(floats)[:, None], (1, shape[1]))

    def _row(self, facts: Sequence[Fact], guard: Any) -> None:
        lead = _lead(facts[0])
        scales = [abs(dict(fact[1])[lead]) for fact in facts]
        rights = [Fraction(fact[2], scale) for fact, scale in zip(facts, scales, strict=True)]
        bound = {i: self._bound(i) for i, _ in facts[0][1]}
        shape = bound[lead].shape
        slack = self._spread(rights, shape)
        for at, i in enumerate(bound):
            factors = [Fraction(fact[1][at][1], scale) for fact, scale in zip(facts, scales, strict=True)]
            slack = slack - cp.multiply(self._spread(factors, shape), bound[i])
        held = [self._held(fact) / scale for fact, scale in zip(facts, scales, strict=True)]
        if any(held):
            slack = slack - cp.multiply(self._spread(held, shape), self.tight)
        if guard is not None:
            # Big M: the most by which the row can be missed inside the box, exactly, then one more for rounding.
            room = []
            for n, fact in enumerate(facts):
                box = self.sets[n].box()
                most = sum(Fraction(a * box[i][1 if a > 0 else 0], scales[n]) for i, a in fact[1])
                room.append(max(most - rights[n] + held[n], Fraction(0)) + 1)
            slack = slack + cp.multiply(self._spread(room, shape), 1 - guard)
        self._keep(lead, slack, guard)

    def _held(self, fact: Fact) -> Fraction:
        """What a row's right side gives up: one unit where it is strict, and room for rounding."""
        names = {i: self.sets[0].variables[i].name for i, _ in fact[1]}
        moved = sum((abs(a) * self.margin.get(names[i], Fraction(0)) for i, a in fact[1]), Fraction(0))
        return moved + (1 if fact[3] else 0)

    def _keep(self, lead: int | None, slack: Any, guard: Any) -> None:
        form = "linear" if lead is not None and guard is None else "mixed-integer"
        which = None if lead is None else self.sets[0].variables[lead]
        name, unit, step = (which.name, which.unit, which.resolution) if which else ("", "", Fraction(0))
        rule, clause = self.rule.rule, self.rule.clause
        self.out.append(Row(rule, clause, form, self.subjects, name, unit, step, slack, slack >= 0))


__all__ = ["AllowsNothing", "CannotExpress", "Row", "capability", "constraints"]
