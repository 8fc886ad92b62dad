"""The guard: nothing reaches a device but what it admitted, and what it admitted is on record first.

It judges the command in the device's own integers, once by the facts that records and proofs name and once by the
reference interpreter; where the two disagree, nothing is sent. What becomes of a violation is the policy's to say
(`guardrails/settle.py`). A service class may declare that its records are made after the act; the record then says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from compiler.inputs import in_range
from compiler.instance import Instance, of_one, of_pool
from compiler.to_exact import Finding, Unusable, Value
from guardrails.case import Case, judge_facts
from guardrails.recorder import Later, blocked, reason_of
from guardrails.seal import Admitted, Codec, Frame
from guardrails.settle import Question, Settled
from guardrails.state import NANO
from guardrails.subjects import Ruling, Step, Subjects
from proofs.checker.merkle import leaf_hash
from proofs.checker.policy import BEFORE
from proofs.ledger import Entry
from proofs.record import statement

COMMANDED = "active_power"
NOT_YET = -1
"""The place in the ledger of a record that is made after the act."""


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


class Guard(Subjects):
    """Decides, records, and only then seals."""

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
        rules = self._cached("unit", self._of_unit)
        state = {n: v for n, v in request.state.items() if n != COMMANDED}
        return Case(
            rules,
            state,
            {COMMANDED: _on_grid(request.active_power, request.codec)},
            {COMMANDED: request.codec.grid[COMMANDED]},
            {COMMANDED: request.codec},
            {COMMANDED: request.unit},
        )

    def _of_unit(self) -> Instance:
        """Raises `ValueError` where no rule speaks of what is commanded: then nothing complies with anything."""
        found = of_one(self.core, "unit", "command")
        if COMMANDED not in found.names():
            raise ValueError(f"no rule for commands speaks of {COMMANDED}")
        return found

    def decide_pool(self, pool: str, requests: Sequence[Request]) -> Decision:
        """One decision on the set points of every member of a pool, which stand or fall together.

        Raises `ValueError` naming the member whose registration the pool's rules need and lack.
        """
        requests = [self._checked(r) for r in requests]
        members = {r.unit: {n: v for n, v in r.state.items() if n != COMMANDED} for r in requests}
        # INVARIANT: two pools share their rules only where the sums count the same members.
        alike = tuple((m, *(s.get(n) for n in self._told_apart_by)) for m, s in members.items())
        rules = self._cached((pool, alike), lambda: of_pool(self.core, "command", members))
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
            reason = reason_of(findings)
        settled = Settled(asked)
        if self._clock() > deadline_ns:
            settled, reason = Settled(None), "the deadline had passed before the decision"
        elif asked is None or blocked(findings):
            settled = Question(case, self.policy, base).settle(asked, findings, min(tolerances, default=None))
            reason += f"; {settled.why}" if settled.why else ""
        predicate = self._predicate(base, settled, findings, reason, service)
        predicate["certificate"] = self._certificate(case, predicate, settled)
        frames = self._frames(case, settled.command)
        now = self._clock()
        if settled.command is not None and now > deadline_ns:
            # Late is not sent: what was found stays on record.
            settled, frames = Settled(None), ()
            predicate = self._predicate(base, settled, findings, "the deadline passed while deciding", service)
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


def _on_grid(value: Value, codec: Codec) -> int | None:
    """The request in whole register steps, rounded toward zero; None when it cannot be used."""
    if isinstance(value, Unusable):
        return None
    step: int = codec.grid[COMMANDED]
    return int(value / step) * step


__all__ = ["COMMANDED", "NANO", "NOT_YET", "Decision", "Guard", "Later", "Request", "Ruling", "Step", "judge_facts"]
