"""The plan as an optimization problem: physics, money, and the compiled rules as rows.

The model knows physics and money only. Every limit comes from the rules, through `compiler.to_cvxpy`. What a plan made
anew changes (prices, state of charge, power in force) is a parameter: the problem is built and compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from compiler.core import Core
from compiler.highs import Matrices
from compiler.inputs import read
from compiler.instance import Instance, of_one, of_pool
from compiler.lower import lower
from compiler.to_cvxpy import AllowsNothing, Row, constraints
from compiler.to_exact import Unusable, Value
from compiler.to_highs import Compiled
from dispatch.prices import STEPS, Prices
from guardrails.fleet import Fleet, Unit
from rules_dsl.check import UNCERTAINTY

STEP_S = 900
HOURS = STEP_S / 3600
STRAY_W = 2
"""How far a whole-watt set point may lie from the planned power: it makes up for what earlier ones were rounded by."""


class NoSchedule(Exception):
    """No schedule was found; the message names the rules and clauses that stand against each other, where known."""


class UnitModel:
    """Physics and money of one battery: `out` and `into` as shares of its greatest power `top` (W), `power` in W,
    `soc` as a share of usable energy; `energy` in MWh for each step, `wear` in EUR."""

    def __init__(self, unit: Unit, fleet: Fleet) -> None:
        side = float(fleet.efficiency) ** 0.5
        self.top = float(max(unit.max_discharge_power, unit.max_charge_power))
        # In shares of the unit's power, so that the solver meets numbers of like size.
        self.out, self.into = out, into = cp.Variable(STEPS, nonneg=True), cp.Variable(STEPS, nonneg=True)
        self.soc = cp.Variable(STEPS + 1)
        self.start, self.before = cp.Parameter(), cp.Parameter(1)
        self.power = self.top * (out - into)
        full = self.top * HOURS / float(unit.usable_energy)
        self.drains, self.fills = full / side, full * side
        # Charging and discharging at once burns energy, which no battery does; it can pay where prices are negative.
        self.discharging = cp.Variable(STEPS, boolean=True)
        self.constraints: list[Any] = [
            self.soc[0] == self.start,
            self.soc[1:] == self.soc[:-1] - (self.drains * out - self.fills * into),
            self.soc[STEPS] >= self.start,
            self.soc >= 0,
            self.soc <= 1,
            out <= 1,
            into <= 1,
        ]
        self.one_way = [out <= self.discharging, into <= 1 - self.discharging]
        self.energy = (self.top * HOURS / 1e6) * (out - into)
        self.wear = (float(fleet.wear) * self.top * HOURS) * cp.sum(out)


@dataclass(slots=True)
class Model:
    """A plan's optimization problem with the rows that rules put into it; `set` changes what it plans for.

    `margin` is 1 where rows leave room for rounding, 0 where they say what the rules say. `strict` says of each unit
    and step whether charging and discharging at once is forbidden by a binary, and not left to prices. Where `resting`
    is one, a pool's members stand still.
    """

    core: Core
    fleet: Fleet
    start: Mapping[str, Fraction]
    previous: Mapping[str, Fraction]
    prices: Prices
    problem: Any
    units: Mapping[str, UnitModel]
    rows: list[Row]
    price: Any
    margin: Any
    resting: Mapping[str, Any]
    compiled: Compiled
    strict: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def set(
        self, prices: Prices, start: Mapping[str, Fraction], previous: Mapping[str, Fraction] | None = None
    ) -> None:
        """Plans for other prices (EUR/MWh), states of charge (shares) and set points in force before (W; at rest where
        not given). Raises `ValueError` naming what is missing or no share."""
        if len(prices.values) != STEPS:
            raise ValueError(f"{STEPS} prices are needed, {len(prices.values)} were given")
        for unit in self.units:
            if unit not in start or not 0 <= start[unit] <= 1:
                raise ValueError(f"{unit}: its state of charge at the start must be given as a share from 0 to 1")
        self.previous = {unit: (previous or {}).get(unit, Fraction(0)) for unit in self.units}
        self.prices, self.start = prices, start
        self.price.value = np.array([float(p) for p in prices.values])
        for unit, model in self.units.items():
            model.start.value = float(start[unit])
            model.before.value = np.array([float(self.previous[unit])])

    def matrices(self) -> Matrices:
        """The problem as the solver gets it; raises `NoAnswer`."""
        found = self.compiled.matrices()
        for unit, strict in self.strict.items():
            found.whole[self.compiled.columns(self.units[unit].discharging)[~strict]] = False
            for constraint in self.units[unit].one_way:
                found.upper[self.compiled.rows(constraint)[~strict]] = np.inf
        return found


def build(
    core: Core,
    fleet: Fleet,
    prices: Prices,
    start: Mapping[str, Fraction],
    previous: Mapping[str, Fraction] | None = None,
) -> Model:
    """The problem of `dispatch.schedule.plan`.

    Raises `ValueError` naming a field of a registration that the rules need and that cannot be used, `NoSchedule`
    naming a rule that allows nothing, and `CannotExpress` naming one that a plan cannot hold.
    """
    units = {u.id: UnitModel(u, fleet) for u in fleet.units.values()}
    margin = cp.Parameter(nonneg=True, value=1)
    rests: list[Any] = []
    resting: dict[str, Any] = {}
    try:
        rows = _unit_rows(core, fleet, units, margin)
        for pool in fleet.pools():
            resting[pool] = cp.Variable(STEPS, boolean=True)
            found = _pool_rows(core, fleet.pool(pool), units, margin * (1 - resting[pool]))
            rows += [replace(row, subjects=(pool,)) for row in found]
            sides = [side for u in fleet.pool(pool) for side in (units[u.id].out, units[u.id].into)]
            rests += [side <= 1 - resting[pool] for side in sides]
    except AllowsNothing as error:
        raise NoSchedule(str(error)) from error
    price = cp.Parameter(STEPS)
    objective = price @ sum(m.energy for m in units.values()) - sum(m.wear for m in units.values())
    physics = [constraint for m in units.values() for constraint in (*m.constraints, *m.one_way)]
    problem = cp.Problem(cp.Maximize(objective), [*physics, *rests, *(row.constraint for row in rows)])
    model = Model(core, fleet, {}, {}, prices, problem, units, rows, price, margin, resting, Compiled(problem))
    model.set(prices, start, previous)
    return model


def registered(core: Core, unit: Unit) -> dict[str, Value]:
    """A unit's registration in base units; raises `ValueError` naming what cannot be used."""
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


def _bindings(core: Core, prefix: str, models: Sequence[UnitModel], line: Callable[[list[Any]], Any]) -> dict[str, Any]:
    declared = core.declared()
    power = line([m.power / float(declared["active_power"].resolution) for m in models])
    before = line([m.before / float(declared["active_power"].resolution) for m in models])
    soc = line([m.soc[:-1] / float(declared["state_of_charge"].resolution) for m in models])
    previous = cp.hstack([before, power[..., :-1]])
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


def _stray(core: Core, units: Iterable[Unit], prefixes: Iterable[str] = ("",)) -> dict[str, Fraction]:
    """How far, in steps, quantities may be from their planned values once set points are whole watts."""
    declared = core.declared()
    power = Fraction(STRAY_W) / declared["active_power"].resolution
    smallest = min((u.usable_energy for u in units), default=Fraction(1))
    charge = Fraction(STRAY_W * STEP_S, 3600) / smallest / declared["state_of_charge"].resolution
    by = {"active_power": power, "previous_setpoint": power, "state_of_charge": charge}
    return {prefix + name: steps for prefix in prefixes for name, steps in by.items()}


def _unit_rows(core: Core, fleet: Fleet, models: Mapping[str, UnitModel], margin: Any) -> list[Row]:
    """The rules of units, all units together: where facts differ in numbers alone, units share rows."""
    instance = of_one(core, "unit", "schedule")
    facts = {}
    for unit in fleet.units.values():
        ranges = _ranges(core, unit, "")
        low, high = ranges["state_of_charge"]
        soc = models[unit.id].soc
        models[unit.id].constraints += [soc >= float(low), soc <= float(high)]
        facts[unit.id] = lower(instance, fixed_values(core, unit), ranges)
    bindings = _bindings(core, "", list(models.values()), cp.vstack)
    return constraints(facts, bindings, _stray(core, fleet.units.values()), margin)


def _pool_rows(core: Core, members: tuple[Unit, ...], models: Mapping[str, UnitModel], margin: Any) -> list[Row]:
    """The pool's own rules. One such as a balance may hold at rest and leave no room there; at rest nothing is rounded,
    so none is needed: `margin` is then zero."""
    whole = of_pool(core, "schedule", {u.id: registered(core, u) for u in members})
    fixed = {f"{u.id}.{n}": v for u in members for n, v in fixed_values(core, u).items()}
    instance = Instance(whole.subject, whole.core, whole.vocabulary, tuple(r for r in whole.rules if "@" not in r.id))
    bindings: dict[str, Any] = {}
    ranges: dict[str, tuple[Fraction, Fraction]] = {}
    for unit in members:
        bindings |= _bindings(core, f"{unit.id}.", [models[unit.id]], lambda parts: parts[0])
        ranges |= _ranges(core, unit, f"{unit.id}.")
    stray = _stray(core, members, [f"{u.id}." for u in members])
    return constraints(lower(instance, fixed, ranges), bindings, stray, margin)
