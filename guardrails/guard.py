"""The guard: nothing reaches a device but what it admitted, and what it admitted is on record first.

It judges the command in the device's own integers, once by the facts that records and proofs name and once by the
reference interpreter; where the two disagree, nothing is sent.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any

from compiler.core import Core
from compiler.document import document, document_digest
from compiler.facts import FactSet, RuleFact, holds
from compiler.inputs import in_range
from compiler.instance import Instance, of_one, of_pool
from compiler.lower import lower
from compiler.to_exact import Finding, Subject, Unusable, Value, Verdict, judge
from guardrails.repair import closest_command
from guardrails.seal import Admitted, Codec, Frame, Sealer
from guardrails.state import NANO
from proofs.checker.certificate import refutes
from proofs.checker.decision import Document, decision_problem, parse_document
from proofs.encode import to_bytes
from proofs.ledger import Ledger
from proofs.maker import Satisfiable, Undecided, decision_certificate
from proofs.nearest import nearest
from proofs.record import statement
from rules_dsl.units import decimal

COMMANDED = "active_power"
PROOF_S = 0.4
"""How long the search for one certificate of a repair may take; a wider gap is shown when it is not enough."""
BLOCKING = (Verdict.VIOLATES, Verdict.CANNOT_TELL)


@dataclass(frozen=True, slots=True)
class Request:
    """A proposed set point for one unit.

    `active_power` in W, or why it cannot be used; `state` as `state.snapshot` gives it; `deadline_ns` on the monotonic
    clock; `tolerance` is how far, in W, the guard may move the command (None: as far as it takes).
    """

    unit: str
    active_power: Value
    state: Mapping[str, Value]
    codec: Codec
    deadline_ns: int
    tolerance: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of the requests of one unit or one pool.

    `requested` and `command` are W by unit; `admitted` holds a sealed command for each unit, or nothing when refused.
    `index` is the record's place in the ledger.
    """

    id: str
    outcome: str
    requested: Mapping[str, int | None]
    command: Mapping[str, int] | None
    findings: tuple[Finding, ...]
    reason: str
    admitted: tuple[Admitted, ...]
    index: int
    ruleset: str


@dataclass(frozen=True, slots=True)
class _Rules:
    instance: Instance
    facts: FactSet
    document: bytes
    digest: str


@dataclass(slots=True)
class _Case:
    """One decision in the making."""

    rules: _Rules
    values: dict[str, Value]
    requested: dict[str, int | None]
    grid: dict[str, int]
    codecs: dict[str, Codec]
    units: dict[str, str]


class Guard:
    """Decides, records, and only then seals."""

    def __init__(
        self,
        core: Core,
        ledger: Ledger,
        sealer: Sealer,
        clock_ns: Callable[[], int],
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        theorems: Sequence[str] = (),
        keep: Callable[[str, bytes], None] = lambda digest, data: None,
    ) -> None:
        """`keep` stores each rule set document under its digest, for whoever checks receipts later."""
        self.core = core
        self._ledger, self._sealer, self._clock, self._wall = ledger, sealer, clock_ns, wall
        self._theorems, self._keep = list(theorems), keep
        self._cache: dict[object, _Rules] = {}
        self._sequence = len(ledger)

    def resume(self) -> None:
        """Goes on numbering decisions after the ledger's last record, where another guard wrote to it meanwhile."""
        self._sequence = len(self._ledger)

    def check(self, request: Request) -> tuple[Finding, ...]:
        """Findings of every rule that one unit's set point does not comply with; nothing is recorded or admitted."""
        case = self._one(self._checked(request))
        return self._judge(case, {n: v for n, v in case.requested.items() if v is not None})

    def decide(self, request: Request) -> Decision:
        """The decision on one unit's set point."""
        request = self._checked(request)
        return self._decide(request.unit, "unit", self._one(request), [request])

    def _one(self, request: Request) -> _Case:
        rules = self._cached("unit", lambda: of_one(self.core, "unit", "command"))
        state = {n: v for n, v in request.state.items() if n != COMMANDED}
        return _Case(
            rules,
            state,
            {COMMANDED: _on_grid(request.active_power, request.codec)},
            {COMMANDED: request.codec.grid[COMMANDED]},
            {COMMANDED: request.codec},
            {COMMANDED: request.unit},
        )

    def decide_pool(self, pool: str, requests: Sequence[Request]) -> Decision:
        """One decision on the set points of every member of a pool, which stand or fall together.

        Raises `ValueError` naming the member whose registration the pool's rules need and lack.
        """
        requests = [self._checked(r) for r in requests]
        members = {r.unit: r.state for r in requests}
        phases = tuple((m, str(s.get("phase"))) for m, s in members.items())
        rules = self._cached((pool, phases), lambda: of_pool(self.core, "command", members))
        values: dict[str, Value] = {}
        requested: dict[str, int | None] = {}
        grid: dict[str, int] = {}
        codecs: dict[str, Codec] = {}
        units: dict[str, str] = {}
        for r in requests:
            name = f"{r.unit}.{COMMANDED}"
            values |= {f"{r.unit}.{n}": v for n, v in r.state.items() if n != COMMANDED}
            requested[name] = _on_grid(r.active_power, r.codec)
            grid[name], codecs[name], units[name] = r.codec.grid[COMMANDED], r.codec, r.unit
        return self._decide(pool, "pool", _Case(rules, values, requested, grid, codecs, units), requests)

    def _checked(self, request: Request) -> Request:
        """The request with a set point outside the vocabulary's range, or of no exact type, marked unusable."""
        value = request.active_power
        if isinstance(value, Fraction):
            return replace(request, active_power=in_range(self.core.declared()[COMMANDED], value))
        return (
            request if isinstance(value, Unusable) else replace(request, active_power=Unusable("not an exact number"))
        )

    def _cached(self, key: object, make: Callable[[], Instance]) -> _Rules:
        if key not in self._cache:
            instance = make()
            facts = lower(instance)
            data = document(facts)
            self._cache[key] = _Rules(instance, facts, data, document_digest(data))
            self._keep(self._cache[key].digest, data)
        return self._cache[key]

    def _decide(self, identity: str, subject: str, case: _Case, requests: Sequence[Request]) -> Decision:
        deadline_ns = min(r.deadline_ns for r in requests)
        tolerances = [r.tolerance for r in requests if r.tolerance is not None]
        command: dict[str, int] | None = None
        findings: tuple[Finding, ...] = ()
        unusable = [r for r in requests if isinstance(r.active_power, Unusable)]
        if unusable:
            assert isinstance(unusable[0].active_power, Unusable)
            reason = f"{COMMANDED} of {unusable[0].unit} is {unusable[0].active_power.reason}"
        elif self._clock() > deadline_ns:
            reason = "the deadline had passed before the decision"
        else:
            asked = {n: v for n, v in case.requested.items() if v is not None}
            findings = self._judge(case, asked)
            blocking = [f for f in findings if f.rule.blocks and f.verdict in BLOCKING]
            if not blocking:
                command, reason = asked, "complies with every rule"
            elif any(f.verdict is Verdict.CANNOT_TELL for f in blocking):
                reason = _why(next(f for f in blocking if f.verdict is Verdict.CANNOT_TELL))
            else:
                command = self._closest(case, asked)
                reason = _why(min(blocking, key=lambda f: f.rule.id))
                if command is None:
                    reason += "; no compliant command was found"
                elif tolerances and _distance(command, asked) > min(tolerances):
                    away = _distance(command, asked)
                    reason += f"; the closest compliant command is {away} W away, allowed are {min(tolerances)} W"
                    command = None
        outcome = "refused" if command is None else "admitted" if command == case.requested else "repaired"
        frames = self._frames(case, command)
        predicate = self._predicate(identity, subject, case, outcome, command, findings, reason, deadline_ns)
        predicate["frames"] = {f.device: f.to_bytes().hex() for f in frames}
        predicate["certificate"] = self._certificate(case, predicate, findings)
        (entry,) = self._ledger.append([statement(predicate)])
        self._sequence += 1
        # INVARIANT: the record is durable under a signed checkpoint before a command exists that an adapter takes.
        admitted = tuple(
            self._sealer.seal(
                frame=frame,
                command={COMMANDED: (command or {})[name]},
                leaf_index=entry.index,
                record_hash=entry.leaf_hash,
                deadline_ns=deadline_ns,
            )
            for frame, name in zip(frames, case.codecs, strict=False)
        )
        shown = {case.units[n]: v for n, v in case.requested.items()}
        sent = None if command is None else {case.units[n]: v for n, v in command.items()}
        return Decision(identity, outcome, shown, sent, findings, reason, admitted, entry.index, case.rules.digest)

    def _judge(self, case: _Case, command: Mapping[str, int]) -> tuple[Finding, ...]:
        """Findings of the rules that do not comply, interpreter and facts agreeing; a disagreement cannot be told."""
        values = dict(case.values)
        vocabulary = case.rules.instance.vocabulary
        for name, watts in command.items():
            values[name] = in_range(vocabulary[name], watts * vocabulary[name].resolution)
        subject = Subject(values)
        steps = _steps(case, values)
        out = []
        for rule, fact in zip(case.rules.instance.rules, case.rules.facts.rules, strict=True):
            finding = judge(rule, subject)
            if finding.verdict is not judge_facts(case.rules.facts, fact, steps):
                finding = Finding(rule, Verdict.CANNOT_TELL, None, (("rule", "judged differently by two methods"),))
            if finding.verdict in BLOCKING:
                out.append(finding)
        return tuple(out)

    def _closest(self, case: _Case, asked: Mapping[str, int]) -> dict[str, int] | None:
        positions = case.rules.facts.index()
        found = closest_command(
            case.rules.facts,
            _steps(case, case.values),
            {positions[n]: v for n, v in asked.items()},
            {positions[n]: g for n, g in case.grid.items()},
        )
        if found is None:
            return None
        command = {n: found[positions[n]] for n in asked}
        # The search only proposes: what it found is judged like any other command.
        return None if any(f.rule.blocks for f in self._judge(case, command)) else command

    def _frames(self, case: _Case, command: Mapping[str, int] | None) -> tuple[Frame, ...]:
        frames = []
        for name, watts in (command or {}).items():
            frame = case.codecs[name].encode({COMMANDED: watts})
            if case.codecs[name].decode(frame) != {COMMANDED: watts}:
                raise RuntimeError(f"the codec of {case.units[name]} does not return the command it was given")
            frames.append(frame)
        return tuple(frames)

    def _predicate(
        self,
        identity: str,
        subject: str,
        case: _Case,
        outcome: str,
        command: Mapping[str, int] | None,
        findings: Sequence[Finding],
        reason: str,
        deadline_ns: int,
    ) -> dict[str, Any]:
        now = self._wall()
        left = timedelta(microseconds=(deadline_ns - self._clock()) // 1000)
        state: dict[str, Any] = {}
        unusable: dict[str, str] = {}
        steps = _steps(case, case.values)
        for i, variable in enumerate(case.rules.facts.variables):
            if variable.name in case.requested:
                continue
            if i in steps:
                state[variable.name] = _plain(steps[i])
            else:
                state[variable.name] = None
                value = case.values.get(variable.name, Unusable("missing"))
                assert isinstance(value, Unusable)
                unusable[variable.name] = value.reason
        known = None not in case.requested.values()
        return {
            "ruleset": case.rules.digest,
            "subject": subject,
            "id": identity,
            "sequence": self._sequence,
            "at": _instant(now),
            "deadline": _instant(now + left),
            "state": state,
            "unusable": unusable,
            "requested": dict(case.requested) if known else None,
            "grid": dict(case.grid),
            "outcome": outcome,
            "command": None if command is None else dict(command),
            "findings": [
                {
                    "rule": f.rule.id,
                    "clause": f.rule.clause,
                    "verdict": f.verdict.value,
                    "margin": None if f.margin is None else decimal(f.margin / f.rule.unit.factor),
                    "unit": f.rule.unit.text,
                }
                for f in findings
            ],
            "reason": reason,
            "frames": {},
            "certificate": None,
            "gap": 0,
            "theorems": self._theorems,
        }

    def _certificate(self, case: _Case, predicate: dict[str, Any], findings: Sequence[Finding]) -> str | None:
        """Shows that a repair is the closest; sets the gap to what can be shown when that is less."""
        if predicate["outcome"] != "repaired":
            return None
        asked, command = predicate["requested"], predicate["command"]
        distance = sum(abs(command[n] - asked[n]) for n in asked)
        if len(asked) == 1:
            ((name, watts),) = asked.items()
            problem = decision_problem(_parsed(case.rules.document), predicate)
            blocking = [r.rule for r in case.rules.facts.rules if r.blocks]
            first = [blocking.index(f.rule.id) for f in findings if f.rule.blocks]
            facts = [lambda f=fact: f for fact in problem.facts[: len(blocking)]]  # type: ignore[misc]
            ((low, high), _) = problem.box
            assert low is not None and high is not None
            tree = nearest((low, high), facts, first, watts, case.grid[name], distance)
            if tree is not None and refutes(problem, tree):
                return base64.b64encode(to_bytes(tree)).decode()
        for gap in (0, *(max(g, 1) * len(asked) for g in (max(case.grid.values()),)), distance - 1):
            predicate["gap"] = max(0, min(gap, distance - 1))
            try:
                return base64.b64encode(decision_certificate(case.rules.document, predicate, PROOF_S)).decode()
            except (Satisfiable, Undecided):
                continue
        raise RuntimeError(f"no certificate for the repair of {predicate['id']}")


@lru_cache(maxsize=64)
def _parsed(data: bytes) -> Document:
    return parse_document(data)


def judge_facts(facts: FactSet, rule: RuleFact, steps: Mapping[int, Fraction]) -> Verdict:
    """The verdict of the facts on exact values in steps; a variable without a value is unusable."""
    values: dict[int, Fraction | int] = dict(steps)
    for w, x, y in facts.products:
        if x in steps and y in steps:
            values[w] = steps[x] * steps[y]
    if not facts.plain(rule.scope) <= steps.keys():
        return Verdict.CANNOT_TELL
    if not holds(rule.scope, values):
        return Verdict.NOT_APPLICABLE
    if not facts.plain(rule.body) <= steps.keys():
        return Verdict.CANNOT_TELL
    return Verdict.COMPLIES if holds(rule.body, values) else Verdict.VIOLATES


def _steps(case: _Case, values: Mapping[str, Value]) -> dict[int, Fraction]:
    out = {}
    for i, variable in enumerate(case.rules.facts.variables):
        value = values.get(variable.name)
        if isinstance(value, Fraction):
            out[i] = value / case.rules.instance.vocabulary[variable.name].resolution
    return out


def _on_grid(value: Value, codec: Codec) -> int | None:
    """The request in whole register steps, rounded toward zero; None when it cannot be used."""
    if isinstance(value, Unusable):
        return None
    step: int = codec.grid[COMMANDED]
    return int(value / step) * step


def _distance(command: Mapping[str, int], asked: Mapping[str, int]) -> int:
    return sum(abs(command[n] - asked[n]) for n in asked)


def _why(finding: Finding) -> str:
    if finding.verdict is Verdict.CANNOT_TELL:
        fields = ", ".join(f"{name} is {reason}" for name, reason in finding.unusable)
        return f"{finding.rule.id} cannot be judged: {fields} ({finding.rule.clause})"
    margin = "" if finding.margin is None else decimal(-finding.margin / finding.rule.unit.factor)
    return f"{finding.rule.id} is violated by {margin} {finding.rule.unit.text} ({finding.rule.clause})"


def _plain(value: Fraction) -> int | str:
    return value.numerator if value.denominator == 1 else str(value)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = ["COMMANDED", "NANO", "Decision", "Guard", "Request", "judge_facts"]
