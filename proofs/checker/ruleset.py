"""Reads a rule set document, and says what its rules say of a state. Standard library alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from proofs.checker.certificate import Bad, Fact, check_facts, whole

COMPLIES, NOT_APPLICABLE, VIOLATES, CANNOT_TELL = "complies", "not_applicable", "violates", "cannot_tell"
FAILING = (VIOLATES, CANNOT_TELL)

Number = int | Fraction
"""A value in steps of its resolution."""
Test = Callable[[Sequence[Number]], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a document; `applies` and `complies` are its facts as functions of all values, and bit i of
    `scope_needs` and `body_needs` says whether plain variable i stands behind them."""

    id: str
    clause: str
    blocks: bool
    scope: Fact
    body: Fact
    applies: Test
    complies: Test
    scope_needs: int
    body_needs: int


@dataclass(frozen=True, slots=True)
class Document:
    """A rule set document, parsed and checked. `interpreted` are the rules that facts cannot express: (id, clause,
    whether it blocks); `places` says where each variable stands."""

    digest: str
    subject: str
    names: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...]
    roles: tuple[str, ...]
    units: tuple[tuple[str, str], ...]
    interpreted: tuple[tuple[str, str, bool], ...]
    products: tuple[tuple[int, int, int], ...]
    rules: tuple[Rule, ...]
    places: Mapping[str, int]


@lru_cache(maxsize=256)
def parse_document(data: bytes) -> Document:
    """The document of some canonical bytes; raises `Bad` for anything that does not follow its form."""
    try:
        raw = json.loads(data)
        if raw["type"] != "lexwatt/ruleset/v1":
            raise Bad("the rule set document is of an unknown type")
        variables = raw["variables"]
        products = tuple((whole(w), whole(x), whole(y)) for w, x, y in raw["products"])
        for k, (w, x, y) in enumerate(products):
            if w != len(variables) + k or not 0 <= x <= y < len(variables):
                raise Bad("a product of the rule set document is out of place")
        rules = tuple(_rule(r, len(variables), products) for r in raw["rules"])
        document = Document(
            "sha256:" + hashlib.sha256(data).hexdigest(),
            text(raw["subject"]),
            tuple(text(v["name"]) for v in variables),
            tuple((integer(v["low"]), integer(v["high"])) for v in variables),
            tuple(text(v["role"]) for v in variables),
            tuple((text(v["unit"]), text(v["resolution"])) for v in variables),
            tuple((text(r["id"]), text(r["clause"]), truth(r["blocks"])) for r in raw.get("interpreted", [])),
            products,
            rules,
            {str(v["name"]): i for i, v in enumerate(variables)},
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Bad(f"the rule set document cannot be read: {error}") from error
    if len(set(document.names)) != len(document.names):
        raise Bad("the rule set document names a variable twice")
    return document


def _rule(raw: Any, n: int, products: tuple[tuple[int, int, int], ...]) -> Rule:
    scope, body = _fact(raw["scope"], n + len(products)), _fact(raw["body"], n + len(products))
    needs = [sum(1 << i for i in _plain(fact, n, products)) for fact in (scope, body)]
    return Rule(
        text(raw["id"]), text(raw["clause"]), truth(raw["blocks"]), scope, body, _test(scope), _test(body), *needs
    )


def integer(value: object) -> int:
    """A whole number of the JSON form: a number, or decimal text from 2^53 on."""
    if type(value) is str:
        if not value.lstrip("-").isdigit() or len(value) > 1300:
            raise Bad("a whole number was expected")
        value = int(value)
        if abs(value) < 2**53:
            raise Bad("a small number is written as text")
    return whole(value)


def rational(value: object) -> Number:
    """A value of a record: a whole number, or `n/d` text in lowest terms."""
    if type(value) is int:
        return whole(value)
    if type(value) is str and "/" in value and len(value) < 200:
        head, _, tail = value.partition("/")
        if head.lstrip("-").isdigit() and tail.isdigit() and int(tail):
            found = Fraction(int(head), int(tail))
            if str(found) == value:
                return found
    return integer(value)


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


def verdict(rule: Rule, values: Sequence[Number], known: int) -> str:
    """What the rule says of the values, products included; bit i of `known` says whether value i can be used."""
    if rule.scope_needs & ~known:
        return CANNOT_TELL
    if not rule.applies(values):
        return NOT_APPLICABLE
    if rule.body_needs & ~known:
        return CANNOT_TELL
    return COMPLIES if rule.complies(values) else VIOLATES


def findings(document: Document, values: Mapping[int, Number]) -> list[tuple[Rule, str]]:
    """The rules that do not comply where only these variables can be used, with their verdicts."""
    row: list[Number] = [values.get(i, 0) for i in range(len(document.names))]
    row += [row[x] * row[y] for _, x, y in document.products]
    known = sum(1 << i for i in values)
    found = [(rule, verdict(rule, row, known)) for rule in document.rules]
    return [(rule, v) for rule, v in found if v in FAILING]


def _plain(fact: Fact, n: int, products: Sequence[tuple[int, int, int]]) -> set[int]:
    """The plain variables behind a fact over n of them and some products."""
    if fact[0] != "L":
        return set().union(*(_plain(part, n, products) for part in fact[1])) if fact[1] else set()
    out: set[int] = set()
    for i, _ in fact[1]:
        out.update((i,) if i < n else products[i - n][1:])
    return out


def _test(fact: Fact) -> Test:
    """Whether a fact holds, as a function of all values, so that a rule of a million records is read once."""
    if fact[0] != "L":
        parts = tuple(_test(part) for part in fact[1])
        if len(parts) == 1:
            return parts[0]
        every: bool = fact[0] == "A"

        def joined(values: Sequence[Number]) -> bool:
            for part in parts:
                if part(values) is not every:
                    return not every
            return every

        return joined
    _, terms, b, strict = fact
    if len(terms) == 1:
        ((i, a),) = terms
        return (lambda values: bool(a * values[i] < b)) if strict else (lambda values: bool(a * values[i] <= b))

    def row(values: Sequence[Number]) -> bool:
        total = sum([a * values[i] for i, a in terms])
        return bool(total < b if strict else total <= b)

    return row
