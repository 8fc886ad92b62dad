"""The main job, start to end: rules, theorems, plan, devices, guard, ledger, receipts."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any

from adapters.sunspec.client import SunSpecDevice
from adapters.sunspec.process import DeviceProcess
from compiler.core import Declared, params
from compiler.inputs import read
from compiler.to_exact import Unusable, Value
from dispatch.prices import STEPS, Prices
from dispatch.schedule import STEP_S, Schedule
from guardrails.delivery import Courier
from guardrails.delivery import Order as Sealed
from guardrails.figures import figures
from guardrails.fleet import Fleet, Unit
from guardrails.guard import Decision, Guard, Request
from guardrails.lines import Lines
from guardrails.link import DeviceError
from guardrails.seal import Sealer
from guardrails.state import NANO, Reading, snapshot, usable_until
from lexwatt.looking_ahead import Watch
from lexwatt.site import Folder
from proofs.checker.delivery import accounts
from proofs.ledger import Ledger
from rules_dsl.units import number

SPEED = 1800
"""Seconds of plant time for each second of the demonstration: a quarter-hour passes in half a second."""
DEADLINE_NS = 2 * NANO
OFFERS: tuple[tuple[str, bool], ...] = (("2 MW", True), ("1.5 MW", True))


@dataclass(frozen=True, slots=True)
class Order:
    """What one unit is asked for at one step: planned, or traded within the day and then all or nothing."""

    unit: Unit
    power: Value
    tolerance: int | None
    origin: str


@dataclass(slots=True)
class Tally:
    """What became of one unit's commands."""

    planned: Fraction = Fraction(0)
    kept: Fraction = Fraction(0)
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    written: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One decision as it happened, for whoever shows progress. `when` is `recorded` (durable, nothing sent yet) or
    `written` (read back and equal)."""

    when: str
    step: int
    decision: Decision
    leaf: str
    note: str


def read_frequency(path: Path) -> tuple[Fraction, ...]:
    """The frequency of each step, in Hz; raises `ValueError` for a value that is not a plain decimal number."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return tuple(number(row["frequency_hz"]) for row in csv.DictReader(lines))


def simulator_config(fleet: Fleet, charge: Mapping[str, Fraction]) -> tuple[dict[str, Any], dict[str, int]]:
    """The simulated devices: every SunSpec unit of the fleet behind one server, and the numbers they answer to."""
    numbers = {u.id: n for n, u in enumerate(_sunspec(fleet), 1)}
    units = [
        {
            "unit_id": numbers[u.id],
            "rated_w": int(max(u.max_discharge_power, u.max_charge_power)),
            "usable_wh": int(u.usable_energy),
            "soc": str(charge[u.id]),
            "wset_sf": u.wset_sf,
            "efficiency": "0.95",
        }
        for u in _sunspec(fleet)
    ]
    return {"units": units, "hz": "50"}, numbers


def _sunspec(fleet: Fleet) -> tuple[Unit, ...]:
    return tuple(u for u in fleet.units.values() if u.protocol == "sunspec_modbus")


class Run:
    """Commands a fleet's devices through a schedule, step by step."""

    def __init__(
        self,
        fleet: Fleet,
        guard: Guard,
        ledger: Ledger,
        sealer: Sealer,
        schedule: Schedule,
        prices: Prices,
        process: DeviceProcess,
        numbers: Mapping[str, int],
        show: Callable[[Event], None],
        log: Path,
    ) -> None:
        """`show` is told each event; the twins' comparisons go to the file `log`."""
        self.fleet, self.guard, self.ledger = fleet, guard, ledger
        self.schedule, self.prices, self.process, self.show = schedule, prices, process, show
        self.numbers = numbers
        self.watch = Watch([fleet.units[unit] for unit in numbers], guard.core, log, SPEED)
        self.tallies: dict[str, Tally] = {u.id: Tally() for u in fleet.units.values()}
        self.decisions: list[Decision] = []
        self.devices = {
            unit: SunSpecDevice(unit, "127.0.0.1", process.port, n, sealer, reversion_s=2 * STEP_S)
            for unit, n in numbers.items()
        }
        self._reference: dict[str, Fraction] = {}
        self._threshold = _threshold(guard)
        for device in self.devices.values():
            device.connect()
        courier = Courier(guard.core, figures(guard.core), sealer, ledger.append, self._fallback, time.monotonic_ns)
        past = accounts(ledger.records())
        courier.settle_lost(past.open)
        self._lines = Lines(courier, list(self.devices.values()), past.quarantined)
        self._seen: dict[str, tuple[dict[str, Value], dict[str, Reading]]] = {}
        self._deciding = Lock()

    def steps(self, first: int, frequency: Sequence[Fraction]) -> Iterator[int]:
        """Carries out as many steps of the schedule as there are frequencies, from `first` on."""
        for k, hz in enumerate(frequency):
            began = time.monotonic()
            self.process.command({"hz": str(hz)})
            self._faults(k)
            self._step(first + k, k)
            yield k
            time.sleep(max(0.0, STEP_S / SPEED - (time.monotonic() - began)))
        self._faults(-1)

    def _faults(self, k: int) -> None:
        """At one step a battery does not report its state of charge: a real device answers `not implemented` then."""
        lost = self.numbers.get("LFP_250")
        if lost is not None and k in (5, 6, -1):
            self.process.command({"unit": lost, "soc": None} if k == 5 else {"unit": lost, "soc": True})

    def _orders(self, step: int, k: int) -> list[Order]:
        orders = []
        for unit_id in self.devices:
            unit = self.fleet.units[unit_id]
            orders.append(Order(unit, Fraction(self.schedule.power[unit_id][step]), None, "plan"))
        if k == 3 and "MG11_BESS_02" in self.devices:
            # A trade within the day sells full power in the middle of the event and takes nothing less.
            unit = self.fleet.units["MG11_BESS_02"]
            orders = [o for o in orders if o.unit.id != unit.id]
            orders.append(Order(unit, unit.max_discharge_power, 0, "intraday trade, all or nothing"))
        return orders

    def _step(self, step: int, k: int) -> None:
        orders = self._orders(step, k)
        price = self.prices.values[step]
        for unit_id in self.fleet.units:
            planned = Fraction(self.schedule.power[unit_id][step], 4_000_000) * price
            self.tallies[unit_id].planned += planned
        for pool in self.fleet.pools():
            inside = [o for o in orders if o.unit.pool == pool]
            asked = [self._request(o) for o in inside]
            self._settle(self.guard.decide_pool(pool, asked), asked, k, price, "plan")
        for order in orders:
            if order.unit.pool is None:
                request = self._request(order)
                decision = self.guard.decide(request)
                self._settle(decision, [request], k, price, order.origin)
                if decision.outcome == "refused" and order.tolerance is not None:
                    # What is in force may no longer comply: the plan, as far as the rules allow it, takes its place.
                    planned = Fraction(self.schedule.power[order.unit.id][step])
                    again = Order(order.unit, planned, None, "plan, after the refused trade")
                    request = self._request(again)
                    self._settle(self.guard.decide(request), [request], k, price, again.origin)

    def _request(self, order: Order) -> Request:
        unit = order.unit
        device = self.devices[unit.id]
        vocabulary: Mapping[str, Declared] = self.guard.core.declared()
        settled = dict(read(vocabulary, unit.inputs()).values)
        settled |= {"command_duration": Fraction(STEP_S), "since_previous": Fraction(STEP_S)}
        readings: dict[str, Reading] = {}
        try:
            found = device.read()
            now = time.monotonic_ns()
            self.watch.seen(unit.id, found, now)
            readings = {n: Reading(found[n], now) for n in ("frequency", "state_of_charge")}
            readings |= self.watch.readings(unit.id, now)
            settled["previous_setpoint"] = _present(found["setpoint"])
            settled["reference_power"] = self._at_crossing(unit.id, found)
        except DeviceError:
            pass
        self._seen[unit.id] = settled, readings
        return self._asks(order, time.monotonic_ns())

    def _asks(self, order: Order, as_at_ns: int) -> Request:
        """The request for a set point, with the unit's last readings as old as they are, or will be, at a moment."""
        now = time.monotonic_ns()
        settled, readings = self._seen[order.unit.id]
        vocabulary = self.guard.core.declared()
        state = snapshot(vocabulary, settled, readings, as_at_ns)
        ends = usable_until(vocabulary, readings, as_at_ns)
        deadline = now + DEADLINE_NS if ends is None else min(now + DEADLINE_NS, ends)
        codec = self.devices[order.unit.id].codec
        return Request(order.unit.id, order.power, state, codec, deadline, order.tolerance, asked_ns=now)

    def _fallback(self, sealed: Sealed, reason: str) -> Decision:
        """The guard's decision to stop a unit that did not acknowledge, or the whole pool that it belongs to."""
        unit = self.fleet.units[sealed.admitted.device]
        members = [u for u in self.fleet.units.values() if u.pool == unit.pool and u.id in self._seen]
        # Workers come here; the guard decides one thing after the other.
        with self._deciding:
            # A reading that will not last until the deadline is left out rather than let it end the time to stop.
            until = time.monotonic_ns() + DEADLINE_NS
            if unit.pool is None:
                decision = self.guard.decide(self._asks(Order(unit, Fraction(0), None, reason), until))
            else:
                asked = [self._asks(Order(u, Fraction(0), None, reason), until) for u in members]
                decision = self.guard.decide_pool(unit.pool, asked)
            self.decisions.append(decision)
        return decision

    def _at_crossing(self, unit: str, found: Mapping[str, Fraction | None]) -> Value:
        """Power when the frequency crossed the threshold: it follows the measurement below and stays above."""
        power, hz = found["active_power"], found["frequency"]
        if power is not None and (unit not in self._reference or (hz is not None and hz <= self._threshold)):
            self._reference[unit] = power
        return self._reference.get(unit, Unusable("never measured"))

    def _settle(self, decision: Decision, requests: Sequence[Request], k: int, price: Fraction, origin: str) -> None:
        asked_ns = min(r.asked_ns for r in requests if r.asked_ns is not None)
        self.decisions.append(decision)
        leaf = self.ledger.leaf(decision.index).hex()
        self.show(Event("recorded", k, decision, leaf, origin))
        asked = decision.requested
        for unit in asked:
            tally = self.tallies[unit]
            if len(asked) > 1 and decision.command is not None:
                outcome = "admitted" if decision.command[unit] == asked[unit] else "repaired"
            else:
                outcome = decision.outcome
            tally.outcomes[outcome] += 1
            if outcome != "admitted":
                tally.reasons[decision.reason.split(" (")[0]] += 1
        written = 0
        sent = [self._lines.submit(Sealed(a, asked_ns)) for a in decision.admitted]
        for done in (waiting.result() for waiting in sent):
            admitted = done.order.admitted
            if done.outcome != "acknowledged":
                self.show(Event("failed", k, decision, leaf, f"{done.outcome}: {done.reason}"))
                continue
            written += 1
            watts = dict(admitted.command)["active_power"]
            self.watch.sent(admitted.device, watts, self.devices[admitted.device].reversion_s, time.monotonic_ns())
            tally = self.tallies[admitted.device]
            tally.written += 1
            tally.kept += Fraction(watts, 4_000_000) * price
        if written:
            self.show(Event("written", k, decision, leaf, f"{written} set point(s) read back"))

    def close(self) -> None:
        """Lets deliveries end, then closes the connections."""
        self._lines.close()
        for device in self.devices.values():
            device.close()


def _present(value: Fraction | None) -> Value:
    return Unusable("not reported by the device") if value is None else value


def write_receipts(ledger: Ledger, folder: Folder, decisions: Sequence[Decision]) -> list[Path]:
    """A receipt for each decision under the latest checkpoint."""
    paths = []
    for decision in decisions:
        name = f"{decision.index:06d}-{decision.id}-{decision.outcome}.tlog-proof"
        path = folder.path / "receipts" / name
        path.write_text(ledger.receipt(decision.index), encoding="utf-8")
        paths.append(path)
    return paths


def _threshold(guard: Guard) -> Fraction:
    """The frequency above which the reference power is held: the one the rules in force have chosen."""
    chosen = {p.name: p.value for rule in guard.core.rules for p in params(rule.when)}
    return chosen.get("lfsm_o_threshold") or Fraction(50)


def first_step(schedule: Schedule, frequency: Sequence[Fraction]) -> int:
    """Where in the plan to begin, so that the frequency event falls into its greatest export."""
    event = max(range(len(frequency)), key=lambda k: (frequency[k], -k))
    totals = [sum(max(0, power[i]) for power in schedule.power.values()) for i in range(STEPS)]
    room = STEPS - len(frequency)
    return max(range(room), key=lambda i: (sum(totals[max(0, i + event - 2) : i + event + 3]), -i))


def demo_day(on: date | None, prices: Prices) -> date:
    """The day to plan: the one asked for, or the day of the file with the greatest spread."""
    if on is not None:
        return on
    days = [prices.start.date()]
    days = [date.fromordinal(days[0].toordinal() + i) for i in range(len(prices.values) // 96)]

    def spread(day: date) -> Fraction:
        values = prices.day(day).values
        return max(values) - min(values)

    return max(days, key=spread)
