"""The schedule: one day of quarter-hours, as profitable as the compiled rules allow.

The solver proposes, in a process of its own; what is returned is whole watts that keep every rule at every step, judged
exactly. An infeasible plan names the clauses that clash, a plan says what each clause costs. The guard judges each
command again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from compiler.core import Core
from compiler.highs import OPTIMAL, Answer, Floats, Matrices, NoAnswer, ask
from dispatch.model import STEP_S, Model, NoSchedule, UnitModel, build, fixed_values, registered
from dispatch.prices import STEPS, Prices
from dispatch.rounding import breaches, charges, whole_watts
from guardrails.fleet import Fleet

GAP = 0.005
"""Relative gap at which the mixed-integer search stops."""
LIMIT_S = 30.0
TRICKLE_W = 20.0
BURN_W = 1.0
"""A unit that charges and discharges at once by more than this burns energy."""
PRICED = 1e-7
"""EUR a step; a row whose relaxation is worth less does not bind."""


@dataclass(frozen=True, slots=True)
class Marginal:
    """What one clause costs at the margin: the solver's dual values, not proved.

    `euros` is what the day would earn more if every row of the rule that bounds `quantity` gave way by one step of it,
    `step` `unit`s; `binds` says where: subject, quarter-hour, and its part of the sum. In a mixed-integer plan, choices
    between alternatives are held as they are.
    """

    rule: str
    clause: str
    quantity: str
    unit: str
    step: Fraction
    euros: float
    binds: tuple[tuple[str, int, float], ...]

    @property
    def per_unit(self) -> float:
        """EUR for the day and one whole unit of the limit."""
        return self.euros / float(self.step)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A plan: W per unit and quarter-hour (export positive), state of charge at the end of each, and what it earns.

    `revenue` in EUR is exact for the whole-watt set points, `worth` is that less wear; `rows` counts constraints by
    rule; `marginals` stand dearest first.
    """

    power: Mapping[str, tuple[int, ...]]
    charge: Mapping[str, tuple[float, ...]]
    revenue: Fraction
    worth: Fraction
    rows: Mapping[str, int]
    marginals: tuple[Marginal, ...]
    seconds: float
    status: str

    def before(self, step: int, start: Mapping[str, Fraction]) -> dict[str, Fraction]:
        """Planned state of charge of each unit at the beginning of a step, to a thousandth."""
        if step == 0:
            return dict(start)
        return {unit: Fraction(round(charge[step - 1] * 1000), 1000) for unit, charge in self.charge.items()}


def plan(core: Core, fleet: Fleet, prices: Prices, start: Mapping[str, Fraction]) -> Schedule:
    """The schedule of a fleet for 96 quarter-hours. `start` gives each unit's state of charge.

    Raises `NoSchedule` when nothing complies, the solver gives no answer in time, or what it gives breaks a rule;
    `ValueError` naming a field of a registration that the rules need and that cannot be used, and `CannotExpress`
    naming a rule that a plan cannot hold.
    """
    return solve(build(core, fleet, prices, start))


def solve(model: Model) -> Schedule:
    """The schedule of a model as it is set; raises `NoSchedule` as `plan` does."""
    began = time.perf_counter()
    try:
        answer, matrices = _propose(model)
        answer = _still(model, matrices, answer)
    except NoAnswer as error:
        raise NoSchedule(f"the solver gave no answer: {error}") from error
    if answer.x is None and "nfeasible" not in answer.status:
        raise NoSchedule(f"the solver found no plan in time: {answer.status}")
    if answer.x is None:
        still = dict.fromkeys(model.units, (0,) * STEPS)
        if next(breaches(model, still), None) is None:
            raise NoSchedule(f"the solver says {answer.status}, yet standing still keeps every rule")
        raise NoSchedule(f"{answer.status}: {clash(model, matrices)}")
    power = whole_watts(model)
    broken = next(breaches(model, power), None)
    if broken is not None:
        raise NoSchedule(f"what the solver proposed ({answer.status}) breaks {broken}")
    charge = {unit: tuple(float(c) for c in line[1:]) for unit, line in charges(model, power).items()}
    revenue = _revenue(model, power)
    discharged = sum((Fraction(max(w, 0)) for watts in power.values() for w in watts), Fraction(0))
    worth = revenue - model.fleet.wear * discharged * STEP_S / 3600
    counts = Counter(row.rule for row in model.rows for _ in range(int(np.prod(row.slack.shape) or 1)))
    priced = () if answer.duals is None else _marginals(model, answer.duals)
    return Schedule(power, charge, revenue, worth, counts, priced, time.perf_counter() - began, answer.status)


def _propose(model: Model) -> tuple[Answer, Matrices]:
    """The solver's point, given to the model's variables.

    At first units may burn energy where the price is not negative. Where that pays after all, to make room for a
    negative price or a pool's balance, it is forbidden everywhere; where the search for that does not end in time, each
    unit also keeps at each step the direction that it had on the whole, and the better plan counts.
    """
    price = np.array([float(p) for p in model.prices.values])
    model.strict = dict.fromkeys(model.units, price < 0)
    matrices = model.matrices()
    first = ask(matrices, LIMIT_S, GAP)
    if first.x is None:
        return first, matrices
    model.compiled.take(first.x)
    if not any((np.minimum(m.out.value, m.into.value) * m.top > BURN_W).any() for m in model.units.values()):
        return first, matrices
    model.strict = dict.fromkeys(model.units, np.ones(STEPS, dtype=np.bool_))
    matrices = model.matrices()
    kept = replace(matrices, low=matrices.low.copy(), high=matrices.high.copy(), whole=matrices.whole.copy())
    for m in model.units.values():
        columns = model.compiled.columns(m.discharging)
        kept.low[columns] = kept.high[columns] = m.out.value > m.into.value
        kept.whole[columns] = False
    answer = ask(matrices, LIMIT_S / 2, GAP)
    if answer.status != OPTIMAL:
        other = ask(kept, LIMIT_S / 2, GAP)
        if other.x is not None and (answer.x is None or matrices.cost @ other.x < matrices.cost @ answer.x):
            answer = other
    if answer.x is not None:
        model.compiled.take(answer.x)
    return answer, matrices


def _still(model: Model, matrices: Matrices, answer: Answer) -> Answer:
    """The answer with pools at rest where all but nothing was planned for their members, if that leaves a plan: a
    search that stops near the best leaves such trickles, which no device follows."""
    if answer.x is None or not model.resting:
        return answer
    low, high = matrices.low.copy(), matrices.high.copy()
    low[matrices.whole] = high[matrices.whole] = np.round(answer.x[matrices.whole])
    for pool, resting in model.resting.items():
        power = np.array([model.units[u.id].power.value for u in model.fleet.pool(pool)])
        columns = model.compiled.columns(resting)[(np.abs(power) < TRICKLE_W).all(axis=0)]
        low[columns] = high[columns] = 1
    held = replace(matrices, low=low, high=high, whole=np.zeros_like(matrices.whole))
    try:
        found = ask(held, LIMIT_S)
    except NoAnswer:
        return answer
    if found.x is None:
        return answer
    model.compiled.take(found.x)
    return replace(found, status=answer.status)


def _revenue(model: Model, power: Mapping[str, Sequence[int]]) -> Fraction:
    watt_steps = Fraction(STEP_S, 3600 * 10**6)
    prices = model.prices.values
    return sum(
        (w * watt_steps * p for watts in power.values() for w, p in zip(watts, prices, strict=True)), Fraction(0)
    )


def _marginals(model: Model, duals: Floats) -> tuple[Marginal, ...]:
    found: dict[tuple[str, str], Marginal] = {}
    for row in model.rows:
        if not row.quantity:
            continue
        quantity = row.quantity.rpartition(".")[2]
        # The solver minimizes: one more unit of a row's right side changes the cost by the dual, which is not positive.
        costs = np.maximum(-duals[model.compiled.rows(row.constraint)], 0.0).reshape(len(row.subjects), -1)
        binds = [(row.subjects[i], int(k), float(costs[i, k])) for i, k in np.argwhere(costs > PRICED)]
        empty = Marginal(row.rule, row.clause, quantity, row.unit, row.step, 0.0, ())
        so_far = found.get((row.rule, quantity), empty)
        found[row.rule, quantity] = replace(
            so_far, euros=so_far.euros + sum(b[2] for b in binds), binds=(*so_far.binds, *binds)
        )
    return tuple(sorted((m for m in found.values() if m.binds), key=lambda m: (-m.euros, m.rule)))


def clash(model: Model, matrices: Matrices) -> str:
    """The rules, for the subjects concerned, that together leave no plan, as the solver sees it: none of them can be
    left out. Where the time runs out, says so."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for row in model.rows:
        lines = model.compiled.rows(row.constraint).reshape(len(row.subjects), -1)
        for subject, line in zip(row.subjects, lines, strict=True):
            groups.setdefault((row.rule, row.clause, subject), []).extend(int(k) for k in line)
    every = np.array([k for lines in groups.values() for k in lines], dtype=np.int64)
    until = time.monotonic() + LIMIT_S

    def impossible(kept: Sequence[tuple[str, str, str]]) -> bool:
        upper = matrices.upper.copy()
        upper[every] = np.inf
        held = np.array([k for group in kept for k in groups[group]], dtype=np.int64)
        upper[held] = matrices.upper[held]
        left = until - time.monotonic()
        if left <= 0:
            raise NoAnswer("the time ran out")
        answer = ask(replace(matrices, cost=np.zeros_like(matrices.cost), upper=upper), left)
        if answer.x is None and "nfeasible" not in answer.status:
            raise NoAnswer(f"the solver said {answer.status}")
        return answer.x is None

    def conflict(
        base: list[tuple[str, str, str]], grown: bool, some: list[tuple[str, str, str]]
    ) -> list[tuple[str, str, str]]:
        """A least part of `some` that no plan keeps beside `base`, by halves."""
        if grown and impossible(base):
            return []
        if len(some) == 1:
            return some
        left, right = some[: len(some) // 2], some[len(some) // 2 :]
        second = conflict(base + left, True, right)
        first = conflict(base + second, bool(second), left)
        return first + second

    try:
        if impossible([]):
            return "physics alone allows no plan from this state of charge"
        if not impossible(list(groups)):
            return "the solver contradicts itself"
        blamed = conflict([], False, list(groups))
    except NoAnswer as error:
        return f"which rules clash was not found: {error}"
    return "; ".join(f"{rule} ({clause}) for {subject}" for rule, clause, subject in sorted(blamed))


__all__ = [
    "GAP",
    "STEPS",
    "STEP_S",
    "Marginal",
    "Model",
    "NoSchedule",
    "Schedule",
    "UnitModel",
    "build",
    "clash",
    "fixed_values",
    "plan",
    "registered",
    "solve",
]
