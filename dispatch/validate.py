"""Does the problem that the solver is handed mean what the rules say? Each rule at each step, proved from the matrices.

Taken from the modelling layer are the numbers it hands over, as the exact fractions that the floats are, and which
column belongs to which variable; nothing else. What a column means is said here anew: the power of a unit at a step,
the set point before it, and the state of charge, which must follow from power by the physics of the fleet. The negation
of each rule is refuted from the rows around the step, by a certificate that is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import isqrt, lcm

import numpy as np

from compiler.facts import Fact, FactSet, negate
from compiler.instance import Instance, of_one, of_pool
from compiler.lower import disjunction, lower
from dispatch.model import STEP_S, Model, fixed_values, registered
from dispatch.prices import STEPS
from proofs.checker.certificate import Problem
from proofs.encode import claim_bytes
from proofs.maker import Satisfiable, Undecided, refute

TOLERANCE = Fraction(1, 10**9)
"""Share of its energy by which the solver's state of charge may drift from the physics in one step."""
SECONDS = 60.0

Form = tuple[dict[int, Fraction], Fraction]
"""A linear form of columns, and a constant."""


@dataclass(frozen=True, slots=True)
class Exact:
    """What the solver is handed, as exact numbers: rows `sum a*x (= or <=) b`, ends of columns, whole columns."""

    rows: tuple[tuple[Mapping[int, Fraction], Fraction, bool], ...]
    low: tuple[Fraction | None, ...]
    high: tuple[Fraction | None, ...]
    whole: frozenset[int]


def exact(model: Model) -> Exact:
    """The matrices of a model as exact numbers: a float is a fraction. A row without a side says nothing.

    Raises `ValueError` for a row with two different sides, which a plan does not have.
    """
    given = model.matrices()
    terms: list[dict[int, Fraction]] = [{} for _ in given.upper]
    for column in range(given.cost.size):
        for at in range(given.starts[column], given.starts[column + 1]):
            if given.data[at]:
                terms[given.indices[at]][column] = Fraction(float(given.data[at]))
    rows = []
    for k, (low, high) in enumerate(zip(given.lower, given.upper, strict=True)):
        if np.isfinite(low) and low != high:
            raise ValueError(f"row {k} has two sides")
        bound = np.isfinite(high)
        rows.append((terms[k] if bound else {}, Fraction(float(high)) if bound else Fraction(0), bool(low == high)))
    low, high = (tuple(Fraction(float(v)) if np.isfinite(v) else None for v in end) for end in (given.low, given.high))
    return Exact(tuple(rows), low, high, frozenset(map(int, np.flatnonzero(given.whole))))


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule (or `physics`) that the matrices do not imply at a step, with values of columns that show it, if found."""

    rule: str
    clause: str
    subject: str
    step: int
    why: str


@dataclass(slots=True)
class Validation:
    """What was shown: `proved` counts (rule, subject, step) claims, `claims` are the distinct certificates."""

    proved: int = 0
    faults: list[Fault] = field(default_factory=list)
    claims: dict[Problem, bytes] = field(default_factory=dict)


def validate(
    model: Model, given: Exact | None = None, steps: range = range(STEPS), known: Validation | None = None
) -> Validation:
    """Every rule of every unit and pool at every step, and the physics, from the matrices of a model.

    `known` gives certificates found before, for the problems that come up again.
    """
    given = given or exact(model)
    check = _Check(given, model, known or Validation())
    for unit in model.fleet.units.values():
        mine = _Columns(model, unit.id)
        check.physics(mine, steps)
        facts = lower(of_one(model.core, "unit", "schedule"), fixed_values(model.core, unit))
        for step in steps:
            check.rules(facts, mine.readings(step, ""), unit.id, step)
    for pool in model.fleet.pools():
        members = model.fleet.pool(pool)
        whole = of_pool(model.core, "schedule", {u.id: registered(model.core, u) for u in members})
        rules = tuple(r for r in whole.rules if "@" not in r.id)
        facts = lower(Instance(whole.subject, whole.core, whole.vocabulary, rules))
        columns = [_Columns(model, u.id) for u in members]
        for step in steps:
            readings: dict[str, Form] = {}
            for unit, mine in zip(members, columns, strict=True):
                readings |= mine.readings(step, f"{unit.id}.")
            check.rules(facts, readings, pool, step)
    return check.found


class _Columns:
    """What the columns of one unit mean, in the vocabulary's steps."""

    def __init__(self, model: Model, unit: str) -> None:
        self.id = unit
        registration = model.fleet.units[unit]
        declared = model.core.declared()
        self.top = Fraction(max(registration.max_discharge_power, registration.max_charge_power))
        self.energy = Fraction(registration.usable_energy)
        self.efficiency = Fraction(model.fleet.efficiency)
        self.start = Fraction(model.start[unit])
        found = model.units[unit]
        places = (model.compiled.columns(v) for v in (found.out, found.into, found.soc))
        self.out, self.into, self.soc = ([int(i) for i in place] for place in places)
        self.before = Fraction(model.previous[unit])
        self.power_step = declared["active_power"].resolution
        self.charge_step = declared["state_of_charge"].resolution

    def power(self, step: int) -> Form:
        """W at a step; before the first, what was in force when the plan was made."""
        if step < 0:
            return {}, self.before
        return {self.out[step]: self.top, self.into[step]: -self.top}, Fraction(0)

    def readings(self, step: int, prefix: str) -> dict[str, Form]:
        return {
            f"{prefix}active_power": _times(self.power(step), 1 / self.power_step),
            f"{prefix}previous_setpoint": _times(self.power(step - 1), 1 / self.power_step),
            f"{prefix}state_of_charge": ({self.soc[step]: 1 / self.charge_step}, Fraction(0)),
        }

    def drawn(self, step: int) -> Form:
        """Share of the energy that leaves in a step, half of the losses each way, to 15 digits of the root."""
        side = Fraction(isqrt(int(self.efficiency * 10**30)), 10**15)
        hours = Fraction(STEP_S, 3600)
        share = self.top * hours / self.energy
        return {self.out[step]: share / side, self.into[step]: -share * side}, Fraction(0)


def _times(form: Form, factor: Fraction) -> Form:
    return {i: a * factor for i, a in form[0].items()}, form[1] * factor


class _Check:
    def __init__(self, given: Exact, model: Model, known: Validation) -> None:
        self.given = given
        self.found = Validation()
        self.known = known
        self.owner: dict[int, str] = {}
        self.own: dict[str, set[int]] = {}
        for row in model.rows:
            for k in map(int, model.compiled.rows(row.constraint).ravel()):
                self.owner[k] = row.rule
                self.own.setdefault(row.rule, set()).update(given.rows[k][0])
        self.touching: dict[int, list[int]] = {}
        for k, (terms, _, _) in enumerate(given.rows):
            for i in terms:
                self.touching.setdefault(i, []).append(k)
        self.wrong: dict[Problem, str] = {}

    def physics(self, mine: _Columns, steps: range) -> None:
        first: Form = ({mine.soc[0]: Fraction(1)}, -mine.start)
        self._near_zero(first, mine.id, 0)
        for step in steps:
            form, _ = mine.drawn(step)
            self._near_zero(
                ({**form, mine.soc[step + 1]: Fraction(1), mine.soc[step]: Fraction(-1)}, Fraction(0)), mine.id, step
            )

    def _near_zero(self, form: Form, subject: str, step: int) -> None:
        for sign in (1, -1):
            left, constant = _times(form, Fraction(sign))
            self._claim([(left, TOLERANCE - constant)], None, "physics", "state of charge", subject, step)

    def rules(self, facts: FactSet, readings: Mapping[str, Form], subject: str, step: int) -> None:
        names = [v.name for v in facts.variables]
        for rule in facts.rules:
            if rule.blocks:
                broken = negate(disjunction([negate(rule.scope), rule.body]))
                self._claim([], (broken, names, readings), rule.rule, rule.clause, subject, step)

    def _claim(
        self,
        most: Sequence[tuple[dict[int, Fraction], Fraction]],
        broken: tuple[Fact, Sequence[str], Mapping[str, Form]] | None,
        rule: str,
        clause: str,
        subject: str,
        step: int,
    ) -> None:
        """That no columns satisfy the rows and exceed `most` (form > bound), or satisfy the broken rule."""
        spoken = {i for form, _ in most for i in form}
        if broken is not None:
            spoken |= {i for name in broken[1] for i in broken[2].get(name, ({}, Fraction(0)))[0]}
        near, rows = self._around(spoken)
        whole = near & self.given.whole
        # Mostly only the rule's own whole columns need to be whole; the others may then be anything, a weaker premise.
        for ints in dict.fromkeys((frozenset(whole & self.own.get(rule, whole)), frozenset(whole))):
            problem = self._problem(near, rows, ints, most, broken)
            if self._shown(problem):
                break
        else:
            self.found.faults.append(Fault(rule, clause, subject, step, self.wrong[problem]))
            return
        # Rows that allow nothing imply everything: those of the rule, with the physics, must leave something.
        mine = [k for k in rows if self.owner.get(k, rule) == rule]
        if self._shown(self._problem(near, mine, frozenset(), [], None)):
            self.found.faults.append(Fault(rule, clause, subject, step, "the rows allow nothing"))
            return
        self.found.proved += 1

    def _shown(self, problem: Problem) -> bool:
        """Whether nothing satisfies a problem; each is tried once."""
        if problem in self.known.claims:
            self.found.claims[problem] = self.known.claims[problem]
        if problem not in self.found.claims and problem not in self.wrong:
            try:
                self.found.claims[problem] = claim_bytes(problem, refute(problem, SECONDS))
            except Satisfiable as answer:
                self.wrong[problem] = "not implied: " + ", ".join(
                    f"column {j} = {float(v):.6g}" for j, v in answer.values.items()
                )
            except Undecided as error:
                self.wrong[problem] = f"not decided: {error}"
        return problem in self.found.claims

    def _problem(
        self,
        near: set[int],
        rows: Sequence[int],
        ints: frozenset[int],
        most: Sequence[tuple[dict[int, Fraction], Fraction]],
        broken: tuple[Fact, Sequence[str], Mapping[str, Form]] | None,
    ) -> Problem:
        to = {i: j for j, i in enumerate(sorted(near))}
        facts: list[Fact] = []
        for k in rows:
            terms, b, equal = self.given.rows[k]
            facts.append(_row({to[i]: a for i, a in terms.items()}, b, False))
            if equal:
                facts.append(_row({to[i]: -a for i, a in terms.items()}, -b, False))
        for form, bound in most:
            facts.append(_row({to[i]: -a for i, a in form.items()}, -bound, True))
        if broken is not None:
            facts.append(_read(broken[0], broken[1], broken[2], to))
        facts += _ends(self.given, to)
        return Problem(len(to), ((None, None),) * len(to), frozenset(to[i] for i in ints), (), tuple(facts))

    def _around(self, spoken: set[int]) -> tuple[set[int], list[int]]:
        """The columns, with the whole columns that rows join to them, and the rows inside those."""
        near, fresh = set(spoken), set(spoken)
        while fresh:
            joined = {j for i in fresh for k in self.touching.get(i, ()) for j in self._whole_beside(k, spoken)}
            fresh = joined - near
            near |= fresh
        rows = sorted({k for i in near for k in self.touching.get(i, ()) if set(self.given.rows[k][0]) <= near})
        return near, rows

    def _whole_beside(self, row: int, spoken: set[int]) -> set[int]:
        """The other columns of a row, if all of them are whole."""
        outside = set(self.given.rows[row][0]) - spoken
        return outside if outside <= self.given.whole else set()


def _ends(given: Exact, to: Mapping[int, int]) -> Iterator[Fact]:
    for i, j in to.items():
        if given.high[i] is not None:
            yield _row({j: Fraction(1)}, given.high[i], False)  # type: ignore[arg-type]
        if given.low[i] is not None:
            yield _row({j: Fraction(-1)}, -given.low[i], False)  # type: ignore[operator]


def _read(fact: Fact, names: Sequence[str], readings: Mapping[str, Form], to: Mapping[int, int]) -> Fact:
    """A fact over the vocabulary as one over columns; raises `KeyError` naming a quantity that a plan does not have."""
    if fact[0] != "L":
        return (fact[0], tuple(_read(part, names, readings, to) for part in fact[1]))
    total: dict[int, Fraction] = {}
    right = Fraction(fact[2])
    for i, a in fact[1]:
        form, constant = readings[names[i]]
        right -= a * constant
        for column, slope in form.items():
            total[to[column]] = total.get(to[column], Fraction(0)) + a * slope
    return _row(total, right, fact[3])


def _row(terms: Mapping[int, Fraction], right: Fraction, strict: bool) -> Fact:
    found = {i: a for i, a in sorted(terms.items()) if a}
    scale = lcm(right.denominator, *(a.denominator for a in found.values()))
    return ("L", tuple((i, int(a * scale)) for i, a in found.items()), int(right * scale), strict)


def damaged(given: Exact, rows: Mapping[int, tuple[Mapping[int, Fraction], Fraction, bool]]) -> Exact:
    """Matrices with some rows replaced: what a fault of the modelling layer would hand over."""
    return replace(given, rows=tuple(rows.get(k, row) for k, row in enumerate(given.rows)))
