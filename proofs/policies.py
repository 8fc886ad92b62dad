"""Whether rules always leave some command, and where two packs that each leave one leave none together.

A policy gives the controls in every state: a constant, or along the boundary of a rule. Policies are found one by one
from states in which those before fail; such a state may instead turn out to allow nothing. Once some policy serves in
every state, a certificate says so. No question has a quantifier, and each is bounded in time.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from types import MappingProxyType

from compiler.bind import substitute
from compiler.core import CoreRule
from compiler.core import names as core_names
from compiler.facts import FALSE, TRUE, Fact, RuleFact, holds, moved, negate, rows
from compiler.instance import Instance
from compiler.intervals import Interval, admissible
from compiler.lower import conjunction, disjunction
from proofs.analyses import BLOCKED, PATIENCE, SECONDS, Analysis, Finding, Space, rule_fact
from proofs.checker.certificate import Problem
from proofs.encode import claim_bytes
from proofs.maker import Satisfiable, Undecided, refute
from rules_dsl.units import decimal

CHOSEN = {"command": ("commanded",), "bid": ("bid",)}
"""The roles whose values somebody chooses at a point of the way, of `ANY` at the others; everything else is state: at a
command the schedule stands."""
ANY = ("commanded", "scheduled", "bid")
MAX_POLICIES = 24
QUESTION_S = 60.0
"""What one question may take before it is given up; the search that is running then ends by its own limit."""
PROBES = 200

Policy = dict[int, tuple[dict[int, Fraction], Fraction]]
"""Each control as a linear form of the other variables, products included, and a constant; in steps."""


def pack(rule: str) -> str:
    """The pack of a rule."""
    return rule.partition("/")[0]


def chosen(analysis: Analysis, checked: str) -> set[int]:
    """The variables that are chosen at a point of the way."""
    roles = CHOSEN.get(checked, ANY)
    return {i for i, v in enumerate(analysis.facts.variables) if v.role in roles}


def groups(analysis: Analysis, checked: str) -> list[Instance]:
    """The blocking rules that speak of what is chosen at a point of the way, split where no rule binds the choices
    together.

    Rules that speak of no control are left out: no command mends what they refuse.
    """
    found: list[tuple[set[int], list[str]]] = []
    controls = chosen(analysis, checked)
    for rule in analysis.facts.rules:
        mine = analysis.facts.plain(rule_fact(rule)) & controls
        if rule.blocks and mine:
            together = [g for g in found if g[0] & mine]
            joined = set(mine).union(*(g[0] for g in together))
            found = [g for g in found if not g[0] & mine]
            found.append((joined, [r for g in together for r in g[1]] + [rule.rule]))
    return [
        replace(analysis.instance, rules=tuple(r for r in analysis.instance.rules if r.id in ids)) for _, ids in found
    ]


@dataclass(frozen=True, slots=True)
class Nothing:
    """A state in which no command meets these rules, none of which can be spared, with the claim that says so."""

    rules: tuple[RuleFact, ...]
    state: dict[int, Fraction]
    claim: bytes


class Commands:
    """The questions about the commands that an instance's blocking rules leave.

    `unasked` are rules that facts cannot express: those among them that block and speak of the commands are named
    beside what is said of every state, `without` them.
    """

    def __init__(self, analysis: Analysis, checked: str, unasked: Sequence[CoreRule] = ()) -> None:
        self.analysis, self.facts, self.box = analysis, analysis.facts, analysis.box
        self.rules = [r for r in self.facts.rules if r.blocks]
        self.controls = sorted(chosen(analysis, checked))
        controls = {self.facts.variables[i].name for i in self.controls}
        self.names = ", ".join(self.facts.variables[i].name for i in self.controls)
        self.without = tuple(r.id for r in unasked if r.blocks and controls & _spoken_of(r))
        left = f", leaving out {', '.join(self.without)}, which facts cannot express"
        self.but = left if self.without else ""
        self.until = time.monotonic() + QUESTION_S

    def some(self) -> Finding:
        """Whether every state allows something."""
        about = tuple(r.rule for r in self.rules)
        policies, answer = self._cover(self.analysis.space)
        if isinstance(answer, bytes):
            shown = "; or ".join(self.shown(p) for p in policies)
            text = f"some {self.names} is allowed in every state{self.but}: {shown}"
            return Finding("some command", about, True, text, claim=answer)
        if isinstance(answer, Nothing):
            return self.nothing("some command", answer)
        return Finding("some command", about, None, f"some {self.names} is always allowed: {answer}")

    def together(self, one: str, other: str) -> Finding:
        """Whether two packs leave something together wherever each alone does."""
        kind, about = "fit together", tuple(r.rule for r in self.rules)
        _, answer = self._cover(self.analysis.space)
        if isinstance(answer, Nothing):
            found = self.nothing(kind, answer)
            if found.commands:
                return found
            # One pack alone allows nothing there; a clash may stand where each allows something.
            _, answer = self._cover(*self._each_allows(one, other))
        if isinstance(answer, Nothing):
            return self.nothing(kind, answer)
        if isinstance(answer, bytes):
            text = f"{one} and {other} leave some {self.names} wherever each alone does{self.but}"
            return Finding(kind, about, True, text, claim=answer)
        return Finding(kind, about, None, f"{one} and {other} leave some {self.names}: {answer}")

    def nothing(self, kind: str, found: Nothing) -> Finding:
        """The finding that nothing is allowed: a clash between packs where each alone allows something."""
        clauses = "; ".join(f"{r.rule} ({r.clause})" for r in found.rules)
        packs = list(dict.fromkeys(pack(r.rule) for r in found.rules))
        commands = self.each_alone(found.state, packs) if len(packs) > 1 else {}
        between = f" between {' and '.join(packs)}, each of which alone allows something" if commands else ""
        row = " at a row" if any(self.analysis.core[r.rule].quantifier for r in found.rules) else ""
        met = "cannot be met together" if len(found.rules) > 1 else "cannot be met"
        text = f"nothing is allowed{row}{between}: {clauses} {met}"
        state = self.analysis.physical(found.state)
        return Finding(kind, tuple(r.rule for r in found.rules), False, text, state, found.claim, commands)

    def each_alone(self, state: Mapping[int, Fraction], packs: Sequence[str]) -> dict[str, dict[str, Fraction]]:
        """What each pack alone allows in a state, as the interpreter confirms; nothing unless each allows something."""
        out: dict[str, dict[str, Fraction]] = {}
        for name in packs:
            rules = [r for r in self.rules if pack(r.rule) == name]
            found = self._at_once(rules, state)
            if not isinstance(found, dict):
                return {}
            out[name] = self.analysis.physical(found)
            whole = {**self.analysis.physical(state), **out[name]}
            if any(self.analysis.verdict(r.rule, whole) in BLOCKED for r in rules):
                return {}
        return out

    # covering every state

    def _cover(
        self, space: Space, premises: Sequence[Fact] = (), move: Mapping[int, int] = MappingProxyType({})
    ) -> tuple[list[Policy], bytes | Nothing | str]:
        """Policies and the claim that one of them serves in every state that meets the premises, or a state in which
        nothing is allowed, or why neither is known. `move` says where the space has the variables of the rules."""
        if not premises:
            gap = self._probe()
            if gap is not None:
                return [], gap
        whole = conjunction([rule_fact(r) for r in self.rules])
        start = {i: Fraction(min(max(0, self.box[i][0]), self.box[i][1])) for i in self.controls}
        policies: list[Policy] = [{i: ({}, v) for i, v in start.items()}]
        failing = [moved(negate(self._under(whole, policies[0])), move)]
        while True:
            if time.monotonic() > self.until or len(policies) > MAX_POLICIES:
                return policies, f"undecided, {len(policies)} policies do not cover every state"
            answer = space.decide([*premises, *failing])
            if not isinstance(answer, dict):
                return policies, answer
            state = {i: answer[i] for i in range(len(self.facts.variables)) if i not in self.controls}
            allowed = self._at_once(self.rules, state)
            if not isinstance(allowed, dict):
                return policies, self._least(state) or "undecided, a state was not decided"
            policy = self._policy(whole, {**state, **allowed}, policies)
            if policy is None:
                return policies, f"undecided, no policy is known for a state beside {len(policies)}"
            policies.append(policy)
            failing.append(moved(negate(self._under(whole, policy)), move))

    def _probe(self) -> Nothing | None:
        """A state that allows nothing, looked for at the thresholds of the rules: quick where there is one control."""
        if len(self.controls) != 1:
            return None
        (control,) = self.controls
        plain = [i for i in range(len(self.facts.variables)) if i != control]
        points: dict[int, set[Fraction]] = {i: {Fraction(end) for end in self.box[i]} for i in plain}
        for rule in self.rules:
            for _, terms, b, _ in (*rows(rule.scope), *rows(rule.body)):
                alone = [(i, a) for i, a in terms if i in points]
                if len(alone) == 1:
                    at = Fraction(b, alone[0][1])
                    inside = self.box[alone[0][0]]
                    points[alone[0][0]] |= {x for x in (at - 1, at, at + 1) if inside[0] <= x <= inside[1]}
        ordered = {i: sorted(x for x in points[i] if i not in self.analysis.ints or x.denominator == 1) for i in plain}
        draw = random.Random(0)  # noqa: S311  # nosec B311  # a seeded draw of examples, no secret
        here = Interval(Fraction(self.box[control][0]), Fraction(self.box[control][1]))
        whole = conjunction([rule_fact(r) for r in self.rules])
        for _ in range(PROBES):
            state = {i: draw.choice(found) for i, found in ordered.items()}
            if not admissible(substitute(self.facts, whole, state), control, here):
                return self._least(state)
        return None

    def _each_allows(self, one: str, other: str) -> tuple[Space, list[Fact], dict[int, int]]:
        """States with a command of each pack's own, that each pack allows its own, and where the variables stand."""
        plain = len(self.facts.variables)
        copies: list[dict[int, int]] = [
            {i: plain + k * len(self.controls) + j for j, i in enumerate(self.controls)} for k in (0, 1)
        ]
        size = plain + 2 * len(self.controls)
        box = [*self.box[:plain], *(self.box[i] for copy in copies for i in copy)]
        ints = set(self.analysis.ints) | {copy[i] for copy in copies for i in copy if i in self.analysis.ints}
        place: dict[tuple[int, int], int] = {}
        moves: list[dict[int, int]] = []
        for copy in ({}, *copies):
            move = {i: copy.get(i, i) for i in range(plain)}
            for w, x, y in self.facts.products:
                a, b = sorted((move[x], move[y]))
                move[w] = place.setdefault((a, b), size + len(place))
            moves.append(move)
        box += [(0, 0)] * len(place)
        for (x, y), w in place.items():
            corners = [a * b for a in box[x] for b in box[y]]
            box[w] = min(corners), max(corners)
        premises = [
            moved(rule_fact(r), move)
            for name, move in zip((one, other), moves[1:], strict=True)
            for r in self.rules
            if pack(r.rule) == name
        ]
        products = tuple((w, x, y) for (x, y), w in place.items())
        return Space(tuple(box), frozenset(ints), products), premises, moves[0]

    # policies

    def _policy(self, whole: Fact, point: Mapping[int, Fraction], known: Sequence[Policy]) -> Policy | None:
        """A policy that gives these controls in this state: along a row that is tight there, or constant, as a control
        that takes whole values always is: along a row it need not stay whole."""
        values = dict(point) | {w: point[x] * point[y] for w, x, y in self.facts.products}
        options: list[list[tuple[dict[int, Fraction], Fraction]]] = []
        for control in self.controls:
            found = []
            for _, terms, b, _ in rows(whole) if control not in self.analysis.ints else ():
                slope = dict(terms).get(control)
                others = [(i, a) for i, a in terms if i != control]
                if not slope or any(self._controlled(i) for i, _ in others):
                    continue
                if sum(a * values[i] for i, a in terms) == b and others:
                    found.append(({i: Fraction(-a, slope) for i, a in others}, Fraction(b, slope)))
            options.append([*found, ({}, point[control])])
        for choice in itertools.islice(itertools.product(*options), 40):
            policy = dict(zip(self.controls, choice, strict=True))
            if policy not in known:
                try:
                    if holds(self._under(whole, policy), values):
                        return policy
                except _NotLinear:
                    continue
        return None

    def _controlled(self, variable: int) -> bool:
        plain = len(self.facts.variables)
        factors = (variable,) if variable < plain else self.facts.products[variable - plain][1:]
        return bool(set(factors) & set(self.controls))

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

    # one state

    def at(self, state: Mapping[int, Fraction]) -> dict[int, Fraction] | Nothing | None:
        """Something that the rules allow in a state, in steps, or that nothing is, or None where neither is known."""
        found = self._at_once(self.rules, state)
        return found if isinstance(found, dict) else self._least(state)

    def _at_once(self, rules: Sequence[RuleFact], state: Mapping[int, Fraction]) -> dict[int, Fraction] | bytes | None:
        problem = self._problem(rules, state)
        try:
            return claim_bytes(problem, refute(problem, SECONDS, PATIENCE))
        except Satisfiable as answer:
            return {i: answer.values[j] for j, i in enumerate(self.controls)}
        except Undecided:
            return None

    def _least(self, state: Mapping[int, Fraction]) -> Nothing | None:
        """The least set of rules that leaves nothing in a state, inside one pack where one pack suffices."""
        core = list(self.rules)
        for name in dict.fromkeys(pack(r.rule) for r in self.rules):
            alone = [r for r in self.rules if pack(r.rule) == name]
            if isinstance(self._at_once(alone, state), bytes):
                core = alone
                break
        claim = self._at_once(core, state)
        if not isinstance(claim, bytes):
            return None
        for rule in list(core):
            fewer = [r for r in core if r is not rule]
            smaller = self._at_once(fewer, state)
            if isinstance(smaller, bytes):
                core, claim = fewer, smaller
        return Nothing(tuple(core), dict(state), claim)

    def _problem(self, rules: Sequence[RuleFact], state: Mapping[int, Fraction]) -> Problem:
        """What the rules ask of the controls in one state."""
        free = [p for p in self.facts.products if p[1] in self.controls and p[2] in self.controls]
        to = {i: j for j, i in enumerate([*self.controls, *(w for w, _, _ in free)])}
        facts = [moved(substitute(self.facts, rule_fact(r), state), to) for r in rules]
        ints = frozenset(to[i] for i in self.controls if i in self.analysis.ints)
        products = tuple((to[w], to[x], to[y]) for w, x, y in free)
        return Problem(len(to), tuple(self.box[i] for i in to), ints, products, tuple(facts))

    def shown(self, policy: Policy) -> str:
        """A policy in words."""
        out = []
        for i, (form, constant) in policy.items():
            variable = self.facts.variables[i]
            along = "along a limit" if form else f"{decimal(constant * variable.resolution)} {variable.unit}".strip()
            out.append(f"{variable.name} {along}")
        return ", ".join(out)


class _NotLinear(Exception):
    """A policy along a limit, put into a product."""


def _spoken_of(rule: CoreRule) -> set[str]:
    return {name for node in (rule.scope, *rule.nodes()) for name in core_names(node)}


def _row(terms: Mapping[int, Fraction], right: Fraction, strict: bool) -> Fact:
    found = {i: a for i, a in sorted(terms.items()) if a}
    if not found:
        return TRUE if right > 0 or (right == 0 and not strict) else FALSE
    scale = lcm(right.denominator, *(a.denominator for a in found.values()))
    return ("L", tuple((i, int(a * scale)) for i, a in found.items()), int(right * scale), strict)
