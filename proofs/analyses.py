"""What can be said of a rule set without looking at any one state, each answer with a certificate or a witness.

For each rule: can it be met, can it be broken, do the other rules already say it. For all together: is some command
allowed in every state of the declared ranges, or is there a state in which none is, and which rules clash there.
Witnesses are replayed in the reference interpreter; certificates are claims that the checkers read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from compiler.bind import substitute
from compiler.facts import FALSE, TRUE, Fact, FactSet, RuleFact, holds, negate, rows
from compiler.instance import Instance
from compiler.lower import conjunction, disjunction, lower
from compiler.to_exact import Subject, Verdict, judge
from compiler.to_z3 import find
from proofs.checker.certificate import Problem, Tree
from proofs.encode import claim_bytes
from proofs.maker import Satisfiable, Undecided, refute
from rules_dsl.units import decimal

CONTROLS = ("commanded", "scheduled", "bid")
"""Roles whose values somebody chooses; everything else is state."""
QUERY_MS = 2000
SECONDS = 10.0
MAX_POLICIES = 16

Policy = dict[int, tuple[dict[int, Fraction], Fraction]]
"""Each control as a linear form of the other variables, products included, and a constant; in steps."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer. `good` is what one hopes for, None where nothing was decided.

    `state` is a witness in physical base units by quantity; `claim` is a certificate in binary form.
    """

    kind: str
    rules: tuple[str, ...]
    good: bool | None
    text: str
    state: Mapping[str, Fraction] | None = None
    claim: bytes | None = None


def rule_fact(rule: RuleFact) -> Fact:
    """What a rule demands of any state: it does not apply, or its body holds."""
    return disjunction([negate(rule.scope), rule.body])


def choices(instance: Instance, facts: FactSet) -> frozenset[int]:
    """The variables that stand for one of some alternatives, and so are whole."""
    return frozenset(i for i, v in enumerate(facts.variables) if instance.vocabulary[v.name].names)


class Analysis:
    """The analyses of one instance, all of whose rules facts can express (`compiler.lower.lowerable`)."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.facts = lower(instance)
        self.box = self.facts.box()
        self.ints = choices(instance, self.facts)
        self.core = {rule.id: rule for rule in instance.rules}

    # one rule

    def each_rule(self) -> Iterator[Finding]:
        """Met, broken, redundant, for each rule."""
        for rule in self.facts.rules:
            yield self._exists("can be met", rule, [rule.scope, rule.body], Verdict.COMPLIES, "can never be met")
            broken = self._exists(
                "can be broken", rule, [rule.scope, negate(rule.body)], Verdict.VIOLATES, "can never be broken"
            )
            yield broken
            if broken.good:
                yield self._needed(rule)

    def _exists(self, kind: str, rule: RuleFact, facts: Sequence[Fact], verdict: Verdict, other: str) -> Finding:
        answer = self.decide(facts)
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
        answer = self.decide([negate(rule_fact(rule)), *(rule_fact(r) for r in others)])
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
                alone = self.decide([negate(rule_fact(rule)), rule_fact(one)])
                if isinstance(alone, bytes):
                    text = f"{rule.rule} says nothing that {one.rule} ({one.clause}) does not say"
                    return Finding("is needed", (rule.rule, one.rule), False, text, claim=alone)
        text = f"{rule.rule} says nothing that the other rules together do not say"
        return Finding("is needed", (rule.rule,), False, text, claim=answer)

    # all rules

    def some_command(self) -> Iterator[Finding]:
        """Whether every state allows something, for each group of controls that rules bind together.

        Rules that speak of no control are left out: no command mends what they refuse. Policies, constant or along the
        boundary of a rule, are found one by one from states in which those before fail; such a state may instead turn
        out to allow nothing. Cheap questions only: none has a quantifier.
        """
        groups: list[tuple[set[int], list[RuleFact]]] = []
        for rule in self.facts.rules:
            mine = {i for i in self.facts.plain(rule_fact(rule)) if self.facts.variables[i].role in CONTROLS}
            if rule.blocks and mine:
                together = [g for g in groups if g[0] & mine]
                rest = [g for g in groups if not g[0] & mine]
                joined = set(mine).union(*(g[0] for g in together))
                groups = [*rest, (joined, [r for g in together for r in g[1]] + [rule])]
        for controls, rules in groups:
            yield self._some(sorted(controls), rules)

    def _some(self, controls: Sequence[int], blocking: Sequence[RuleFact]) -> Finding:
        names = ", ".join(self.facts.variables[i].name for i in controls)
        about = tuple(r.rule for r in blocking)
        rules = conjunction([rule_fact(r) for r in blocking])
        start = {i: Fraction(min(max(0, self.box[i][0]), self.box[i][1])) for i in controls}
        policies: list[Policy] = [{i: ({}, v) for i, v in start.items()}]
        failing = [negate(self._under(rules, policies[0]))]
        while len(policies) < MAX_POLICIES:
            found = find(self.box, self.facts.products, failing, QUERY_MS, self.ints)
            if found is None:
                shown = "; or ".join(self._shown(p) for p in policies)
                text = f"some {names} is allowed in every state: {shown}"
                answer = self._claim(Problem(self.facts.size, self.box, self.ints, self.facts.products, tuple(failing)))
                if isinstance(answer, bytes):
                    return Finding("some command", about, True, text, claim=answer)
                return Finding("some command", about, None, f"some {names} is always allowed: {answer}")
            state = {i: v for i, v in found.items() if i not in controls}
            allowed = self._allowed(blocking, state, controls)
            if isinstance(allowed, Finding):
                return allowed
            fresh = None if allowed is None else self._policy(rules, {**state, **allowed}, controls, policies)
            if fresh is None:
                break
            policies.append(fresh)
            failing.append(negate(self._under(rules, fresh)))
        text = f"some {names} is always allowed: {len(policies)} policies do not cover every state"
        return Finding("some command", about, None, text)

    def allowed(self, state: Mapping[int, Fraction]) -> Finding | str:
        """What a state, in steps, leaves: the finding that nothing does, or something allowed, in words."""
        controls = [i for i, v in enumerate(self.facts.variables) if v.role in CONTROLS]
        found = self._allowed([r for r in self.facts.rules if r.blocks], state, controls)
        if isinstance(found, Finding):
            return found
        return "undecided" if found is None else "allowed: " + self._shown({i: ({}, v) for i, v in found.items()})

    def _policy(
        self, rules: Fact, point: Mapping[int, Fraction], controls: Sequence[int], known: Sequence[Policy]
    ) -> Policy | None:
        """A policy that gives these controls in this state: along a row that is tight there, or constant."""
        values = dict(point) | {w: point[x] * point[y] for w, x, y in self.facts.products}
        options: list[list[tuple[dict[int, Fraction], Fraction]]] = []
        for control in controls:
            found = []
            for _, terms, b, _ in rows(rules):
                slope = dict(terms).get(control)
                others = [(i, a) for i, a in terms if i != control]
                if not slope or any(self.facts.plain(("L", ((i, a),), 0, False)) & set(controls) for i, a in others):
                    continue
                if sum(a * values[i] for i, a in terms) == b and others:
                    found.append(({i: Fraction(-a, slope) for i, a in others}, Fraction(b, slope)))
            options.append([*found, ({}, point[control])])
        for choice in itertools.islice(itertools.product(*options), 40):
            policy = dict(zip(controls, choice, strict=True))
            if policy not in known:
                try:
                    if holds(self._under(rules, policy), values):
                        return policy
                except _NotLinear:
                    continue
        return None

    def _under(self, fact: Fact, policy: Policy) -> Fact:
        """The fact where the controls follow a policy, and that they stay inside their ranges."""
        inside: list[Fact] = []
        for i, (form, constant) in policy.items():
            for sign, end in ((1, self.box[i][1]), (-1, -self.box[i][0])):
                inside.append(_row({j: sign * a for j, a in form.items()}, end - sign * constant, False))
        return conjunction([self._follow(fact, policy), *inside])

    def _follow(self, fact: Fact, policy: Policy) -> Fact:
        if fact[0] != "L":
            parts = [self._follow(part, policy) for part in fact[1]]
            return conjunction(parts) if fact[0] == "A" else disjunction(parts)
        plain = len(self.facts.variables)
        total: dict[int, Fraction] = {}
        rest = Fraction(fact[2])
        for i, a in fact[1]:
            factors = (i,) if i < plain else self.facts.products[i - plain][1:]
            chosen = [j for j in factors if j in policy]
            if not chosen:
                total[i] = total.get(i, Fraction(0)) + a
                continue
            form, constant = policy[chosen[0]]
            if len(factors) == 1:
                rest -= a * constant
                for j, slope in form.items():
                    total[j] = total.get(j, Fraction(0)) + a * slope
            elif any(policy[j][0] for j in chosen):
                raise _NotLinear
            elif len(chosen) == 2:
                rest -= a * constant * policy[chosen[1]][1]
            else:
                other = next(j for j in factors if j not in chosen)
                total[other] = total.get(other, Fraction(0)) + a * constant
        return _row(total, rest, fact[3])

    def _allowed(
        self, blocking: Sequence[RuleFact], state: Mapping[int, Fraction], controls: Sequence[int]
    ) -> dict[int, Fraction] | Finding | None:
        """A control that the rules allow in a state, or the finding that there is none."""
        problem = self._at(blocking, state, controls)
        try:
            tree = refute(problem, SECONDS)
        except Satisfiable as answer:
            return {i: answer.values[j] for j, i in enumerate(controls)}
        except Undecided:
            return None
        core = list(blocking)
        for rule in blocking:
            fewer = [r for r in core if r is not rule]
            try:
                smaller = refute(self._at(fewer, state, controls), SECONDS)
            except (Satisfiable, Undecided):
                continue
            core, tree = fewer, smaller
        problem = self._at(core, state, controls)
        packs = sorted({r.rule.split("/")[0] for r in core})
        between = f", between {' and '.join(packs)}" if len(packs) > 1 else ""
        clauses = "; ".join(f"{r.rule} ({r.clause})" for r in core)
        text = f"nothing is allowed{between}: {clauses} cannot be met together"
        claim = claim_bytes(problem, tree)
        return Finding("some command", tuple(r.rule for r in core), False, text, self.physical(dict(state)), claim)

    def _at(self, rules: Sequence[RuleFact], state: Mapping[int, Fraction], controls: Sequence[int]) -> Problem:
        """What the rules ask of the controls in one state."""
        free = [p for p in self.facts.products if p[1] in controls and p[2] in controls]
        to = {i: j for j, i in enumerate([*controls, *(w for w, _, _ in free)])}
        facts = [_moved(substitute(self.facts, rule_fact(r), state), to) for r in rules]
        box = tuple(self.box[i] for i in to)
        products = tuple((to[w], to[x], to[y]) for w, x, y in free)
        return Problem(len(box), box, frozenset(), products, tuple(facts))

    # the ways of deciding

    def decide(self, facts: Sequence[Fact]) -> dict[int, Fraction] | bytes | str:
        """A state that satisfies the facts, the claim that none does, or why neither is known."""
        found = find(self.box, self.facts.products, facts, QUERY_MS, self.ints)
        if found is not None:
            return found
        return self._claim(Problem(self.facts.size, self.box, self.ints, self.facts.products, tuple(facts)))

    def _claim(self, problem: Problem) -> dict[int, Fraction] | bytes | str:
        try:
            tree: Tree = refute(problem, SECONDS)
        except Satisfiable as answer:
            return {i: answer.values[i] for i in range(len(self.facts.variables))}
        except Undecided as error:
            return f"undecided, {error}"
        return claim_bytes(problem, tree)

    def physical(self, state: Mapping[int, Fraction]) -> dict[str, Fraction]:
        """A state in steps as base units by quantity."""
        names = [v.name for v in self.facts.variables]
        return {names[i]: v * self.instance.vocabulary[names[i]].resolution for i, v in sorted(state.items())}

    def verdict(self, rule: str, state: Mapping[str, Fraction]) -> Verdict:
        """What the interpreter says of a rule in a state; a quantity that the state leaves open counts as low as it
        goes."""
        return judge(self.core[rule], Subject(self.complete(state))).verdict

    def complete(self, state: Mapping[str, Fraction]) -> dict[str, Fraction]:
        """A state with every quantity of the rules."""
        rest = {
            v.name: self.box[i][0] * self.instance.vocabulary[v.name].resolution
            for i, v in enumerate(self.facts.variables)
        }
        return {**rest, **state}

    def _shown(self, policy: Policy) -> str:
        out = []
        for i, (form, constant) in policy.items():
            variable = self.facts.variables[i]
            along = "along a limit" if form else f"{decimal(constant * variable.resolution)} {variable.unit}".strip()
            out.append(f"{variable.name} {along}")
        return ", ".join(out)


class _NotLinear(Exception):
    """A policy along a limit, put into a product."""


def _row(terms: Mapping[int, Fraction], right: Fraction, strict: bool) -> Fact:
    found = {i: a for i, a in sorted(terms.items()) if a}
    if not found:
        return TRUE if right > 0 or (right == 0 and not strict) else FALSE
    scale = lcm(right.denominator, *(a.denominator for a in found.values()))
    return ("L", tuple((i, int(a * scale)) for i, a in found.items()), int(right * scale), strict)


def _moved(fact: Fact, to: Mapping[int, int]) -> Fact:
    if fact[0] == "L":
        return ("L", tuple(sorted((to[i], a) for i, a in fact[1])), fact[2], fact[3])
    return (fact[0], tuple(_moved(part, to) for part in fact[1]))
