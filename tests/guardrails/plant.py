"""One unit of the example site with a guard, a ledger in memory, a clock that tests move, and a device that fails to
order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache

from adapters.sunspec.codec import SunSpecCodec
from compiler.core import Core
from compiler.from_syntax import to_core
from compiler.inputs import read
from compiler.to_exact import Value
from guardrails.breaker import Limits
from guardrails.delivery import Courier, Order, Outcome
from guardrails.fallback import NO_ANSWER
from guardrails.figures import figures
from guardrails.guard import Decision, Guard, Request
from guardrails.link import DeviceBusy, DeviceRefused, DeviceUnreachable, ReadBackMismatch
from guardrails.policy import load_policy
from guardrails.seal import Frame, Permit, Sealer
from guardrails.state import NANO, Reading, snapshot
from jurisdictions.loader import load
from proofs.checker.delivery import Accounts
from tests.packs import DAY, PACKS, ROOT, MemoryLedger, fleet

UNIT = "MG11_BESS_02"
STARTED = datetime(2026, 11, 23, 10, tzinfo=UTC)


@lru_cache(maxsize=1)
def core() -> Core:
    """The shipped rules with the example site's choice of back-off."""
    return to_core(load((*PACKS, ROOT / "examples" / "delivery.rules")), DAY)


@dataclass
class Clock:
    """A monotonic clock that moves when told."""

    now: int = 10**12

    def __call__(self) -> int:
        return self.now

    def wall(self) -> datetime:
        """The wall clock that goes with it."""
        return STARTED + timedelta(microseconds=(self.now - 10**12) // 1000)


def state_of(unit: str, now_ns: int, previous: int = 0, age_ns: int = 0) -> Mapping[str, Value]:
    """A state that allows much, measured a while ago."""
    declared = core().declared()
    values: dict[str, Value] = dict(read(declared, fleet().units[unit].inputs()).values)
    values |= {"command_duration": Fraction(900), "since_previous": Fraction(900)}
    values |= {"previous_setpoint": Fraction(previous), "reference_power": Fraction(0)}
    at = now_ns - age_ns
    readings = {"frequency": Reading(Fraction(50), at), "state_of_charge": Reading(Fraction(1, 2), at)}
    return snapshot(declared, values, readings, now_ns)


Act = tuple[str, int]
"""What a device does at one attempt, and how many ms it takes: `ok`, `silent` (nothing arrives), `mute` (it acts and is
not heard), `refuse`, `busy`, `mismatch`, `slip` (the adapter fails)."""


@dataclass
class FakeDevice:
    """Does what `acts` say, one by one, then `ok`. `journal` is what reached it, with the moment."""

    name: str
    sealer: Sealer
    clock: Clock
    acts: deque[Act] = field(default_factory=deque)
    journal: list[tuple[int, Frame]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    reversion_s: int | None = 60

    def attempt(self, permit: Permit, until_ns: int) -> object:
        """One attempt."""
        self.sealer.still(permit, self.name)
        act, ms = self.acts.popleft() if self.acts else ("ok", 5)
        self.asked.append(self.clock.now)
        frame = self.sealer.attempt(permit, self.name)
        if act in ("ok", "mute", "mismatch"):
            self.journal.append((self.clock.now, frame))
        heard = self.clock.now + ms * 10**6
        if act in ("silent", "mute"):
            self.clock.now = max(self.clock.now, until_ns)
            raise DeviceUnreachable("no answer")
        self.clock.now = heard
        if act == "slip":
            raise KeyError("WSet")
        if act == "refuse":
            raise DeviceRefused("exception 2")
        if act == "busy":
            raise DeviceBusy("exception 6")
        if act == "mismatch":
            raise ReadBackMismatch("holds 1 where 2 was written")
        return None


class Plant:
    """A unit, its guard and its line."""

    def __init__(self, limits: Limits | None = None, chance: Callable[[], float] = lambda: 0.5) -> None:
        self.clock, self.ledger = Clock(), MemoryLedger()
        self.sealer = Sealer(self.clock)
        policy = load_policy(ROOT / "examples" / "policy.yaml")
        self.guard = Guard(
            core(),
            self.ledger,  # type: ignore[arg-type]
            self.sealer,
            self.clock,
            self.clock.wall,
            policy=policy,
        )
        self.device = FakeDevice(UNIT, self.sealer, self.clock)
        self.courier = Courier(
            core(),
            figures(core()),
            self.sealer,
            self.ledger.append,
            self.fallback,
            self.clock,
            self.clock.wall,
            limits or Limits(),
            chance=chance,
        )
        self.line = self.courier.line(self.device)
        self.codec = SunSpecCodec(UNIT, 40296, fleet().units[UNIT].wset_sf, 60)
        self.age_ns = 0
        self.sealed, self._accounts, self._read = 0, Accounts(), 0

    def request(self, power: Value, deadline_ms: int = 8000) -> Request:
        """A request with readings of now."""
        now = self.clock.now
        state = state_of(UNIT, now, age_ns=self.age_ns)
        return Request(UNIT, power, state, self.codec, now + deadline_ms * 10**6)

    def decide(self, power: Value, deadline_ms: int = 8000) -> Decision:
        """The guard's decision, its commands counted."""
        decision = self.guard.decide(self.request(power, deadline_ms))
        self.sealed += len(decision.admitted)
        return decision

    def fallback(self, order: Order, reason: str) -> Decision:
        """The guarded fallback."""
        return self.decide(NO_ANSWER)

    def send(self, decision: Decision, service: str = "energy", asked_ago_ms: int = 0) -> Outcome:
        """Delivers a decision's one command, moving the clock instead of waiting."""
        (admitted,) = decision.admitted
        order = Order(admitted, self.clock.now - asked_ago_ms * 10**6, service)
        return self.run(self.courier.carry(self.line, self.courier.take(order, UNIT)))

    def run(self, waits: Generator[int, None, Outcome]) -> Outcome:
        """A delivery to its end."""
        try:
            while True:
                until = next(waits)
                assert until > self.clock.now
                self.clock.now = until
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome

    def accounts(self) -> Accounts:
        """What the ledger says."""
        for record in self.ledger.kept[self._read :]:
            self._accounts.take(record)
        self._read = len(self.ledger.kept)
        return self._accounts


def assert_waits_grow(asked: Sequence[int], growth: Fraction) -> None:
    """Each wait between attempts of one command is longer than the one before by the factor at least."""
    gaps = [b - a for a, b in itertools.pairwise(asked)]
    assert all(after >= growth * before for before, after in itertools.pairwise(gaps)), gaps


__all__ = ["NANO", "UNIT", "Clock", "FakeDevice", "Plant", "assert_waits_grow", "core", "replace", "state_of"]
