"""Two editions, two choices or two packs, compared by what they allow: each answer with witnesses or certificates.

States range over both editions' declared ranges; where a reading is outside an edition's own, that edition cannot tell,
which refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd

from compiler import core as c
from compiler.facts import Fact, RuleFact, negate
from compiler.instance import Instance, with_one_row
from compiler.lower import conjunction, disjunction
from compiler.to_exact import Verdict, judge
from proofs.analyses import BLOCKED, Analysis, expressible

OLD, NEW = "old:", "new:"
Ranges = Mapping[str, c.Declared]
"""What an edition declares, by name."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One rule in two rule sets: `same`, `stricter`, `looser`, `incomparable`, `different`
    (one way is known, the other not), `undecided`, `new`, `gone`, `same text`
    or `changed` (for rules that facts cannot express).

    `refused` is a state that only the new allows not, `allowed` one that only the old allows not, in base units by
    quantity, those of a row included where the rule asks at every row; `claims` are certificates that there is no
    such state.
    """

    rule: str
    how: str
    note: str
    clause: str
    refused: Mapping[str, Fraction] | None
    allowed: Mapping[str, Fraction] | None
    claims: tuple[bytes, ...]


def differences(old: c.Core, new: c.Core) -> Iterator[Difference]:
    """Each rule of either, in the order of the new one."""
    before = {r.id: r for r in old.rules}
    after = {r.id: r for r in new.rules}
    for rule in new.rules:
        if rule.id in before:
            yield _compare(before[rule.id], rule, old, new)
        else:
            yield Difference(rule.id, "new", rule.title, rule.clause, None, None, ())
    for rule in old.rules:
        if rule.id not in after:
            yield Difference(rule.id, "gone", rule.title, rule.clause, None, None, ())


def _asked_of(rule: c.CoreRule) -> tuple[str, str, str, bool]:
    return rule.subject, rule.rows.nouns if rule.rows else "", rule.quantifier, rule.event


def _compare(one: c.CoreRule, other: c.CoreRule, old: c.Core, new: c.Core) -> Difference:
    def found(
        how: str,
        note: str = "",
        refused: Mapping[str, Fraction] | None = None,
        allowed: Mapping[str, Fraction] | None = None,
        claims: tuple[bytes, ...] = (),
    ) -> Difference:
        moved = "" if one.checked == other.checked else "checked elsewhere than before"
        weight = "" if one.blocks == other.blocks else f"now {'blocks' if other.blocks else 'only warns'}"
        return Difference(
            other.id, how, "; ".join(filter(None, (note, moved, weight))), other.clause, refused, allowed, claims
        )

    if _asked_of(one) != _asked_of(other):
        return found("changed", "not comparable: asked of another subject, or at other rows")
    vocabulary, remade = _joined(old.declared(), new.declared())
    spoken = _names(one.scope, *one.nodes()) | _names(other.scope, *other.nodes())
    if spoken & remade:
        return found("changed", f"not comparable: `{min(spoken & remade)}` is declared otherwise")
    pair = (replace(one, id=OLD + one.id, blocks=True), replace(other, id=NEW + other.id, blocks=True))
    instance, left = expressible(Instance(other.subject, new.digest, vocabulary, pair))
    if left:
        plain = replace(one, title="", clause="") == replace(other, title="", clause="")
        return found("same text" if plain else "changed", "" if plain else "not comparable: " + left[0])
    analysis = Analysis(instance)
    ranges = old.declared(), new.declared()
    was, now = (_allowed(*each, analysis) for each in zip(pair, analysis.facts.rules, ranges, strict=True))
    states: list[Mapping[str, Fraction] | None] = []
    claims: list[bytes] = []
    notes: list[str] = []
    for inside, outside, allows, refuses in ((was, now, 0, 1), (now, was, 1, 0)):
        answer = analysis.space.decide([inside, negate(outside)])
        if isinstance(answer, str):
            notes.append(answer)
            states.append(None)
            continue
        if isinstance(answer, bytes):
            claims.append(answer)
            states.append(None)
            continue
        state = analysis.complete(analysis.physical(answer))
        said = [_refuses(pair[k], ranges[k], state) for k in (refuses, allows)]
        if said != [True, False]:
            notes.append("the interpreter does not confirm the state found")
            states.append(None)
            continue
        states.append(state)
    refused, allowed = states
    if notes:
        how = "different" if refused is not None or allowed is not None else "undecided"
        return found(how, "; ".join(notes), refused, allowed, tuple(claims))
    how = "same"
    if refused is not None:
        how = "stricter" if allowed is None else "incomparable"
    elif allowed is not None:
        how = "looser"
    return found(how, "", refused, allowed, tuple(claims))


def _joined(old: Ranges, new: Ranges) -> tuple[dict[str, c.Declared], set[str]]:
    """Both vocabularies, each range as wide as either's and each step one that fits both; and what is of another kind
    in the one than in the other."""
    joined, remade = {**old, **new}, set()
    for name in old.keys() & new.keys():
        a, b = old[name], new[name]
        if a.names != b.names or a.unit.dimension != b.unit.dimension:
            remade.add(name)
        p, q = a.resolution, b.resolution
        step = Fraction(gcd(p.numerator * q.denominator, q.numerator * p.denominator), p.denominator * q.denominator)
        joined[name] = replace(b, low=min(a.low, b.low), high=max(a.high, b.high), resolution=step)
    return joined, remade


def _names(*nodes: c.Expr | c.Cond) -> set[str]:
    return {name for node in nodes for name in c.names(node)}


def _allowed(rule: c.CoreRule, written: RuleFact, own: Ranges, analysis: Analysis) -> Fact:
    """Where a rule does not refuse: each reading that it needs is inside the ranges of its own edition, and it does not
    apply or its body holds."""
    index = analysis.facts.index()

    def inside(names: set[str]) -> Fact:
        ends: list[Fact] = []
        for name in sorted(names & index.keys() & own.keys()):
            whole, i = analysis.instance.vocabulary[name], index[name]
            if own[name].low > whole.low:
                ends.append(("L", ((i, -1),), int(-own[name].low / whole.resolution), False))
            if own[name].high < whole.high:
                ends.append(("L", ((i, 1),), int(own[name].high / whole.resolution), False))
        return conjunction(ends)

    body = conjunction([inside(_names(*rule.nodes())), written.body])
    return conjunction([inside(_names(rule.scope)), disjunction([negate(written.scope), body])])


def _refuses(rule: c.CoreRule, own: Ranges, state: Mapping[str, Fraction]) -> bool:
    """Whether a rule refuses a state, by the interpreter; a reading outside its edition's range cannot be used."""
    astray = {n for n, value in state.items() if n in own and not own[n].low <= value <= own[n].high}
    verdict = judge(rule, with_one_row(rule, state)).verdict
    if astray & _names(rule.scope):
        return True
    return verdict is not Verdict.NOT_APPLICABLE and (verdict in BLOCKED or bool(astray & _names(*rule.nodes())))
