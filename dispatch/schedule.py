"""The schedule: one day of quarter-hours, as profitable as the compiled rules allow.

The model knows physics and money only. Every limit comes from the rules, through `compiler.to_cvxpy`, and an infeasible
plan names the clauses that clash. What it returns is a proposal: the guard judges each command again, exactly.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from compiler.core import Core
from compiler.inputs import read
from compiler.instance import Instance, of_one, of_pool
from compiler.lower import lower
from compiler.to_cvxpy import AllowsNothing, Row, constraints
from compiler.to_exact import Unusable, Value
from dispatch.prices import STEPS, Prices
from guardrails.fleet import Fleet, Unit
from rules_dsl.check import UNCERTAINTY

STEP_S = 900
GAP = 0.005
"""Relative gap at which the mixed-integer search stops."""
LIMIT_S = 30.0
MARGIN = Fraction(1)
"""Steps by which each row is tightened, so that rounding the plan keeps it."""


class NoSchedule(Exception):
    """No schedule was found; the message names the rules and clauses that stand against each other, where known."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A plan: W per unit and quarter-hour (export positive), state of charge at the end of each, and what it earns.

    `revenue` in EUR is exact for the whole-watt set points; `rows` counts constraints by rule.
    """

    power: Mapping[str, tuple[int, ...]]
    charge: Mapping[str, tuple[float, ...]]
    revenue: Fraction
    rows: Mapping[str, int]
    seconds: float
    status: str

    def before(self, step: int, start: Mapping[str, Fraction]) -> dict[str, Fraction]:
        """Planned state of charge of each unit at the beginning of a step, to a thousandth."""
        if step == 0:
            return dict(start)
        return {unit: Fraction(round(charge[step - 1] * 1000), 1000) for unit, charge in self.charge.items()}


def plan(core: Core, fleet: Fleet, prices: Prices, start: Mapping[str, Fraction]) -> Schedule:
    """The schedule of a fleet for 96 quarter-hours. `start` gives each unit's state of charge.

    Raises `NoSchedule` when nothing complies or the solver gives no answer in time, `ValueError` naming a field of a
    registration that the rules need and that cannot be used, and `CannotExpress` naming a rule that a plan cannot hold.
    """
    began = time.perf_counter()
    model = build(core, fleet, prices, start)
    models, rows, problem = model.units, model.rows, model.problem
    _solve(problem)
    found = all(m.power.value is not None for m in models.values())
    if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE, cp.USER_LIMIT) or not found:
        physics = [constraint for m in models.values() for constraint in m.constraints]
        raise NoSchedule(f"{problem.status}: " + _clash(physics, rows))
    power = {i: tuple(round(float(p)) for p in m.power.value) for i, m in models.items()}
    charge = {i: tuple(float(x) for x in m.soc.value[1:]) for i, m in models.items()}
    revenue = sum(
        (Fraction(w, 4_000_000) * p for ws in power.values() for w, p in zip(ws, prices.values, strict=True)),
        Fraction(0),
    )
    counts = Counter(row.rule.split("@")[0] for row in rows for _ in range(int(np.prod(row.slack.shape) or 1)))
    return Schedule(power, charge, revenue, dict(counts), time.perf_counter() - began, str(problem.status))


@dataclass(frozen=True, slots=True)
class Model:
    """A plan's optimization problem before it is solved, with the rows that rules put into it."""

    core: Core
    fleet: Fleet
    start: Mapping[str, Fraction]
    problem: cp.Problem
    units: Mapping[str, UnitModel]
    rows: list[Row]


def build(core: Core, fleet: Fleet, prices: Prices, start: Mapping[str, Fraction]) -> Model:
    """The problem of `plan`; raises as it does."""
    if len(prices.values) != STEPS:
        raise ValueError(f"{STEPS} prices are needed, {len(prices.values)} were given")
    price = np.array([float(p) for p in prices.values])
    models = {u.id: UnitModel(u, fleet, start[u.id], price) for u in fleet.units.values()}
    rows: list[Row] = []
    try:
        for unit in fleet.units.values():
            rows += _unit_rows(core, unit, models[unit.id])
        for pool in fleet.pools():
            rows += _pool_rows(core, fleet.pool(pool), models)
    except AllowsNothing as error:
        raise NoSchedule(str(error)) from error
    objective = cp.Maximize(sum(m.money for m in models.values()))
    physics = [constraint for m in models.values() for constraint in m.constraints]
    problem = cp.Problem(objective, [*physics, *(row.constraint for row in rows)])
    return Model(core, fleet, start, problem, models, rows)


def _solve(problem: cp.Problem) -> None:
    try:
        problem.solve(solver=cp.HIGHS, mip_rel_gap=GAP, time_limit=LIMIT_S, output_flag=False)
    except cp.error.SolverError as error:
        raise NoSchedule(f"the solver gave no answer: {error}") from error


class UnitModel:
    """Physics and money of one battery: W, Wh, state of charge as a share."""

    def __init__(self, unit: Unit, fleet: Fleet, start: Fraction, price: NDArray[np.float64]) -> None:
        energy = float(unit.usable_energy)
        side = float(fleet.efficiency) ** 0.5
        top = float(max(unit.max_discharge_power, unit.max_charge_power))
        # In shares of the unit's power, so that the solver meets numbers of like size.
        self.out, self.into = out, into = cp.Variable(STEPS, nonneg=True), cp.Variable(STEPS, nonneg=True)
        self.soc = cp.Variable(STEPS + 1)
        self.power = top * (out - into)
        hours = STEP_S / 3600
        drawn = (out / side - into * side) * (top * hours / energy)
        self.constraints: list[Any] = [
            self.soc[0] == float(start),
            self.soc[1:] == self.soc[:-1] - drawn,
            self.soc[STEPS] >= float(start),
            self.soc >= 0,
            self.soc <= 1,
            out <= 1,
            into <= 1,
        ]
        # Charging and discharging at once burns energy: it can pay only where the price is negative.
        burns = np.flatnonzero(price < 0)
        if burns.size:
            discharging = cp.Variable(burns.size, boolean=True)
            self.constraints += [out[burns] <= discharging, into[burns] <= 1 - discharging]
        wear = float(fleet.wear) * top * hours
        self.money = (price * (top * hours / 1e6)) @ (out - into) - wear * cp.sum(out)


def registered(core: Core, unit: Unit) -> dict[str, Value]:
    found = dict(read(core.declared(), unit.inputs()).values)
    for name, value in found.items():
        if isinstance(value, Unusable):
            raise ValueError(f"{unit.id}: {name} is {value.reason}")
    return found


def fixed_values(core: Core, unit: Unit) -> dict[str, Fraction]:
    """What a plan takes as known: registration, the length of a step, and no doubt about a planned state of charge."""
    fixed = {n: v for n, v in registered(core, unit).items() if isinstance(v, Fraction)}
    step = Fraction(STEP_S)
    return fixed | {
        "command_duration": step,
        "since_previous": step,
        "state_of_charge" + UNCERTAINTY: core.declared()["state_of_charge"].uncertain or Fraction(0),
    }


def _bindings(core: Core, prefix: str, model: UnitModel) -> dict[str, Any]:
    declared = core.declared()
    power = model.power / float(declared["active_power"].resolution)
    # The plan starts from rest: what was in force before the first step is not known when the plan is made.
    previous = cp.hstack([np.zeros(1), power[:-1]])
    soc = model.soc[:-1] / float(declared["state_of_charge"].resolution)
    return {f"{prefix}active_power": power, f"{prefix}previous_setpoint": previous, f"{prefix}state_of_charge": soc}


def _ranges(core: Core, unit: Unit, prefix: str) -> dict[str, tuple[Fraction, Fraction]]:
    """A plan stays inside the window that the unit is registered with, doubt included, and inside what it can do."""
    doubt = core.declared()["state_of_charge"].uncertain or Fraction(0)
    # INVARIANT: the model itself keeps every range stated here, since lowering drops what the ranges already imply.
    top = max(unit.max_discharge_power, unit.max_charge_power)
    power = (-top, top)
    window = (min(unit.soc_min + doubt, unit.soc_max), max(unit.soc_max - doubt, unit.soc_min))
    return {
        f"{prefix}active_power": power,
        f"{prefix}previous_setpoint": power,
        f"{prefix}state_of_charge": window,
    }


def _unit_rows(core: Core, unit: Unit, model: UnitModel) -> list[Row]:
    instance = of_one(core, "unit", "schedule")
    ranges = _ranges(core, unit, "")
    low, high = ranges["state_of_charge"]
    model.constraints += [model.soc >= float(low), model.soc <= float(high)]
    facts = lower(instance, fixed_values(core, unit), ranges)
    return constraints(facts, _bindings(core, "", model), MARGIN)


def _pool_rows(core: Core, members: tuple[Unit, ...], models: Mapping[str, UnitModel]) -> list[Row]:
    whole = of_pool(core, "schedule", {u.id: registered(core, u) for u in members})
    instance = Instance(whole.subject, whole.core, whole.vocabulary, tuple(r for r in whole.rules if "@" not in r.id))
    bindings: dict[str, Any] = {}
    ranges: dict[str, tuple[Fraction, Fraction]] = {}
    for unit in members:
        bindings |= _bindings(core, f"{unit.id}.", models[unit.id])
        ranges |= _ranges(core, unit, f"{unit.id}.")
    return constraints(lower(instance, {}, ranges), bindings)


def _clash(physics: list[Any], rows: list[Row]) -> str:
    """The rules that would have to give way for a plan to exist: the least total violation tells which."""
    slacks = [cp.Variable(row.slack.shape or None, nonneg=True) for row in rows]
    soft = [row.slack + slack >= 0 for row, slack in zip(rows, slacks, strict=True)]
    problem = cp.Problem(cp.Minimize(sum(cp.sum(s) for s in slacks)), [*physics, *soft])
    problem.solve(solver=cp.HIGHS, time_limit=LIMIT_S, output_flag=False)
    if problem.value is None or problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        return "physics alone allows no plan from this state of charge"
    blamed: dict[str, str] = {}
    for row, slack in zip(rows, slacks, strict=True):
        if slack.value is not None and float(np.max(slack.value)) > 1e-6:
            blamed[row.rule] = row.clause
    return "; ".join(f"{rule} ({clause})" for rule, clause in sorted(blamed.items())) or "no rule could be named"
