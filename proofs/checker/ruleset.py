"""Reads a rule set document, and says what its rules say of a state. Standard library alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from proofs.checker.certificate import Bad, Fact, check_facts, whole

COMPLIES, NOT_APPLICABLE, VIOLATES, CANNOT_TELL = "complies", "not_applicable", "violates", "cannot_tell"
FAILING = (VIOLATES, CANNOT_TELL)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a document."""

    id: str
    clause: str
    blocks: bool
    scope: Fact
    body: Fact


@dataclass(frozen=True, slots=True)
class Document:
    """A rule set document, parsed and checked. `interpreted` are the rules that facts cannot express: (id, clause,
    whether it blocks)."""

    digest: str
    subject: str
    names: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...]
    roles: tuple[str, ...]
    units: tuple[tuple[str, str], ...]
    interpreted: tuple[tuple[str, str, bool], ...]
    products: tuple[tuple[int, int, int], ...]
    rules: tuple[Rule, ...]


def parse_document(data: bytes) -> Document:
    """The document of some canonical bytes; raises `Bad` for anything that does not follow its form."""
    try:
        raw = json.loads(data)
        if raw["type"] != "lexwatt/ruleset/v1":
            raise Bad("the rule set document is of an unknown type")
        variables = raw["variables"]
        n = len(variables) + len(raw["products"])
        rules = tuple(
            Rule(
                text(r["id"]),
                text(r["clause"]),
                truth(r["blocks"]),
                _fact(r["scope"], n),
                _fact(r["body"], n),
            )
            for r in raw["rules"]
        )
        document = Document(
            "sha256:" + hashlib.sha256(data).hexdigest(),
            text(raw["subject"]),
            tuple(text(v["name"]) for v in variables),
            tuple((integer(v["low"]), integer(v["high"])) for v in variables),
            tuple(text(v["role"]) for v in variables),
            tuple((text(v["unit"]), text(v["resolution"])) for v in variables),
            tuple((text(r["id"]), text(r["clause"]), truth(r["blocks"])) for r in raw.get("interpreted", [])),
            tuple((whole(w), whole(x), whole(y)) for w, x, y in raw["products"]),
            rules,
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Bad(f"the rule set document cannot be read: {error}") from error
    for k, (w, x, y) in enumerate(document.products):
        if w != len(document.names) + k or not 0 <= x <= y < len(document.names):
            raise Bad("a product of the rule set document is out of place")
    if len(set(document.names)) != len(document.names):
        raise Bad("the rule set document names a variable twice")
    return document


def integer(value: object) -> int:
    """A whole number of the JSON form: a number, or decimal text from 2^53 on."""
    if type(value) is str:
        if not value.lstrip("-").isdigit() or len(value) > 1300:
            raise Bad("a whole number was expected")
        value = int(value)
        if abs(value) < 2**53:
            raise Bad("a small number is written as text")
    return whole(value)


def rational(value: object) -> Fraction:
    """A value of a record: a whole number, or `n/d` text in lowest terms."""
    if type(value) is str and "/" in value and len(value) < 200:
        head, _, tail = value.partition("/")
        if head.lstrip("-").isdigit() and tail.isdigit() and int(tail):
            found = Fraction(int(head), int(tail))
            if str(found) == value:
                return found
    return Fraction(integer(value))


def _fact(raw: object, n: int) -> Fact:
    def read(node: Any, depth: int) -> Fact:
        if depth > 200 or type(node) is not list:
            raise Bad("a fact of the rule set document is malformed")
        if node[0] == "L":
            _, terms, b, strict = node
            return ("L", tuple((whole(i), integer(a)) for i, a in terms), integer(b), strict)
        tag, parts = node
        return (tag, tuple(read(part, depth + 1) for part in parts))

    fact = read(raw, 0)
    check_facts((fact,), n)
    return fact


def text(value: object) -> str:
    """The value, which must be text."""
    if type(value) is not str:
        raise Bad("text was expected")
    return value


def truth(value: object) -> bool:
    """The value, which must be true or false."""
    if type(value) is not bool:
        raise Bad("true or false was expected")
    return value


# ── verdicts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def verdict(document: Document, rule: Rule, values: Mapping[int, Fraction]) -> str:
    """What the rule says where only the variables in `values` can be used."""
    if not plain(document, rule.scope) <= values.keys():
        return CANNOT_TELL
    if not _holds(document, rule.scope, values):
        return NOT_APPLICABLE
    if not plain(document, rule.body) <= values.keys():
        return CANNOT_TELL
    return COMPLIES if _holds(document, rule.body, values) else VIOLATES


def plain(document: Document, fact: Fact) -> set[int]:
    """The plain variables behind a fact."""
    if fact[0] != "L":
        return set().union(*(plain(document, part) for part in fact[1])) if fact[1] else set()
    out: set[int] = set()
    for i, _ in fact[1]:
        out.update((i,) if i < len(document.names) else document.products[i - len(document.names)][1:])
    return out


def _holds(document: Document, fact: Fact, values: Mapping[int, Fraction]) -> bool:
    if fact[0] != "L":
        return (all if fact[0] == "A" else any)(_holds(document, part, values) for part in fact[1])
    total = Fraction(0)
    for i, a in fact[1]:
        if i < len(document.names):
            total += a * values[i]
        else:
            _, x, y = document.products[i - len(document.names)]
            total += a * values[x] * values[y]
    return bool(total < fact[2] if fact[3] else total <= fact[2])


def findings(document: Document, values: Mapping[int, Fraction]) -> list[tuple[Rule, str]]:
    """The rules that do not comply, with their verdicts."""
    found = [(rule, verdict(document, rule, values)) for rule in document.rules]
    return [(rule, v) for rule, v in found if v in FAILING]
