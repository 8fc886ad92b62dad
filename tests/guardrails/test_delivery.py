"""Deliveries to a device that fails to order, on a clock that tests move: outcomes, tiers, times, records."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections import deque
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from compiler.to_exact import Finding, Subject, judge
from guardrails.breaker import CLOSED, HALF_OPEN, OPEN, Breaker, Limits
from guardrails.delivery import Order, Outcome
from guardrails.figures import FiguresError, figures
from guardrails.guard import Decision
from guardrails.lines import Lines
from guardrails.seal import Expired, NotAdmitted, Permit, Replayed, WrongDevice
from proofs.checker.canonical_json import dumps, loads
from proofs.checker.certificate import Bad
from proofs.checker.delivery import DELIVERY, QUARANTINE, accounts, read_event
from proofs.events import event
from tests import packs
from tests.guardrails.plant import NANO, UNIT, Act, FakeDevice, Plant, assert_waits_grow, core

WATTS = Fraction(200_000)
SILENT: Act = ("silent", 0)


def rules_of(findings: tuple[Finding, ...]) -> set[str]:
    return {f.rule.id for f in findings}


CASES: dict[str, tuple[list[Act], str, str, int, set[str]]] = {
    "at once": ([], "acknowledged", "command", 1, set()),
    "at the second attempt": ([SILENT], "acknowledged", "command", 2, set()),
    "at the fourth": ([SILENT, ("mute", 0), SILENT], "acknowledged", "command", 4, set()),
    "busy, then free": ([("busy", 5), ("busy", 5)], "acknowledged", "command", 3, set()),
    "never, then the fallback": ([SILENT] * 4, "unacknowledged", "fallback", 4, set()),
    "never, nor the fallback": ([SILENT] * 8, "unacknowledged", "none", 4, {"operator/acknowledgement"}),
    "refused, then the fallback": ([("refuse", 5)], "refused", "fallback", 1, set()),
    "busy for good": ([("busy", 5)] * 4, "refused", "fallback", 4, set()),
    "an adapter's slip": ([("slip", 5)], "failed", "fallback", 1, set()),
    "read back other than written": ([("mismatch", 5)], "mismatch", "none", 1, {"operator/acknowledgement"}),
    "acknowledged after the window": ([SILENT] * 3 + [("ok", 4900)], "unacknowledged", "fallback", 4, set()),
}
"""What the device does; outcome, tier, attempts, and the rules that the delivery does not comply with."""


@pytest.mark.parametrize("name", CASES)
def test_a_delivery_ends_as_it_should_and_is_on_record(name: str) -> None:
    acts, outcome, tier, attempts, broken = CASES[name]
    plant = Plant()
    plant.device.acts = deque(acts)
    decision = plant.decide(WATTS)
    found = plant.send(decision)
    assert (found.outcome, found.tier, len(found.attempts)) == (outcome, tier, attempts)
    assert rules_of(found.findings) == broken
    assert_waits_grow([a.began_ns for a in found.attempts], plant.courier.figures.growth)
    told = plant.accounts()
    assert not told.open
    assert not told.early
    assert len(told.outcomes) == plant.sealed
    record = read_event(plant.ledger.kept[-1])
    assert record is not None
    kind, said = record
    assert kind == DELIVERY
    assert (said["outcome"], said["tier"], said["decision"]) == (outcome, tier, decision.index)
    assert said["not_judged"] == ["operator/response_window"]
    assert (plant.line.quarantined is not None) == (outcome == "mismatch")
    if found.fallback is not None:
        assert said["fallback"]["decision"] > decision.index
        assert found.fallback.order.instead_of == decision.admitted[0].record_hash


def test_the_dead_man_timer_is_the_last_tier_once_a_command_has_armed_it() -> None:
    plant = Plant()
    assert plant.send(plant.decide(WATTS)).tier == "command"
    plant.device.acts = deque([SILENT] * 8)
    found = plant.send(plant.decide(WATTS - 50_000))
    assert (found.outcome, found.tier) == ("unacknowledged", "device")
    assert found.fallback is not None
    assert found.fallback.tier == "device"
    assert rules_of(found.findings) == set()
    said = json.loads(plant.ledger.kept[-1])["predicate"]
    assert (said["reversion_s"], said["tier"]) == (60, "device")
    plant.device.reversion_s = None
    plant.device.acts = deque([SILENT] * 8)
    assert plant.send(plant.decide(WATTS)).tier == "none"


def test_a_fallback_that_the_guard_refuses_leaves_the_devices_own_timer() -> None:
    plant = Plant()
    plant.send(plant.decide(WATTS))
    decision = plant.decide(WATTS - 50_000)
    plant.age_ns = 3600 * NANO
    plant.device.acts = deque([SILENT] * 4)
    found = plant.send(decision)
    said = json.loads(plant.ledger.kept[-1])["predicate"]
    # Standing still is open even to a unit that nothing is known of; what the guard says is on record either way.
    assert said["fallback"]["decided"] in ("fallback", "refused")
    assert (found.tier == "device") == (said["fallback"]["decided"] == "refused")
    assert not plant.accounts().open


def test_late_is_not_sent() -> None:
    plant = Plant()
    decision = plant.decide(WATTS, deadline_ms=100)
    plant.clock.now += 101 * 10**6
    found = plant.send(decision)
    assert (found.outcome, found.attempts) == ("late", ())
    sent = [frame for _, frame in plant.device.journal]
    assert decision.admitted[0].frame not in sent
    assert not plant.accounts().open


def test_retries_end_at_the_deadline() -> None:
    plant = Plant()
    decision = plant.decide(WATTS, deadline_ms=900)
    plant.device.acts = deque([SILENT] * 4)
    found = plant.send(decision)
    deadline = decision.admitted[0].deadline_ns
    assert len(found.attempts) == 2
    assert found.outcome == "unacknowledged"
    assert all(at <= deadline for at in plant.device.asked[:2])
    # An answer may come after the deadline; what may not is a write.
    assert found.attempts[-1].began_ns + found.attempts[-1].took_ns == 5 * NANO


@pytest.mark.parametrize(("service", "ago_ms", "broken"), [
    ("energy", 3000, set()),
    ("primary_response", 500, set()),
    ("primary_response", 501, {"operator/latency"}),
    ("synthetic_inertia", 200, set()),
    ("synthetic_inertia", 201, {"operator/latency"}),
])  # fmt: skip
def test_the_latency_budget_is_judged_by_the_operators_rule(service: str, ago_ms: int, broken: set[str]) -> None:
    plant = Plant()
    found = plant.send(plant.decide(WATTS), service, ago_ms)
    assert rules_of(found.findings) == broken


def test_a_breaker_opens_after_failures_in_a_row_tries_once_and_closes() -> None:
    plant = Plant(Limits(failures=3, wait_ns=10 * NANO))
    plant.device.acts = deque([SILENT] * 1000)
    seen: list[tuple[str, str]] = []
    for _ in range(3):
        found = plant.send(plant.decide(WATTS))
        seen.append((found.outcome, plant.line.breaker.state))
    # The first command and its fallback are two failures; the second command is the third.
    assert seen == [("unacknowledged", CLOSED), ("unacknowledged", OPEN), ("breaker_open", OPEN)]
    asked = len(plant.device.asked)
    plant.clock.now += 10 * NANO
    assert plant.send(plant.decide(WATTS)).outcome == "unacknowledged"
    assert (plant.line.breaker.state, plant.line.breaker.trials) == (OPEN, 1)
    assert len(plant.device.asked) == asked + 4
    plant.clock.now += 19 * NANO
    assert plant.send(plant.decide(WATTS)).outcome == "breaker_open"
    plant.clock.now += NANO
    plant.device.acts.clear()
    assert plant.send(plant.decide(WATTS)).outcome == "acknowledged"
    assert plant.line.breaker == Breaker()
    assert not plant.accounts().open


def test_a_quarantine_ends_only_by_a_release_on_record() -> None:
    plant = Plant()
    plant.device.acts = deque([("mismatch", 5)])
    plant.send(plant.decide(WATTS))
    sent = len(plant.device.asked)
    found = plant.send(plant.decide(WATTS))
    assert (found.outcome, found.fallback, len(plant.device.asked)) == ("quarantined", None, sent)
    assert set(plant.accounts().quarantined) == {UNIT}
    blocking = plant.guard.check(plant.request(Fraction(10**7)))
    assert not plant.courier.release(plant.line, "rules", "the rules allow what it holds", blocking)
    assert plant.line.quarantined is not None
    allowed = plant.guard.check(plant.request(Fraction(0)))
    assert plant.courier.release(plant.line, "rules", "the rules allow what it holds", allowed)
    kind, said = read_event(plant.ledger.kept[-1]) or ("", {})
    assert (kind, said["event"], said["by"]) == (QUARANTINE, "released", "rules")
    assert plant.accounts().quarantined == {}
    assert not plant.courier.release(plant.line, "a person", "again")
    assert plant.send(plant.decide(WATTS)).outcome == "acknowledged"


def test_a_guard_that_fails_leaves_the_outcome_on_record() -> None:
    plant = Plant()
    decision = plant.decide(WATTS)
    plant.device.acts = deque([("refuse", 5)])
    plant.guard.decide = None  # type: ignore[method-assign,assignment]
    found = plant.send(decision)
    assert "could not be decided: TypeError" in found.reason
    assert not plant.accounts().open


def test_outcomes_lost_with_a_process_are_put_on_record_as_unknown() -> None:
    plant = Plant()
    plant.decide(WATTS)
    lost = plant.accounts().open
    assert len(lost) == 1
    plant.courier.settle_lost(lost)
    assert list(plant.accounts().outcomes.values()) == ["unknown"]
    plant.courier.settle_lost({})
    assert len(plant.ledger.kept) == 2


def test_a_permit_is_one_command_and_nobody_elses() -> None:
    plant = Plant()
    (admitted,) = plant.decide(WATTS).admitted
    sealer = plant.sealer
    permit = sealer.permit(admitted, UNIT, 2)
    with pytest.raises(Replayed):
        sealer.permit(admitted, UNIT, 2)
    with pytest.raises(Replayed):
        sealer.redeem(admitted, UNIT)
    for other in (copy.copy(permit), Permit(UNIT, admitted), dataclasses.replace(permit), admitted, None):
        with pytest.raises(NotAdmitted):
            sealer.attempt(other, UNIT)
    with pytest.raises(WrongDevice):
        sealer.attempt(permit, "another")
    assert sealer.attempt(permit, UNIT) == sealer.attempt(permit, UNIT) == admitted.frame
    with pytest.raises(Replayed):
        sealer.attempt(permit, UNIT)
    sealer.still(permit, UNIT)
    plant.clock.now = admitted.deadline_ns + 1
    with pytest.raises(Expired):
        sealer.attempt(permit, UNIT)
    with pytest.raises(Expired):
        sealer.still(permit, UNIT)
    sealer.close(permit)
    with pytest.raises(NotAdmitted):
        sealer.attempt(permit, UNIT)


def test_a_command_is_taken_once() -> None:
    plant = Plant()
    decision = plant.decide(WATTS)
    plant.send(decision)
    with pytest.raises(Replayed):
        plant.send(decision)
    assert len(plant.accounts().outcomes) == 1


def test_figures_come_from_the_rules() -> None:
    found = figures(core())
    assert (found.acknowledgement_s, found.attempts, found.growth) == (5, 4, 2)
    assert found.clauses == (
        "Operator's failure-mode table, acknowledgement",
        "Operator's failure-mode table, retries",
    )
    with pytest.raises(FiguresError, match="nobody has chosen `retry_growth`"):
        figures(packs.core())
    assert figures(packs.core(), Fraction(3)).growth == 3
    with pytest.raises(FiguresError, match="outside what the rules allow"):
        figures(packs.core(), Fraction(1))
    changed = packs.broken("when acknowledged_after > 5 s,", "when acknowledged_after > 7 s,")
    assert figures(changed, Fraction(2)).acknowledgement_s == 7
    changed = packs.broken("count of attempts must be at most 4", "count of attempts must be at most 2")
    assert figures(changed, Fraction(2)).attempts == 2
    none = dataclasses.replace(core(), rules=tuple(r for r in core().rules if r.id != "operator/retries"))
    with pytest.raises(FiguresError, match="how often"):
        figures(none)
    none = dataclasses.replace(core(), rules=tuple(r for r in core().rules if r.id != "operator/acknowledgement"))
    with pytest.raises(FiguresError, match="gives way to the fallback"):
        figures(none)


def tampered(records: list[bytes], **changes: object) -> list[bytes]:
    """The records with the last delivery's fields changed."""
    said = json.loads(records[-1])["predicate"] | changes
    return [*records[:-1], event(DELIVERY, said)]


def test_accounts_find_what_is_not_so() -> None:
    plant = Plant()
    plant.send(plant.decide(WATTS))
    kept = plant.ledger.kept
    assert accounts(kept).outcomes.keys() == {(plant_leaf(plant), UNIT)}
    with pytest.raises(Bad, match="second outcome"):
        accounts([*kept, kept[-1]])
    with pytest.raises(Bad, match="not what was admitted"):
        accounts(tampered(kept, frame="00" * 32))
    with pytest.raises(Bad, match="is none"):
        accounts(tampered(kept, outcome="fine"))
    assert accounts(tampered(kept, device="another")).early
    assert accounts(kept[:-1]).open
    # Recorded after the act: the decision may follow the outcome.
    assert accounts([kept[-1], kept[0]]).early == {}
    with pytest.raises(Bad, match="not what was admitted"):
        accounts(tampered(kept, frame="00" * 32)[::-1])
    with pytest.raises(Bad, match="unknown type"):
        read_event(kept[-1].replace(b"lexwatt/delivery/v1", b"lexwatt/delivery/v9"))
    with pytest.raises(Bad, match="does not name"):
        read_event(kept[-1].replace(b'"tier":"command"', b'"tier":"devices"'))
    with pytest.raises(Bad, match="cannot be read"):
        read_event(b"{")
    with pytest.raises(ValueError, match="exactly its fields"):
        event(DELIVERY, {})


def test_records_of_events_are_canonical_and_findings_are_the_interpreters() -> None:
    plant = Plant()
    plant.device.acts = deque([SILENT] * 9)
    outcomes = [plant.send(plant.decide(WATTS), s, ms) for s in ("energy", "synthetic_inertia") for ms in (0, 300)]
    for record in plant.ledger.kept:
        assert dumps(loads(record)) == record
    rules = [r for r in core().rules if r.subject == "delivery" and "telemetry" in r.checked]
    for outcome, ago in zip(outcomes, (0, 300) * 2, strict=True):
        never, first = Fraction(3600), Fraction(ago, 1000)
        values = {
            "acknowledged_after": never if outcome.acknowledged_ns is None else Fraction(outcome.acknowledged_ns, NANO),
            "fallback_taken": Fraction(int(outcome.tier in ("fallback", "device"))),
            "decided_after": first,
            "delivery_service": Fraction(
                ("energy", "primary_response", "synthetic_inertia").index(outcome.order.service)
            ),
        }
        rows = [{"attempted_at": Fraction(a.began_ns, NANO)} for a in outcome.attempts]
        found = [judge(r, Subject(values, rows)) for r in rules if r.id not in ("operator/response_window",)]
        failing = {f.rule.id for f in found if f.verdict.value in ("violates", "cannot_tell")}
        assert rules_of(outcome.findings) == (failing if rows else failing & {"operator/acknowledgement"})


def plant_leaf(plant: Plant) -> str:
    (outcome,) = [json.loads(r)["predicate"] for r in plant.ledger.kept if read_event(r)]
    return str(outcome["record"])


@pytest.mark.parametrize(("changes", "field"), [
    ({"failures": 0}, "failures"),
    ({"wait_ns": 0}, "wait_ns"),
    ({"growth": 0}, "growth"),
    ({"longest_ns": 1}, "longest_ns"),
])  # fmt: skip
def test_limits_of_a_breaker_that_cannot_be_are_refused(changes: dict[str, int], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Limits(**changes)


def test_the_waits_of_a_breaker_grow_and_have_an_end() -> None:
    limits = Limits(failures=2, wait_ns=10, growth=3, longest_ns=100)
    breaker, now, waits = Breaker().failed(limits, 0), 0, []
    assert breaker.state == CLOSED
    for _ in range(5):
        breaker = breaker.failed(limits, now)
        assert breaker.state == OPEN
        waits.append(breaker.until_ns - now)
        assert breaker.asked(breaker.until_ns - 1) == (breaker, False)
        now = breaker.until_ns
        breaker, may = breaker.asked(now)
        assert may
        assert breaker.state == HALF_OPEN
        assert breaker.asked(now) == (breaker, False)
    assert waits == [10, 30, 90, 100, 100]
    assert breaker.withdrawn(now).asked(now)[1]
    assert breaker.succeeded() == Breaker()


ACTS = st.tuples(
    st.sampled_from(("ok", "silent", "mute", "refuse", "busy", "mismatch", "slip")), st.sampled_from((0, 5, 300, 4000))
)


class Deliveries(RuleBasedStateMachine):
    """Any order of commands, faults, waits and releases."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(failures=2, wait_ns=7 * NANO, longest_ns=20 * NANO)
        self.plant = Plant(self.limits, chance=iter(lambda: (self.plant.clock.now % 97) / 97, 2).__next__)
        self.before = Breaker()

    @rule(acts=st.lists(ACTS, max_size=6))
    def faults(self, acts: list[Act]) -> None:
        self.plant.device.acts.extend(acts)

    @rule(ms=st.sampled_from((1, 900, 7000, 30_000)))
    def waits(self, ms: int) -> None:
        self.plant.clock.now += ms * 10**6

    @rule(
        kw=st.integers(-5, 5),
        deadline_ms=st.sampled_from((50, 1000, 8000)),
        idle_ms=st.sampled_from((0, 0, 60)),
        armed=st.booleans(),
    )
    def command(self, kw: int, deadline_ms: int, idle_ms: int, armed: bool) -> None:
        plant = self.plant
        plant.device.reversion_s = 60 if armed else None
        decision = plant.decide(Fraction(kw * 50_000), deadline_ms)
        if not decision.admitted:
            return
        plant.clock.now += idle_ms * 10**6
        line, asked, journal = plant.line, len(plant.device.asked), len(plant.device.journal)
        held, may = line.quarantined is not None, line.breaker.asked(plant.clock.now)[1]
        late = plant.clock.now > decision.admitted[0].deadline_ns
        found = plant.send(decision)
        if held or late or not may:
            assert found.attempts == ()
            assert found.outcome == ("quarantined" if held else "late" if late else "breaker_open")
            if held or not may:
                assert len(plant.device.asked) == asked
        self.judge(found)
        for at, frame in plant.device.journal[journal:]:
            allowed = [found.order, *([found.fallback.order] if found.fallback else [])]
            assert any(frame == o.admitted.frame and at <= o.admitted.deadline_ns for o in allowed)

    def judge(self, found: Outcome) -> None:
        figures = self.plant.courier.figures
        assert len(found.attempts) <= figures.attempts
        assert_waits_grow([a.began_ns for a in found.attempts], figures.growth)
        acknowledged = found.outcome == "acknowledged"
        assert acknowledged == (found.acknowledged_ns is not None and found.acknowledged_ns <= 5 * NANO)
        assert (found.tier == "command") == acknowledged
        broken = rules_of(found.findings) - {"operator/latency"}
        assert broken == ({"operator/acknowledgement"} if found.tier == "none" else set())
        if found.fallback is not None:
            assert not acknowledged
            assert found.fallback.fallback is None
            self.judge(found.fallback)

    @precondition(lambda self: self.plant.line.quarantined is not None)
    @rule()
    def release(self) -> None:
        assert self.plant.courier.release(self.plant.line, "a person", "seen on site")

    @invariant()
    def every_command_has_one_outcome(self) -> None:
        told = self.plant.accounts()
        assert not told.open
        assert not told.early
        assert len(told.outcomes) == self.plant.sealed
        assert (UNIT in told.quarantined) == (self.plant.line.quarantined is not None)
        assert not self.plant.sealer._permits

    @invariant()
    def the_breaker_is_open_only_after_failures_in_a_row(self) -> None:
        breaker = self.plant.line.breaker
        assert breaker.state != HALF_OPEN
        assert (breaker.state == OPEN) == (breaker.failures >= self.limits.failures)


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(
    max_examples=25, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_an_order_names_its_service() -> None:
    plant = Plant()
    (admitted,) = plant.decide(WATTS).admitted
    assert Order(admitted, 0).service == "energy"


def test_a_fallback_for_a_pool_reaches_its_other_members_too() -> None:
    plant = Plant()
    other = "MG11_BESS_01"
    beside = FakeDevice(other, plant.sealer, plant.clock)

    def fallback(order: Order, reason: str) -> Decision:
        own = plant.decide(Fraction(0))
        codec = dataclasses.replace(plant.codec, device=other)
        theirs = plant.guard.decide(dataclasses.replace(plant.request(Fraction(0)), unit=other, codec=codec))
        plant.sealed += 1
        return dataclasses.replace(own, admitted=own.admitted + theirs.admitted)

    plant.courier._fallback = fallback
    plant.device.acts = deque([("refuse", 5)])
    with Lines(plant.courier, [plant.device, beside], threads=2) as lines:
        (told,) = lines.deliver(plant.decide(WATTS), plant.clock.now)
        outcome = told.result(20)
    assert (outcome.outcome, outcome.tier) == ("refused", "fallback")
    assert [o.admitted.device for o in outcome.also] == [other]
    assert len(beside.journal) == 1
    told_of = plant.accounts()
    assert not told_of.open
    assert len(told_of.outcomes) == plant.sealed == 3


def test_a_ledger_that_fails_is_told_to_whoever_waits_and_the_device_goes_on() -> None:
    plant = Plant()
    first, second = plant.decide(WATTS), plant.decide(Fraction(50_000))

    def full(records: object) -> object:
        plant.courier._record = plant.ledger.append
        raise OSError("no space left on device")

    plant.courier._record = full
    with Lines(plant.courier, [plant.device], threads=1) as lines:
        (failed,) = lines.deliver(first, plant.clock.now)
        (done,) = lines.deliver(second, plant.clock.now)
        with pytest.raises(OSError, match="no space left"):
            failed.result(20)
        assert done.result(20).outcome == "acknowledged"
    assert len(plant.accounts().open) == 1


def test_whoever_no_longer_waits_for_an_outcome_stops_no_other_delivery() -> None:
    plant = Plant()
    first, second = plant.decide(WATTS), plant.decide(Fraction(50_000))
    with Lines(plant.courier, [plant.device], threads=1) as lines:
        (told,) = lines.deliver(first, plant.clock.now)
        assert not told.cancel()
        (done,) = lines.deliver(second, plant.clock.now)
        assert told.result(20).outcome == done.result(20).outcome == "acknowledged"
    assert not plant.accounts().open
