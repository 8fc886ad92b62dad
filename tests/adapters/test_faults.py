"""Network faults on real sockets, all devices at once: each ends as the table says, each command is accounted for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from adapters.meters import prometheus_meters
from adapters.sunspec.client import SunSpecDevice
from adapters.sunspec.process import DeviceProcess
from compiler.to_exact import Value
from guardrails.breaker import CLOSED, OPEN, Limits
from guardrails.delivery import Courier, Order, Outcome
from guardrails.fallback import NO_ANSWER
from guardrails.figures import figures
from guardrails.guard import Decision, Guard, Request
from guardrails.lines import Lines
from guardrails.policy import load_policy
from guardrails.seal import Frame, Sealer, SealError
from guardrails.state import NANO
from proofs.checker.delivery import accounts
from proofs.checker.receipt import read_record
from proofs.keys import load_or_create
from proofs.ledger import Ledger
from tests.adapters.faulty_modbus import FAULTS, Proxy, proxied
from tests.guardrails.plant import UNIT, core, state_of
from tests.packs import ROOT, fleet

DEADLINE_S = 8
TRIED_AGAIN_S = 0.2


class Site:
    """A device for each fault, all of the same kind, behind a proxy of its own; a guard, a ledger on disk."""

    def __init__(self, folder: Path, names: Sequence[str], stack: ExitStack, threads: int, window_s: Fraction) -> None:
        unit = fleet().units[UNIT]
        self.journal = folder / "journal.jsonl"
        self.numbers = {name: n for n, name in enumerate(names, 1)}
        rated = int(unit.max_discharge_power)
        units = [
            {"unit_id": n, "rated_w": rated, "usable_wh": 10**6, "soc": "1/2", "wset_sf": unit.wset_sf}
            for n in self.numbers.values()
        ]
        process = stack.enter_context(DeviceProcess({"units": units}, self.journal, lifetime=90))
        self.ledger = stack.enter_context(Ledger.open(folder / "ledger.db", load_or_create(folder / "key", "test/log")))
        self.sealer, self.registry = Sealer(), CollectorRegistry()
        self.lock = threading.Lock()
        policy = load_policy(ROOT / "examples" / "policy.yaml")
        self.guard = Guard(core(), self.ledger, self.sealer, time.monotonic_ns, policy=policy)
        self.courier = Courier(
            core(),
            replace(figures(core()), acknowledgement_s=window_s),
            self.sealer,
            self.ledger.append,
            self.fallback,
            time.monotonic_ns,
            limits=Limits(failures=3, wait_ns=int(TRIED_AGAIN_S * NANO)),
            meters=prometheus_meters(self.registry),
        )
        self.proxies: dict[str, Proxy] = {}
        self.devices: dict[str, SunSpecDevice] = {}
        for name, n in self.numbers.items():
            self.proxies[name] = stack.enter_context(proxied(process.port))
            self.devices[name] = SunSpecDevice(name, "127.0.0.1", self.proxies[name].port, n, self.sealer)
            self.devices[name].connect()
            stack.callback(self.devices[name].close)
        self.lines = stack.enter_context(Lines(self.courier, list(self.devices.values()), threads=threads))
        self.sealed: list[Decision] = []

    def request(self, name: str, power: Value) -> Request:
        """A request judged as the example unit's."""
        now = time.monotonic_ns()
        return Request(name, power, state_of(UNIT, now), self.devices[name].codec, now + DEADLINE_S * NANO)

    def decide(self, name: str, power: Value) -> Decision:
        """A decision, kept for the count."""
        with self.lock:
            decision = self.guard.decide(self.request(name, power))
            self.sealed.append(decision)
        return decision

    def fallback(self, order: Order, reason: str) -> Decision:
        """The guarded fallback."""
        return self.decide(order.admitted.device, NO_ANSWER)

    def deliver(self, names: Sequence[str], kw: int) -> dict[str, Outcome]:
        """A command for each device, at once; their outcomes."""
        told = {}
        for name in names:
            decision = self.decide(name, Fraction(kw * 1000))
            (told[name],) = self.lines.deliver(decision, time.monotonic_ns())
        return {name: future.result(60) for name, future in told.items()}

    def assert_accounted_for(self) -> None:
        """As many outcomes as commands, and in the devices' journal nothing that was not admitted for them."""
        admitted = [a for d in self.sealed for a in d.admitted]
        told = accounts(self.ledger.records())
        assert not told.open
        assert not told.early
        assert len(told.outcomes) == len(admitted)
        counted = sum(
            s.value for m in self.registry.collect() for s in m.samples if s.name == "lexwatt_deliveries_total"
        )
        assert counted == len(admitted)
        frames: dict[int, list[tuple[int, tuple[int, ...]]]] = {}
        for record in self.ledger.records():
            if json.loads(record)["predicateType"].startswith("lexwatt/decision/"):
                for device, data in read_record(record)["frames"].items():
                    writes = Frame.from_bytes(device, bytes.fromhex(data)).writes
                    frames.setdefault(self.numbers[device], []).extend((w.address, w.values) for w in writes)
        for line in self.journal.read_text().splitlines():
            write = json.loads(line)
            assert (write["address"], tuple(write["values"])) in frames[write["unit"]]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def test_every_fault_ends_as_the_table_says_and_every_command_is_accounted_for(
    tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(tmp_path, list(FAULTS), stack, threads=2 * len(FAULTS), window_s=figures(core()).acknowledgement_s)
    before = site.deliver(list(FAULTS), 100)
    assert {name: o.outcome for name, o in before.items()} == dict.fromkeys(FAULTS, "acknowledged")
    for name, row in FAULTS.items():
        site.proxies[name].breaks(row.fault)
    first = site.deliver(list(FAULTS), 200)
    expected = {name: (row.outcome, row.tier) for name, row in FAULTS.items()}
    assert {name: (o.outcome, o.tier) for name, o in first.items()} == expected
    for name, outcome in first.items():
        assert (outcome.fallback is not None) == (FAULTS[name].outcome not in ("acknowledged", "mismatch")), name
        broken = {f.rule.id for f in outcome.findings}
        assert broken == ({"operator/acknowledgement"} if outcome.tier == "none" else set()), name
    # Two lost answers: the frame's first write was made three times, and what is in force is the command once.
    assert [a.result for a in first["mute for two writes"].attempts][-3:] == ["unreachable"] * 2 + ["acknowledged"]
    second = site.deliver([n for n, row in FAULTS.items() if row.opens], 150)
    opened = {name: site.lines.line(name).breaker.state for name in FAULTS}
    assert opened == {name: OPEN if row.opens else CLOSED for name, row in FAULTS.items()}
    assert all(o.tier == "device" for o in second.values())
    quarantined = {n for n in FAULTS if site.lines.line(n).quarantined}
    assert quarantined == {"holds something else"}
    for proxy in site.proxies.values():
        proxy.breaks(None)
    time.sleep(TRIED_AGAIN_S)
    last = site.deliver(list(FAULTS), 100)
    assert {n for n, o in last.items() if o.outcome != "acknowledged"} == quarantined
    assert all(site.lines.line(n).breaker.state == CLOSED for n in FAULTS)
    site.assert_accounted_for()
    assert set(accounts(site.ledger.records()).quarantined) == quarantined


def test_a_silent_device_holds_no_other_back_and_its_queue_has_an_end(tmp_path: Path, stack: ExitStack) -> None:
    site = Site(tmp_path, ["mute", "good"], stack, threads=2, window_s=Fraction(2))
    site.proxies["mute"].breaks(FAULTS["silent"].fault)
    held = [future for k in range(6) for future in site.lines.deliver(site.decide("mute", Fraction(k * 50_000)), 0)]
    for kw in (100, 150, 200):
        assert site.deliver(["good"], kw)["good"].outcome == "acknowledged"
    assert not held[1].done()
    told = [future.result(60).outcome for future in held]
    assert told.count("overloaded") >= 1
    assert set(told) <= {"unacknowledged", "overloaded", "breaker_open", "late"}
    site.assert_accounted_for()


def test_nothing_but_a_command_of_the_guard_is_taken(tmp_path: Path, stack: ExitStack) -> None:
    site = Site(tmp_path, ["good"], stack, threads=1, window_s=Fraction(2))
    decision = site.decide("good", Fraction(100_000))
    (admitted,) = decision.admitted
    with pytest.raises(SealError):
        site.lines.submit(Order(replace(admitted, deadline_ns=admitted.deadline_ns + 1), 0))
    (future,) = site.lines.deliver(decision, time.monotonic_ns())
    assert future.result(10).outcome == "acknowledged"
    with pytest.raises(SealError):
        site.devices["good"].write(admitted)
    with pytest.raises(SealError):
        site.lines.submit(Order(admitted, 0))
    site.assert_accounted_for()
