"""A guard judges every decision by the members as they are at that decision."""

from __future__ import annotations

import time
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from compiler.from_syntax import to_core
from compiler.instance import told_apart_by
from compiler.to_exact import Unusable
from guardrails.guard import Guard
from guardrails.seal import Sealer
from guardrails.state import NANO, Reading, snapshot, usable_until
from jurisdictions.loader import load_texts, sources_of
from tests.packs import DAY, PACKS, MemoryLedger, core, fleet, request

SMALL = """pack small "Small units"

instrument house "House rules"
  authority "Operator"  zone UTC
  edition "1"
    link "none"

rule small_rest "Small units do not discharge"
  cites house "s. 1"  evidence given  in force from 2026-01-01
  checked at command
  applies to each pool
  sum of active_power over members with (usable_energy < 5 kWh) must be at most 0 W
  example "one small, one not"
    given member a (usable_energy 9 kWh, active_power 7 kW)
    allows member b (usable_energy 4 kWh, active_power 0 W) by 0 W
    refuses member b (usable_energy 4 kWh, active_power 1 W) by 1 W
"""


def test_a_pool_whose_members_changed_is_judged_by_what_they_are_now() -> None:
    rules = to_core(load_texts({**sources_of(PACKS), "small.rules": SMALL}), DAY)
    guard = Guard(rules, MemoryLedger(), Sealer(), time.monotonic_ns)  # type: ignore[arg-type]
    members = [u.id for u in fleet().pool("homes")]
    for wh, outcome in ((10_000, "admitted"), (4_000, "repaired"), (10_000, "admitted"), (4_000, "repaired")):
        energy = {"usable_energy": wh * core().declared()["usable_energy"].unit.factor}
        asked = [request(m, Fraction(1000), settled=energy) for m in members]
        decision = guard.decide_pool("homes", asked)
        assert decision.outcome == outcome
        assert [f.rule.id for f in decision.findings] == ([] if outcome == "admitted" else ["small/small_rest"])


def test_what_tells_members_apart_is_read_from_the_rules() -> None:
    assert told_apart_by(core()) == ("phase",)
    assert told_apart_by(to_core(load_texts({**sources_of(PACKS), "small.rules": SMALL}), DAY)) == (
        "phase",
        "usable_energy",
    )


AGED = ("frequency", "state_of_charge", "voltage", "twin_power_floor", "elapsed")
IN_RANGE = {"frequency": Fraction(50)}
AGES = st.fixed_dictionaries({name: st.none() | st.integers(0, 70 * NANO) for name in AGED})


@given(AGES)
def test_readings_are_usable_until_it_is_said_and_no_longer(ages: dict[str, int | None]) -> None:
    """Ages in ns; None is a reading without a value."""
    declared, now = core().declared(), 1000 * NANO
    readings = {
        n: Reading(None if age is None else IN_RANGE.get(n, Fraction(0)), now - (age or 0)) for n, age in ages.items()
    }

    def usable(at_ns: int) -> set[str]:
        found = snapshot(declared, {}, readings, at_ns)
        return {n for n in AGED if not isinstance(found[n], Unusable)}

    until = usable_until(declared, readings, now)
    if until is None:
        assert usable(now) == usable(now + 3600 * NANO)
    else:
        assert until >= now and usable(until) == usable(now) > usable(until + 1)
