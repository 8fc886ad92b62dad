"""Checked rules to core, as in force on a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from compiler import core as c
from rules_dsl import tree as t
from rules_dsl.check import UNCERTAINTY, Program, clause, dimension_of
from rules_dsl.diagnostics import Diagnostic, RulesError
from rules_dsl.units import Dimension, Unit, show, unit

_MINUS = c.Const(Fraction(-1))

_MARGIN_UNITS: dict[Dimension, str] = {
    unit(name).dimension: name for name in ("%", "W", "Wh", "Hz", "s", "var", "VA", "V", "A", "EUR", "GBP", "W/s")
}
"""The unit in which a margin is shown, by dimension."""


def to_core(program: Program, on: date, choices: Mapping[str, Fraction] | None = None) -> c.Core:
    """The rules, choices and vocabulary in force on a day.

    `choices` sets parameters, in base units, beside those that the packs set; it wins over them.
    Raises `RulesError` when two settings of one parameter are in force, when a chosen value leaves the legal range, or
    when it cannot tell which end of an uncertain reading is the worse.
    """
    build = _Build(program, on, dict(choices or {}))
    rules = tuple(build.rule(entry.id, entry.rule) for entry in program.rules if entry.rule.source.in_force(on))
    theorems = tuple(
        c.CoreTheorem(f"{pack}/{x.name}", x.title, x.subject, x.kind, x.cause, x.effect) for pack, x in program.theorems
    )
    if build.findings:
        raise RulesError(build.findings)
    return c.Core(tuple(build.vocabulary.values()), rules, theorems)


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
    return out


@dataclass(slots=True)
class _Build:
    program: Program
    on: date
    choices: dict[str, Fraction]
    findings: list[Diagnostic] = field(default_factory=list)
    vocabulary: dict[str, c.Declared] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.vocabulary = vocabulary(self.program)
        for setting in self.program.settings:
            if not setting.source.in_force(self.on) or setting.name in self.choices:
                continue
            self.choices[setting.name] = setting.value.base
            others = [
                s
                for s in self.program.settings
                if s.name == setting.name and s is not setting and s.source.in_force(self.on)
            ]
            if others:
                self.findings.append(
                    Diagnostic(
                        "clash",
                        f"`{setting.name}` is set twice for {self.on} and nothing says which wins",
                        others[0].span,
                        f"the other is at {setting.span.file}:{setting.span.line}",
                        clause(self.program, setting.source),
                    )
                )
        for name, value in self.choices.items():
            parameter = self.program.parameters[name]
            if not parameter.low.base <= value <= parameter.high.base:
                self.findings.append(
                    Diagnostic(
                        "range",
                        f"{show(value, parameter.unit)} is outside the legal range of `{name}`",
                        parameter.span,
                        f"choose a value from {show(parameter.low.base, parameter.unit)} to "
                        f"{show(parameter.high.base, parameter.unit)}",
                        clause(self.program, parameter.source),
                    )
                )

    def rule(self, identity: str, rule: t.Rule) -> c.CoreRule:
        scope = self.condition(rule.scope) if rule.scope else c.TRUE
        parts = [self.condition(rule.when)] if rule.when else []
        parts += [c.negate(self.condition(exception)) for exception in rule.exceptions]
        when: c.Cond = c.All(tuple(parts))
        left = self.expression(rule.must.left)
        right = [self.expression(part) for part in rule.must.right]
        whole: c.Expr | None = None
        step = Fraction(1)
        margins: tuple[c.Expr, ...]
        match rule.must.kind:
            case "at_most":
                margins = (_minus(right[0], left),)
            case "at_least":
                margins = (_minus(left, right[0]),)
            case "between":
                margins = (_minus(left, right[0]), _minus(right[1], left))
            case "multiple":
                margins = ()
                literal = rule.must.right[0]
                assert isinstance(literal, t.Literal)
                step = literal.value.base
                whole = c.Mul(left, c.Const(1 / step))
            case kind:
                raise TypeError(f"unknown demand {kind}")
        return c.CoreRule(
            identity,
            rule.title,
            rule.subject,
            rule.checked,
            clause(self.program, rule.source),
            rule.source.evidence,
            rule.source.evidence != "recalled",
            self.worst_condition(scope, rule),
            self.worst_condition(when, rule),
            tuple(self.worst(margin, -1, rule) for margin in margins),
            None if whole is None else self.certain(whole, rule),
            step,
            self._margin_unit(rule.must.left),
        )

    def _margin_unit(self, expr: t.Expression) -> Unit:
        return unit(_MARGIN_UNITS.get(dimension_of(self.program, expr), ""))

    # expressions and conditions

    def expression(self, expr: t.Expression) -> c.Expr:
        match expr:
            case t.Literal(value):
                return c.Const(value.base)
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
            case t.Call(name, (argument,)):
                points = tuple((x.base, y.base) for x, y in self.program.curves[name].points)
                return c.Piecewise(points, self.expression(argument))
            case t.Total(name, condition):
                return c.Total(name, self.condition(condition) if condition else c.TRUE)
            case _:
                raise TypeError(f"unknown expression {expr!r}")

    def _name(self, name: str) -> c.Expr:
        if name in self.program.definitions:
            return self.expression(self.program.definitions[name].value)
        if name in self.program.parameters:
            parameter = self.program.parameters[name]
            return c.Param(name, parameter.low.base, parameter.high.base, self.choices.get(name))
        return c.Var(name)

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
            case t.OneOf(t.Name(name), alternatives):
                order = self.program.choices[name].names
                return c.Any_(tuple(_equal(name, order.index(x)) for x in alternatives))
            case t.Holds(t.Name(name)):
                return _equal(name, 1)
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
        low, high = bounds(expr, {n: (d.low, d.high) for n, d in self.vocabulary.items()})
        return 1 if low >= 0 else -1 if high <= 0 else 0


def bounds(expr: c.Expr, ranges: Mapping[str, tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction]:
    """Exact bounds of an expression over ranges of its quantities (not always the tightest).

    Raises `KeyError` for a quantity without a range and `ZeroDivisionError` for a divisor whose range holds zero.
    """
    match expr:
        case c.Const(value):
            return value, value
        case c.Var(name):
            return ranges[name]
        case c.Param(_, low, high, value):
            return (low, high) if value is None else (value, value)
        case c.Add(parts):
            pairs = [bounds(part, ranges) for part in parts]
            return sum((p[0] for p in pairs), Fraction(0)), sum((p[1] for p in pairs), Fraction(0))
        case c.Mul(left, right):
            corners = [a * b for a in bounds(left, ranges) for b in bounds(right, ranges)]
            return min(corners), max(corners)
        case c.Div(left, right):
            low, high = bounds(right, ranges)
            if low <= 0 <= high:
                raise ZeroDivisionError("the divisor may be zero")
            corners = [a / b for a in bounds(left, ranges) for b in (low, high)]
            return min(corners), max(corners)
        case c.Extreme(kind, parts):
            pick = max if kind == "max" else min
            pairs = [bounds(part, ranges) for part in parts]
            return pick(p[0] for p in pairs), pick(p[1] for p in pairs)
        case c.Piecewise(points, _):
            ys = [y for _, y in points]
            return min(ys), max(ys)
        case _:
            raise TypeError(f"unknown expression {expr!r}")


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


def _equal(name: str, position: int) -> c.Cond:
    return _compare("=", c.Var(name), c.Const(Fraction(position)))
