"""From what a solver proposes to whole watts, and the exact check of every rule at every step before they are returned.

States of charge follow from the set points by the model's own physics, in exact numbers; the rules are judged by the
reference interpreter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor

from compiler.instance import of_one, of_pool
from compiler.to_exact import Subject, Value, Verdict, judge
from dispatch.model import STRAY_W, Model, UnitModel, fixed_values, registered
from dispatch.prices import STEPS

REST_W = 0.01
"""Planned power below this is rest."""
SOLVER_SHARE = Fraction(1, 10**8)
"""State of charge kept above the planned one, since a solver keeps its rows only about so well."""

Powers = Mapping[str, Sequence[int]]


def whole_watts(model: Model) -> dict[str, tuple[int, ...]]:
    """The planned power in whole watts, each step moved, by `STRAY_W` at most, so that the exact state of charge stays
    at the planned one or less than a watt's worth above it."""
    out = {}
    for identity, unit in model.fleet.units.items():
        plan = model.units[identity]
        planned = [Fraction(float(share)) + SOLVER_SHARE for share in plan.soc.value]
        planned[-1] = max(planned[-1], model.start[identity])
        charge, watts = model.start[identity], []
        for power, target in zip(plan.power.value, planned[1:], strict=True):
            drop = charge - target
            w = floor(drop / drains(plan)) if drop >= 0 else -ceil(-drop / fills(plan))
            # Where the solver burnt energy, its state of charge is none to follow: power stays as planned.
            w = max(ceil(float(power) - STRAY_W), min(floor(float(power) + STRAY_W), w))
            w = max(-int(unit.max_charge_power), min(int(unit.max_discharge_power), w))
            watts.append(0 if abs(float(power)) < REST_W else w)
            charge = after(plan, charge, watts[-1])
        out[identity] = tuple(watts)
    return out


def drains(plan: UnitModel) -> Fraction:
    """Share of usable energy that one exported watt takes in a step."""
    return Fraction(plan.drains) / Fraction(plan.top)


def fills(plan: UnitModel) -> Fraction:
    """Share of usable energy that one imported watt brings in a step."""
    return Fraction(plan.fills) / Fraction(plan.top)


def after(plan: UnitModel, charge: Fraction, watts: int) -> Fraction:
    """State of charge after a step, exactly."""
    return charge - watts * (drains(plan) if watts > 0 else fills(plan))


def charges(model: Model, power: Powers) -> dict[str, tuple[Fraction, ...]]:
    """State of charge at the beginning of each step and at the end of the last, exactly."""
    out = {}
    for unit, watts in power.items():
        line = [model.start[unit]]
        for w in watts:
            line.append(after(model.units[unit], line[-1], w))
        out[unit] = tuple(line)
    return out


def breaches(model: Model, power: Powers) -> Iterator[str]:
    """What a plan in whole watts breaks: rule, clause, subject and step, or the physics; nothing where it may be
    returned."""
    declared = model.core.declared()
    charge = charges(model, power)
    rules = [r for r in of_one(model.core, "unit", "schedule").rules if r.blocks]
    known: dict[str, dict[str, Value]] = {
        u.id: registered(model.core, u) | dict(fixed_values(model.core, u)) for u in model.fleet.units.values()
    }
    for identity in model.fleet.units:
        line = charge[identity]
        if line[-1] < model.start[identity]:
            yield f"{identity} ends the plan with less charge than it began with"
        before = model.previous[identity]
        for k, watts in enumerate(power[identity]):
            if not 0 <= line[k + 1] <= 1:
                yield f"{identity} is charged beyond what it holds at step {k}"
            step = {"active_power": Fraction(watts), "previous_setpoint": before, "state_of_charge": line[k]}
            subject = Subject(known[identity] | {n: v for n, v in step.items() if n in declared})
            for rule in rules:
                if judge(rule, subject).verdict in (Verdict.VIOLATES, Verdict.CANNOT_TELL):
                    yield f"{rule.id} ({rule.clause}) for {identity} at step {k}"
            before = Fraction(watts)
    for pool in model.fleet.pools():
        members = model.fleet.pool(pool)
        whole = of_pool(model.core, "schedule", {u.id: registered(model.core, u) for u in members})
        own = [r for r in whole.rules if "@" not in r.id and r.blocks]
        for k in range(STEPS):
            values: dict[str, Value] = {}
            for unit in members:
                before = Fraction(power[unit.id][k - 1]) if k else model.previous[unit.id]
                values |= {f"{unit.id}.{name}": v for name, v in known[unit.id].items()} | {
                    f"{unit.id}.active_power": Fraction(power[unit.id][k]),
                    f"{unit.id}.previous_setpoint": before,
                    f"{unit.id}.state_of_charge": charge[unit.id][k],
                }
            for rule in own:
                if judge(rule, Subject(values)).verdict in (Verdict.VIOLATES, Verdict.CANNOT_TELL):
                    yield f"{rule.id} ({rule.clause}) for {pool} at step {k}"
