"""The shipped rules, the example fleet, and requests to a guard, as tests need them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from adapters.sunspec.codec import SunSpecCodec
from compiler.core import Core
from compiler.facts import FactSet
from compiler.from_syntax import to_core
from compiler.inputs import read
from compiler.instance import Instance, of_one
from compiler.lower import lower
from compiler.to_exact import Value
from guardrails.fleet import Fleet, load_site
from guardrails.guard import Guard, Request
from guardrails.seal import Sealer
from guardrails.state import NANO, Reading, snapshot
from jurisdictions.loader import load, load_texts, sources_of
from proofs.checker.merkle import leaf_hash
from proofs.ledger import Entry

ROOT = Path(__file__).resolve().parents[1]
DAY = date(2026, 11, 23)
PACKS = ("entsoe", "operator")
REGISTERED = {
    "der_limited": 1,
    "der_limit_share": 8000,
    "der_droop_on": 1,
    "der_can_absorb": 1,
    "volt_watt_enabled": 1,
    "der_lowest_power": -100_000,
    "der_site_rating": 150_000,
    "rated_apparent_power": 160_000,
    "reactive_mode": 3,
    "normal_category": 1,
}
"""What the example fleet does not register and IEEE 1547 asks for, in steps."""


@lru_cache(maxsize=2)
def core(packs: tuple[str, ...] = PACKS) -> Core:
    """The shipped rules of some packs in force on the day of the tests."""
    return to_core(load(packs), DAY)


def broken(old: str, new: str) -> Core:
    """The shipped rules with one piece of text replaced."""
    sources = sources_of(PACKS)
    changed = {name: text.replace(old, new) for name, text in sources.items()}
    assert changed != sources, old
    return to_core(load_texts(changed), DAY)


@lru_cache(maxsize=1)
def unit_rules() -> tuple[Instance, FactSet]:
    """The rules of a unit's command, and their facts."""
    instance = of_one(core(), "unit", "command")
    return instance, lower(instance)


@lru_cache(maxsize=1)
def fleet() -> Fleet:
    """The example site."""
    return load_site(ROOT / "examples" / "site.yaml")


class MemoryLedger:
    """A ledger for tests of the guard alone: keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def __len__(self) -> int:
        return len(self.kept)

    def append(self, records: Sequence[bytes]) -> tuple[Entry, ...]:
        """Keeps the records."""
        start = len(self.kept)
        self.kept += records
        return tuple(Entry(start + i, leaf_hash(r)) for i, r in enumerate(records))


def memory_guard() -> tuple[Guard, MemoryLedger, Sealer, dict[str, bytes]]:
    """A guard that records to memory, with its ledger, sealer and rule set documents."""
    ledger, sealer, documents = MemoryLedger(), Sealer(), dict[str, bytes]()
    guard = Guard(core(), ledger, sealer, time.monotonic_ns, keep=documents.__setitem__)  # type: ignore[arg-type]
    return guard, ledger, sealer, documents


def request(
    unit: str,
    power: Value,
    soc: Fraction | None = Fraction(1, 2),
    hz: Fraction | None = Fraction(50),
    previous: int = 0,
    reference: int = 0,
    tolerance: int | None = None,
    age_s: int = 0,
    settled: Mapping[str, Value] | None = None,
    deadline_s: int = 60,
) -> Request:
    """A request for a unit of the example site, in a state that allows much."""
    declared = core().declared()
    now = time.monotonic_ns()
    u = fleet().units[unit]
    values = dict(read(declared, u.inputs()).values) | {
        "command_duration": Fraction(900),
        "since_previous": Fraction(900),
        "previous_setpoint": Fraction(previous),
        "reference_power": Fraction(reference),
    }
    values |= settled or {}
    at = now - age_s * NANO
    state = snapshot(declared, values, {"frequency": Reading(hz, at), "state_of_charge": Reading(soc, at)}, now)
    codec = SunSpecCodec(unit, 40296, u.wset_sf, 1800)
    return Request(unit, power, state, codec, now + deadline_s * NANO, tolerance)
