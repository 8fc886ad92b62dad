"""What can be said of each rule without looking at any one state, each answer with a certificate or a witness.

Can it be met, can it be broken, do the other rules already say it. Witnesses are replayed in the reference interpreter;
certificates are claims that the checkers read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from compiler.facts import Fact, FactSet, RuleFact, negate
from compiler.instance import Instance, at_one_row, with_one_row
from compiler.lower import disjunction, lower, lowerable
from compiler.to_exact import Verdict, judge
from compiler.to_z3 import find
from proofs.checker.certificate import Problem, Tree
from proofs.encode import claim_bytes
from proofs.maker import Satisfiable, Undecided, refute

QUERY_MS = 2000
SECONDS = 10.0
PATIENCE = 4
"""Limits of one search, as `refute` takes them."""

BLOCKED = (Verdict.VIOLATES, Verdict.CANNOT_TELL)


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer. `good` is what one hopes for, None where nothing was decided.

    `state` is a witness in physical base units by quantity; `claim` is a certificate in binary form; `commands` are
    what each pack alone allows in the state.
    """

    kind: str
    rules: tuple[str, ...]
    good: bool | None
    text: str
    state: Mapping[str, Fraction] | None = None
    claim: bytes | None = None
    commands: Mapping[str, Mapping[str, Fraction]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Space:
    """Where states lie: the box of every variable, products included, in steps; which are whole; the products."""

    box: tuple[tuple[int, int], ...]
    ints: frozenset[int]
    products: tuple[tuple[int, int, int], ...]

    def decide(self, facts: Sequence[Fact]) -> dict[int, Fraction] | bytes | str:
        """A state that satisfies the facts, the claim that none does, or why neither is known."""
        found = find(self.box, self.products, facts, QUERY_MS, self.ints)
        if found is not None:
            return found
        problem = Problem(len(self.box), self.box, self.ints, self.products, tuple(facts))
        try:
            tree: Tree = refute(problem, SECONDS, PATIENCE)
        except Satisfiable as answer:
            made = {w for w, _, _ in self.products}
            return {i: v for i, v in answer.values.items() if i not in made}
        except Undecided as error:
            return f"undecided, {error}"
        return claim_bytes(problem, tree)


def rule_fact(rule: RuleFact) -> Fact:
    """What a rule demands of any state: it does not apply, or its body holds."""
    return disjunction([negate(rule.scope), rule.body])


def choices(instance: Instance, facts: FactSet) -> frozenset[int]:
    """The variables that stand for one of some alternatives, and so are whole."""
    return frozenset(i for i, v in enumerate(facts.variables) if instance.vocabulary[v.name].names)


def expressible(instance: Instance) -> tuple[Instance, tuple[str, ...]]:
    """The rules that facts can express, those asked at every row of one row, and why each of the others cannot be."""
    kept, left = lowerable(replace(instance, rules=tuple(at_one_row(rule) for rule in instance.rules)))
    ids = {rule.id for rule in kept.rules}
    return replace(instance, rules=tuple(rule for rule in instance.rules if rule.id in ids)), left


class Analysis:
    """The analyses of one instance, all of whose rules facts can express (`expressible`)."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.facts = lower(replace(instance, rules=tuple(at_one_row(rule) for rule in instance.rules)))
        self.box = self.facts.box()
        self.ints = choices(instance, self.facts)
        self.space = Space(self.box, self.ints, self.facts.products)
        self.core = {rule.id: rule for rule in instance.rules}
        self._least = {
            v.name: self.box[i][0] * instance.vocabulary[v.name].resolution for i, v in enumerate(self.facts.variables)
        }

    def each_rule(self) -> Iterator[Finding]:
        """Met, broken, redundant, for each rule."""
        for rule in self.facts.rules:
            yield from self.one_rule(rule)

    def one_rule(self, rule: RuleFact) -> Iterator[Finding]:
        """Met, broken, redundant."""
        yield self._exists("can be met", rule, [rule.scope, rule.body], Verdict.COMPLIES, "can never be met")
        needed = self._needed(rule)
        if needed.good:
            # The state breaks the rule, and no other.
            yield replace(needed, kind="can be broken", text=f"{rule.rule} can be broken")
            yield needed
            return
        broken = self._exists(
            "can be broken", rule, [rule.scope, negate(rule.body)], Verdict.VIOLATES, "can never be broken"
        )
        yield broken
        if broken.good:
            yield needed

    def _exists(self, kind: str, rule: RuleFact, facts: Sequence[Fact], verdict: Verdict, other: str) -> Finding:
        answer = self.space.decide(facts)
        if isinstance(answer, dict):
            state = self.physical(answer)
            if self.verdict(rule.rule, state) is verdict:
                return Finding(kind, (rule.rule,), True, f"{rule.rule} {kind}", state)
            return Finding(kind, (rule.rule,), None, f"{rule.rule}: the interpreter does not confirm the state found")
        if isinstance(answer, bytes):
            return Finding(kind, (rule.rule,), False, f"{rule.rule} {other}: {rule.clause}", claim=answer)
        return Finding(kind, (rule.rule,), None, f"{rule.rule} {kind}: {answer}")

    def _needed(self, rule: RuleFact) -> Finding:
        others = [r for r in self.facts.rules if r is not rule and r.blocks]
        answer = self.space.decide([negate(rule_fact(rule)), *(rule_fact(r) for r in others)])
        if isinstance(answer, dict):
            state = self.physical(answer)
            if self.verdict(rule.rule, state) is Verdict.VIOLATES and not any(
                self.verdict(r.rule, state) is Verdict.VIOLATES for r in others
            ):
                return Finding("is needed", (rule.rule,), True, f"{rule.rule} is needed", state)
            return Finding("is needed", (rule.rule,), None, f"{rule.rule}: the interpreter does not confirm the state")
        if isinstance(answer, str):
            return Finding("is needed", (rule.rule,), None, f"{rule.rule} is needed: {answer}")
        mine = self.facts.plain(rule_fact(rule))
        for one in others:
            if mine & self.facts.plain(rule_fact(one)):
                alone = self.space.decide([negate(rule_fact(rule)), rule_fact(one)])
                if isinstance(alone, bytes):
                    text = f"{rule.rule} says nothing that {one.rule} ({one.clause}) does not say"
                    return Finding("is needed", (rule.rule, one.rule), False, text, claim=alone)
        text = f"{rule.rule} says nothing that the other rules together do not say"
        return Finding("is needed", (rule.rule,), False, text, claim=answer)

    def physical(self, state: Mapping[int, Fraction]) -> dict[str, Fraction]:
        """A state in steps as base units by quantity."""
        names = [v.name for v in self.facts.variables]
        return {
            names[i]: v * self.instance.vocabulary[names[i]].resolution
            for i, v in sorted(state.items())
            if i < len(names)
        }

    def verdict(self, rule: str, state: Mapping[str, Fraction]) -> Verdict:
        """What the interpreter says of a rule in a state; a quantity that the state leaves open counts as low as it
        goes."""
        return judge(self.core[rule], with_one_row(self.core[rule], self.complete(state))).verdict

    def complete(self, state: Mapping[str, Fraction]) -> dict[str, Fraction]:
        """A state with every quantity of the rules."""
        return {**self._least, **state}
