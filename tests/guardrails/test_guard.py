"""A guard judges every decision by the members as they are at that decision."""

from __future__ import annotations

import time
from fractions import Fraction

from compiler.from_syntax import to_core
from compiler.instance import told_apart_by
from guardrails.guard import Guard
from guardrails.seal import Sealer
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
