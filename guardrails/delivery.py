"""From a sealed command to the device's acknowledgement: attempts inside the deadline, then the fallback tier, and one
outcome on record for each command.

A delivery is a generator that yields the moments until which it waits: so waiting holds no thread, and tests need no
wall clock. `guardrails/lines.py` runs many of them side by side. docs/delivery.md has the states and times.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil
from typing import Any

from compiler.core import Core, CoreRule, names, needs_rows
from compiler.inputs import in_range
from compiler.instance import Instance
from compiler.lower import CannotLower, lower
from compiler.to_exact import Finding, Subject, Value, judge
from guardrails.breaker import Breaker, Limits
from guardrails.case import FAILING, Rules, judge_facts, steps_of
from guardrails.figures import ACKNOWLEDGED, ATTEMPTED, CHECKED, DELIVERY, FALLBACK, Figures
from guardrails.guard import NOT_YET, Decision
from guardrails.link import DeviceError, DeviceRefused, Link, ReadBackMismatch
from guardrails.meters import Meters
from guardrails.seal import Admitted, Expired, Permit, Sealer
from guardrails.state import NANO
from proofs.checker import delivery as kinds
from proofs.events import event, moment
from rules_dsl.units import decimal

ATTEMPT, DECIDED, SERVICE = "attempt", "decided_after", "delivery_service"
MEASURED = {DELIVERY: {ACKNOWLEDGED, FALLBACK, DECIDED, SERVICE, ATTEMPTED}, ATTEMPT: {ATTEMPTED}}
"""What delivery knows of each subject; a rule that needs more is named in the record as not judged."""


@dataclass(frozen=True, slots=True)
class Order:
    """A sealed command to deliver. `service` is what it is given for, a name of `delivery_service`; `asked_ns` when it
    was asked for; `instead_of` the record hash of the command whose fallback this is."""

    admitted: Admitted
    asked_ns: int
    service: str = "energy"
    instead_of: bytes | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: begun so many ns after the first, how long it took, and what became of it."""

    began_ns: int
    took_ns: int
    result: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a delivery ended, as its record says. `fallback` is the fallback's own outcome; `also` are commands for other
    devices that the same fallback decision admitted, still to be delivered."""

    order: Order
    outcome: str
    tier: str
    reason: str
    attempts: tuple[Attempt, ...]
    acknowledged_ns: int | None
    findings: tuple[Finding, ...]
    fallback: Outcome | None = None
    also: tuple[Order, ...] = ()


@dataclass(slots=True)
class Line:
    """What is known of the way to one device. `armed`: it acknowledged a command of this process, so its timer runs."""

    link: Link
    breaker: Breaker = field(default_factory=Breaker)
    quarantined: str | None = None
    armed: bool = False


@dataclass(slots=True)
class Trip:
    """One delivery under way; `permit` is None where the deadline had passed before."""

    order: Order
    permit: Permit | None
    taken_ns: int
    attempts: list[Attempt] = field(default_factory=list)
    first_ns: int | None = None
    acknowledged_ns: int | None = None


Fallback = Callable[[Order, str], Decision | None]
"""The guard's decision on the fallback of a command that was not acknowledged, for the reason given, judged with the
state of now. It may be asked from several threads; None where nothing can be asked."""
Waits = Generator[int, None, Outcome]


@dataclass(frozen=True, slots=True)
class _Judged:
    """A rule of deliveries: whether it speaks of what is on the wire, which may be nothing; whether of the times of
    attempts alone; and its facts."""

    rule: CoreRule
    of_attempts: bool
    of_times: bool
    facts: Rules | None

    def complies(self, values: Mapping[str, Value]) -> bool:
        """Whether the facts find nothing to say; where they do, the interpreter says what."""
        assert self.facts is not None
        (fact,) = self.facts.facts.rules
        return judge_facts(self.facts.facts, fact, steps_of(self.facts, values)) not in FAILING


class Courier:
    """Delivers commands to one device at a time and puts each outcome on record."""

    def __init__(
        self,
        core: Core,
        figures: Figures,
        sealer: Sealer,
        record: Callable[[Sequence[bytes]], object],
        fallback: Fallback,
        clock_ns: Callable[[], int],
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        limits: Limits = Limits(),  # noqa: B008 - frozen
        meters: Meters = Meters(),  # noqa: B008 - frozen
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`core` holds the rules that deliveries are judged by; `record` makes records durable; `chance` is between 0
        and 1 and lengthens waits."""
        self._core, self._declared, self.figures = core, core.declared(), figures
        self._sealer, self._record, self._fallback = sealer, record, fallback
        self.clock, self._wall, self._limits, self.meters, self._chance = clock_ns, wall, limits, meters, chance
        told = [r for r in core.rules if r.subject in MEASURED and CHECKED in r.checked]
        known = [r for r in told if _speaks_of(r) <= MEASURED[r.subject]]
        self._left = sorted({r.id for r in told} - {r.id for r in known})
        self._rules = [_Judged(r, _of_attempts(r), _speaks_of(r) <= {ATTEMPTED}, self._facts(r)) for r in known]
        # Most deliveries have one attempt, and what rules say of its beginning is always the same.
        self._first: dict[str, Finding] = {}

    def line(self, link: Link, quarantined: str | None = None) -> Line:
        """The line to a device; `quarantined` is why it may not be commanded, as the ledger says."""
        line = Line(link, quarantined=quarantined)
        self.meters.breakers.labels(line.breaker.state).inc()
        return line

    def take(self, order: Order, device: str) -> Trip:
        """Takes a command over from the guard: its seal is used up.

        Raises `SealError` for anything that was not admitted for this device, or was taken before; a late one is taken.
        """
        try:
            permit = self._sealer.permit(order.admitted, device, self.figures.attempts)
        except Expired:
            permit = None
        return Trip(order, permit, self.clock())

    def carry(self, line: Line, trip: Trip) -> Waits:
        """Delivers a command; yields the moments until which it waits."""
        before = line.breaker
        try:
            outcome, reason = yield from self._deliver(line, trip)
        finally:
            if trip.permit is not None:
                self._sealer.close(trip.permit)
        self._shown(before, line.breaker)
        tier, also = "command", tuple[Order, ...]()
        fallback: Outcome | None = None
        decision: Decision | None = None
        if outcome != "acknowledged":
            failed_ns = self.clock()
            open_to_it = line.quarantined is None and line.breaker.asked(failed_ns)[1]
            if trip.order.instead_of is None and open_to_it:
                decision, reason = self._asked_for(trip.order, reason)
            if decision is not None and decision.admitted:
                service, device = trip.order.service, trip.order.admitted.device
                orders = [Order(a, failed_ns, service, trip.order.admitted.record_hash) for a in decision.admitted]
                also = tuple(o for o in orders if o.admitted.device != device)
                for own in (o for o in orders if o.admitted.device == device):
                    fallback = yield from self.carry(line, self.take(own, device))
            tier = self._tier(line, fallback)
            self.meters.seconds.labels("fallback").observe((self.clock() - failed_ns) / NANO)
        return self._put_down(line, trip, outcome, reason, tier, decision, fallback, also)

    def _asked_for(self, order: Order, reason: str) -> tuple[Decision | None, str]:
        """The decision on the fallback, and the reason with what stood in its way."""
        try:
            return self._fallback(order, reason), reason
        except Exception as error:  # the outcome has to go on record whatever the guard met with
            return None, f"{reason}; the fallback could not be decided: {type(error).__name__}: {error}"

    def crowded_out(self, line: Line, trip: Trip) -> Outcome:
        """The outcome of a command that found the device's queue full; nothing is sent."""
        if trip.permit is not None:
            self._sealer.close(trip.permit)
        reason = "too many commands wait for this device"
        return self._put_down(line, trip, "overloaded", reason, self._tier(line, None), None, None, ())

    def settle_lost(self, lost: Mapping[tuple[str, str], str]) -> None:
        """Puts on record that the outcome of these commands (`Accounts.open`) went with an earlier process."""
        empty: dict[str, Any] = dict.fromkeys(kinds.FIELDS[kinds.DELIVERY])
        empty |= {"at": moment(self._wall()), "service": "energy", "outcome": "unknown", "tier": "none", "attempts": []}
        empty |= {"reason": "the process ended before the outcome was known", "rules": self._core.digest}
        empty |= {"findings": [], "not_judged": sorted({j.rule.id for j in self._rules} | {*self._left})}
        said = [{**empty, "record": leaf, "device": device, "frame": frame} for (leaf, device), frame in lost.items()]
        if said:
            self._record([event(kinds.DELIVERY, one) for one in said])

    def _tier(self, line: Line, fallback: Outcome | None) -> str:
        if fallback is not None:
            return "fallback" if fallback.outcome == "acknowledged" else fallback.tier
        return "device" if line.armed and line.link.reversion_s is not None else "none"

    def _deliver(self, line: Line, trip: Trip) -> Generator[int, None, tuple[str, str]]:
        if line.quarantined is not None:
            return "quarantined", f"the device is quarantined: {line.quarantined}"
        now = self.clock()
        if trip.permit is None or now > trip.order.admitted.deadline_ns:
            return "late", "the deadline had passed before the first attempt"
        line.breaker, may = line.breaker.asked(now)
        if not may:
            return "breaker_open", "the breaker is open after failures in a row"
        outcome, reason = yield from self._attempts(line, trip, trip.permit)
        if outcome == "acknowledged":
            line.breaker, line.armed = line.breaker.succeeded(), True
        elif outcome == "late":
            line.breaker = line.breaker.withdrawn(self.clock())
        else:
            line.breaker = line.breaker.failed(self._limits, self.clock())
        if outcome == "mismatch":
            # A device that holds something else may hold another timer too.
            line.armed = False
            self._quarantine(line, "quarantined", "delivery", reason, trip.order.admitted.record_hash.hex(), ())
        return outcome, reason

    def _attempts(self, line: Line, trip: Trip, permit: Permit) -> Generator[int, None, tuple[str, str]]:
        figures, deadline_ns = self.figures, trip.order.admitted.deadline_ns
        window_ns = int(figures.acknowledgement_s * NANO)
        start = trip.first_ns = self.clock()
        wait = figures.first_wait(min(window_ns, deadline_ns - start))
        latest = start + window_ns
        limit, patience = min(deadline_ns, latest), int(figures.patience_s * NANO)
        self.meters.seconds.labels("queue").observe((start - trip.taken_ns) / NANO)
        for left in range(figures.attempts - 1, -1, -1):
            wait += int(wait * figures.jitter * Fraction(self._chance()))
            until = start + max(wait, patience)
            result, reason, passing = self._attempt(line, permit, until if left and until <= limit else latest)
            took = self.clock() - start
            trip.attempts.append(Attempt(start - trip.first_ns, took, result, reason))
            self.meters.attempts.labels(result).inc()
            self.meters.seconds.labels("attempt").observe(took / NANO)
            if result == "acknowledged":
                trip.acknowledged_ns = start + took - trip.first_ns
                self.meters.seconds.labels("acknowledge").observe(trip.acknowledged_ns / NANO)
                if trip.acknowledged_ns <= window_ns:
                    return result, "the device holds the command"
                return "unacknowledged", "the acknowledgement came too late"
            if result == "late":
                return ("late", reason) if not trip.attempts[:-1] else ("unacknowledged", reason)
            following = max(start + wait, self.clock())
            if not left or not passing or following > limit:
                return "unacknowledged" if result == "unreachable" else result, reason
            if self.clock() < following:
                yield following
            before, start = start, self.clock()
            if start > limit:
                return "unacknowledged", f"no time is left for another attempt: {reason}"
            wait = ceil(figures.growth * (start - before))
        raise AssertionError("the last attempt is final")

    def _attempt(self, line: Line, permit: Permit, until_ns: int) -> tuple[str, str, bool]:
        """Result and reason of one attempt, and whether another may end better."""
        try:
            line.link.attempt(permit, until_ns)
        except Expired as error:
            return "late", str(error), False
        except ReadBackMismatch as error:
            return "mismatch", str(error), False
        except DeviceRefused as error:
            return "refused", str(error), error.passing
        except DeviceError as error:
            return "unreachable" if error.passing else "failed", str(error), error.passing
        except Exception as error:  # an adapter's slip may not take the outcome's record with it
            return "failed", f"{type(error).__name__}: {error}", False
        return "acknowledged", "", False

    def release(self, line: Line, by: str, reason: str, findings: Sequence[Finding] = ()) -> bool:
        """Ends a quarantine, on record: `by` names the person, or the rules.

        With findings (of what the device holds now, `Guard.check`) it stays as it is where a rule blocks.
        """
        blocks = any(f.rule.blocks and f.verdict in FAILING for f in findings)
        if line.quarantined is None or blocks:
            return False
        self._quarantine(line, "released", by, reason, None, findings)
        return True

    def _quarantine(
        self, line: Line, what: str, by: str, reason: str, record: str | None, findings: Sequence[Finding]
    ) -> None:
        said: dict[str, Any] = {"device": line.link.name, "at": moment(self._wall()), "event": what, "by": by}
        said |= {"reason": reason, "record": record, "findings": [told(f) for f in findings]}
        # INVARIANT: a quarantine binds before it is on record, a release only after.
        if what == "quarantined":
            line.quarantined = reason
        self._record([event(kinds.QUARANTINE, said)])
        if what == "released":
            line.quarantined = None

    def _put_down(
        self,
        line: Line,
        trip: Trip,
        outcome: str,
        reason: str,
        tier: str,
        decision: Decision | None,
        fallback: Outcome | None,
        also: tuple[Order, ...],
    ) -> Outcome:
        order, admitted = trip.order, trip.order.admitted
        decided = None if trip.first_ns is None else trip.first_ns - order.asked_ns
        findings = self._judged(trip, decided, tier in ("fallback", "device"))
        said = {
            "device": admitted.device,
            "record": admitted.record_hash.hex(),
            "decision": None if admitted.leaf_index == NOT_YET else admitted.leaf_index,
            "frame": hashlib.sha256(admitted.frame.to_bytes()).hexdigest(),
            "instead_of": None if order.instead_of is None else order.instead_of.hex(),
            "at": moment(self._wall()),
            "service": order.service,
            "outcome": outcome,
            "reason": reason,
            "attempts": [
                {"began_ns": a.began_ns, "took_ns": a.took_ns, "result": a.result, "reason": a.reason}
                for a in trip.attempts
            ],
            "decided_after_ns": decided,
            "acknowledged_after_ns": trip.acknowledged_ns,
            "tier": tier,
            "fallback": _named(decision, fallback),
            "reversion_s": line.link.reversion_s if line.armed else None,
            "breaker": line.breaker.state,
            "rules": self._core.digest,
            "findings": [told(f) for f in findings],
            "not_judged": self._left,
        }
        self._record([event(kinds.DELIVERY, said)])
        self.meters.outcomes.labels(outcome, tier).inc()
        if decided is not None:
            self.meters.seconds.labels("decide").observe(decided / NANO)
        attempts = tuple(trip.attempts)
        return Outcome(order, outcome, tier, reason, attempts, trip.acknowledged_ns, findings, fallback, also)

    def _judged(self, trip: Trip, decided_ns: int | None, fallback: bool) -> tuple[Finding, ...]:
        """Findings of the rules that the delivery does not comply with."""
        declared = self._declared
        # An hour, the end of the range, stands for an acknowledgement that never came.
        never = declared[ACKNOWLEDGED].high if ACKNOWLEDGED in declared else Fraction(0)
        after = never if trip.acknowledged_ns is None else Fraction(trip.acknowledged_ns, NANO)
        values: dict[str, Value] = {ACKNOWLEDGED: after, FALLBACK: Fraction(int(fallback))}
        if decided_ns is not None:
            values[DECIDED] = Fraction(decided_ns, NANO)
        if SERVICE in declared and trip.order.service in declared[SERVICE].names:
            values[SERVICE] = Fraction(declared[SERVICE].names.index(trip.order.service))
        values = {n: in_range(declared[n], v) for n, v in values.items() if n in declared and isinstance(v, Fraction)}
        rows = [{ATTEMPTED: Fraction(a.began_ns, NANO)} for a in trip.attempts]
        whole = Subject(values, rows)
        found = []
        for known in self._rules:
            if known.of_attempts and not rows:
                continue
            if known.facts is not None and known.complies(values):
                continue
            subjects = [whole] if known.rule.subject == DELIVERY else [Subject(row) for row in rows]
            found += [f for f in (self._judge(known, s) for s in subjects) if f.verdict in FAILING]
        return tuple(found)

    def _judge(self, known: _Judged, subject: Subject) -> Finding:
        if not known.of_times or len(subject.rows) != 1:
            return judge(known.rule, subject)
        # The one attempt is the first, which begins at zero.
        if known.rule.id not in self._first:
            self._first[known.rule.id] = judge(known.rule, subject)
        return self._first[known.rule.id]

    def _facts(self, rule: CoreRule) -> Rules | None:
        """The facts of a rule that looks at no attempt, None for any other."""
        if rule.subject != DELIVERY or rule.quantifier or any(needs_rows(node) for node in rule.nodes()):
            return None
        instance = Instance(DELIVERY, self._core.digest, self._declared, (rule,))
        try:
            return Rules(instance, lower(instance), b"", "")
        except CannotLower:
            return None

    def _shown(self, before: Breaker, after: Breaker) -> None:
        if before.state != after.state:
            self.meters.breakers.labels(before.state).dec()
            self.meters.breakers.labels(after.state).inc()


def told(finding: Finding) -> dict[str, Any]:
    """A finding as it stands in an event's record."""
    rule, margin = finding.rule, finding.margin
    return {
        "rule": rule.id,
        "clause": rule.clause,
        "verdict": finding.verdict.value,
        "margin": None if margin is None else decimal(margin / rule.unit.factor),
        "unit": rule.unit.text,
        "unusable": dict(finding.unusable),
    }


def _named(decision: Decision | None, fallback: Outcome | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    index = None if decision.index == NOT_YET else decision.index
    outcome = None if fallback is None else fallback.outcome
    return {"decision": index, "decided": decision.outcome, "reason": decision.reason, "outcome": outcome}


def _of_attempts(rule: CoreRule) -> bool:
    asks = bool(rule.quantifier) or any(needs_rows(node) for node in rule.nodes())
    return asks or DECIDED in _speaks_of(rule)


def _speaks_of(rule: CoreRule) -> set[str]:
    return {name for node in (rule.scope, *rule.nodes()) for name in names(node)}


__all__ = ["Attempt", "Courier", "Fallback", "Line", "Order", "Outcome", "Trip", "told"]
