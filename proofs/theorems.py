"""Proves the theorems of rule packs: Z3 looks for a counterexample, a certificate proves that there is none.

Each claim is phrased as a refutation over the facts (`docs/architecture.md`, Certificates). A counterexample is exact
and is given in physical units; the caller replays it in the reference interpreter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from compiler import core
from compiler.bind import substitute
from compiler.clear import cleared, positive
from compiler.core import CoreTheorem, canonical
from compiler.document import document, document_digest
from compiler.facts import TRUE, Fact, FactSet, moved, negate
from compiler.instance import Instance, parts
from compiler.intervals import Interval, Intervals, admissible, closest
from compiler.lower import CannotLower, conjunction, lower, lowerable
from compiler.to_z3 import find
from proofs.analyses import choices, rule_fact
from proofs.cases import refute_by_cases
from proofs.checker.certificate import Problem, Tree, refutes
from proofs.checker.claim import from_bytes
from proofs.encode import claim_json, to_bytes
from proofs.maker import Satisfiable, Undecided, refute
from proofs.replay import Disagrees, replayed
from rules_dsl.units import unit

MAX_POLICIES = 12
CASE_SECONDS = 20.0
"""How long one rule alone is tried before all are."""


@dataclass(frozen=True, slots=True)
class Proved:
    """The claim holds for every state in the declared ranges; `certificate` refutes `problem`, and was checked."""

    theorem: CoreTheorem
    how: str
    problem: Problem
    certificate: bytes
    ruleset: str = ""

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
    """The claim is false: `states` are one or two states, by quantity in steps, that show it.

    `played` are those that the interpreter was given, commands included; `replay` is what it says of them.
    """

    theorem: CoreTheorem
    what: str
    states: tuple[Mapping[str, Fraction], ...]
    played: tuple[Mapping[str, Fraction], ...]
    replay: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """Neither a proof nor a counterexample was found inside the limits."""

    theorem: CoreTheorem
    why: str


Answer = Proved | Refuted | Unknown


def prove(theorem: CoreTheorem, instance: Instance) -> Answer:
    """A proof, a counterexample that the interpreter replays, or neither, for a claim about the rules of a subject.

    What is always or never allowed is not proved where facts cannot express a blocking rule about it. An induction or a
    look-ahead assumes less without it, and may be proved.
    """
    kept, left = lowerable(instance)
    vocabulary = {**instance.vocabulary, **{d.name: d for d in theorem.extra}}
    above_zero = positive(theorem.given, vocabulary)
    claim = [_demanding(theorem, cleared(part, above_zero)) for part in (theorem.given, core.negate(theorem.then))]
    try:
        facts = lower(Instance(kept.subject, kept.core, vocabulary, (*kept.rules, *claim)))
    except CannotLower as error:
        return Unknown(theorem, str(error).removeprefix(f"rule `{theorem.id}`: "))
    given, fails = (fact.body for fact in facts.rules[-2:])
    facts = replace(facts, rules=facts.rules[:-2])
    for name in (theorem.cause, theorem.effect):
        if name and name not in facts.index():
            return Unknown(theorem, f"no rule speaks of `{name}`")
    try:
        whole = choices(Instance(kept.subject, kept.core, vocabulary, ()), facts)
        answer = _answer(theorem, facts, Problem(facts.size, facts.box(), whole, facts.products, (given,)), fails)
        if isinstance(answer, Refuted):
            units = {name: d.resolution for name, d in vocabulary.items()}
            states = [{n: s * units[n] for n, s in state.items()} for state in answer.played]
            return replace(answer, replay=replayed(theorem, instance, states))
    except Disagrees as error:
        return Unknown(theorem, str(error))
    except Satisfiable:
        return Unknown(theorem, "a state was found in which the claim fails, but not by the search for one")
    if not isinstance(answer, Proved):
        return answer
    unheard = _unheard(theorem, instance, kept)
    if unheard:
        return Unknown(theorem, "; ".join(text for text in left if any(f"`{rule}`" in text for rule in unheard)))
    return replace(answer, ruleset=document_digest(document(lower(kept))))


def _unheard(theorem: CoreTheorem, instance: Instance, kept: Instance) -> set[str]:
    """The blocking rules that facts cannot express and that may refuse what the theorem says is allowed."""
    about = theorem.effect if theorem.kind == "always_some" else theorem.cause
    told = {rule.id for rule in kept.rules}
    unheard = (rule for rule in instance.rules if rule.blocks and rule.id not in told and about)
    return {r.id for r in unheard if r.rows is not None or any(about in core.names(node) for node in parts(r))}


def _demanding(theorem: CoreTheorem, condition: core.Cond) -> core.CoreRule:
    """A condition of the theorem as a rule, to be written as facts over the variables of the rules."""
    return core.CoreRule(
        theorem.id,
        theorem.title,
        theorem.subject,
        (),
        "",
        "",
        False,
        core.TRUE,
        core.TRUE,
        (),
        False,
        condition,
        None,
        Fraction(1),
        unit(""),
    )


def _answer(theorem: CoreTheorem, facts: FactSet, given: Problem, fails: Fact) -> Answer:
    """`given` says of what is assumed that it holds."""
    positions = facts.index()
    match theorem.kind:
        case "always_some":
            return _always_some(theorem, facts, given, positions[theorem.effect])
        case "never_more" | "never_less":
            return _monotone(theorem, facts, given, positions[theorem.cause])
        case _:
            return _implied(theorem, facts, given, fails)


def _example(problem: Problem) -> dict[int, Fraction] | None:
    """A state that satisfies the problem, away from the ends of the ranges where there is one: people read it."""
    box = [(low, high) for low, high in problem.box if low is not None and high is not None]
    for part in (20, 200, 2000, None):
        inner = [
            (low + (high - low) // part, high - (high - low) // part) if part else (low, high) for low, high in box
        ]
        found = find(inner, problem.products, problem.facts, ints=problem.ints)
        if found is not None:
            return found
    return None


def _always_some(theorem: CoreTheorem, facts: FactSet, given: Problem, command: int) -> Answer:
    """Constant policies, found one by one, that together leave no state without an allowed command."""
    # Rules that do not speak of the command can refuse it only for reasons that no other command mends.
    rules = conjunction([rule_fact(r) for r in facts.rules if r.blocks and command in facts.plain(rule_fact(r))])
    box = facts.box()
    policies: list[int] = []
    failing = [fact for fact in given.facts if fact != TRUE]
    candidate = 0
    while len(policies) < MAX_POLICIES:
        policies.append(candidate)
        failing.append(negate(substitute(facts, rules, {command: candidate})))
        failed = replace(given, facts=tuple(failing))
        state = _example(failed)
        if state is None:
            break
        allowed, found = _allowed(facts, rules, state, command)
        if allowed and found is None:
            # Between whole steps only: a state in whole steps may tell more.
            state = _example(replace(failed, ints=frozenset(range(len(facts.variables))))) or state
            allowed, found = _allowed(facts, rules, state, command)
        if not allowed:
            tried = dict.fromkeys((*policies, *box[command]))
            played = tuple(_named(facts, {**state, command: Fraction(p)}) for p in tried)
            del state[command]
            return Refuted(theorem, f"no {theorem.effect} is allowed", (_named(facts, state),), played)
        if found is None:
            return Unknown(theorem, f"in some state only {theorem.effect} between whole steps is allowed")
        candidate = found
    else:
        return Unknown(theorem, f"{MAX_POLICIES} constant policies do not cover every state")
    problem = replace(given, facts=tuple(failing))
    shown = ", ".join(f"{p} {facts.variables[command].unit}" for p in policies)
    return _certify(theorem, problem, f"one of {shown} is always allowed")


def _allowed(facts: FactSet, rules: Fact, state: Mapping[int, Fraction], command: int) -> tuple[Intervals, int | None]:
    """The commands that the rules allow in a state, and the one in whole steps that is nearest to zero, if any."""
    low, high = facts.box()[command]
    others = {i: v for i, v in state.items() if i != command}
    allowed = admissible(substitute(facts, rules, others), command, Interval(Fraction(low), Fraction(high)))
    return allowed, closest(allowed, Fraction(0), 1)


def _monotone(theorem: CoreTheorem, facts: FactSet, given: Problem, cause: int) -> Answer:
    """Whatever is allowed at the higher cause is allowed at the lower one (`never_more`), or the other way about
    (`never_less`), all else equal.

    Rules that do not speak of the cause say the same at both: they are used only where the claim fails without them.
    """
    rules = [rule_fact(r) for r in facts.rules if r.blocks]
    speaking = [rule for rule in rules if cause in facts.plain(rule)]
    rest = [rule for rule in rules if rule not in speaking]
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
    box = [*facts.box()[:plain], facts.box()[cause]]
    for _, x, y in products:
        corners = [a * b for a in box[x] for b in box[y]]
        box.append((min(corners), max(corners)))
    more = theorem.kind == "never_more"
    wide, narrow = (higher_of, lower_of) if more else (lower_of, higher_of)
    assumed: list[Fact] = [
        ("L", ((cause, 1), (higher, -1)), 0, False),
        *(moved(fact, to) for fact in given.facts if fact != TRUE for to in (lower_of, higher_of)),
    ]
    refused: Fact = ("O", tuple(negate(moved(rule, narrow)) for rule in speaking))
    goal: tuple[Fact, ...] = (*assumed, refused, *(moved(rule, wide) for rule in speaking))
    there, here = ("higher", "lower") if more else ("lower", "higher")
    how = f"what is allowed at a {there} {theorem.cause} is allowed at a {here} one"
    problem = Problem(len(box), tuple(box), given.ints, tuple(products), goal)
    try:
        # A rule that refuses has mostly itself alone to thank for having allowed.
        before = len(assumed)
        using = [[*range(before), before + 1 + k] for k in range(len(speaking))]
        return _proved(theorem, problem, refute_by_cases(problem, before, using, CASE_SECONDS), how)
    except (Satisfiable, Undecided):
        pass
    problem = replace(problem, facts=(*goal, *(moved(rule, lower_of) for rule in rest)))
    state = _example(problem)
    if state is None:
        return _certify(theorem, problem, how)
    low, high = _named(facts, state), _named(facts, {**state, cause: state[higher]})
    what = f"this {theorem.effect} is refused at the {here} {theorem.cause} and allowed at the {there}"
    return Refuted(theorem, what, (low, high), (low, high) if more else (high, low))


_IMPLIED = {
    "keeps": (
        "one step of a command that complies keeps it, wherever it holds before",
        "it holds before a command that complies, and not after it",
    ),
    "after": ("it holds after every command that complies", "it does not hold after a command that complies"),
    "nowhere_above": (
        "the first is at most the second at every point of the range",
        "the first is above the second",
    ),
}
"""How a claim that follows from the rules and from what it assumes is told, when it is proved and when it is false."""


def _implied(theorem: CoreTheorem, facts: FactSet, given: Problem, fails: Fact) -> Answer:
    """Nothing satisfies the rules and what is assumed, and not what is claimed."""
    how, what = _IMPLIED[theorem.kind]
    rules = [rule_fact(r) for r in facts.rules if r.blocks]
    assumed = replace(given, facts=(*given.facts, *rules))
    if find(facts.box(), facts.products, assumed.facts, ints=given.ints) is None:
        return Unknown(theorem, "no state was found in which what it assumes holds and every rule complies")
    # Rules about other things are rarely needed and make a search long.
    about = set().union(*(facts.plain(fact) for fact in (*given.facts, fails)))
    near = [rule for rule in rules if facts.plain(rule) <= about]
    try:
        answer = _certify(theorem, replace(given, facts=(*given.facts, fails, *near)), how)
        if isinstance(answer, Proved) or len(near) == len(rules):
            return answer
    except Satisfiable:
        pass
    problem = replace(given, facts=(*given.facts, fails, *rules))
    state = _example(problem)
    if state is None:
        try:
            return _certify(theorem, problem, how)
        except Satisfiable as point:
            state = point.values
    shown = _named(facts, state)
    return Refuted(theorem, what, (shown,), (shown,))


def _certify(theorem: CoreTheorem, problem: Problem, how: str) -> Answer:
    try:
        return _proved(theorem, problem, refute(problem), how)
    except Undecided as error:
        return Unknown(theorem, str(error))


def _proved(theorem: CoreTheorem, problem: Problem, certificate: Tree, how: str) -> Proved:
    if not refutes(problem, certificate):
        raise RuntimeError(f"the certificate for `{theorem.id}` does not check")
    return Proved(theorem, how, problem, to_bytes(certificate))


def _named(facts: FactSet, state: Mapping[int, Fraction]) -> dict[str, Fraction]:
    return {v.name: state[i] for i, v in enumerate(facts.variables) if i in state}


def digests(answers: Sequence[Answer]) -> tuple[str, ...]:
    """Digests of the theorems that were proved."""
    return tuple(a.digest for a in answers if isinstance(a, Proved))


__all__ = ["Answer", "Proved", "Refuted", "Unknown", "digests", "prove"]
