"""The guard: nothing reaches a device but what it admitted, and what it admitted is on record first.

It judges the command in the device's own integers, once by the facts that records and proofs name and once by the
reference interpreter; where the two disagree, nothing is sent. What becomes of a violation is the policy's to say
(`guardrails/settle.py`). A service class may declare that its records are made after the act; the record then says so.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from compiler.core import Core
from compiler.document import document, document_digest
from compiler.inputs import in_range
from compiler.instance import Instance, of_one, of_pool
from compiler.lower import lower
from compiler.to_exact import Finding, Unusable, Value, Verdict
from guardrails.case import FAILING, Case, Rules, distance, judge_facts, steps_of
from guardrails.policy import UNGUIDED, GuardPolicy, budget_s, check_names
from guardrails.seal import Admitted, Codec, Frame, Sealer
from guardrails.settle import PROOF_S, Question, Settled
from guardrails.state import NANO
from proofs.checker.merkle import leaf_hash
from proofs.checker.policy import AFTER, BEFORE
from proofs.ledger import Entry, Ledger
from proofs.maker import Satisfiable, Undecided, decision_certificate
from proofs.record import statement
from rules_dsl.units import decimal

COMMANDED = "active_power"
NOT_YET = -1
"""The place in the ledger of a record that is made after the act."""

Later = Callable[[Sequence[bytes]], "Future[tuple[Entry, ...]]"]
"""Takes records that need not be durable before the act; the future tells when they are."""


@dataclass(frozen=True, slots=True)
class Request:
    """A proposed set point for one unit.

    `active_power` in W, or why it cannot be used; `state` as `state.snapshot` gives it; `deadline_ns` on the monotonic
    clock; `tolerance` is how far, in W, the guard may move the command (None: as far as it takes). `service` is a
    service class of the policy; its latency budget runs from `asked_ns` (None: from when the guard gets the request).
    """

    unit: str
    active_power: Value
    state: Mapping[str, Value]
    codec: Codec
    deadline_ns: int
    tolerance: int | None = None
    service: str | None = None
    asked_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of the requests of one unit or one pool.

    `requested` and `command` are W by unit; `admitted` holds a sealed command for each unit, or nothing when refused.
    `index` is the record's place in the ledger, `NOT_YET` where it is made after the act: then `pending` tells it.
    `yielded` are the tiers that gave way.
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
    yielded: tuple[str, ...] = ()
    pending: Future[tuple[Entry, ...]] | None = None


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
        policy: GuardPolicy = UNGUIDED,
        later: Later | None = None,
    ) -> None:
        """`keep` stores each rule set document, and the policy's, under its digest for whoever checks receipts later.

        `later` takes records of service classes that act first; without it those are recorded first too. Raises
        `PolicyError` where the policy names what the rules do not know.
        """
        check_names(policy.says, core)
        if policy.says.digest is not None:
            keep(policy.says.digest, policy.document)
        self.core = core
        self._ledger, self._sealer, self._clock, self._wall = ledger, sealer, clock_ns, wall
        self._theorems, self._keep = list(theorems), keep
        self.policy, self._later = policy.says, later
        services = (policy.says.services or {}).items()
        self._budgets = {n: int(budget_s(core, s.latency) * NANO) for n, s in services if s.latency is not None}
        self._cache: dict[object, Rules] = {}
        self._sequence = len(ledger)

    def resume(self) -> None:
        """Goes on numbering decisions after the ledger's last record, where another guard wrote to it meanwhile."""
        self._sequence = len(self._ledger)

    def check(self, request: Request) -> tuple[Finding, ...]:
        """Findings of every rule that one unit's set point does not comply with; nothing is recorded or admitted."""
        case = self._one(self._checked(request))
        return case.failing({n: v for n, v in case.requested.items() if v is not None})

    def decide(self, request: Request) -> Decision:
        """The decision on one unit's set point."""
        request = self._checked(request)
        return self._decide(request.unit, "unit", self._one(request), [request])

    def _one(self, request: Request) -> Case:
        rules = self._cached("unit", lambda: of_one(self.core, "unit", "command"))
        state = {n: v for n, v in request.state.items() if n != COMMANDED}
        return Case(
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
        return self._decide(pool, "pool", Case(rules, values, requested, grid, codecs, units), requests)

    def _checked(self, request: Request) -> Request:
        """The request with a set point outside the vocabulary's range, or of no exact type, marked unusable."""
        value = request.active_power
        if isinstance(value, Fraction):
            return replace(request, active_power=in_range(self.core.declared()[COMMANDED], value))
        return (
            request if isinstance(value, Unusable) else replace(request, active_power=Unusable("not an exact number"))
        )

    def _cached(self, key: object, make: Callable[[], Instance]) -> Rules:
        if key not in self._cache:
            instance = make()
            facts = lower(instance)
            data = document(facts)
            self._cache[key] = Rules(instance, facts, data, document_digest(data))
            self._keep(self._cache[key].digest, data)
        return self._cache[key]

    def _decide(self, identity: str, subject: str, case: Case, requests: Sequence[Request]) -> Decision:
        service, deadline_ns = self._terms(requests)
        tolerances = [r.tolerance for r in requests if r.tolerance is not None]
        unusable = [r for r in requests if isinstance(r.active_power, Unusable)]
        asked = None if unusable else {n: v for n, v in case.requested.items() if v is not None}
        base = self._base(identity, subject, case)
        findings: tuple[Finding, ...] = ()
        if asked is None:
            assert isinstance(unusable[0].active_power, Unusable)
            reason = f"{COMMANDED} of {unusable[0].unit} is {unusable[0].active_power.reason}"
        else:
            findings = case.failing(asked)
            reason = _reason(findings)
        settled = Settled(asked)
        if self._clock() > deadline_ns:
            settled, reason = Settled(None), "the deadline had passed before the decision"
        elif asked is None or _blocked(findings):
            settled = Question(case, self.policy, base).settle(asked, findings, min(tolerances, default=None))
            reason += f"; {settled.why}" if settled.why else ""
        predicate = self._predicate(base, case, settled, findings, reason, service)
        predicate["certificate"] = self._certificate(case, predicate, settled)
        frames = self._frames(case, settled.command)
        now = self._clock()
        if settled.command is not None and now > deadline_ns:
            # Late is not sent: what was found stays on record.
            settled, frames = Settled(None), ()
            predicate = self._predicate(base, case, settled, findings, "the deadline passed while deciding", service)
        predicate["frames"] = {f.device: f.to_bytes().hex() for f in frames}
        predicate |= self._moments(now, deadline_ns)
        return self._put_down(case, predicate, settled, findings, frames, deadline_ns)

    def _put_down(
        self,
        case: Case,
        predicate: dict[str, Any],
        settled: Settled,
        findings: tuple[Finding, ...],
        frames: tuple[Frame, ...],
        deadline_ns: int,
    ) -> Decision:
        """The record made and the commands sealed, in this order unless the service class says otherwise."""
        record = statement(predicate)
        pending = None
        # INVARIANT: before a command exists that an adapter takes, its record is durable under a signed checkpoint; but
        # for service classes whose records say that they were made after.
        if predicate["recorded"] == BEFORE:
            (entry,) = self._ledger.append([record])
        else:
            assert self._later is not None
            entry, pending = Entry(NOT_YET, leaf_hash(record)), self._later([record])
        self._sequence += 1
        admitted = tuple(
            self._sealer.seal(
                frame=frame,
                command={COMMANDED: (settled.command or {})[name]},
                leaf_index=entry.index,
                record_hash=entry.leaf_hash,
                deadline_ns=deadline_ns,
            )
            for frame, name in zip(frames, case.codecs, strict=False)
        )
        shown = {case.units[n]: v for n, v in case.requested.items()}
        sent = None if settled.command is None else {case.units[n]: v for n, v in settled.command.items()}
        return Decision(
            predicate["id"],
            predicate["outcome"],
            shown,
            sent,
            findings,
            predicate["reason"],
            admitted,
            entry.index,
            case.rules.digest,
            tuple(y.tier for y in settled.yielded),
            pending,
        )

    def _terms(self, requests: Sequence[Request]) -> tuple[str | None, int]:
        """The service class and the deadline of a decision: the earliest, or where a latency budget ends before it.

        Raises `ValueError` where the policy has no such class, or members of a pool have different ones.
        """
        services = {r.service for r in requests}
        if len(services) > 1:
            raise ValueError("the members of a pool have different service classes")
        (service,) = services
        if service is not None and service not in (self.policy.services or {}):
            raise ValueError(f"the policy has no service class `{service}`")
        deadline_ns = min(r.deadline_ns for r in requests)
        if service in self._budgets:
            now = self._clock()
            asked_ns = min(now if r.asked_ns is None else r.asked_ns for r in requests)
            deadline_ns = min(deadline_ns, asked_ns + self._budgets[service])
        return service, deadline_ns

    def _frames(self, case: Case, command: Mapping[str, int] | None) -> tuple[Frame, ...]:
        frames = []
        for name, watts in (command or {}).items():
            frame = case.codecs[name].encode({COMMANDED: watts})
            if case.codecs[name].decode(frame) != {COMMANDED: watts}:
                raise RuntimeError(f"the codec of {case.units[name]} does not return the command it was given")
            frames.append(frame)
        return tuple(frames)

    def _base(self, identity: str, subject: str, case: Case) -> dict[str, Any]:
        """What the record says of the question."""
        state: dict[str, Any] = {}
        unusable: dict[str, str] = {}
        steps = case.steps()
        for i, variable in enumerate(case.rules.facts.variables):
            if variable.name in case.requested:
                continue
            if i in steps:
                state[variable.name] = plain(steps[i])
            else:
                state[variable.name] = None
                value = case.values.get(variable.name, Unusable("missing"))
                assert isinstance(value, Unusable)
                unusable[variable.name] = value.reason
        return {
            "ruleset": case.rules.digest,
            "subject": subject,
            "id": identity,
            "sequence": self._sequence,
            "state": state,
            "unusable": unusable,
            "requested": None if None in case.requested.values() else dict(case.requested),
            "grid": dict(case.grid),
            "rows": [],
        }

    def _predicate(
        self,
        base: Mapping[str, Any],
        case: Case,
        settled: Settled,
        findings: Sequence[Finding],
        reason: str,
        service: str | None,
    ) -> dict[str, Any]:
        """The record but for its moments, frames and certificate."""
        command = settled.command
        sent = "repaired" if command != base["requested"] else "admitted"
        late = service is not None and (self.policy.services or {})[service].record == AFTER
        return {
            **base,
            "at": "",
            "deadline": "",
            "outcome": "refused" if command is None else "fallback" if settled.fallback else sent,
            "command": None if command is None else dict(command),
            "findings": [self.told(f) for f in findings],
            "reason": reason,
            "frames": {},
            "certificate": None,
            "gap": 0,
            "theorems": self._theorems,
            "policy": self.policy.digest,
            "service_class": service,
            "recorded": AFTER if late and self._later is not None else BEFORE,
            "yielded": [
                {"tier": y.tier, "certificate": y.certificate, "findings": [self.told(f) for f in y.findings]}
                for y in settled.yielded
            ],
            "interpreted": [],
            "content": None,
        }

    def told(self, finding: Finding) -> dict[str, Any]:
        """A finding as it stands in a record."""
        rule = finding.rule
        return {
            "rule": rule.id,
            "clause": rule.clause,
            "verdict": finding.verdict.value,
            "margin": None if finding.margin is None else decimal(finding.margin / rule.unit.factor),
            "unit": rule.unit.text,
            "tier": self.policy.tier(rule.id),
        }

    def _moments(self, now_ns: int, deadline_ns: int) -> dict[str, str]:
        """When the decision was made and when it was due, from one reading of the clock: their order is recorded."""
        now = self._wall()
        return {"at": _instant(now), "deadline": _instant(now + timedelta(microseconds=(deadline_ns - now_ns) // 1000))}

    def _certificate(self, case: Case, predicate: dict[str, Any], settled: Settled) -> str | None:
        """Shows that a repair is the closest, setting the gap to what can be shown when that is less; or that nothing
        was admissible, where that can be shown in time."""
        if predicate["outcome"] == "repaired":
            asked, command = predicate["requested"], predicate["command"]
            away = distance(command, asked)
            for gap in (0, max(*case.grid.values(), 1) * len(asked), away - 1):
                predicate["gap"] = max(0, min(gap, away - 1))
                try:
                    return self._shown(case, predicate)
                except (Satisfiable, Undecided):
                    continue
            raise RuntimeError(f"no certificate for the repair of {predicate['id']}")
        if settled.nothing:
            try:
                return self._shown(case, predicate)
            except (Satisfiable, Undecided):
                return None
        return None

    def _shown(self, case: Case, predicate: dict[str, Any]) -> str:
        found = decision_certificate(case.rules.document, predicate, PROOF_S, self.policy)
        return base64.b64encode(found).decode()


def _on_grid(value: Value, codec: Codec) -> int | None:
    """The request in whole register steps, rounded toward zero; None when it cannot be used."""
    if isinstance(value, Unusable):
        return None
    step: int = codec.grid[COMMANDED]
    return int(value / step) * step


def _blocked(findings: Sequence[Finding]) -> bool:
    return any(f.rule.blocks and f.verdict in FAILING for f in findings)


def _reason(findings: Sequence[Finding]) -> str:
    """In one sentence: what stands in the way, what cannot be judged before what is violated."""
    blocking = [f for f in findings if f.rule.blocks]
    if not blocking:
        return "complies with every rule"
    untold = [f for f in blocking if f.verdict is Verdict.CANNOT_TELL]
    return _why(untold[0] if untold else min(blocking, key=lambda f: f.rule.id))


def _why(finding: Finding) -> str:
    if finding.verdict is Verdict.CANNOT_TELL:
        fields = ", ".join(f"{name} is {reason}" for name, reason in finding.unusable)
        return f"{finding.rule.id} cannot be judged: {fields} ({finding.rule.clause})"
    margin = "" if finding.margin is None else decimal(-finding.margin / finding.rule.unit.factor)
    return f"{finding.rule.id} is violated by {margin} {finding.rule.unit.text} ({finding.rule.clause})"


def plain(value: Fraction) -> int | str:
    """A value of a record: a whole number of steps, or `n/d` text."""
    return value.numerator if value.denominator == 1 else str(value)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = ["COMMANDED", "NANO", "NOT_YET", "Decision", "Guard", "Request", "judge_facts", "plain", "steps_of"]
