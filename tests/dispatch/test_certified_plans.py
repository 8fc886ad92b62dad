"""Plans made anew, what clauses cost, how far from the best a plan can be, and solvers that misbehave."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest

from compiler import child, highs
from compiler.highs import Matrices, ask, parts
from dispatch import optimality, schedule
from dispatch.model import Model
from dispatch.optimality import NoBound, Optimality, certify
from dispatch.prices import Prices, load_prices
from dispatch.rounding import breaches
from dispatch.schedule import NoSchedule, Schedule, build, plan, solve
from guardrails.fleet import Fleet
from proofs.checker.certificate import Bad, Problem, refutes
from proofs.checker.claim import claim_from_bytes
from tests.packs import ROOT, broken, core, fleet

WEEK = load_prices(ROOT / "examples" / "prices" / "de_lu_day_ahead_week.csv")
HALF = dict.fromkeys(fleet().units, Fraction(1, 2))


@lru_cache(maxsize=1)
def lone() -> Fleet:
    """One battery without losses or wear: 1 MWh, 400 kW out, 500 kW in."""
    unit = replace(fleet().units["MG11_BESS_02"], max_discharge_power=Fraction(400_000))
    return replace(fleet(), units={unit.id: unit}, efficiency=Fraction(1), wear=Fraction(0))


def prices(values: dict[int, int], otherwise: int = 10) -> Prices:
    return Prices(datetime(2025, 6, 17, tzinfo=UTC), tuple(Fraction(values.get(k, otherwise)) for k in range(96)))


PEAK = prices({95: 110})


@lru_cache(maxsize=1)
def peak() -> tuple[Model, Schedule]:
    model = build(core(), lone(), PEAK, HALF)
    return model, solve(model)


def same(a: Matrices, b: Matrices) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in Matrices.__slots__)


def test_the_problem_is_compiled_once_and_a_plan_made_anew_equals_one_from_nothing() -> None:
    days = [WEEK.day(date(2025, 6, d)) for d in (17, 20)]
    starts = [HALF, HALF | {"LFP_250": Fraction(3, 5), "MG11_BESS_02": Fraction(2, 5)}]
    earlier = [{}, {"LFP_250": Fraction(50_000)}]
    model = build(core(), fleet(), days[0], starts[0])
    assert model.problem.is_dpp()
    first = model.matrices()
    compiled = model.problem._cache.param_prog
    for day, start, before in zip(reversed(days), reversed(starts), reversed(earlier), strict=True):
        model.set(day, start, before)
        found = model.matrices()
        assert model.problem._cache.param_prog is compiled
        assert same(found, build(core(), fleet(), day, start, before).matrices())
    assert same(found, first)
    model.set(days[1], starts[1])
    assert not same(model.matrices(), first)


def test_a_plan_made_anew_earns_what_one_from_nothing_earns() -> None:
    model = build(core(), lone(), prices({3: 80, 40: -20}), HALF)
    solve(model)
    model.set(PEAK, HALF)
    again, fresh = solve(model), peak()[1]
    assert again.power == fresh.power
    assert again.worth == fresh.worth


@pytest.mark.parametrize("start", [{}, {"MG11_BESS_02": Fraction(-1, 100)}, {"MG11_BESS_02": Fraction(101, 100)}])
def test_a_start_that_is_no_share_is_refused_by_name(start: dict[str, Fraction]) -> None:
    with pytest.raises(ValueError, match="MG11_BESS_02: its state of charge"):
        build(core(), lone(), PEAK, start)


def test_what_a_clause_costs_is_known_by_hand() -> None:
    """One dear quarter-hour: a watt more of discharge there sells a quarter of a watt-hour for 110 that costs 10."""
    found = peak()[1].marginals
    assert [(m.rule, m.quantity, m.unit, m.step) for m in found] == [
        ("operator/discharge_power", "active_power", "W", Fraction(1))
    ]
    (limit,) = found
    assert limit.binds == (("MG11_BESS_02", 95, pytest.approx(100 * 0.25e-6)),)
    assert limit.euros == limit.per_unit == pytest.approx(100 * 0.25e-6)
    assert limit.clause.endswith("dispatch_limits.real_power.max_discharge")


def test_with_binaries_the_costs_are_those_of_the_choices_held() -> None:
    """A negative price brings binaries in; what the dear quarter-hour is worth stays what it was."""
    found = {m.rule: m for m in plan(core(), lone(), prices({3: -5, 95: 110}), HALF).marginals}
    assert found["operator/discharge_power"].binds == (("MG11_BESS_02", 95, pytest.approx(100 * 0.25e-6)),)


def test_a_limit_relaxed_by_what_it_says_earns_what_it_says() -> None:
    unit = lone().units["MG11_BESS_02"]
    wider = replace(lone(), units={unit.id: replace(unit, max_discharge_power=unit.max_discharge_power + 1000)})
    more = plan(core(), wider, PEAK, HALF).worth - peak()[1].worth
    assert float(more) == pytest.approx(1000 * peak()[1].marginals[0].per_unit, rel=1e-2)


def test_the_best_is_known_by_hand_and_the_bound_meets_it() -> None:
    """400 kW for a quarter of an hour, bought at 10 and sold at 110 EUR/MWh: 10 EUR."""
    model, found = peak()
    bound = certify(model, found)
    assert [b.units for b in bound.blocks] == [("MG11_BESS_02",)]
    assert 10 <= bound.most < 10 + Fraction(1, 10**6)
    assert 0 <= bound.gap < Fraction(1, 1000)


@pytest.fixture(scope="module")
def site() -> tuple[Model, Schedule, Optimality]:
    model = build(core(), fleet(), WEEK.day(date(2025, 6, 17)), HALF)
    found = solve(model)
    return model, found, certify(model, found)


def test_the_whole_site_is_bounded_block_by_block(site: tuple[Model, Schedule, Optimality]) -> None:
    model, found, bound = site
    assert sorted(len(b.units) for b in bound.blocks) == [1, 1, 1, 6]
    assert {u for b in bound.blocks for u in b.units} == set(fleet().units)
    assert 0 <= bound.gap < found.worth / 100
    assert bound.worth == found.worth
    for block in bound.blocks:
        problem, tree = claim_from_bytes(block.claim())
        assert refutes(problem, tree)
    # What follows from rows without room for rounding is no less than the best of rows with it.
    best = ask(replace(model.matrices(), whole=np.zeros(model.matrices().cost.size, dtype=np.bool_)), 30)
    assert best.x is not None
    assert float(bound.most) >= -float(model.matrices().cost @ best.x) - 1e-6


def test_a_bound_that_is_too_low_does_not_check(site: tuple[Model, Schedule, Optimality]) -> None:
    for block in site[2].blocks:
        claim, *facts = block.problem.facts
        kind, terms, side, strict = claim
        scale = Fraction(side) / -block.most
        lower = (kind, terms, side + int(scale / 100), strict)
        changed = Problem(block.problem.n, block.problem.box, frozenset(), (), (lower, *facts))
        assert not refutes(changed, block.tree)
        with pytest.raises(Bad):
            refutes(Problem(block.problem.n, block.problem.box, frozenset(), (), (claim, *facts[1:])), block.tree)


def test_the_returned_plan_keeps_the_rows_without_room_for_rounding(site: tuple[Model, Schedule, Optimality]) -> None:
    model, found, _ = site
    assert not list(breaches(model, found.power))
    worse = {u: list(w) for u, w in found.power.items()}
    for unit, k, watts in (("MG11_BESS_01", 30, 3_000_001), ("LFP_250", 7, -250_000), ("HOME_1", 50, 2500)):
        changed = worse | {unit: [*worse[unit][:k], watts, *worse[unit][k + 1 :]]}
        assert list(breaches(model, changed)), unit


PAIR = """rule {name} "{name}"
  cites site_file "{name}"  evidence given  in force from 2026-01-01
  checked at schedule
  applies to each unit with rfg_adopted,
  abs(active_power) must be {demand}
  example "x" allows active_power {good} refuses active_power {bad}

rule discharge_power """


def test_a_clash_names_the_clauses_none_of_which_can_be_left_out() -> None:
    both = PAIR.format(name="never_idle", demand="at least 10 kW", good="-10 kW", bad="9 kW").replace(
        "rule discharge_power ",
        PAIR.format(name="never_much", demand="at most 5 kW", good="-5 kW", bad="6 kW"),
    )
    with pytest.raises(NoSchedule) as error:
        plan(broken("rule discharge_power ", both), fleet(), PEAK, HALF)
    named = str(error.value).removeprefix("kInfeasible: ").split("; ")
    assert [text.split(" ")[0] for text in named] == ["operator/never_idle", "operator/never_much"]
    assert len({text.rpartition(" for ")[2] for text in named}) == 1


def test_units_whose_facts_differ_in_numbers_alone_share_rows() -> None:
    model = build(core(), fleet(), PEAK, HALF)
    floor = [row for row in model.rows if row.rule == "operator/soc_floor"]
    assert [row.subjects for row in floor] == [tuple(fleet().units)]
    assert floor[0].slack.shape == (9, 96)
    model.margin.value = 0
    pick = np.random.default_rng(1)
    for unit in ("MG11_BESS_01", "LFP_250"):
        single = build(core(), replace(fleet(), units={unit: fleet().units[unit]}), PEAK, HALF)
        single.margin.value = 0
        for name, size in (("out", 96), ("into", 96), ("soc", 97)):
            point = pick.random(size)
            getattr(model.units[unit], name).value = getattr(single.units[unit], name).value = point
        for other in model.units.values():
            for variable in (other.out, other.into, other.soc):
                variable.value = np.zeros(variable.shape) if variable.value is None else variable.value
        assert slacks(single, unit) == slacks(model, unit)


def slacks(model: Model, unit: str) -> list[tuple[str, list[float]]]:
    """What the rows of a unit's rules leave at the variables' values."""
    found = [
        (row.rule, np.round(row.slack.value[row.subjects.index(unit)], 6).tolist())
        for row in model.rows
        if unit in row.subjects
    ]
    return sorted(found)


def test_every_column_and_row_is_found_in_the_matrices() -> None:
    model = build(core(), fleet(), WEEK.day(date(2025, 6, 17)), HALF)
    found = model.matrices()
    columns = np.concatenate([model.compiled.columns(v).ravel() for v in model.problem.variables()])
    assert sorted(columns) == list(range(found.cost.size))
    rows = np.concatenate([model.compiled.rows(c).ravel() for c in model.problem.constraints])
    assert sorted(rows) == list(range(found.lower.size))
    answer = ask(replace(found, whole=np.zeros_like(found.whole)), 30)
    assert answer.x is not None
    model.compiled.take(answer.x)
    for unit in model.units.values():
        for variable in (unit.out, unit.into, unit.soc):
            assert np.allclose(answer.x[model.compiled.columns(variable)], variable.value, atol=1e-6)
        assert found.whole[model.compiled.columns(unit.discharging)].all()
    calm = np.array([float(p) >= 0 for p in model.prices.values])
    model.strict = dict.fromkeys(model.units, ~calm)
    loose = model.matrices()
    for unit in model.units.values():
        assert np.array_equal(loose.whole[model.compiled.columns(unit.discharging)], ~calm)
        for constraint in unit.one_way:
            assert np.array_equal(np.isinf(loose.upper[model.compiled.rows(constraint)]), calm)


def test_a_pool_stands_still_where_nothing_is_worth_planning(site: tuple[Model, Schedule, Optimality]) -> None:
    found = site[1]
    members = [u.id for u in fleet().pool("homes")]
    most = np.array([max(abs(found.power[u][k]) for u in members) for k in range(96)])
    assert (most == 0).sum() > 20
    assert ((most > 0) & (most < 10)).sum() < 5


def test_parts_share_nothing() -> None:
    matrices = peak()[0].matrices()
    both = Matrices(
        *(np.concatenate([getattr(matrices, n)] * 2) for n in ("cost",)),
        np.concatenate([matrices.starts, matrices.starts[1:] + matrices.starts[-1]]),
        np.concatenate([matrices.indices, matrices.indices + matrices.lower.size]),
        *(np.concatenate([getattr(matrices, n)] * 2) for n in ("data", "lower", "upper", "low", "high", "whole")),
    )
    sizes = sorted(len(columns) for columns, _ in parts(both))
    assert sum(sizes) == 2 * matrices.cost.size
    one, two = ask(matrices, 30), ask(both, 30)
    assert one.x is not None and two.x is not None
    assert float(both.cost @ two.x) == pytest.approx(2 * float(matrices.cost @ one.x))


FAULTS = {
    "hangs": "time limit",
    "crashes": "process ended",
    "fails": "no memory",
    "missing": "highspy",
    "babbles": "no answer",
    "short": "no answer",
    "not_finite": "not finite",
    "says_infeasible": "standing still keeps every rule",
    "out_of_time": "in time",
    "breaks_rows": "breaks",
    "forgets_rows": "breaks",
}


@pytest.fixture
def faulty(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(highs, "SOLVE", f"tests.solvers:{request.param}")
    monkeypatch.setattr(highs, "GRACE_S", 0.5)
    monkeypatch.setattr(child, "START_S", 5.0)
    for module in (schedule, optimality):
        monkeypatch.setattr(module, "LIMIT_S", 1.0)
    yield str(request.param)
    child.stop()


@pytest.mark.parametrize("faulty", FAULTS, indirect=True)
def test_a_solver_that_misbehaves_costs_a_bounded_wait_and_no_rule(faulty: str) -> None:
    began = time.monotonic()
    with pytest.raises(NoSchedule, match=FAULTS[faulty]):
        plan(core(), fleet(), WEEK.day(date(2025, 6, 17)), HALF)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("faulty", ["says_infeasible"], indirect=True)
def test_a_false_word_of_infeasibility_is_passed_on_as_the_solvers_alone(faulty: str) -> None:
    """Standing still breaks the reserve's clause here; what the solver says of the rest cannot be checked."""
    low = HALF | {"MG11_BESS_01": Fraction(15, 100)}
    with pytest.raises(NoSchedule, match="kInfeasible"):
        plan(core(), fleet(), PEAK, low)


@pytest.mark.parametrize("faulty", ["wrong_duals"], indirect=True)
def test_wrong_dual_values_give_a_looser_bound_that_still_holds(faulty: str) -> None:
    model, found = peak()
    try:
        assert certify(model, found).most >= 10
    except NoBound:
        pytest.fail("a unit's columns are bounded: any dual values bound its worth")


@pytest.mark.parametrize("faulty", ["no_duals", "crashes", "says_infeasible"], indirect=True)
def test_without_dual_values_there_is_no_bound(faulty: str) -> None:
    with pytest.raises(NoBound):
        certify(*peak())
