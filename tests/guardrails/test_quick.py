"""The fast path for one command gives what the reference gives: verdicts, findings, command, and the record's bytes."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from adapters.sunspec.codec import SunSpecCodec
from compiler.inputs import read
from compiler.to_exact import Unusable, Value
from guardrails.guard import COMMANDED, Guard, Request
from guardrails.quick import Quick
from guardrails.seal import Frame, Sealer
from guardrails.state import NANO, Reading, snapshot
from guardrails.writing import Slot
from proofs.checker.decision import check_decision
from proofs.checker.receipt import PREDICATE_TYPE
from proofs.prepared import HOLE, Prepared
from proofs.record import FIELDS, statement
from tests.packs import PACKS, REGISTERED, MemoryLedger, core, fleet, request

NOW = 50_000 * NANO
UNITS = ("MG11_BESS_01", "MG11_BESS_02", "LFP_250", "HOME_1")


GRID = ("ieee1547", "operator")


def pair(packs: tuple[str, ...] = PACKS) -> tuple[Guard, Quick, MemoryLedger, MemoryLedger, dict[str, bytes]]:
    """Two guards under one standing clock: the reference, and the fast path before the other."""
    wall = datetime(2026, 11, 23, 10, 0, 0, 250_000, tzinfo=UTC)
    documents: dict[str, bytes] = {}

    def one(ledger: MemoryLedger) -> Guard:
        theorems = ["sha256:" + 64 * "a"]
        return Guard(core(packs), ledger, Sealer(), lambda: NOW, lambda: wall, theorems, documents.__setitem__)  # type: ignore[arg-type]

    slow, fast = MemoryLedger(), MemoryLedger()
    return one(slow), Quick(one(fast)), slow, fast, documents


@cache
def registered(unit: str, packs: tuple[str, ...] = PACKS) -> Mapping[str, Value]:
    """A unit's registration, read once."""
    declared = core(packs).declared()
    more = {n: steps * declared[n].resolution for n, steps in REGISTERED.items() if n in declared}
    return more | read(declared, fleet().units[unit].inputs()).values


def made(pick: random.Random, unit: str, factor: int, packs: tuple[str, ...] = PACKS) -> Request:
    """A request in some state: near limits more often than not, with values missing now and then."""
    u, declared = fleet().units[unit], core(packs).declared()
    top = int(u.max_discharge_power)
    previous = pick.choice([0, top, -int(u.max_charge_power), pick.randint(-top, top) // 100 * 100])
    soc = pick.choice([u.soc_min, u.soc_max, Fraction(1, 2), Fraction(pick.randint(0, 10_000), 10_000)])
    hz = pick.choice([Fraction(50), Fraction("50.2"), Fraction("50.201"), Fraction(pick.randint(49_000, 52_000), 1000)])
    since = pick.choice([1, 3, 60, 900])
    ramp = int(u.ramp_limit * since / 60)
    edges = [0, previous, previous + ramp, previous - ramp, previous + int(u.setpoint_deadband), top, -top]
    asked: Value = Fraction(pick.choice(edges) + pick.choice([0, 0, 1, -1, 100, -100, 37, -5_000, 20_000]))
    if pick.random() < 0.3:
        asked = Fraction(pick.randint(-2 * top, 2 * top), pick.choice([1, 1, 3]))
    values: dict[str, Value] = dict(registered(unit, packs)) | {
        "command_duration": Fraction(pick.choice([1, 4, 900])),
        "since_previous": Fraction(since),
        "previous_setpoint": Fraction(previous),
        "reference_power": Fraction(pick.choice([0, top, pick.randint(-top, top)])),
        "fcr_reserved": Fraction(pick.choice([0, 0, top // 4])),
        "fast_frequency_service": Fraction(pick.choice([0, 0, 1])),
    }
    if pick.random() < 0.05:
        del values[pick.choice(sorted(values))]
    if pick.random() < 0.03:
        asked = pick.choice([Unusable('said "no" at 100 %'), Fraction(10**9)])
    if pick.random() < 0.02:
        values["previous_setpoint"] = Fraction(1, 3)
    age = pick.choice([0, 0, 0, 0, 0, 0, 0, 31]) * NANO
    readings = {
        "frequency": Reading(hz, NOW - age),
        "state_of_charge": Reading(soc if pick.random() > 0.02 else None, NOW, pick.choice([None, Fraction(0)])),
        "twin_power_floor": Reading(Fraction(-pick.choice([top, top, top // 3])), NOW),
        "twin_power_ceiling": Reading(Fraction(pick.choice([top, top, top // 2])), NOW),
    }
    if packs == GRID:
        values["reactive_power"] = Fraction(pick.choice([0, 0, 20_000, -40_000]))
        readings |= {n: Reading(Fraction(x), NOW) for n, x in (("der_area_energized", 1), ("der_entering", 0))}
        readings["voltage"] = Reading(Fraction(pick.choice([100, 100, 101, 107, 93]), 100), NOW)
    state = snapshot(declared, values, readings, NOW)
    codec = SunSpecCodec(unit, 40296, factor, 1800)
    late = pick.random() < 0.02
    return Request(unit, asked, state, codec, NOW - 1 if late else NOW + 700_000_000, pick.choice([None, None, 500]))


@pytest.mark.parametrize("packs", [PACKS, GRID])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_it_decides_and_records_as_the_reference_does(seed: int, packs: tuple[str, ...]) -> None:
    pick, outcomes, hurried = random.Random(seed), Counter[str](), 0
    factors: dict[str, int] = {}
    guard, quick, slow, fast, documents = pair(packs)
    for turn in range(560):
        if turn % 130 == 0:
            factors = {u: pick.choice([-1, 0, 1, 2, 3]) for u in UNITS}
        unit = UNITS[turn % len(UNITS)]
        asked = made(pick, unit, factors[unit], packs)
        expected, found = guard.decide(asked), quick.decide(asked)
        assert fast.kept[-1] == slow.kept[-1]
        for name in ("id", "outcome", "requested", "command", "findings", "reason", "index", "ruleset"):
            assert getattr(found, name) == getattr(expected, name), name
        assert [(a.frame, a.command, a.deadline_ns) for a in found.admitted] == [
            (a.frame, a.command, a.deadline_ns) for a in expected.admitted
        ]
        outcomes[expected.outcome] += 1
        hurried += quick.prepare(asked) is not None
        guard._sequence = quick._guard._sequence
        blind = any(f.verdict.value == "cannot_tell" for f in expected.findings)
        outcomes["cannot tell"] += blind
        if turn % 20 == 0:
            check_decision(documents[expected.ruleset], predicate_of(fast.kept[-1]))
    assert min(outcomes[o] for o in ("admitted", "repaired", "refused", "cannot tell")) > 25, outcomes
    assert hurried > 520


def predicate_of(record: bytes) -> Mapping[str, Any]:
    """The predicate of a record."""
    found = json.loads(record)
    assert found["predicateType"] == PREDICATE_TYPE
    predicate: Mapping[str, Any] = found["predicate"]
    return predicate


def test_a_new_registration_is_taken_up() -> None:
    _, quick, _, fast, _ = pair()
    first = request("MG11_BESS_02", Fraction(400_000))
    for limit, outcome in ((500_000, "admitted"), (300_000, "repaired"), (500_000, "admitted")):
        state = dict(first.state) | {"max_discharge_power": Fraction(limit)}
        decision = quick.decide(Request(first.unit, first.active_power, state, first.codec, NOW + NANO))
        assert decision.outcome == outcome
        assert predicate_of(fast.kept[-1])["state"]["max_discharge_power"] == limit


def test_a_sealed_command_is_redeemed_once_by_its_device() -> None:
    guard, quick, _, _, _ = pair()
    asked = request("MG11_BESS_02", Fraction(400_000))
    ready = quick.prepare(Request(asked.unit, asked.active_power, asked.state, asked.codec, NOW + NANO))
    assert ready is not None
    sealed = quick.act(ready)
    assert sealed is not None and sealed.leaf_index == -1
    sealer = quick._guard._sealer
    sealer._clock_ns = lambda: NOW
    frame = sealer.redeem(sealed, "MG11_BESS_02")
    assert asked.codec.decode(frame) == {COMMANDED: 400_000}
    assert guard._sealer is not sealer


class Liar(SunSpecCodec):
    """A codec that says that its set point stands one word further."""

    @property
    def slot(self) -> Slot:
        return Slot(0, super().slot.word + 1, 2, 1)

    def encode(self, command: Mapping[str, int]) -> Frame:
        return super().encode(command)


def test_a_codec_that_errs_about_its_slot_is_left_to_the_reference() -> None:
    _, quick, _, _, _ = pair()
    asked = request("MG11_BESS_02", Fraction(400_000))
    codec = Liar("MG11_BESS_02", 40296, 2, 1800)
    assert quick.prepare(Request(asked.unit, asked.active_power, asked.state, codec, NOW + NANO)) is None


def test_a_prepared_record_has_the_bytes_of_a_statement() -> None:
    fixed: dict[str, Any] = dict.fromkeys(FIELDS) | {"id": 'a "b" 100 % ü', "state": {"x": 1, "\ud7ff": "%s"}}
    prepared = Prepared(fixed | {"sequence": HOLE, "state": fixed["state"] | {"w": HOLE, "é": HOLE}, "gap": HOLE})
    assert prepared.holes == ("gap", "sequence", "state.w", "state.é")
    for sequence, w in ((0, 5), (2**40, -(2**52)), (17, 0)):
        whole = fixed | {"sequence": sequence, "gap": 3, "state": fixed["state"] | {"w": w, "é": "n/d %"}}
        assert prepared.fill((3, sequence, w, '"n/d %"')) == statement(whole)


def test_a_record_that_would_not_be_one_is_not_prepared() -> None:
    fixed: dict[str, Any] = dict.fromkeys(FIELDS) | {"id": "a"}
    for wrong in ({"sequence": 3}, {"sequence": HOLE, "gap": 0.5}, {"sequence": HOLE, "more": 1}):
        with pytest.raises(ValueError):
            Prepared(fixed | wrong)


def test_what_is_only_checked_is_what_the_reference_finds() -> None:
    slow, fast, *_ = pair()
    pick = random.Random(11)
    hurried = Counter[bool]()
    for _ in range(150):
        asked = made(pick, pick.choice(UNITS), 0)
        found = fast.check(asked)
        hurried[found is not None] += 1
        if found is not None:
            assert found == slow.check(asked)
    assert hurried[True] > 120
