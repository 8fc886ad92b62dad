"""The demonstration's twins: stepped by plant time, right about an honest battery, and wary of one that is not."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from guardrails.state import NANO
from lexwatt.looking_ahead import Watch
from tests.packs import core, fleet

UNIT, SPEED, STEP_S = "LFP_250", 1800, 900


class Plant:
    """A battery that loses five per cent on the way, and holds a set point for half an hour, with its twin."""

    def __init__(self, log: Path, charge: Fraction = Fraction(4, 5)) -> None:
        self.watch = Watch(fleet().units.values(), core(), log, SPEED)
        self.now, self.charge, self.power, self.log = 0, charge, 0, log

    def flow(self, seconds: int) -> None:
        drawn = Fraction(self.power) / Fraction("0.95") if self.power > 0 else Fraction(self.power) * Fraction("0.95")
        self.charge -= drawn * seconds / 3600 / fleet().units[UNIT].usable_energy
        self.now += seconds * NANO // SPEED

    def tell(self, reported: Fraction | None) -> None:
        self.watch.seen(UNIT, {"active_power": Fraction(self.power), "state_of_charge": reported}, self.now)

    def send(self, watts: int) -> None:
        self.watch.sent(UNIT, watts, 1800, self.now)
        self.power = watts

    def range(self) -> tuple[Fraction | None, Fraction | None]:
        found = self.watch.readings(UNIT, self.now)
        assert {r.at_ns for r in found.values()} == {self.now}
        return found["twin_power_floor"].value, found["twin_power_ceiling"].value

    def rows(self) -> list[dict[str, float | bool | None]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


POWERS = (0, 150_000, 100_000, -80_000, -100_000, 0, 60_000, -20_000)


def test_an_honest_battery_is_followed_through_plant_time(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "log")
    assert plant.range() == (None, None), "nothing is known before the first telemetry"
    assert plant.watch.readings("MG11_BESS_02", 0) == {}
    plant.tell(plant.charge)
    for watts in POWERS:
        # The set point before flows while the guard decides.
        plant.flow(120)
        plant.send(watts)
        plant.flow(STEP_S - 120)
        plant.tell(plant.charge)
    rows = plant.rows()
    assert [row["at_ns"] for row in rows] == pytest.approx([STEP_S * NANO * (k + 1) for k in range(len(POWERS))])
    assert max(abs(float(row["residual"] or 0)) for row in rows) < 0.03
    assert not any(row["reestimated"] or row["derated"] for row in rows)
    assert plant.range() == (-100_000, 150_000)
    (line,) = plant.watch.lines()
    assert line.startswith(f"twin of {UNIT}: {len(POWERS)} of {len(POWERS)} telemetries compared")


def test_a_sensor_that_sticks_is_found_and_costs_power(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "log")
    plant.tell(stuck := plant.charge)
    plant.send(100_000)
    for _ in range(2):
        plant.flow(STEP_S)
        plant.tell(stuck)
    last = plant.rows()[-1]
    assert last["reestimated"]
    assert last["derated"]
    assert plant.range() == (-50_000, 75_000)
    assert "re-estimated" in next(iter(plant.watch.lines()))


def test_what_is_not_told_is_counted_on_and_nothing_is_compared(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "log")
    plant.tell(None)
    assert plant.range() == (None, None)
    plant.tell(plant.charge)
    plant.send(100_000)
    plant.flow(STEP_S)
    plant.tell(None)
    (row,) = plant.rows()
    assert (row["reported_charge"], row["residual"]) == (None, None)
    assert float(row["simulated_charge"] or 0) == pytest.approx(float(plant.charge), abs=0.02)


def test_a_set_point_that_the_devices_own_timer_ended_flowed_until_then(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "log")
    plant.tell(plant.charge)
    plant.send(100_000)
    plant.flow(1800)
    plant.power = 0
    plant.flow(1800)
    plant.tell(plant.charge)
    (row,) = plant.rows()
    assert abs(float(row["residual"] or 1)) < 0.02
    assert plant.charge < Fraction(3, 5)


def test_an_earlier_log_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("old\n")
    Plant(tmp_path / "log")
    assert (tmp_path / "log").read_text() == ""
