"""Checked rules to core, as in force on a day."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction

from compiler import core as c
from compiler.bounds import bounds
from compiler.claims import theorem_in_core
from compiler.to_exact import Subject, value
from rules_dsl import tree as t
from rules_dsl.check import UNCERTAINTY, clause, dimension_of
from rules_dsl.diagnostics import Diagnostic, RulesError
from rules_dsl.evidence import strength, weakest
from rules_dsl.kinds import CURRENCIES, Typing, plural
from rules_dsl.program import Day, PackRule, Places, Program
from rules_dsl.units import Dimension, Quantity, Unit, show, unit

_MINUS = c.Const(Fraction(-1))

MICROSECOND = Fraction(1, 1_000_000)
LAST_MOMENT = Fraction(253_370_764_800)
"""9999-01-01T00:00Z: moments lie between 1970 and here."""

_MARGIN_UNITS: dict[Dimension, str] = {
    unit(name).dimension: name
    for name in (
        *("%", "W", "Wh", "Hz", "s", "var", "VA", "V", "A", "W/s"),
        *CURRENCIES,
        *(f"{money}/MWh" for money in CURRENCIES),
    )
}
"""The unit in which a margin is shown, by dimension."""


def to_core(
    program: Program,
    on: Day,
    choices: Mapping[str, Fraction] | None = None,
    places: Places | None = None,
    known: date | None = None,
) -> c.Core:
    """The rules, choices and vocabulary in force on a day (or at a moment), for a place, as known on another day.

    `choices` sets parameters, in base units, beside those that the packs set; it wins over them.
    Raises `RulesError` when a chosen value leaves the legal range, when the points of a curve do not ascend, or when it
    cannot tell which end of an uncertain reading is the worse.
    """
    build = _Build(program, on, dict(choices or {}), dict(places or {}), known)
    rules = tuple(build.rule(entry) for entry in build.in_force)
    theorems = tuple(theorem_in_core(build, pack, theorem) for pack, theorem in program.theorems)
    if build.findings:
        raise RulesError(build.findings)
    return c.Core(tuple(build.vocabulary.values()), rules, theorems)


def rule_in_core(
    program: Program,
    entry: PackRule,
    on: Day,
    choices: Mapping[str, Fraction],
    places: Places | None = None,
    known: date | None = None,
) -> tuple[c.CoreRule, dict[str, c.Declared]]:
    """One rule in force on a day, and the vocabulary; raises `RulesError` as `to_core` does, and where the rule is
    set aside by another."""
    build = _Build(program, on, dict(choices), dict(places or {}), known)
    if all(other is not entry for other in build.in_force):
        build.findings.append(Diagnostic("example", f"`{entry.id}` is not in force on {on}", entry.rule.span))
    found = build.rule(entry)
    if build.findings:
        raise RulesError(build.findings)
    return found, build.vocabulary


def in_core(program: Program, on: Day, given: Sequence[t.Given]) -> Callable[[t.Expression], c.Expr]:
    """Turns expressions into core as they are on a day, with the parameters that a case gives."""
    choices = {g.name: g.value.base for g in given if g.name in program.parameters and isinstance(g.value, Quantity)}
    return _Build(program, on, choices, {}, None).expression


def vocabulary(program: Program) -> dict[str, c.Declared]:
    """The declared quantities and choices in base units, companions of uncertain ones included."""
    out: dict[str, c.Declared] = {}
    for q in program.quantities.values():
        stale = q.stale.base if q.stale else None
        uncertain = q.uncertain.base if q.uncertain else None
        out[q.name] = c.Declared(
            q.name,
            q.role,
            q.subject,
            q.unit,
            q.resolution.base,
            q.low.base,
            q.high.base,
            stale,
            uncertain,
            (),
            q.text,
        )
        if uncertain is not None:
            name = q.name + UNCERTAINTY
            span = q.high.base - q.low.base
            text = f"half-width of the band around {q.name}"
            out[name] = c.Declared(
                name, q.role, q.subject, q.unit, q.resolution.base, Fraction(0), span, stale, None, (), text
            )
    for x in program.choices.values():
        stale = x.stale.base if x.stale else None
        top = Fraction(len(x.names) - 1)
        out[x.name] = c.Declared(
            x.name, x.role, x.subject, unit(""), Fraction(1), Fraction(0), top, stale, None, x.names, x.text
        )
    for i in program.instants.values():
        stale = i.stale.base if i.stale else None
        out[i.name] = c.Declared(
            i.name, i.role, i.subject, unit("instant"), MICROSECOND, Fraction(0), LAST_MOMENT, stale, None, (), i.text
        )
    return out


@dataclass(slots=True)
class _Build:
    program: Program
    on: Day
    choices: dict[str, Fraction]
    places: Places
    known: date | None
    findings: list[Diagnostic] = field(default_factory=list)
    vocabulary: dict[str, c.Declared] = field(default_factory=dict)
    in_force: list[PackRule] = field(default_factory=list)
    doubtful: dict[str, t.Setting] = field(default_factory=dict)
    """The choices of value in force whose evidence is too weak to block on, by parameter."""
    standing: dict[str, c.Expr] = field(default_factory=dict)
    """What stands for a quantity while a theorem speaks of its true or its next value."""

    def __post_init__(self) -> None:
        self.vocabulary = vocabulary(self.program)
        for name, parameter in self.program.parameters.items():
            if name not in self.choices:
                setting = self.program.chosen(name, self.on, self.places, self.known)
                if setting is not None:
                    self.choices[name] = setting.value.base
                    if strength(setting.source.evidence):
                        self.doubtful[name] = setting
                elif parameter.default is not None:
                    self.choices[name] = parameter.default.base
        for name, chosen in self.choices.items():
            parameter = self.program.parameters[name]
            if not parameter.low.base <= chosen <= parameter.high.base:
                self.findings.append(
                    Diagnostic(
                        "range",
                        f"{show(chosen, parameter.unit)} is outside the legal range of `{name}`",
                        parameter.span,
                        f"choose a value from {show(parameter.low.base, parameter.unit)} to "
                        f"{show(parameter.high.base, parameter.unit)}",
                        clause(self.program, parameter.source),
                    )
                )
        entries = [
            entry
            for entry in self.program.rules
            if self.program.in_force(entry.pack, entry.rule.source, self.on, self.known)
        ]
        gone = {
            target
            for entry in entries
            if entry.rule.relation is not None and entry.rule.relation.kind == "overrides"
            for target in entry.rule.relation.rules
        }
        self.in_force = [entry for entry in entries if entry.id not in gone]

    def rule(self, entry: PackRule) -> c.CoreRule:
        rule = entry.rule
        scope = self.condition(rule.scope) if rule.scope else c.TRUE
        when = self._applies(rule)
        exceptions = [
            other.rule
            for other in self.in_force
            if other.rule.relation is not None
            and other.rule.relation.kind == "notwithstanding"
            and entry.id in other.rule.relation.rules
        ]
        for other in exceptions:
            where = (self.condition(other.scope),) if other.scope else ()
            when = c.All((when, c.negate(c.All((*where, self._applies(other))))))
        demand = self._demand(rule)
        evidence = weakest(self.program, rule, self.doubtful)
        adopted = evidence == "reported" and self.program.adopted(entry.id, self.on, self.known)
        blocks = rule.effect != "warns" and (not strength(evidence) or bool(adopted))
        timing = rule.timing
        found = c.CoreRule(
            entry.id,
            rule.title,
            rule.subject,
            rule.checked,
            clause(self.program, rule.source),
            evidence,
            blocks,
            self.worst_condition(scope, rule),
            self.worst_condition(when, rule),
            tuple(self.worst(margin, -1, rule) for margin in demand.margins),
            demand.strict,
            c.negate(self.worst_condition(c.negate(demand.condition), rule)),
            None if demand.whole is None else self.certain(demand.whole, rule),
            demand.step,
            self._margin_unit(rule.demand.left),
            None,
            demand.quantifier or (rule.quantifier.position if rule.quantifier else ""),
            rule.event,
            self.certain(self.expression(timing.within), rule) if timing and timing.within else None,
            self.certain(self.expression(timing.lasting), rule) if timing and timing.lasting else None,
        )
        return replace(found, rows=self._rows(found))

    def _applies(self, rule: t.Rule) -> c.Cond:
        parts = [self.condition(rule.when)] if rule.when else []
        parts += [c.negate(self.condition(exception)) for exception in rule.exceptions]
        day = self.program.day(rule.source.instrument, self.on)
        parts += [c.negate(self.condition(x.condition)) for x in rule.transitions if day < x.until]
        return c.All(tuple(parts))

    def _demand(self, rule: t.Rule) -> _Demand:
        demand = rule.demand
        if demand.condition is not None:
            return _Demand(condition=self.condition(demand.condition))
        assert demand.left is not None
        match demand.kind:
            case "in" | "not_in" | "flag":
                among = self._among(demand.left, demand.names)
                return _Demand(condition=c.negate(among) if demand.kind == "not_in" else among)
            case "never":
                now = self.expression(demand.left)
                change = _minus(now, c.AsOf(now, c.Const(Fraction(1)), True, None))
                margin = change if demand.names[0] == "fall" else c.Mul(_MINUS, change)
                return _Demand((margin,), quantifier="every later")
        left = self.expression(demand.left)
        right = [self.expression(part) for part in demand.right]
        match demand.kind:
            case "at_most" | "below":
                return _Demand((_minus(right[0], left),), strict=demand.kind == "below")
            case "at_least" | "above":
                return _Demand((_minus(left, right[0]),), strict=demand.kind == "above")
            case "between":
                return _Demand((_minus(left, right[0]), _minus(right[1], left)))
            case "equal":
                gap = _minus(left, right[0])
                return _Demand((c.Mul(_MINUS, c.Extreme("max", (gap, c.Mul(_MINUS, gap)))),))
            case "multiple":
                step = self._constant(right[0])
                if step is None:
                    return _Demand(whole=c.Div(left, right[0]))
                return _Demand(whole=c.Mul(left, c.Const(1 / step)), step=step)
            case kind:
                raise TypeError(f"unknown demand {kind}")

    def _constant(self, expr: c.Expr) -> Fraction | None:
        """The value of numbers and chosen parameters, None for anything else and for zero."""
        if any(p.value is None for p in c.params(expr)) or any(c.names(expr)):
            return None
        return value(expr, Subject({})) or None

    def _margin_unit(self, expr: t.Expression | None) -> Unit:
        if expr is None:
            return unit("")
        dimension = dimension_of(self.program, expr)
        if dimension == unit("instant").dimension:
            return unit("s")
        if not dimension:
            kind = Typing(self.program).kind(expr)
            return unit("%" if kind is not None and kind.written == "share" else "")
        return (
            unit(_MARGIN_UNITS.get(dimension, "")) if dimension in _MARGIN_UNITS else Unit("", Fraction(1), dimension)
        )

    def _rows(self, rule: c.CoreRule) -> c.Rows | None:
        """What the rule needs of its subject's rows."""
        subject = self.program.rows_of(rule.subject)
        if subject is None:
            return None
        states = self._carried([name for node in rule.nodes() for name in c.names(node)])
        inside = {
            name
            for node in replace(rule, rows=c.Rows("", "", False, (), states)).nodes()
            for name in c.names(node)
            if name in self.vocabulary and self.vocabulary[name].subject == subject.of
        }
        order = subject.order or ""
        timed = bool(order) and self.vocabulary[order].unit.dimension in (
            unit("s").dimension,
            unit("instant").dimension,
        )
        return c.Rows(plural(subject.rows), order, timed, tuple(sorted(inside)), states)

    def _carried(self, named: Sequence[str]) -> tuple[c.Carried, ...]:
        """The running states that the names need, each after those whose present value it depends on."""
        found: dict[str, c.Carried] = {}
        waiting = [name for name in named if name in self.program.running]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self._state(self.program.running[name])
                waiting += [n for part in found[name].nodes() for n in c.names(part) if n in self.program.running]
        order: dict[str, c.Carried] = {}

        def place(name: str) -> None:
            if name in found and name not in order:
                for part in found[name].nodes():
                    for other in c.present(part):
                        place(other)
                order[name] = found[name]

        for name in sorted(found):
            place(name)
        return tuple(order.values())

    def _state(self, running: t.Running) -> c.Carried:
        names = running.names
        cases = tuple(
            (self.condition(case.condition) if case.condition else c.TRUE, self._alternative(case.value, names))
            for case in running.cases
        )
        state = c.Carried(running.name, self._alternative(running.starts, names), cases)
        for name in (n for part in state.nodes() for n in c.names(part)):
            if self._uncertain(name):
                self.findings.append(
                    Diagnostic(
                        "uncertain",
                        f"cannot tell which end of the band around `{name}` is the worse here",
                        running.span,
                        "let a running state follow a quantity without a band",
                    )
                )
        return state

    # expressions and conditions

    def _alternative(self, expr: t.Expression, names: tuple[str, ...]) -> c.Expr:
        if isinstance(expr, t.Name) and expr.name in names:
            return c.Const(Fraction(names.index(expr.name)))
        return self.expression(expr)

    def expression(self, expr: t.Expression) -> c.Expr:
        match expr:
            case t.Literal(number):
                return c.Const(number.base)
            case t.InstantLiteral(seconds, _):
                return c.Const(seconds)
            case t.Name(name):
                return self._name(name)
            case t.Binary("+", left, right):
                return c.Add((self.expression(left), self.expression(right)))
            case t.Binary("-", left, right):
                return _minus(self.expression(left), self.expression(right))
            case t.Binary("*", left, right):
                return c.Mul(self.expression(left), self.expression(right))
            case t.Binary("/", left, right):
                return c.Div(self.expression(left), self.expression(right))
            case t.Call("abs", (argument,)):
                inner = self.expression(argument)
                return c.Extreme("max", (inner, c.Mul(_MINUS, inner)))
            case t.Call("max" | "min" as kind, arguments):
                return c.Extreme(kind, tuple(self.expression(part) for part in arguments))
            case t.Call(name, arguments) if name in self.program.tables:
                return self._table(self.program.tables[name], [self.expression(part) for part in arguments])
            case t.Call(name, (argument,)):
                return self.curve(self.program.curves[name], self.expression(argument))
            case t.Aggregate(kind, body, over, condition):
                inside = self.expression(body) if body is not None else c.Const(Fraction(1))
                first, second = (self.expression(x) if x is not None else None for x in (over.first, over.second))
                window = c.Window(over.kind, first, second, over.unit, over.zone, over.start)
                return c.Over(kind, inside, self.condition(condition) if condition else c.TRUE, window)
            case t.AsOf(name, ago, rows, otherwise):
                back = self.expression(ago) if ago is not None else c.Const(Fraction(1))
                declared = self.program.running.get(name) or self.program.choices.get(name)
                names = declared.names if declared else ()
                rest = self._alternative(otherwise, names) if otherwise is not None else None
                return c.AsOf(self._name(name), back, ago is None or bool(rows), rest)
            case t.Local(kind, argument, zone, length):
                every = self.expression(length) if length is not None else None
                return c.Local(kind, self.expression(argument), zone, every)
            case t.ClockOn(clock, zone, count, step, calendar, argument):
                rests = None
                if calendar:
                    known = self.program.calendars[calendar]
                    holidays = tuple(day.isoformat() for day in sorted(known.holidays))
                    rests = (known.weekdays, holidays, known.start.isoformat(), known.until.isoformat())
                return c.ClockOn(clock, zone, count, step, rests, self.expression(argument))
            case _:
                raise TypeError(f"unknown expression {expr!r}")

    def _name(self, name: str) -> c.Expr:
        if name in self.program.definitions:
            meaning = self.program.definitions[name].value
            assert not isinstance(meaning, tuple)
            return self.expression(meaning)
        if name in self.program.parameters:
            parameter = self.program.parameters[name]
            return c.Param(name, parameter.low.base, parameter.high.base, self.choices.get(name))
        return self.standing.get(name, c.Var(name))

    def curve(self, curve: t.Curve, argument: c.Expr) -> c.Expr:
        """The curve at a point; where a parameter of its points is not chosen, that parameter, so that nobody can
        tell."""
        points: list[tuple[Fraction, Fraction]] = []
        for pair in curve.points:
            x, y = (self._name(v) if isinstance(v, str) else c.Const(v.base) for v in pair)
            for end in (x, y):
                if isinstance(end, c.Param) and end.value is None:
                    return end
            points.append((value(x, Subject({})), value(y, Subject({}))))
        if any(a[0] >= b[0] for a, b in itertools.pairwise(points)):
            self.findings.append(
                Diagnostic(
                    "curve",
                    f"the points of `{curve.name}` do not ascend as its parameters are chosen",
                    curve.span,
                    "choose values in ascending order",
                    clause(self.program, curve.source),
                )
            )
            return argument
        return c.Piecewise(tuple(points), argument)

    def _table(self, table: t.Table, arguments: Sequence[c.Expr]) -> c.Expr:
        cases: list[tuple[c.Cond, c.Expr]] = []
        otherwise: c.Expr | None = None
        for row in table.rows:
            found = row.result
            result = c.Const(Fraction(table.names.index(found)) if isinstance(found, str) else found.base)
            if not row.cells:
                otherwise = result
                continue
            parts: list[c.Cond] = []
            for cell, column, argument in zip(row.cells, table.columns, arguments, strict=True):
                parts += [_compare(op, argument, c.Const(bound.base)) for op, bound in cell.bounds]
                if cell.names:
                    known = self.program.choices.get(column.name) or self.program.running[column.name]
                    parts.append(_one_of(argument, [known.names.index(name) for name in cell.names]))
            cases.append((c.All(tuple(parts)), result))
        return c.Case(tuple(cases), otherwise)

    def _among(self, subject: t.Expression, names: tuple[str, ...] | str) -> c.Cond:
        if isinstance(names, str):
            found = self.program.definitions[names].value
            assert isinstance(found, tuple)
            names = found
        kind = Typing(self.program).kind(subject)
        order = kind.names if kind is not None else ()
        return _one_of(self.expression(subject), [order.index(name) for name in names])

    def condition(self, condition: t.Condition) -> c.Cond:
        match condition:
            case t.Junction("and", parts):
                return c.All(tuple(self.condition(part) for part in parts))
            case t.Junction(_, parts):
                return c.Any_(tuple(self.condition(part) for part in parts))
            case t.Not(part):
                return c.negate(self.condition(part))
            case t.Compare(op, left, right):
                return _compare(op, self.expression(left), self.expression(right))
            case t.OneOf(subject, names):
                return self._among(subject, names)
            case t.Holds(subject):
                return self._among(subject, ("yes",))
            case t.Throughout(part, span_of_time):
                return c.Throughout(self.condition(part), self.expression(span_of_time))
            case _:
                raise TypeError(f"unknown condition {condition!r}")

    # uncertain readings: each stands at the end of its band that is worse for the rule

    def worst_condition(self, condition: c.Cond, rule: t.Rule) -> c.Cond:
        """The condition that holds wherever some value in the band makes the original hold."""
        match condition:
            case c.Le(expr, strict):
                return c.Le(self.worst(expr, -1, rule), strict)
            case c.All(parts):
                return c.All(tuple(self.worst_condition(part, rule) for part in parts))
            case c.Any_(parts):
                return c.Any_(tuple(self.worst_condition(part, rule) for part in parts))
            case c.Throughout(part, span_of_time):
                return c.Throughout(self.worst_condition(part, rule), self.certain(span_of_time, rule))
            case _:
                raise TypeError(f"unknown condition {condition!r}")

    def worst(self, expr: c.Expr, sense: int, rule: t.Rule) -> c.Expr:
        """The expression with uncertain quantities at the end that makes it greatest (sense 1) or least (-1)."""
        if not any(self._uncertain(name) for name in c.names(expr)):
            return expr
        match expr:
            case c.Var(name):
                half = c.Var(name + UNCERTAINTY)
                return c.Add((expr, half)) if sense > 0 else _minus(expr, half)
            case c.Add(parts):
                return c.Add(tuple(self.worst(part, sense, rule) for part in parts))
            case c.Extreme(kind, parts):
                return c.Extreme(kind, tuple(self.worst(part, sense, rule) for part in parts))
            case c.Mul(left, right):
                for this, other, flipped in ((left, right, False), (right, left, True)):
                    sign = self._sign(other)
                    if sign and not any(self._uncertain(name) for name in c.names(other)):
                        inner = self.worst(this, sense * sign, rule)
                        return c.Mul(other, inner) if flipped else c.Mul(inner, other)
            case c.Div(left, right):
                sign = self._sign(right)
                if sign:
                    return c.Div(self.worst(left, sense * sign, rule), right)
            case c.Piecewise(points, argument):
                ys = [y for _, y in points]
                if ys == sorted(ys):
                    return c.Piecewise(points, self.worst(argument, sense, rule))
                if ys == sorted(ys, reverse=True):
                    return c.Piecewise(points, self.worst(argument, -sense, rule))
            case c.Case(cases, otherwise) if not any(self._uncertain(n) for x, _ in cases for n in c.names(x)):
                rest = self.worst(otherwise, sense, rule) if otherwise is not None else None
                return c.Case(tuple((x, self.worst(part, sense, rule)) for x, part in cases), rest)
            case c.Over("sum" | "greatest" | "least" | "mean" | "integral" as kind, body, condition, window) if not any(
                self._uncertain(n) for n in c.names(condition)
            ):
                return c.Over(kind, self.worst(body, sense, rule), condition, window)
            case c.AsOf(body, ago, rows, otherwise):
                rest = self.worst(otherwise, sense, rule) if otherwise is not None else None
                return c.AsOf(self.worst(body, sense, rule), self.certain(ago, rule), rows, rest)
        return self.certain(expr, rule)

    def certain(self, expr: c.Expr, rule: t.Rule) -> c.Expr:
        """The expression, or a finding when it speaks of an uncertain quantity."""
        doubtful = sorted({name for name in c.names(expr) if self._uncertain(name)})
        if doubtful:
            self.findings.append(
                Diagnostic(
                    "uncertain",
                    f"cannot tell which end of the band around `{doubtful[0]}` is the worse here",
                    rule.span,
                    "write the rule so that it rises or falls with the reading",
                    clause(self.program, rule.source),
                )
            )
        return expr

    def _uncertain(self, name: str) -> bool:
        declared = self.vocabulary.get(name)
        return declared is not None and declared.uncertain is not None

    def _sign(self, expr: c.Expr) -> int:
        try:
            low, high = bounds(expr, {n: (d.low, d.high) for n, d in self.vocabulary.items()})
        except (TypeError, KeyError, ZeroDivisionError):
            return 0
        return 1 if low >= 0 else -1 if high <= 0 else 0


@dataclass(frozen=True, slots=True)
class _Demand:
    """A demand in core: margins, a condition, or a whole number of steps."""

    margins: tuple[c.Expr, ...] = ()
    strict: bool = False
    condition: c.Cond = c.TRUE
    whole: c.Expr | None = None
    step: Fraction = Fraction(1)
    quantifier: str = ""


def _minus(left: c.Expr, right: c.Expr) -> c.Expr:
    return c.Add((left, c.Mul(_MINUS, right)))


def _compare(op: str, left: c.Expr, right: c.Expr) -> c.Cond:
    match op:
        case "<" | "<=":
            return c.Le(_minus(left, right), op == "<")
        case ">" | ">=":
            return c.Le(_minus(right, left), op == ">")
        case _:
            return c.All((c.Le(_minus(left, right), False), c.Le(_minus(right, left), False)))


def _one_of(expr: c.Expr, positions: Sequence[int]) -> c.Cond:
    return c.Any_(tuple(_compare("=", expr, c.Const(Fraction(position))) for position in positions))
