"""Decision tables and first-match cases of rules in force, over the ranges that the vocabulary declares.

A table stands once for each list of arguments with which it is called; one that nobody calls stands over its own
columns. What facts cannot express, such as an earlier row or a window, becomes a quantity of its own that may take
any value of its range: a state found may then not come about, what is said not to happen never does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from compiler import core as c
from compiler.bounds import bounds
from compiler.from_syntax import in_core
from rules_dsl import tree as t
from rules_dsl.check import clause
from rules_dsl.format import expression
from rules_dsl.kinds import parts_of
from rules_dsl.program import Day, Program
from rules_dsl.units import Unit, show, unit

WIDE = Fraction(10**12)
"""How far a value without a declared range may lie from zero, in base units."""


@dataclass(frozen=True, slots=True)
class Cases:
    """Rows with the condition of each and its result in words. `unique`: no two may hold at once (a table);
    otherwise the first counts. `rest`: what holds where no row does, empty where nothing may."""

    name: str
    clause: str
    conditions: tuple[c.Cond, ...]
    results: tuple[str, ...]
    unique: bool
    rest: str
    vocabulary: dict[str, c.Declared]


def cases(program: Program, core: c.Core, on: Day) -> Iterator[Cases]:
    """Those that the rules in force use, in the order of the rules; then the tables that none uses."""
    free = _Free(program, core)
    used: set[str] = set()
    seen: set[str] = set()
    compiled = in_core(program, on, ())
    for rule in program.rules:
        if any(other.id == rule.id for other in core.rules):
            for call in _calls(program, rule.rule):
                name = expression(call)
                used.add(call.function)
                if name not in seen:
                    seen.add(name)
                    yield free.of_table(program.tables[call.function], name, compiled(call))
    for rule_ in core.rules:
        for state in rule_.rows.carried if rule_.rows else ():
            if state.name not in seen and len(state.cases) > 1:
                seen.add(state.name)
                yield free.of_running(program.running[state.name], state, rule_.clause)
    for table in program.tables.values():
        if table.name not in used and program.in_force("", table.source, on):
            columns = tuple(t.Name(column.name) for column in table.columns)
            name = f"{table.name}({', '.join(column.name for column in columns)})"
            yield free.of_table(table, name, compiled(t.Call(table.name, columns)))


def _calls(program: Program, rule: t.Rule) -> Iterator[t.Call]:
    """The calls of tables in a rule, its definitions and running states."""
    waiting: list[t.Node] = [rule]
    known: set[str] = set()
    while waiting:
        for part in parts_of(waiting.pop()):
            if isinstance(part, t.Call) and part.function in program.tables:
                yield part
            if isinstance(part, t.Name | t.AsOf | t.OneOf) and part is not None:
                name = part.name if isinstance(part, t.Name | t.AsOf) else part.names
                declared = {**program.definitions, **program.running}.get(name) if isinstance(name, str) else None
                if declared is not None and name not in known:
                    known.add(str(name))
                    waiting.append(declared)


class _Free:
    """Conditions with what facts cannot express set free."""

    def __init__(self, program: Program, core: c.Core) -> None:
        self.program, self.declared = program, core.declared()
        self.added: dict[str, c.Declared] = {}
        self.met: dict[c.Expr, c.Var] = {}

    def of_table(self, table: t.Table, name: str, compiled: c.Expr) -> Cases:
        assert isinstance(compiled, c.Case)
        self.added, self.met = {}, {}
        for column in table.columns:
            if column.unit is not None and column.name not in self.declared:
                self._fresh(column.name, -WIDE, WIDE, (), column.unit)
        rows = [row for row in table.rows if row.cells]
        last = next((row for row in table.rows if not row.cells), None)
        return Cases(
            name,
            clause(self.program, table.source),
            tuple(self.condition(condition) for condition, _ in compiled.cases),
            tuple(_result(row) for row in rows),
            True,
            "" if last is None else _result(last),
            self._vocabulary(),
        )

    def of_running(self, running: t.Running, state: c.Carried, place: str) -> Cases:
        self.added, self.met = {}, {}
        conditions = tuple(self.condition(condition) for condition, _ in state.cases)
        results = tuple(expression(case.value) for case in running.cases)
        return Cases(running.name, place, conditions, results, False, "it stays", self._vocabulary())

    def _vocabulary(self) -> dict[str, c.Declared]:
        return {**self.declared, **self.added}

    def condition(self, condition: c.Cond) -> c.Cond:
        match condition:
            case c.Le(expr, strict):
                return c.Le(self.expression(expr), strict)
            case c.All(parts):
                return c.All(tuple(self.condition(part) for part in parts))
            case c.Any_(parts):
                return c.Any_(tuple(self.condition(part) for part in parts))
            case c.Throughout(part, _):
                # It has held for a while: it holds now, and did before.
                name = f"held before {len(self.added) + 1}"
                before = self._fresh(name, Fraction(0), Fraction(1), ("no", "yes"))
                return c.All((self.condition(part), c.Le(c.Add((c.Const(Fraction(1)), _minus(before))), False)))
            case _:
                raise TypeError(f"unknown condition {condition!r}")

    def expression(self, expr: c.Expr) -> c.Expr:
        again: Callable[[c.Expr], c.Expr] = self.expression
        match expr:
            case c.Const():
                return expr
            case c.Var(name):
                if name in self.declared or name in self.added:
                    return expr
                return self._state(name, self.program.running[name])
            case c.Param(name, low, high, chosen):
                return self._fresh(name, low, high, ()) if chosen is None else expr
            case c.Add(parts):
                return c.Add(tuple(again(part) for part in parts))
            case c.Mul(left, right):
                return c.Mul(again(left), again(right))
            case c.Div(left, right):
                return c.Div(again(left), again(right))
            case c.Extreme(kind, parts):
                return c.Extreme(kind, tuple(again(part) for part in parts))
            case c.Piecewise(points, argument):
                return c.Piecewise(points, again(argument))
            case c.Case(found, otherwise):
                rest = None if otherwise is None else again(otherwise)
                return c.Case(tuple((self.condition(x), again(y)) for x, y in found), rest)
            case c.AsOf(c.Var(name), c.Const(Fraction(numerator=1, denominator=1)), True, None):
                known = self.declared.get(name)
                if known is not None:
                    return self._fresh(f"previous {name}", known.low, known.high, known.names, known.unit)
                return self._state(f"previous {name}", self.program.running[name])
            case _:
                if expr not in self.met:
                    name = f"{type(expr).__name__.lower()} {len(self.added) + 1}"
                    self.met[expr] = self._fresh(name, *self._range(expr), ())
                return self.met[expr]

    def _range(self, expr: c.Expr) -> tuple[Fraction, Fraction]:
        if isinstance(expr, c.AsOf) and expr.otherwise is not None:
            (a, b), (low, high) = self._range(expr.body), self._range(expr.otherwise)
            return min(a, low), max(b, high)
        try:
            said = expr.body if isinstance(expr, c.AsOf) else expr
            return bounds(said, {n: (d.low, d.high) for n, d in self.declared.items()})
        except (TypeError, KeyError, ZeroDivisionError):
            return -WIDE, WIDE

    def _state(self, name: str, running: t.Running) -> c.Var:
        low, high = (Fraction(0), Fraction(len(running.names) - 1)) if running.names else (-WIDE, WIDE)
        return self._fresh(name, low, high, running.names, running.unit)

    def _fresh(
        self, name: str, low: Fraction, high: Fraction, names: tuple[str, ...], in_unit: Unit | None = None
    ) -> c.Var:
        text = "may take any value of its range"
        # Both ends are whole steps: what lies between the last step and an end would else be no value of the range.
        step = Fraction(1, lcm(low.denominator, high.denominator))
        declared = c.Declared(name, "measured", "", in_unit or unit(""), step, low, high, None, None, names, text)
        self.added.setdefault(name, declared)
        return c.Var(name)


def _minus(expr: c.Expr) -> c.Expr:
    return c.Mul(c.Const(Fraction(-1)), expr)


def _result(row: t.TableRow) -> str:
    return row.result if isinstance(row.result, str) else show(row.result.base, row.result.unit)
