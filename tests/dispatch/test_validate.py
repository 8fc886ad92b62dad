"""The solver's matrices imply every rule at every step; ten seeded faults are each found under the right name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from fractions import Fraction
from functools import lru_cache

import pytest

from compiler.to_cvxpy import Row
from dispatch.model import Model, build
from dispatch.prices import load_prices
from dispatch.validate import Exact, Validation, damaged, exact, validate
from proofs.checker.certificate import refutes
from proofs.checker.claim import claim_from_bytes
from tests.dispatch.test_schedule import HALF, WEEK
from tests.packs import core, fleet

Line = tuple[Mapping[int, Fraction], Fraction, bool]
UNIT = "MG11_BESS_02"
STEP = 40
NEAR = range(STEP - 1, STEP + 2)


@lru_cache(maxsize=1)
def case() -> tuple[Model, Exact]:
    model = build(core(), fleet(), load_prices(WEEK).day(date(2025, 6, 17)), HALF)
    return model, exact(model)


@lru_cache(maxsize=1)
def whole() -> Validation:
    return validate(*case())


def test_all_rules_are_proved_at_all_steps() -> None:
    model, found = case()[0], whole()
    assert not found.faults, found.faults[:3]
    rules = {row.rule for row in model.rows}
    assert len(rules) >= 3
    assert found.proved > 96 * len(model.fleet.units) * 4
    for data in found.claims.values():
        assert len(data) < 20_000
        assert refutes(*claim_from_bytes(data))


def _lines(rule: str, step: int) -> dict[int, Line]:
    """The rows that a rule put in for the unit at a step."""
    model, given = case()
    out = {}
    for row in model.rows:
        if row.rule == rule and UNIT in row.subjects:
            k = int(model.compiled.rows(row.constraint)[row.subjects.index(UNIT), step])
            out[k] = given.rows[k]
    assert out, rule
    return out


def _physics(step: int) -> dict[int, Line]:
    model, given = case()
    k = int(model.compiled.rows(model.units[UNIT].constraints[1])[step])
    return {k: given.rows[k]}


def sign(line: Line) -> Line:
    return {i: -a for i, a in line[0].items()}, line[1], line[2]


def missing(line: Line) -> Line:
    return {}, Fraction(0), line[2]


def off_by_one(line: Line) -> Line:
    return {i + 1: a for i, a in line[0].items()}, line[1], line[2]


def dropped_condition(line: Line) -> Line:
    return line[0], line[1] + 10**9, line[2]


def loosened(line: Line) -> Line:
    return line[0], line[1] + Fraction(1, 100) * max(1, abs(line[1])), line[2]


def swapped(line: Line) -> Line:
    """The bound of the other side: as if upper and lower limits had changed places."""
    return {i: -a for i, a in line[0].items()}, -line[1] + 10**6, line[2]


def efficiency(line: Line) -> Line:
    return {i: a * Fraction(98, 100) if abs(a) != 1 else a for i, a in line[0].items()}, line[1], line[2]


def gains(line: Line) -> Line:
    """Discharging fills the battery."""
    return {i: -a if abs(a) != 1 else a for i, a in line[0].items()}, line[1], line[2]


def half_step(line: Line) -> Line:
    return {i: a / 2 if abs(a) != 1 else a for i, a in line[0].items()}, line[1], line[2]


def wrong_unit(line: Line) -> Line:
    return {i: a / 1000 for i, a in line[0].items()}, line[1], line[2]


def forgotten_coefficient(line: Line) -> Line:
    """One that weighs against the row: columns are never negative, so without it the row allows more."""
    first = min(i for i, a in line[0].items() if a > 0)
    return {i: a for i, a in line[0].items() if i != first}, line[1], line[2]


FAULTS: dict[str, Callable[[Line], Line]] = {
    "sign": sign,
    "missing row": missing,
    "off-by-one step": off_by_one,
    "dropped condition": dropped_condition,
    "loosened limit": loosened,
    "swapped bounds": swapped,
    "wrong unit": wrong_unit,
    "forgotten coefficient": forgotten_coefficient,
}
PHYSICS: dict[str, Callable[[Line], Line]] = {
    "wrong efficiency": efficiency,
    "half the step length": half_step,
    "charge of another step": off_by_one,
    "discharging fills the battery": gains,
}


def _found(changed: dict[int, Line]) -> set[tuple[str, str]]:
    """Rules and subjects that validation names when rows are changed."""
    model, given = case()
    found = validate(model, damaged(given, changed), NEAR, whole())
    return {(f.rule.split("@")[0], f.subject) for f in found.faults}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_rule_is_found_under_its_name(fault: str) -> None:
    rules = sorted({row.rule for row in case()[0].rows if _plain(row)})
    assert len(rules) >= 2
    for rule in rules:
        assert _found({k: FAULTS[fault](line) for k, line in _lines(rule, STEP).items()}) == {(rule, UNIT)}


@pytest.mark.parametrize("fault", PHYSICS)
def test_a_fault_in_the_physics_is_found_under_its_name(fault: str) -> None:
    assert ("physics", UNIT) in _found({k: PHYSICS[fault](line) for k, line in _physics(STEP).items()})


def test_a_fault_in_a_rule_of_a_pool_is_found_under_its_name() -> None:
    model, given = case()
    pool = {row.rule for row in model.rows if row.subjects[0] in model.fleet.pools()}
    assert pool
    for rule in pool:
        places = [int(model.compiled.rows(r.constraint)[STEP]) for r in model.rows if r.rule == rule]
        ((named, _),) = _found({k: missing(given.rows[k]) for k in places})
        assert named == rule


def test_a_plan_built_on_another_efficiency_is_found() -> None:
    model, _ = case()
    other = replace(model.fleet, efficiency=model.fleet.efficiency * Fraction(99, 100))
    wrong = build(core(), other, load_prices(WEEK).day(date(2025, 6, 17)), HALF)
    found = validate(replace(wrong, fleet=model.fleet), steps=NEAR)
    assert {f.rule for f in found.faults} == {"physics"}
    assert {f.subject for f in found.faults} == set(model.fleet.units)


def _plain(row: Row) -> bool:
    """Rules that bind this unit by rows of their own, one alone."""
    return row.form == "linear" and UNIT in row.subjects
