"""Proves the theorems of rule packs: Z3 looks for a counterexample, a certificate proves that there is none.

Each claim is phrased as a refutation over the facts (`docs/architecture.md`, Certificates). A counterexample is exact
and is given in physical units; the caller replays it in the reference interpreter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from compiler.bind import substitute
from compiler.core import CoreTheorem, canonical
from compiler.document import document, document_digest
from compiler.facts import Fact, FactSet, RuleFact, negate
from compiler.intervals import Interval, admissible
from compiler.lower import conjunction, disjunction
from compiler.to_z3 import find
from proofs.checker.certificate import Problem, refutes
from proofs.checker.claim import from_bytes
from proofs.encode import claim_json, to_bytes
from proofs.maker import Satisfiable, Undecided, refute

MAX_POLICIES = 12


@dataclass(frozen=True, slots=True)
class Proved:
    """The claim holds for every state in the declared ranges; `certificate` refutes `problem`, and was checked."""

    theorem: CoreTheorem
    how: str
    problem: Problem
    certificate: bytes
    ruleset: str

    def to_document(self) -> bytes:
        """The claim, the problem and its certificate as canonical JSON, for anybody to check again."""
        return canonical(
            {
                "id": self.theorem.id,
                "title": self.theorem.title,
                "how": self.how,
                "ruleset": self.ruleset,
                **claim_json(self.problem, from_bytes(self.certificate)),
                "type": "lexwatt/theorem/v1",
            }
        )

    @property
    def digest(self) -> str:
        """`sha256:` of the document."""
        return document_digest(self.to_document())


@dataclass(frozen=True, slots=True)
class Refuted:
    """The claim is false: `states` are one or two states, by quantity in steps, that show it."""

    theorem: CoreTheorem
    what: str
    facts: FactSet
    states: tuple[Mapping[str, Fraction], ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """Neither a proof nor a counterexample was found inside the limits."""

    theorem: CoreTheorem
    why: str


Answer = Proved | Refuted | Unknown


def prove(theorem: CoreTheorem, facts: FactSet) -> Answer:
    """A proof, a counterexample, or neither, for a claim about the rules of a fact set."""
    positions = facts.index()
    for name in (theorem.cause, theorem.effect):
        if name and name not in positions:
            return Unknown(theorem, f"no rule speaks of `{name}`")
    if theorem.kind == "always_some":
        return _always_some(theorem, facts, positions[theorem.effect])
    return _never_more(theorem, facts, positions[theorem.cause], positions[theorem.effect])


def _example(
    box: Sequence[tuple[int, int]], products: Sequence[tuple[int, int, int]], facts: Sequence[Fact]
) -> dict[int, Fraction] | None:
    """A state that satisfies the facts, away from the ends of the ranges where there is one: people read it."""
    for part in (20, 200, 2000):
        inner = [(low + (high - low) // part, high - (high - low) // part) for low, high in box]
        found = find(inner, products, facts)
        if found is not None:
            return found
    return find(box, products, facts)


def _rule(rule: RuleFact) -> Fact:
    return disjunction([negate(rule.scope), rule.body])


def _always_some(theorem: CoreTheorem, facts: FactSet, command: int) -> Answer:
    """Constant policies, found one by one, that together leave no state without an allowed command."""
    # Rules that do not speak of the command can refuse it only for reasons that no other command mends.
    rules = conjunction([_rule(r) for r in facts.rules if r.blocks and command in facts.plain(_rule(r))])
    box = facts.box()
    policies: list[int] = []
    failing: list[Fact] = []
    candidate = 0
    while len(policies) < MAX_POLICIES:
        policies.append(candidate)
        failing.append(negate(substitute(facts, rules, {command: candidate})))
        state = _example(box, facts.products, failing)
        if state is None:
            break
        state.pop(command, None)
        here = Interval(Fraction(box[command][0]), Fraction(box[command][1]))
        allowed = admissible(substitute(facts, rules, state), command, here)
        if not allowed:
            return Refuted(theorem, f"no {theorem.effect} is allowed", facts, (_named(facts, state),))
        nearest = min(allowed, key=lambda i: max(i.low, -i.high, Fraction(0)))
        candidate = round(min(max(Fraction(0), nearest.low), nearest.high))
        if candidate in policies:
            return Unknown(theorem, "constant policies do not cover every state")
    problem = Problem(facts.size, box, frozenset(), facts.products, tuple(failing))
    shown = ", ".join(f"{p} {facts.variables[command].unit}" for p in policies)
    return _certify(theorem, facts, problem, f"one of {shown} is always allowed")


def _never_more(theorem: CoreTheorem, facts: FactSet, cause: int, command: int) -> Answer:
    """Whatever is allowed at a higher cause is allowed at a lower one, all else equal.

    Rules that do not speak of the cause say the same at both and drop out.
    """
    changing = [r for r in facts.rules if r.blocks and cause in facts.plain(_rule(r))]
    plain = len(facts.variables)
    # Positions: the plain variables with the lower cause, one more for the higher cause, then the products of each.
    higher = plain
    products: list[tuple[int, int, int]] = []
    lower_of: dict[int, int] = {}
    higher_of: dict[int, int] = {cause: higher}
    for w, x, y in facts.products:
        lower_of[w] = plain + 1 + len(products)
        products.append((lower_of[w], x, y))
        if cause in (x, y):
            higher_of[w] = plain + 1 + len(products)
            other = y if x == cause else x
            pair = sorted((higher, higher if other == cause else other))
            products.append((higher_of[w], pair[0], pair[1]))
        else:
            higher_of[w] = lower_of[w]
    low = conjunction([_rule(r) for r in changing])
    box = [*facts.box()[:plain], facts.box()[cause]]
    for _, x, y in products:
        corners = [a * b for a in box[x] for b in box[y]]
        box.append((min(corners), max(corners)))
    goal: list[Fact] = [
        ("L", ((cause, 1), (higher, -1)), 0, False),
        _moved(low, higher_of),
        negate(_moved(low, lower_of)),
    ]
    state = _example(box, products, goal)
    if state is not None:
        upper = {**state, cause: state[higher]}
        return Refuted(
            theorem,
            f"this {theorem.effect} is refused at the lower {theorem.cause} and allowed at the higher",
            facts,
            (_named(facts, state), _named(facts, upper)),
        )
    problem = Problem(len(box), tuple(box), frozenset(), tuple(products), tuple(goal))
    how = f"what is allowed at a higher {theorem.cause} is allowed at a lower one"
    return _certify(theorem, facts, problem, how)


def _moved(fact: Fact, to: Mapping[int, int]) -> Fact:
    if fact[0] == "L":
        return ("L", tuple(sorted((to.get(i, i), a) for i, a in fact[1])), fact[2], fact[3])
    return (fact[0], tuple(_moved(part, to) for part in fact[1]))


def _certify(theorem: CoreTheorem, facts: FactSet, problem: Problem, how: str) -> Answer:
    try:
        certificate = refute(problem)
    except Satisfiable:
        return Unknown(theorem, "a state was found in which the claim fails, but not by the search for one")
    except Undecided as error:
        return Unknown(theorem, str(error))
    if not refutes(problem, certificate):
        raise RuntimeError(f"the certificate for `{theorem.id}` does not check")
    return Proved(theorem, how, problem, to_bytes(certificate), document_digest(document(facts)))


def _named(facts: FactSet, state: Mapping[int, Fraction]) -> dict[str, Fraction]:
    return {v.name: state[i] for i, v in enumerate(facts.variables) if i in state}


def digests(answers: Sequence[Answer]) -> tuple[str, ...]:
    """Digests of the theorems that were proved."""
    return tuple(a.digest for a in answers if isinstance(a, Proved))


__all__ = ["Answer", "Proved", "Refuted", "Unknown", "digests", "prove"]
