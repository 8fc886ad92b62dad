"""Re-derives a decision from its record and the rule set document. Standard library alone.

What is shown: the verdicts follow from the recorded state and the document's facts, the command stands on the device's
grid and complies, and a repair is the closest the certificate says it is.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

from proofs.checker.canonical_json import once
from proofs.checker.certificate import Bad, Fact, Problem, check_facts, negate, refutes, whole
from proofs.checker.claim import from_bytes

COMPLIES, NOT_APPLICABLE, VIOLATES, CANNOT_TELL = "complies", "not_applicable", "violates", "cannot_tell"


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
    """A rule set document, parsed and checked."""

    digest: str
    names: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...]
    commanded: frozenset[str]
    products: tuple[tuple[int, int, int], ...]
    rules: tuple[Rule, ...]


def parse_document(data: bytes) -> Document:
    """The document of some canonical bytes; raises `Bad` for anything that does not follow its form."""
    try:
        raw = json.loads(data, object_pairs_hook=once)
        if raw["type"] != "lexwatt/ruleset/v1":
            raise Bad("the rule set document is of an unknown type")
        variables = raw["variables"]
        n = len(variables) + len(raw["products"])
        rules = tuple(
            Rule(
                _text(r["id"]),
                _text(r["clause"]),
                _truth(r["blocks"]),
                _fact(r["scope"], n),
                _fact(r["body"], n),
            )
            for r in raw["rules"]
        )
        document = Document(
            "sha256:" + hashlib.sha256(data).hexdigest(),
            tuple(_text(v["name"]) for v in variables),
            tuple((integer(v["low"]), integer(v["high"])) for v in variables),
            frozenset(_text(v["name"]) for v in variables if v["role"] == "commanded"),
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


def _text(value: object) -> str:
    if type(value) is not str:
        raise Bad("text was expected")
    return value


def _truth(value: object) -> bool:
    if type(value) is not bool:
        raise Bad("true or false was expected")
    return value


# ── verdicts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def verdict(document: Document, rule: Rule, values: Mapping[int, Fraction]) -> str:
    """What the rule says where only the variables in `values` can be used."""
    if not _plain(document, rule.scope) <= values.keys():
        return CANNOT_TELL
    if not _holds(document, rule.scope, values):
        return NOT_APPLICABLE
    if not _plain(document, rule.body) <= values.keys():
        return CANNOT_TELL
    return COMPLIES if _holds(document, rule.body, values) else VIOLATES


def _plain(document: Document, fact: Fact) -> set[int]:
    if fact[0] != "L":
        return set().union(*(_plain(document, part) for part in fact[1])) if fact[1] else set()
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


# ── the decision ────────────────────────────────────────────────────────────────────────────────────────────────────


def check_decision(data: bytes, predicate: Mapping[str, Any]) -> None:
    """Raises `Bad`, naming what is wrong, unless the decision follows from the record and the rule set document."""
    document = parse_document(data)
    if predicate.get("ruleset") != document.digest:
        raise Bad("the record names another rule set document")
    state = _state(document, predicate)
    requested = _command(document, predicate, "requested")
    command = _command(document, predicate, "command")
    if not _text(predicate.get("reason")):
        raise Bad("the record gives no reason")
    outcome = predicate.get("outcome")
    findings = [] if requested is None else _findings(document, {**state, **requested})
    recorded = [(f["rule"], f["clause"], f["verdict"]) for f in predicate["findings"]]
    late = outcome == "refused" and not recorded and requested is not None
    if recorded != [(r.id, r.clause, v) for r, v in findings] and not late:
        raise Bad("the findings are not those of the request")
    blocked = any(r.blocks for r, _ in findings)
    if outcome == "refused":
        if command is not None or predicate["frames"]:
            raise Bad("a refused request has a command or a frame")
        if requested is not None and not blocked and not late:
            raise Bad("the request was refused although every rule allows it")
    elif outcome in ("admitted", "repaired"):
        if command is None or requested is None:
            raise Bad("an admitted command or its request is missing")
        if any(r.blocks for r, _ in _findings(document, {**state, **command})):
            raise Bad("a rule does not allow the command")
        _grid_steps(document, predicate, command)
        if not predicate["frames"]:
            raise Bad("an admitted command has no frame")
        if (command == requested) != (outcome == "admitted"):
            raise Bad("the outcome does not tell whether the command was changed")
        if outcome == "repaired" and predicate.get("certificate") is None:
            raise Bad("a repair needs its certificate")
    else:
        raise Bad("the outcome is unknown")
    if predicate.get("certificate") is not None:
        try:
            certificate = from_bytes(base64.b64decode(predicate["certificate"], validate=True))
        except ValueError as error:
            raise Bad("the certificate is not base64") from error
        if not refutes(decision_problem(document, predicate), certificate):
            raise Bad("the certificate does not show what the record says")


def _findings(document: Document, values: Mapping[int, Fraction]) -> list[tuple[Rule, str]]:
    found = [(rule, verdict(document, rule, values)) for rule in document.rules]
    return [(rule, v) for rule, v in found if v in (VIOLATES, CANNOT_TELL)]


def _state(document: Document, predicate: Mapping[str, Any]) -> dict[int, Fraction]:
    raw, unusable = predicate.get("state"), predicate.get("unusable")
    if type(raw) is not dict or type(unusable) is not dict:
        raise Bad("the record's state is missing")
    if set(raw) != set(document.names) - document.commanded:
        raise Bad("the state does not name each variable once")
    if {name for name, value in raw.items() if value is None} != set(unusable):
        raise Bad("a value that cannot be used has no reason, or a reason no value")
    out: dict[int, Fraction] = {}
    for i, name in enumerate(document.names):
        if raw.get(name) is None:
            continue
        value = rational(raw[name])
        low, high = document.ranges[i]
        if not low <= value <= high:
            raise Bad(f"`{name}` lies outside its declared range")
        out[i] = value
    return out


def _command(document: Document, predicate: Mapping[str, Any], key: str) -> dict[int, Fraction] | None:
    raw = predicate.get(key)
    if raw is None:
        return None
    if type(raw) is not dict or set(raw) != document.commanded:
        raise Bad(f"`{key}` does not name each commanded variable once")
    out = {}
    for i, name in enumerate(document.names):
        if name in raw:
            low, high = document.ranges[i]
            if not low <= integer(raw[name]) <= high:
                raise Bad(f"`{key}` of `{name}` lies outside its declared range")
            out[i] = Fraction(integer(raw[name]))
    return out


def _grid_steps(document: Document, predicate: Mapping[str, Any], command: Mapping[int, Fraction]) -> None:
    for i, value in command.items():
        if value % _grid(predicate, document.names[i]):
            raise Bad(f"`{document.names[i]}` is not a multiple of the device's step")


def _grid(predicate: Mapping[str, Any], name: str) -> int:
    grid = predicate.get("grid")
    step = integer(grid.get(name)) if type(grid) is dict else 0
    if step < 1:
        raise Bad(f"the device's step of `{name}` is missing")
    return step


def decision_problem(document: Document, predicate: Mapping[str, Any]) -> Problem:
    """The problem that the record's certificate refutes (`docs/architecture.md`, Decision record).

    For a repair: a compliant command at most `distance - 1 - gap` from the request. For a refusal: any compliant one.
    """
    state = _state(document, predicate)
    commanded = [i for i, name in enumerate(document.names) if name in document.commanded]
    position = {i: j for j, i in enumerate(commanded)}
    steps = [_grid(predicate, document.names[i]) for i in commanded]
    box: list[tuple[int, int]] = []
    for i, g in zip(commanded, steps, strict=True):
        low, high = document.ranges[i]
        box.append((-(-low // g), high // g))
    facts: list[Fact] = []
    for rule in document.rules:
        if rule.blocks:
            fact = ("O", (negate(rule.scope), rule.body))
            facts.append(_substitute(document, fact, state, position, steps))
    if predicate.get("outcome") == "repaired":
        requested, command = _command(document, predicate, "requested"), _command(document, predicate, "command")
        if requested is None or command is None:
            raise Bad("a repair names its request and its command")
        gap = integer(predicate.get("gap"))
        distance = sum(abs(int(command[i] - requested[i])) for i in commanded)
        if not 0 <= gap < distance:
            raise Bad("the gap of a repair lies between nothing and its distance")
        m = len(commanded)
        for j, i in enumerate(commanded):
            r = int(requested[i])
            box.append((0, distance))
            facts.append(("L", ((j, steps[j]), (m + j, -1)), r, False))
            facts.append(("L", ((j, -steps[j]), (m + j, -1)), -r, False))
        facts.append(("L", tuple((m + j, 1) for j in range(m)), distance - 1 - gap, False))
    return Problem(len(box), tuple(box), frozenset(range(len(commanded))), (), tuple(facts))


def _substitute(
    document: Document, fact: Fact, state: Mapping[int, Fraction], position: Mapping[int, int], steps: list[int]
) -> Fact:
    """The fact over grid steps of the commanded variables; one that needs an unusable value can never hold."""
    if fact[0] != "L":
        return (fact[0], tuple(_substitute(document, part, state, position, steps) for part in fact[1]))
    terms: dict[int, Fraction] = {}
    rest = Fraction(fact[2])
    for i, a in fact[1]:
        factor, free = Fraction(a), None
        for j in (i,) if i < len(document.names) else document.products[i - len(document.names)][1:]:
            if j in position:
                if free is not None:
                    raise Bad("a product of two commands is not supported")
                free, factor = position[j], factor * steps[position[j]]
            elif j in state:
                factor *= state[j]
            else:
                return ("O", ())
        if free is None:
            rest -= factor
        else:
            terms[free] = terms.get(free, Fraction(0)) + factor
    scale = lcm(rest.denominator, *(a.denominator for a in terms.values()))
    return ("L", tuple((i, int(a * scale)) for i, a in sorted(terms.items()) if a), int(rest * scale), fact[3])
