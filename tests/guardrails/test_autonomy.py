"""When whoever plans is away: the last admitted schedule goes on as the guard allows with the readings of the site."""

from __future__ import annotations

from fractions import Fraction

import pytest

from compiler.to_exact import Value
from guardrails.autonomy import Autonomy, Standing
from guardrails.guard import Decision, Request
from guardrails.state import NANO
from proofs.checker.delivery import AUTONOMY, read_event
from tests.guardrails.plant import UNIT, Plant

STEP_S = 900
STEPS = [100_000, 200_000, 10_000_000, 150_000]
"""W; the third is more than the unit can give."""


class Station:
    """A plant whose planner falls silent."""

    def __init__(self) -> None:
        self.plant = Plant()
        self.asked: list[Value] = []
        self.autonomy = Autonomy(
            self.plant.guard,
            self.request,
            self.deliver,
            self.plant.ledger.append,
            self.plant.clock,
            silent_s=60,
            wall=self.plant.clock.wall,
        )
        self.standing = Standing("site", {UNIT: STEPS}, self.plant.clock.now, STEP_S * NANO, b"\x07" * 32)

    def request(self, unit: str, power: Value) -> Request:
        self.asked.append(power)
        return self.plant.request(power)

    def deliver(self, decision: Decision) -> None:
        self.plant.sealed += len(decision.admitted)
        if decision.admitted:
            self.plant.send(decision)

    def after(self, seconds: int) -> tuple[Decision, ...]:
        self.plant.clock.now += seconds * NANO
        return self.autonomy.tick()

    def events(self) -> list[tuple[str, int | None]]:
        found = [read_event(record) for record in self.plant.ledger.kept]
        return [(said["event"], said["step"]) for kind, said in (f for f in found if f) if kind == AUTONOMY]


def test_the_schedule_goes_on_step_by_step_each_judged_anew_until_it_ends() -> None:
    station = Station()
    station.autonomy.heard(station.standing)
    assert station.after(59) == ()
    first = station.after(1)
    assert [d.outcome for d in first] == ["admitted"]
    assert station.autonomy.tick() == ()
    assert station.after(10) == ()
    commands = [first[0].command]
    outcomes = [first[0].outcome]
    for _ in range(3):
        (decision,) = station.after(STEP_S)
        commands.append(decision.command)
        outcomes.append(decision.outcome)
    # What the unit cannot give is not replayed: the guard's closest command is sent.
    assert outcomes == ["admitted", "admitted", "repaired", "admitted"]
    assert [c and c[UNIT] for c in commands] == [100_000, 200_000, 500_000, 150_000]
    (last,) = station.after(STEP_S)
    assert (last.outcome, last.command) == ("fallback", {UNIT: 0})
    assert station.events() == [
        ("away", None), ("step", 0), ("step", 1), ("step", 2), ("step", 3), ("ended", 4), ("step", 4)
    ]  # fmt: skip
    told = station.plant.accounts()
    assert not told.open
    assert len(told.outcomes) == station.plant.sealed == 5


def test_without_fresh_readings_nothing_of_the_schedule_is_sent() -> None:
    station = Station()
    station.autonomy.heard(station.standing)
    station.plant.age_ns = 3600 * NANO
    (decision,) = station.after(60)
    assert decision.outcome in ("refused", "fallback")
    assert decision.command in (None, {UNIT: 0})
    assert {f.verdict.value for f in decision.findings} == {"cannot_tell"}


def test_a_word_from_the_planner_ends_autonomy_and_a_new_schedule_replaces_the_old() -> None:
    station = Station()
    station.autonomy.heard(station.standing)
    assert len(station.after(60)) == 1
    newer = Standing("site", {UNIT: [50_000]}, station.plant.clock.now, STEP_S * NANO, b"\x08" * 32)
    station.autonomy.heard(newer)
    assert not station.autonomy.away
    assert station.after(30) == ()
    (decision,) = station.after(60)
    assert decision.command == {UNIT: 50_000}
    assert station.events() == [("away", None), ("step", 0), ("back", None), ("away", None), ("step", 0)]


def test_nothing_is_sent_before_a_schedule_begins_or_where_there_is_none() -> None:
    station = Station()
    assert station.after(3600) == ()
    later = Standing("site", {UNIT: STEPS}, station.plant.clock.now + 3600 * NANO, STEP_S * NANO, b"")
    station.autonomy.heard(later)
    assert station.after(120) == ()
    assert station.asked == []


def test_a_schedule_of_a_part_of_a_pool_is_refused() -> None:
    station = Station()
    station.autonomy._pools = {"homes": (UNIT, "HOME_2"), "others": ("HOME_3",)}
    with pytest.raises(ValueError, match="HOME_2 of pool homes has no steps"):
        station.autonomy.heard(station.standing)
    assert station.after(3600) == ()
    assert station.asked == []


def test_a_step_that_fails_half_way_is_not_sent_twice() -> None:
    station = Station()
    station.autonomy.heard(station.standing)
    station.plant.clock.now += 60 * NANO
    station.deliver = lambda decision: 1 // 0  # type: ignore[method-assign,assignment]
    station.autonomy._deliver = station.deliver
    with pytest.raises(ZeroDivisionError):
        station.autonomy.tick()
    assert station.autonomy.tick() == ()
    assert station.asked == [Fraction(100_000)]


@pytest.mark.parametrize(("power", "step_ns", "message"), [
    ({}, NANO, "power"),
    ({"a": []}, NANO, "power"),
    ({"a": [1], "b": [1, 2]}, NANO, "power"),
    ({"a": [1.5]}, NANO, "whole watts"),
    ({"a": [1]}, 0, "step_ns"),
])  # fmt: skip
def test_a_schedule_that_cannot_be_is_refused(power: dict[str, list[int]], step_ns: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Standing("site", power, 0, step_ns, b"")
