"""What decisions have in common: rules worked out once, and the record, from the question to its certificate."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

from compiler.core import Core
from compiler.document import document, document_digest
from compiler.instance import Instance
from compiler.lower import lower
from compiler.to_exact import Finding, Unusable, Verdict
from guardrails.case import FAILING, Case, Rules, distance, plain
from guardrails.policy import UNGUIDED, GuardPolicy, budget_s, check_names
from guardrails.seal import Sealer
from guardrails.settle import PROOF_S, Settled
from guardrails.state import NANO
from proofs.checker.policy import AFTER, BEFORE
from proofs.ledger import Entry, Ledger
from proofs.maker import Satisfiable, Undecided, decision_certificate
from rules_dsl.units import decimal

Later = Callable[[Sequence[bytes]], "Future[tuple[Entry, ...]]"]
"""Takes records that need not be durable before the act; the future tells when they are."""


class Recorder:
    """The rules in force, the policy, and how what was decided is put down."""

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

    def _cached(self, key: object, make: Callable[[], Instance | Rules]) -> Rules:
        if key not in self._cache:
            made = make()
            if isinstance(made, Instance):
                facts = lower(made)
                data = document(facts)
                made = Rules(made, facts, data, document_digest(data))
            self._cache[key] = made
            self._keep(made.digest, made.document)
        return self._cache[key]

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


def blocked(findings: Sequence[Finding]) -> bool:
    """Whether a rule that blocks does not comply."""
    return any(f.rule.blocks and f.verdict in FAILING for f in findings)


def reason_of(findings: Sequence[Finding]) -> str:
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
    by = ""
    if finding.margin is not None:
        by = f" by {decimal(-finding.margin / finding.rule.unit.factor)} {finding.rule.unit.text}"
    return f"{finding.rule.id} is violated{by} ({finding.rule.clause})"


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
