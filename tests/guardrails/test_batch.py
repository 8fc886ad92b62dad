"""A fleet's step gives each unit what it gets alone: the kernel's verdict and the exact closest command."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.facts import Fact, FactSet, RuleFact, Variable
from compiler.from_syntax import to_core
from compiler.instance import Instance, of_one
from compiler.lower import lower
from compiler.to_exact import Unusable
from compiler.to_intervals import CannotVector, Stretches
from compiler.to_python import single
from guardrails.batch import ADMITTED, REFUSED, REPAIRED, Batch, Step
from guardrails.fleet_records import PASSED, FleetRecords
from guardrails.guard import Guard, Request
from guardrails.policy import GuardPolicy
from guardrails.repair import closest_command
from guardrails.seal import Sealer
from guardrails.state import NANO
from jurisdictions.loader import load
from proofs.checker.policy import NO_POLICY, Service
from tests.guardrails.test_quick import GRID, NOW, UNITS, made, pair, registered
from tests.packs import DAY, PACKS, MemoryLedger, core

TOP = 500_000


@lru_cache(maxsize=4)
def rules_of(*packs: str) -> tuple[Instance, FactSet]:
    """The rules of a unit's command in some packs."""
    instance = of_one(to_core(load(packs), DAY), "unit", "command")
    return instance, lower(instance)


def states(facts: FactSet, n: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Columns near limits and near each other, some missing, and the step of each device."""
    pick = np.random.default_rng(seed)
    grid = pick.choice([1, 10, 100, 1000], n)
    columns = []
    for v in facts.variables:
        low, high = max(v.low, -TOP), min(v.high, TOP)
        column = pick.integers(low, high + 1, n)
        if v.unit in ("W", "VA"):
            column = np.where(pick.random(n) < 0.7, pick.choice([0, TOP, TOP // 2, low, 37], n), column)
            column = np.where(pick.random(n) < 0.5, column, column // 100 * 100)
        if v.name in ("soc_min", "soc_max"):
            column = np.full(n, 1000 if v.name == "soc_min" else 9500)
        if v.name == "frequency":
            column = np.where(pick.random(n) < 0.5, pick.choice([50_000, 50_200, 50_201, 50_700, 60_100], n), column)
        if v.name == "voltage":
            column = pick.integers(10_000, 11_200, n)
        columns.append(np.clip(column, v.low, v.high).astype(np.int64))
    return np.stack(columns), grid


def scalar(facts: FactSet, state: Mapping[int, int], commanded: int, asked: int, grid: int) -> int | None:
    """The reference's answer."""
    values = {i: Fraction(x) for i, x in state.items() if i != commanded}
    found = closest_command(facts, values, {commanded: asked}, {commanded: grid})
    return None if found is None else found[commanded]


@pytest.mark.parametrize(("packs", "n"), [(("entsoe", "operator"), 900), (("ieee1547", "operator"), 500)])
def test_the_closest_command_is_the_exact_one(packs: tuple[str, ...], n: int) -> None:
    instance, facts = rules_of(*packs)
    columns, grid = states(facts, n, 1)
    place = facts.index()
    settled = {v.name: columns[i] for i, v in enumerate(facts.variables) if v.role in ("nameplate", "registered")}
    batch = Batch(instance, facts, "active_power", settled, grid)
    readings = columns[[place[name] for name in batch.names]]
    pick = np.random.default_rng(2)
    usable = pick.random(readings.shape) > 0.004
    asked = columns[place["active_power"]] + pick.choice([-1, 0, 1, 100, 4000], n)
    step = batch.step(asked, readings, usable)
    check, seen = single(facts), np.zeros(3, dtype=int)
    reading = {place[name]: k for k, name in enumerate(batch.names)}
    for u in range(n):
        g, wish = int(grid[u]), int(step.requested[u])
        assert wish == int(Fraction(int(asked[u])) / g) * g
        state = {i: int(columns[i, u]) for i in range(len(columns)) if i not in reading or usable[reading[i], u]}
        state[place["active_power"]] = wish
        codes = check([state.get(i) for i in range(len(columns))])
        assert tuple(step.codes[:, u].tolist()) == codes
        worst = max(code for code, rule in zip(codes, facts.rules, strict=True) if rule.blocks)
        if worst < 2:
            assert (step.outcome[u], step.command[u], step.moved[u]) == (ADMITTED, wish, 0)
        elif worst == 3:
            assert (step.outcome[u], step.moved[u]) == (REFUSED, -1)
        else:
            best = scalar(facts, state, place["active_power"], wish, g)
            assert step.outcome[u] == (REFUSED if best is None else REPAIRED)
            assert best is None or (step.command[u], step.moved[u]) == (best, abs(best - wish))
        seen[step.outcome[u]] += 1
    assert (seen > 20).all(), seen


def leaf(n: int) -> st.SearchStrategy[Fact]:
    """A row over variables 0 ... n - 1 and the product of 0 and 1."""
    terms = st.dictionaries(st.sampled_from([*range(n), n]), st.integers(-4, 4).filter(bool), min_size=1, max_size=3)
    return st.builds(lambda t, b, s: ("L", tuple(sorted(t.items())), b, s), terms, st.integers(-60, 60), st.booleans())


FACTS = st.recursive(
    leaf(4),
    lambda inner: st.builds(
        lambda tag, parts: (tag, tuple(parts)), st.sampled_from("AO"), st.lists(inner, min_size=0, max_size=3)
    ),
    max_leaves=9,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(FACTS, min_size=1, max_size=4), st.integers(0, 10**6))
def test_any_rows_give_the_nearest_step(bodies: list[Fact], seed: int) -> None:
    """Slopes of either sign and zero, unions of unions, empty sets, ties, and coarse steps."""
    variables = tuple(Variable(f"x{i}", "W", Fraction(1), -20, 20, "measured") for i in range(4))
    rules = tuple(RuleFact(f"r{k}", "", "", "", True, ("A", ()), body) for k, body in enumerate(bodies))
    facts = FactSet("unit", "", variables, ((4, 0, 1),), rules)
    pick = np.random.default_rng(seed)
    values = pick.integers(-20, 21, (4, 12))
    grid = pick.choice([1, 2, 5], 12)
    asked = pick.integers(-20, 21, 12) // grid * grid
    stretches = Stretches(facts, 0)
    usable = np.ones(values.shape, dtype=np.bool_)
    found, ok = stretches.nearest(values, usable, asked, grid)
    low, high = stretches.around(values, usable, found, grid)
    for u in range(12):
        state = {i: int(values[i, u]) for i in range(4)}
        best = scalar(facts, state, 0, int(asked[u]), int(grid[u]))
        assert (int(found[u]) if ok[u] else None) == best
        if best is not None:
            assert low[u] <= best <= high[u] and low[u] % grid[u] == high[u] % grid[u] == 0
            inside = range(int(low[u]), int(high[u]) + 1, int(grid[u]))
            assert all(scalar(facts, state, 0, x, int(grid[u])) == x for x in inside)


def test_ages_late_requests_and_tolerances() -> None:
    instance, facts = rules_of("entsoe", "operator")
    place = facts.index()
    state = dict.fromkeys((v.name for v in facts.variables), 0) | {
        "frequency": 50_000,
        "state_of_charge": 5000,
        "soc_max": 9500,
        "command_duration": 900,
        "since_previous": 900,
        "rated_power": TOP,
        "max_discharge_power": TOP,
        "max_charge_power": TOP,
        "ramp_limit": 100_000_000,
        "usable_energy": 1_000_000,
    }
    n = 6
    settled = {v.name: np.full(n, state[v.name]) for v in facts.variables if v.role == "nameplate"}
    batch = Batch(instance, facts, "active_power", settled, np.full(n, 100))
    readings = np.array([[state[name]] * n for name in batch.names])
    usable, ages = np.ones(readings.shape, dtype=np.bool_), np.zeros(readings.shape, dtype=np.int64)
    ages[batch.names.index("frequency"), 1] = 31 * NANO
    ages[batch.names.index("state_of_charge"), 2] = -1
    asked = np.array([400_050, 400_000, 400_000, 600_000, 600_000, -400_050])
    late = np.array([False, False, False, False, False, True])
    tolerance = np.array([10**9] * 4 + [99_900, 0])
    given_ = np.ones(n, dtype=np.bool_)
    step = batch.step(asked, readings, usable, ages, given_, tolerance, late)
    assert step.requested.tolist() == [400_000, 400_000, 400_000, 600_000, 600_000, -400_000]
    assert step.outcome.tolist() == [ADMITTED, ADMITTED, REFUSED, REPAIRED, REFUSED, REFUSED]
    assert step.command.tolist() == [400_000, 400_000, 0, 500_000, 0, 0]
    assert step.moved.tolist() == [0, 0, -1, 100_000, 100_000, -1]
    assert step.judged.all() and step.late.tolist() == late.tolist()
    assert step.values[place["active_power"]].tolist() == step.requested.tolist()


def test_rows_beyond_64_bits_are_repaired_one_by_one() -> None:
    instance, facts = rules_of("entsoe", "operator")
    (rule,) = (r for r in facts.rules if r.rule == "operator/discharge_power")
    place = facts.index()
    # The same limit, written so that its row leaves 64 bits.
    terms = sorted([*((i, a * 2**45) for i, a in rule.body[1]), (place["state_of_charge"], 1)])
    wide = replace(rule, body=("L", tuple(terms), 10_000, False))
    changed = replace(facts, rules=tuple(wide if r is rule else r for r in facts.rules))
    with pytest.raises(CannotVector, match="operator/discharge_power"):
        Stretches(changed, place["active_power"])
    columns, grid = states(facts, 40, 5)
    settled = {v.name: columns[i] for i, v in enumerate(facts.variables) if v.role == "nameplate"}
    fast, slow = (Batch(instance, f, "active_power", settled, grid) for f in (facts, changed))
    readings = columns[[place[name] for name in fast.names]]
    usable = np.ones(readings.shape, dtype=np.bool_)
    a, b = (x.step(columns[0], readings, usable) for x in (fast, slow))
    assert a.outcome.tolist() == b.outcome.tolist() and a.command.tolist() == b.command.tolist()


def test_arrays_of_another_form_are_refused() -> None:
    instance, facts = rules_of("entsoe", "operator")
    grid = np.ones(3, dtype=np.int64)
    with pytest.raises(ValueError, match="grid"):
        Batch(instance, facts, "active_power", {}, grid * 0)
    with pytest.raises(ValueError, match="soc_min"):
        Batch(instance, facts, "active_power", {"soc_min": np.ones(2, dtype=np.int64)}, grid)
    batch = Batch(instance, facts, "active_power", {}, grid)
    shape = (len(batch.names), 3)
    with pytest.raises(TypeError):
        batch.step(grid, np.zeros(shape), np.ones(shape, dtype=np.bool_))  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        batch.step(grid[:2], np.zeros(shape, dtype=np.int64), np.ones(shape, dtype=np.bool_))


@pytest.mark.parametrize("packs", [PACKS, GRID])
def test_a_fleets_records_are_those_of_each_unit(packs: tuple[str, ...]) -> None:
    pick = random.Random(7)
    guard, quick, _, _, _ = pair(packs)
    requests = [made(pick, unit, factor, packs) for unit, factor in zip(UNITS * 90, [0, 2, -1, 1, 3] * 72, strict=True)]
    settled = {unit: registered(unit, packs) for unit in UNITS}
    requests = [
        replace(r, state={n: v for n, v in r.state.items() if n in settled[r.unit] or not isinstance(v, Unusable)})
        for r in requests
        if settled[r.unit].keys() <= r.state.keys() and r.state.get("previous_setpoint") != Fraction(1, 3)
    ]
    records = FleetRecords(quick._guard, requests)
    batch, n = records.batch(), len(requests)
    vocabulary = records.instance.vocabulary
    readings = np.zeros((len(batch.names), n), dtype=np.int64)
    usable = np.zeros(readings.shape, dtype=np.bool_)
    for u, asked in enumerate(requests):
        for k, name in enumerate(batch.names):
            value = asked.state.get(name)
            if isinstance(value, Fraction):
                readings[k, u], usable[k, u] = int(value / vocabulary[name].resolution), True
    refused = {u: r.active_power.reason for u, r in enumerate(requests) if isinstance(r.active_power, Unusable)}
    watts = np.array([0 if isinstance(r.active_power, Unusable) else int(r.active_power) for r in requests])
    late = np.array([r.deadline_ns < NOW for r in requests])
    given_ = np.array([u not in refused for u in range(n)])
    limits = np.array([10**9 if r.tolerance is None else r.tolerance for r in requests])
    step = batch.step(watts, readings, usable, None, given_, limits, late)
    ready = records.write(step, [r.deadline_ns for r in requests], limits, refused, lambda unit, name: "missing")
    for asked, found in zip(requests, ready, strict=True):
        guard.decide(asked)
        assert found.record == guard._ledger.kept[-1]  # type: ignore[attr-defined]
        assert found.requested is None or found.frame is None or found.outcome != "refused"
    assert {r.outcome for r in ready} == {"admitted", "repaired", "refused"}


def step_of_one(guard: Guard, asked: Request) -> tuple[FleetRecords, Step]:
    """A step of a fleet of one that stays where it is, which every rule allows."""
    records = FleetRecords(guard, [asked])
    batch, known = records.batch(), {"frequency": "50", "state_of_charge": "0.5", "command_duration": "900"}
    values = [Fraction(known.get(n, "900" if n == "since_previous" else "0")) for n in batch.names]
    steps = [int(v / records.instance.vocabulary[n].resolution) for n, v in zip(batch.names, values, strict=True)]
    readings = np.array(steps, dtype=np.int64)[:, None]
    return records, batch.step(np.zeros(1, dtype=np.int64), readings, np.ones(readings.shape, dtype=np.bool_))


def test_a_fleets_command_whose_deadline_passed_while_deciding_is_refused_on_record() -> None:
    guard = pair()[1]._guard
    asked = replace(made(random.Random(1), UNITS[0], 0), state=dict(registered(UNITS[0])), deadline_ns=NOW + 5)
    records, step = step_of_one(guard, asked)
    in_time = records.write(step, [NOW + 5])[0]
    guard._clock = lambda: NOW + 6
    late = records.write(step, [NOW + 5])[0]
    assert (in_time.outcome, in_time.frame is None) == ("admitted", False)
    assert (late.outcome, late.frame, late.command, late.reason) == ("refused", None, None, PASSED)


def test_a_fleets_command_has_no_longer_than_its_service_class_leaves() -> None:
    says = replace(NO_POLICY, services={"fast": Service(latency="synthetic_inertia")})
    guard = Guard(core(), MemoryLedger(), Sealer(), lambda: NOW, policy=GuardPolicy(says, b""))  # type: ignore[arg-type]
    asked = replace(made(random.Random(1), UNITS[0], 0), state=dict(registered(UNITS[0])), service="fast")
    records, step = step_of_one(guard, asked)
    for asked_ns, left in ((None, NANO // 5), (NOW - NANO // 10, NANO // 10), (NOW + NANO, NANO // 5)):
        (ready,) = records.write(step, [NOW + NANO], asked_ns=asked_ns)
        assert (ready.outcome, ready.deadline_ns) == ("admitted", NOW + left)
        (own,) = records.write(step, [NOW + 7], asked_ns=asked_ns)
        assert own.deadline_ns == NOW + 7
    (late,) = records.write(step, [NOW + NANO], asked_ns=NOW - NANO)
    assert (late.deadline_ns, late.reason, late.frame) == (NOW - NANO + NANO // 5, PASSED, None)
    with pytest.raises(ValueError, match="no service class `slow`"):
        FleetRecords(guard, [replace(asked, service="slow")])
