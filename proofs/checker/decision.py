"""Re-derives a decision from its record and the rule set document. Standard library alone.

What is shown: the verdicts follow from the recorded state and the document's facts, the command stands on the device's
grid and complies, a repair is the closest the certificate says it is, and the guard policy was followed: its action was
taken, and a tier yielded only where a certificate shows that nothing satisfied it beside those that stand over it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import Any

from proofs.checker.canonical_json import dumps
from proofs.checker.certificate import Bad, Fact, Problem, negate, refutes
from proofs.checker.claim import from_bytes
from proofs.checker.policy import AFTER, BEFORE, FALL_BACK, HOLD, NO_POLICY, REPAIR, Policy, parse_policy
from proofs.checker.ruleset import (
    CANNOT_TELL,
    COMPLIES,
    FAILING,
    NOT_APPLICABLE,
    VIOLATES,
    Document,
    Number,
    Rule,
    integer,
    parse_document,
    rational,
    text,
)
from proofs.checker.ruleset import findings as findings_of

COMMANDED = ("unit", "pool")
"""Subjects that are sent a command; of any other what was decided is its content."""
PLAN = "plan"
"""The subject of a record of many rows, each judged as a subject of its own."""
MOVABLE = ("commanded", "bid", "scheduled")
"""The roles of quantities that somebody chooses."""
POWER, STANDING = "active_power", "previous_setpoint"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


# ── the decision ────────────────────────────────────────────────────────────────────────────────────────────────────


def check_decision(data: bytes, predicate: Mapping[str, Any], policy: bytes | None = None) -> tuple[str, ...]:
    """Raises `Bad`, naming what is wrong, unless the decision follows from record, rule set document and policy.

    `policy` is the document of the guard policy that the record names. Returns the rules that facts cannot express: the
    record's word on these is not re-derived.
    """
    document = parse_document(data)
    if predicate.get("ruleset") != document.digest:
        raise Bad("the record names another rule set document")
    guide = _policy(predicate, policy)
    if not text(predicate.get("reason")):
        raise Bad("the record gives no reason")
    if any(type(predicate.get(key, [])) is not list for key in ("findings", "yielded", "rows", "interpreted")):
        raise Bad("findings, yielded, rows or interpreted is no list")
    if predicate.get("subject") in COMMANDED and predicate.get("rows"):
        raise Bad("a command has no rows")
    if predicate.get("subject") == PLAN:
        _check_plan(document, predicate, guide)
    elif predicate.get("subject") == document.subject:
        _check_one(document, predicate, guide)
    else:
        raise Bad("the record is about another subject than the rule set document")
    return tuple(rule for rule, _, _ in document.interpreted)


def _policy(predicate: Mapping[str, Any], data: bytes | None) -> Policy:
    """The policy that the record names, and that its service class is of it."""
    named = predicate.get("policy")
    if named is None:
        guide = NO_POLICY
    elif data is None:
        raise Bad("the record names a guard policy: its document is needed")
    else:
        guide = parse_policy(data)
        if guide.digest != named:
            raise Bad("the record names another guard policy")
    service, recorded = predicate.get("service_class"), predicate.get("recorded", BEFORE)
    if service is not None and (guide.services is None or service not in guide.services):
        raise Bad("the policy has no such service class")
    late_record = guide.services is not None and service is not None and guide.services[service].record == AFTER
    if recorded != BEFORE and not (recorded == AFTER and late_record):
        raise Bad("the policy does not let the record be made after the act")
    return guide


def _late(predicate: Mapping[str, Any]) -> bool | None:
    """Whether the deadline had passed; None where both are the same to a millisecond."""
    at, deadline = text(predicate.get("at")), text(predicate.get("deadline"))
    if not MOMENT.fullmatch(at) or not MOMENT.fullmatch(deadline):
        raise Bad("`at` and `deadline` must be moments")
    return None if at == deadline else at > deadline


def _check_one(document: Document, predicate: Mapping[str, Any], guide: Policy) -> None:
    """A decision on one command, the commands of a pool, or one subject."""
    state = _state(document, predicate)
    requested = _command(document, predicate, "requested")
    command = _command(document, predicate, "command")
    new, late = "policy" in predicate, _late(predicate)
    findings = [] if requested is None else findings_of(document, {**state, **requested})
    told = [(f["rule"], f["clause"], f["verdict"], *([f["tier"]] if new else [])) for f in predicate["findings"]]
    # A record of the first type leaves out what it would have found when it came too late.
    silent = not new and predicate.get("outcome") == "refused" and not told and requested is not None
    if told != [(r.id, r.clause, v, *([guide.tier(r.id)] if new else [])) for r, v in findings] and not silent:
        raise Bad("the findings are not those of the request")
    blocked = [(guide.tier(r.id), v) for r, v in findings if r.blocks]
    blocked += _interpreted(document, predicate, guide)
    action = guide.action(tier for tier, _ in blocked)
    outcome = predicate.get("outcome")
    wanted = None if document.subject in COMMANDED else content_digest(content(predicate))
    if predicate.get("content") != wanted:
        raise Bad("the content is not what was decided on")
    if outcome == "refused":
        if command is not None or predicate["frames"]:
            raise Bad("a refused request has a command or a frame")
        if predicate.get("yielded", []):
            raise Bad("a tier yielded and nothing was sent")
        if requested is not None and not blocked and late is False and not silent:
            raise Bad("the request was refused although every rule allows it")
        wanted = guide.unusable if requested is None else action if blocked else REPAIR
        if wanted == FALL_BACK and late is False and _fallback(document, predicate, guide, state, ()) is not None:
            raise Bad("the request was refused although the policy falls back")
    elif outcome in ("admitted", "repaired", "fallback"):
        if command is None or (requested is None and outcome != "fallback"):
            raise Bad("an admitted command or its request is missing")
        if new and late:
            raise Bad("a command was admitted after its deadline")
        failing = findings if command == requested else findings_of(document, {**state, **command})
        yielded = _yielded(document, predicate, guide, failing if requested is None else findings, failing)
        if any(r.blocks and guide.tier(r.id) not in yielded for r, _ in failing):
            raise Bad("a rule does not allow the command")
        _grid_steps(document, predicate, command)
        if bool(predicate["frames"]) != (document.subject in COMMANDED):
            raise Bad("an admitted command has no frame")
        _chosen(document, predicate, guide, action, bool(blocked), yielded)
    else:
        raise Bad("the outcome is unknown")
    if predicate.get("certificate") is not None:
        _certified(decision_problem(document, predicate, guide), predicate["certificate"])


def _chosen(
    document: Document, predicate: Mapping[str, Any], guide: Policy, action: str, blocked: bool, yielded: Sequence[str]
) -> None:
    """That what was sent is what the policy asks for: the request, the closest command, or the fallback."""
    outcome, requested, command = predicate["outcome"], predicate["requested"], predicate["command"]
    if outcome == "fallback":
        wanted = guide.unusable if requested is None else action if blocked else REPAIR
        if wanted != FALL_BACK:
            raise Bad("the policy does not fall back here")
        found = _fallback(document, predicate, guide, _state(document, predicate), yielded)
        if found is None or {document.names[i]: int(v) for i, v in found.items()} != command:
            raise Bad("the command is not the policy's fallback")
        return
    if (command == requested) != (outcome == "admitted"):
        raise Bad("the outcome does not tell whether the command was changed")
    if blocked and action != REPAIR:
        raise Bad("the policy does not repair here")
    if outcome == "repaired":
        if predicate.get("certificate") is None:
            raise Bad("a repair needs its certificate")
        findings = [(f["tier"], f["rule"]) for f in predicate["findings"]] if "policy" in predicate else []
        blocking = {r.id for r in document.rules if r.blocks}
        tolerance = guide.tolerance(tier for tier, rule in findings if rule in blocking)
        if document.subject in COMMANDED and tolerance is not None:
            if any(document.units[document.places[n]] != ("W", "1") for n in command):
                raise Bad("a tolerance in watts needs commands in watts")
            if sum(abs(integer(command[n]) - integer(requested[n])) for n in command) > tolerance:
                raise Bad("the repair moves the command further than the policy tolerates")


def _certified(problem: Problem, encoded: object) -> None:
    try:
        certificate = from_bytes(base64.b64decode(text(encoded), validate=True))
    except ValueError as error:
        raise Bad("the certificate is not base64") from error
    if not refutes(problem, certificate):
        raise Bad("the certificate does not show what the record says")


def _yielded(
    document: Document,
    predicate: Mapping[str, Any],
    guide: Policy,
    findings: Sequence[tuple[Rule, str]],
    failing: Sequence[tuple[Rule, str]],
) -> tuple[str, ...]:
    """The tiers that yielded: allowed to by the policy, the one that stands longest first, each with a certificate that
    nothing satisfied it beside the tiers that stand over it. `findings` are those of the request, `failing` those of
    the command."""
    entries = predicate.get("yielded", [])
    if entries and document.subject not in COMMANDED:
        raise Bad("tiers yield for commands alone")
    tiers = tuple(text(entry["tier"]) for entry in entries)
    if tiers != tuple(t for t in reversed(guide.yields) if t in tiers):
        raise Bad("a tier yielded against the policy or out of its order")
    for entry in entries:
        tier = entry["tier"]
        if guide.actions[tier].untold != "yield" and any(
            r.blocks and guide.tier(r.id) == tier and v == CANNOT_TELL for r, v in findings
        ):
            raise Bad("a tier yielded for missing data against the policy")
        over = guide.over(tier, tiers)
        rules = [r for r in document.rules if r.blocks and guide.tier(r.id) in over]
        _certified(nothing_problem(document, predicate, rules), entry["certificate"])
        broken = [(r.id, r.clause, v, tier) for r, v in failing if guide.tier(r.id) == tier]
        if [(f["rule"], f["clause"], f["verdict"], f["tier"]) for f in entry["findings"]] != broken:
            raise Bad("the findings of a tier that yielded are not those of the command")
    return tiers


def _fallback(
    document: Document,
    predicate: Mapping[str, Any],
    guide: Policy,
    state: Mapping[int, Number],
    yielded: Sequence[str],
) -> dict[int, Number] | None:
    """The first of the policy's fallback commands that every rule allows whose tier stands; None where none does."""
    moved = _moved(document, predicate)
    if document.subject not in COMMANDED or any(document.names[i].rpartition(".")[2] != POWER for i in moved):
        return None
    for candidate in guide.fallback:
        command: dict[int, Number] = {}
        for i in moved:
            name, step = document.names[i], _grid(predicate, document.names[i])
            standing = name.removesuffix(POWER) + STANDING
            value = state.get(document.places.get(standing, -1)) if candidate == HOLD else int(candidate)
            low, high = document.ranges[i]
            held = 0 if value is None else int(Fraction(value, step)) * step
            if value is not None and low <= held <= high:
                command[i] = held
        if len(command) == len(moved) and not any(
            r.blocks and guide.tier(r.id) not in yielded for r, _ in findings_of(document, {**state, **command})
        ):
            return command
    return None


def _interpreted(document: Document, predicate: Mapping[str, Any], guide: Policy) -> list[tuple[str, str]]:
    """What the record says of rules that facts cannot express: each once, and none that blocks fails in what was sent.
    Gives tier and verdict of those that block the request."""
    told = predicate.get("interpreted", [])
    if [(f["rule"], f["clause"], f["tier"]) for f in told] != [
        (r, clause, guide.tier(r)) for r, clause, _ in document.interpreted
    ]:
        raise Bad("the rules that facts cannot express do not stand in the record, each once")
    verdicts = (COMPLIES, NOT_APPLICABLE, VIOLATES, CANNOT_TELL)
    blocked = []
    for entry, (_, _, blocks) in zip(told, document.interpreted, strict=True):
        if entry["verdict"] not in verdicts or (entry["sent"] is None) != (predicate["command"] is None):
            raise Bad("a rule that facts cannot express has no verdict")
        if predicate["command"] is not None and (
            entry["sent"] not in verdicts or (blocks and entry["sent"] in FAILING)
        ):
            raise Bad("a rule that facts cannot express does not allow what was sent")
        if predicate["command"] == predicate["requested"] and entry["sent"] not in (None, entry["verdict"]):
            raise Bad("a rule that facts cannot express has two verdicts on the same")
        if blocks and entry["verdict"] in FAILING:
            blocked.append((entry["tier"], entry["verdict"]))
    return blocked


def content(predicate: Mapping[str, Any]) -> bytes:
    """The canonical content of a subject other than a command: values, moved where that was decided, and rows."""
    moved = predicate["requested"] if predicate["command"] is None else predicate["command"]
    values = {**predicate["state"], **(moved or {})}
    told = {"subject": predicate["subject"], "id": predicate["id"], "values": values, "rows": predicate["rows"]}
    return dumps(told)


def content_digest(data: bytes) -> str:
    """`sha256:` and the hash of canonical content."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _check_plan(document: Document, predicate: Mapping[str, Any], guide: Policy) -> None:
    """A decision on many rows, each of them a subject of its own with a value, or a reason, for every variable."""
    if document.subject not in COMMANDED or document.interpreted:
        raise Bad("a plan is judged by the facts of units or pools")
    empty = predicate["state"], predicate["unusable"], predicate["requested"], predicate["grid"], predicate["frames"]
    if any(part != {} for part in empty) or predicate["yielded"] or predicate["certificate"] is not None:
        raise Bad("a plan is admitted or refused as it stands")
    found, seen = [], dict[str, int]()
    for k, row in enumerate(predicate["rows"]):
        if row["step"] != seen.get(text(row["of"]), 0):
            raise Bad("the steps of a plan do not follow one another")
        seen[row["of"]] = row["step"] + 1
        values = _values(document, row["state"], row["unusable"], set(document.names))
        found += [(k, r, v) for r, v in findings_of(document, values)]
    told = [(f["row"], f["rule"], f["clause"], f["verdict"], f["tier"]) for f in predicate["findings"]]
    if told != [(k, r.id, r.clause, v, guide.tier(r.id)) for k, r, v in found]:
        raise Bad("the findings are not those of the plan")
    if predicate["content"] != content_digest(content(predicate)):
        raise Bad("the content is not what was decided on")
    blocked, late = any(r.blocks for _, r, _ in found), _late(predicate)
    if predicate["outcome"] == "refused":
        if predicate["command"] is not None or (not blocked and late is False):
            raise Bad("the plan was refused although every rule allows it")
    elif predicate["outcome"] == "admitted":
        if blocked or late or predicate["command"] != {} or not predicate["rows"]:
            raise Bad("a rule, or the deadline, does not allow the plan")
    else:
        raise Bad("the outcome is unknown")


def disputed(data: bytes, predicate: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rules, with their clauses, of which the record tells otherwise than the document, or else that block what was
    sent: what to look at once `check_decision` has refused a record. Raises `Bad` as it does."""
    document = parse_document(data)
    state = _state(document, predicate)
    requested = _command(document, predicate, "requested")
    command = _command(document, predicate, "command")
    found = [] if requested is None else [(r.id, r.clause, v) for r, v in findings_of(document, {**state, **requested})]
    told = [(f["rule"], f["clause"], f["verdict"]) for f in predicate["findings"]]
    differing = [f for f in (*found, *told) if (f in found) != (f in told)]
    sent = [] if command is None else findings_of(document, {**state, **command})
    return list(dict.fromkeys([(r, c) for r, c, _ in differing] or [(r.id, r.clause) for r, _ in sent if r.blocks]))


def _moved(document: Document, predicate: Mapping[str, Any]) -> list[int]:
    """The variables that the decision is about: those commanded, of other subjects the ones that have a step."""
    grid = predicate.get("grid")
    if type(grid) is not dict:
        raise Bad("the steps of what is decided are missing")
    if document.subject in COMMANDED:
        # What somebody chooses and this decision does not, as reactive power beside active power, is state.
        chosen = {i for i, role in enumerate(document.roles) if role == "commanded"}
        moved = [i for i in sorted(chosen) if document.names[i] in grid]
        powers = {i for i in chosen if document.names[i].rpartition(".")[2] == POWER}
        if len(moved) != len(grid) or not powers <= {*moved}:
            raise Bad("the device's steps do not name each commanded power once")
        return moved
    if any(name not in document.places or document.roles[document.places[name]] not in MOVABLE for name in grid):
        raise Bad("what was moved is not anybody's to choose")
    return [i for i, name in enumerate(document.names) if name in grid]


def _state(document: Document, predicate: Mapping[str, Any]) -> dict[int, Number]:
    moved = {document.names[i] for i in _moved(document, predicate)}
    raw = predicate.get("state")
    # Of other subjects than commands the state also holds what only the rules that facts cannot express speak of.
    beside = set() if document.subject in COMMANDED or type(raw) is not dict else set(raw) - set(document.names)
    return _values(document, raw, predicate.get("unusable"), (set(document.names) - moved) | beside)


def _values(document: Document, raw: Any, unusable: Any, wanted: set[str]) -> dict[int, Number]:
    if type(raw) is not dict or type(unusable) is not dict:
        raise Bad("the record's state is missing")
    if set(raw) != wanted:
        raise Bad("the state does not name each variable once")
    if {name for name, value in raw.items() if value is None} != set(unusable):
        raise Bad("a value that cannot be used has no reason, or a reason no value")
    out: dict[int, Number] = {}
    for i, name in enumerate(document.names):
        if raw.get(name) is None:
            continue
        value = rational(raw[name])
        low, high = document.ranges[i]
        if not low <= value <= high:
            raise Bad(f"`{name}` lies outside its declared range")
        out[i] = value
    return out


def _command(document: Document, predicate: Mapping[str, Any], key: str) -> dict[int, Number] | None:
    raw, moved = predicate.get(key), _moved(document, predicate)
    if raw is None:
        return None
    if type(raw) is not dict or set(raw) != {document.names[i] for i in moved}:
        raise Bad(f"`{key}` does not name each commanded variable once")
    out: dict[int, Number] = {}
    for i in moved:
        low, high = document.ranges[i]
        value = integer(raw[document.names[i]])
        if not low <= value <= high:
            raise Bad(f"`{key}` of `{document.names[i]}` lies outside its declared range")
        out[i] = value
    return out


def _grid_steps(document: Document, predicate: Mapping[str, Any], command: Mapping[int, Number]) -> None:
    for i, value in command.items():
        if value % _grid(predicate, document.names[i]):
            raise Bad(f"`{document.names[i]}` is not a multiple of the device's step")


def _grid(predicate: Mapping[str, Any], name: str) -> int:
    grid = predicate.get("grid")
    step = integer(grid.get(name)) if type(grid) is dict else 0
    if step < 1:
        raise Bad(f"the device's step of `{name}` is missing")
    return step


def decision_problem(document: Document, predicate: Mapping[str, Any], policy: Policy = NO_POLICY) -> Problem:
    """The problem that the record's certificate refutes (`docs/architecture.md`, Decision record).

    For a repair: a command at most `distance - 1 - gap` from the request that complies with every tier that stands. For
    a refusal: any that complies with the tiers that never yield.
    """
    out = set(policy.yields if document.subject in COMMANDED else ())
    if predicate.get("outcome") == "repaired":
        out = {e["tier"] for e in predicate.get("yielded", [])}
    problem = nothing_problem(
        document, predicate, [r for r in document.rules if r.blocks and policy.tier(r.id) not in out]
    )
    if predicate.get("outcome") != "repaired":
        return problem
    requested, command = _command(document, predicate, "requested"), _command(document, predicate, "command")
    if requested is None or command is None:
        raise Bad("a repair names its request and its command")
    moved = _moved(document, predicate)
    gap = integer(predicate.get("gap"))
    distance = sum(abs(int(command[i] - requested[i])) for i in moved)
    if not 0 <= gap < distance:
        raise Bad("the gap of a repair lies between nothing and its distance")
    m = len(moved)
    box, facts = list(problem.box), list(problem.facts)
    for j, i in enumerate(moved):
        r, step = int(requested[i]), _grid(predicate, document.names[i])
        box.append((0, distance))
        facts.append(("L", ((j, step), (m + j, -1)), r, False))
        facts.append(("L", ((j, -step), (m + j, -1)), -r, False))
    facts.append(("L", tuple((m + j, 1) for j in range(m)), distance - 1 - gap, False))
    return Problem(len(box), tuple(box), frozenset(range(m)), (), tuple(facts))


def nothing_problem(document: Document, predicate: Mapping[str, Any], rules: Sequence[Rule]) -> Problem:
    """The problem of any command at all, on the grid, that complies with some rules in the recorded state."""
    state, moved = _state(document, predicate), _moved(document, predicate)
    position = {i: j for j, i in enumerate(moved)}
    steps = [_grid(predicate, document.names[i]) for i in moved]
    box: list[tuple[int, int]] = []
    for i, g in zip(moved, steps, strict=True):
        low, high = document.ranges[i]
        box.append((-(-low // g), high // g))
    known = sum(1 << i for i in state.keys() | position.keys())
    facts: list[Fact] = []
    for rule in rules:
        # A rule that cannot be judged is not complied with, whatever its other rows say.
        body = ("O", ()) if rule.body_needs & ~known else rule.body
        fact = ("O", ()) if rule.scope_needs & ~known else ("O", (negate(rule.scope), body))
        facts.append(_substitute(document, fact, state, position, steps))
    return Problem(len(box), tuple(box), frozenset(range(len(moved))), (), tuple(facts))


def _substitute(
    document: Document, fact: Fact, state: Mapping[int, Number], position: Mapping[int, int], steps: list[int]
) -> Fact:
    """The fact over grid steps of the commanded variables; one that needs an unusable value can never hold."""
    if fact[0] != "L":
        return (fact[0], tuple(_substitute(document, part, state, position, steps) for part in fact[1]))
    terms: dict[int, Number] = {}
    rest: Number = fact[2]
    for i, a in fact[1]:
        factor: Number = a
        free = None
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
            terms[free] = terms.get(free, 0) + factor
    scale = lcm(rest.denominator, *(a.denominator for a in terms.values()))
    return ("L", tuple((i, int(a * scale)) for i, a in sorted(terms.items()) if a), int(rest * scale), fact[3])


__all__ = [
    "check_decision",
    "content",
    "content_digest",
    "decision_problem",
    "disputed",
    "nothing_problem",
    "parse_document",
]
