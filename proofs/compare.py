"""Two editions, two choices or two packs, compared by what they allow: each answer with witnesses or certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from compiler import core as c
from compiler.facts import negate
from compiler.instance import Instance, with_one_row
from compiler.to_exact import judge
from proofs.analyses import BLOCKED, Analysis, expressible, rule_fact

OLD, NEW = "old:", "new:"


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

    vocabulary = {**old.declared(), **new.declared()}
    pair = (replace(one, id=OLD + one.id, blocks=True), replace(other, id=NEW + other.id, blocks=True))
    instance, left = expressible(Instance(other.subject, new.digest, vocabulary, pair))
    if left:
        plain = replace(one, title="", clause="") == replace(other, title="", clause="")
        return found("same text" if plain else "changed", "" if plain else "not comparable: " + left[0])
    analysis = Analysis(instance)
    was, now = (rule_fact(r) for r in analysis.facts.rules)
    states: list[Mapping[str, Fraction] | None] = []
    claims: list[bytes] = []
    notes: list[str] = []
    for inside, outside, allows, refuses in (
        (was, now, pair[0], pair[1]),
        (now, was, pair[1], pair[0]),
    ):
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
        said = [judge(rule, with_one_row(rule, state)).verdict in BLOCKED for rule in (refuses, allows)]
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
