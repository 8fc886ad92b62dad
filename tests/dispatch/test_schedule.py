"""Prices are read exactly; a plan keeps every rule once rounded; an impossible one names its clause."""

from __future__ import annotations

from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from compiler.facts import FactSet, RuleFact, Variable, holds
from compiler.from_syntax import to_core
from compiler.inputs import read
from compiler.instance import of_one, of_pool
from compiler.to_cvxpy import CannotExpress, capability, constraints
from compiler.to_exact import Subject, Value, Verdict, judge
from dispatch.prices import PriceError, load_prices
from dispatch.schedule import STEP_S, NoSchedule, Schedule, plan
from jurisdictions.loader import load_texts, sources_of
from tests.packs import DAY, PACKS, ROOT, core, fleet, unit_rules
from tests.shared_files import shared

WEEK = ROOT / "examples" / "prices" / "de_lu_day_ahead_week.csv"
HALF = {u: Fraction(1, 2) for u in fleet().units}


@pytest.fixture(scope="module")
def schedule() -> Schedule:
    return plan(core(), fleet(), load_prices(WEEK).day(date(2025, 6, 17)), HALF)


def test_the_week_is_the_published_one() -> None:
    ours = load_prices(WEEK)
    theirs = load_prices(shared("data", "de_lu_day_ahead_hourly_2024_2025.csv"))
    offset = int((ours.start - theirs.start).total_seconds()) // 900
    assert len(ours.values) == 7 * 96
    assert ours.values == theirs.values[offset : offset + 7 * 96]
    assert min(ours.values) < 0


HEAD = "time_utc,price_eur_per_mwh\n"
ROW = "2025-06-16T{:02d}:00Z,{}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "line 1: there is no column `time_utc`"),
        (HEAD + ROW.format(0, 1) + ROW.format(1, "NaN"), "line 3: price_eur_per_mwh"),
        (HEAD + ROW.format(0, 1) + ROW.format(1, ""), "line 3: price_eur_per_mwh"),
        (HEAD + ROW.format(0, 1) + ROW.format(0, 2), "line 3: time_utc"),
        (HEAD + ROW.format(0, 1) + ROW.format(1, 2) + ROW.format(3, 2), "line 4: time_utc"),
        (HEAD + ROW.format(1, 1) + ROW.format(0, 2), "line 3: time_utc"),
        (HEAD + "2025-06-16T00:00+02:00,1\n", "not in UTC"),
        (HEAD + "yesterday,1\n", "`yesterday` is not a time"),
        (HEAD + "2025-06-16T00:00Z,1,2\n", "3 cells where 2"),
        (HEAD, "fewer than two"),
    ],
)
def test_a_bad_price_file_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(PriceError, match=message):
        load_prices(path)


def test_the_plan_keeps_every_rule_when_judged_exactly(schedule: Schedule) -> None:
    declared = core().declared()
    rules = of_one(core(), "unit", "schedule").rules
    seen: Counter[str] = Counter()
    side = float(fleet().efficiency) ** 0.5
    for unit in fleet().units.values():
        top = max(unit.max_discharge_power, unit.max_charge_power)
        hour = float(top) * 0.25 / float(unit.usable_energy)
        before, soc = Fraction(0), Fraction(1, 2)
        for k, watts in enumerate(schedule.power[unit.id]):
            values: dict[str, Value] = dict(read(declared, unit.inputs()).values) | {
                "active_power": Fraction(watts),
                "previous_setpoint": before,
                "state_of_charge": soc,
                "state_of_charge_uncertainty": declared["state_of_charge"].uncertain or Fraction(0),
                "command_duration": Fraction(STEP_S),
                "since_previous": Fraction(STEP_S),
            }
            for rule in rules:
                finding = judge(rule, Subject(values))
                if not rule.blocks:
                    continue
                assert finding.verdict in (Verdict.COMPLIES, Verdict.NOT_APPLICABLE), (rule.id, unit.id, k)
                seen[rule.id] += finding.verdict is Verdict.COMPLIES
            soc -= Fraction(watts) / top * Fraction(hour / side if watts > 0 else hour * side)
            assert abs(float(soc) - schedule.charge[unit.id][k]) < 1e-12
            before = Fraction(watts)
        assert soc >= Fraction(1, 2)
    assert len(seen) >= 8
    assert min(seen.values()) >= 96


def test_the_plan_balances_the_phases(schedule: Schedule) -> None:
    declared = core().declared()
    members = fleet().pool("homes")
    pool = of_pool(core(), "schedule", {u.id: read(declared, u.inputs()).values for u in members})
    (rule,) = (r for r in pool.rules if r.id == "operator/phase_balance")
    for k in range(96):
        values: dict[str, Value] = {f"{u.id}.active_power": Fraction(schedule.power[u.id][k]) for u in members}
        margin = judge(rule, Subject(values)).margin
        assert margin is not None
        assert margin >= 0


def test_money_is_what_the_set_points_earn(schedule: Schedule) -> None:
    prices = load_prices(WEEK).day(date(2025, 6, 17)).values
    again = sum(
        (Fraction(w) * p / 4 / 10**6 for ws in schedule.power.values() for w, p in zip(ws, prices, strict=True)),
        Fraction(0),
    )
    assert schedule.revenue == again
    assert schedule.revenue > 300


def test_the_reserve_binds_the_plan(schedule: Schedule) -> None:
    unit = fleet().units["MG11_BESS_01"]
    need = unit.fcr_reserved * Fraction(1, 4) / unit.usable_energy + Fraction(2, 100)
    assert min(schedule.charge[unit.id][:-1]) >= float(need) - 1e-6
    assert min(schedule.charge["MG11_BESS_02"]) < float(need)
    assert schedule.rows["entsoe/fcr_energy_up"] == 96


def test_an_impossible_plan_names_the_clause() -> None:
    sources = sources_of(PACKS)
    changed = {
        n: t.replace("must be at least fcr_reserved * fcr_activation_period", "must be at least fcr_reserved * 8 h")
        for n, t in sources.items()
    }
    with pytest.raises(NoSchedule, match=r"entsoe/fcr_energy_(up|down) .*Art\. 156\(9\)"):
        plan(to_core(load_texts(changed), DAY), fleet(), load_prices(WEEK).day(date(2025, 6, 17)), HALF)


def test_a_rule_that_a_plan_cannot_hold_is_refused_by_name() -> None:
    _, facts = unit_rules()
    able = capability(facts)
    assert able["operator/discharge_power"] == "linear"
    assert able["operator/setpoint_deadband"] == "mixed-integer"
    assert able["operator/soc_floor"].startswith("cannot: a product of")
    with pytest.raises(CannotExpress, match="entsoe/fcr_keep_up"):
        constraints(facts, {v.name: np.zeros(3) for v in facts.variables})


def test_alternatives_become_binaries_that_mean_the_same() -> None:
    import cvxpy as cp

    variables = tuple(Variable(n, "W", Fraction(1), -20, 20, "commanded") for n in ("a", "b"))
    either = (
        "O",
        (("L", ((0, 1),), -5, False), ("A", (("L", ((0, -1),), -7, False), ("L", ((0, 1), (1, 1)), 4, True)))),
    )
    facts = FactSet("unit", "", variables, (), (RuleFact("r", "", "c", "", True, ("A", ()), either),))
    for target in range(-20, 21, 4):
        for other in (-20, -3, 0, 20):
            x = cp.Variable(2, integer=True)
            rows = constraints(facts, {"a": x[0], "b": x[1]})
            box = [x >= -20, x <= 20, x[1] == other]
            cp.Problem(cp.Minimize(cp.abs(x[0] - target)), [*box, *(r.constraint for r in rows)]).solve(
                solver=cp.HIGHS, output_flag=False
            )
            found = {0: round(float(x.value[0])), 1: other}
            assert holds(either, found)
            best = min(abs(a - target) for a in range(-20, 21) if holds(either, {0: a, 1: other}))
            assert abs(found[0] - target) == best
            assert {r.form for r in rows} == {"mixed-integer"}
