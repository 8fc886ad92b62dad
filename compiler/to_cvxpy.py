"""Facts to CVXPY constraints, each with the rule and clause it came from.

A fact over whole device steps becomes the same row over real numbers; where a rule offers alternatives, those that the
ranges rule out are dropped, and what is left takes binary variables. What does not fit is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cvxpy as cp

from compiler.facts import FALSE, TRUE, Fact, FactSet, RuleFact, negate
from compiler.lower import disjunction


class CannotExpress(Exception):
    """A rule that this target cannot express; the message names the rule and the construct."""


class AllowsNothing(Exception):
    """A rule that no value inside the ranges satisfies; the message names the rule and its clause."""


@dataclass(frozen=True, slots=True)
class Row:
    """One constraint of one rule: `slack >= 0` elementwise is what it demands, scaled to its largest coefficient."""

    rule: str
    clause: str
    form: str
    slack: Any
    constraint: Any


def constraints(facts: FactSet, bindings: Mapping[str, Any], margin: Fraction | int = 0) -> list[Row]:
    """The rows of every blocking rule.

    `bindings` gives each variable that the facts mention an expression in the variable's own steps, scalars or vectors
    of one length. `margin`, in steps of the largest coefficient's variable, tightens each row, so that rounding
    afterwards keeps it. Strict rows are tightened by one unit of their right side. Raises `CannotExpress` naming rule
    and construct, `AllowsNothing` where the ranges leave a rule no value.
    """
    out: list[Row] = []
    for rule in facts.rules:
        if rule.blocks:
            _Rule(facts, rule, bindings, Fraction(margin), out).add(disjunction([negate(rule.scope), rule.body]), None)
    return out


def capability(facts: FactSet) -> dict[str, str]:
    """For each rule `linear`, `mixed-integer`, or `cannot: why`."""
    found = {}
    for rule in facts.rules:
        fact = disjunction([negate(rule.scope), rule.body])
        product = next((i for i in _variables(fact) if i >= len(facts.variables)), None)
        if product is not None:
            _, x, y = facts.products[product - len(facts.variables)]
            names = f"`{facts.variables[x].name}` and `{facts.variables[y].name}`"
            found[rule.rule] = f"cannot: a product of {names}"
        else:
            found[rule.rule] = "mixed-integer" if _offers(fact) else "linear"
    return found


def _variables(fact: Fact) -> set[int]:
    if fact[0] == "L":
        return {i for i, _ in fact[1]}
    return set().union(*(_variables(part) for part in fact[1])) if fact[1] else set()


def _offers(fact: Fact) -> bool:
    if fact[0] == "L":
        return False
    return fact[0] == "O" or any(_offers(part) for part in fact[1])


@dataclass(slots=True)
class _Rule:
    facts: FactSet
    rule: RuleFact
    bindings: Mapping[str, Any]
    margin: Fraction
    out: list[Row]

    def add(self, fact: Fact, guard: Any) -> None:
        """Adds a fact that must hold, or, under a guard, wherever the binary `guard` is one."""
        if fact == TRUE:
            return
        if fact[0] == "A":
            for part in fact[1]:
                self.add(part, guard)
        elif fact[0] == "L":
            self._row(fact, guard)
        else:
            self._choice(fact, guard)

    def _choice(self, fact: Fact, guard: Any) -> None:
        alternatives = [part for part in fact[1] if part != FALSE]
        if not alternatives:
            raise AllowsNothing(f"{self.rule.rule} ({self.rule.clause}) allows nothing inside the ranges of the plan")
        if len(alternatives) == 1:
            self.add(alternatives[0], guard)
            return
        shape = self._shape(fact)
        picks = [cp.Variable(shape, boolean=True) for _ in alternatives]
        need = cp.sum(cp.vstack(picks), axis=0) if shape else sum(picks)
        slack = need - (1 if guard is None else guard)
        self._keep("mixed-integer", slack)
        for part, pick in zip(alternatives, picks, strict=True):
            self.add(part, pick)

    def _shape(self, fact: Fact) -> tuple[int, ...]:
        shapes = {self._bound(i).shape for i in _variables(fact)}
        return max(shapes, key=len, default=())

    def _bound(self, i: int) -> Any:
        if i >= len(self.facts.variables):
            _, x, y = self.facts.products[i - len(self.facts.variables)]
            names = f"`{self.facts.variables[x].name}` and `{self.facts.variables[y].name}`"
            raise CannotExpress(f"rule `{self.rule.rule}` multiplies {names}, which a linear plan cannot")
        name = self.facts.variables[i].name
        if name not in self.bindings:
            raise CannotExpress(f"rule `{self.rule.rule}` speaks of `{name}`, which the plan does not have")
        return self.bindings[name]

    def _row(self, fact: Fact, guard: Any) -> None:
        _, terms, b, strict = fact
        scale = max((abs(a) for _, a in terms), default=1)
        right = Fraction(b - 1 if strict else b, scale) - self.margin
        total = sum(float(Fraction(a, scale)) * self._bound(i) for i, a in terms)
        slack = float(right) - total
        if guard is not None:
            # Big M: the most by which the row can be missed inside the box, exactly, then one more for rounding.
            box = self.facts.box()
            most = sum(Fraction(a * (box[i][1] if a > 0 else box[i][0]), scale) for i, a in terms) - right
            slack = slack + float(max(most, Fraction(0)) + 1) * (1 - guard)
        self._keep("linear" if guard is None else "mixed-integer", slack)

    def _keep(self, form: str, slack: Any) -> None:
        self.out.append(Row(self.rule.rule, self.rule.clause, form, slack, slack >= 0))


__all__ = ["AllowsNothing", "CannotExpress", "Row", "capability", "constraints"]
