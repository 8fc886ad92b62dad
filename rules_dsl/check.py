"""Names, dimensions, ranges, dates and sources: from syntax trees to a `Program` that means something.

Every finding of a run is reported, not the first alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rules_dsl import tree as t
from rules_dsl.diagnostics import Diagnostic, RulesError
from rules_dsl.units import DIMENSIONLESS, Dimension, Quantity, show, unit

UNCERTAINTY = "_uncertainty"
"""Suffix of the companion of an uncertain quantity: the half-width of its band."""


@dataclass(frozen=True, slots=True)
class PackRule:
    """A rule with the pack it stands in."""

    pack: str
    rule: t.Rule

    @property
    def id(self) -> str:
        """`pack/rule`, unique in a program."""
        return f"{self.pack}/{self.rule.name}"


@dataclass(slots=True)
class Program:
    """All that a set of rule files declares, by name; settings keep every dated choice."""

    quantities: dict[str, t.QuantityDecl] = field(default_factory=dict)
    choices: dict[str, t.ChoiceDecl] = field(default_factory=dict)
    instruments: dict[str, t.Instrument] = field(default_factory=dict)
    parameters: dict[str, t.Parameter] = field(default_factory=dict)
    settings: list[t.Setting] = field(default_factory=list)
    definitions: dict[str, t.Definition] = field(default_factory=dict)
    curves: dict[str, t.Curve] = field(default_factory=dict)
    rules: list[PackRule] = field(default_factory=list)
    theorems: list[tuple[str, t.Theorem]] = field(default_factory=list)

    def declared(self, name: str) -> t.Node | None:
        """The declaration of a name, whatever its kind."""
        tables: tuple[dict[str, t.Node], ...] = (
            self.quantities,  # type: ignore[assignment]
            self.choices,
            self.parameters,
            self.definitions,
            self.curves,
            self.instruments,
        )
        return next((table[name] for table in tables if name in table), None)


def check(files: Iterable[Sequence[t.Statement]]) -> Program:
    """The program that the files make together.

    Raises `RulesError` with every finding: a name unknown or declared twice, dimensions that do not fit, a value
    outside its legal range, dates out of order, a source without its instrument, a rule without examples.
    """
    program = Program()
    findings: list[Diagnostic] = []
    for statements in files:
        pack = next((s.name for s in statements if isinstance(s, t.Pack)), "")
        for statement in statements:
            findings += _declare(program, pack, statement)
    checker = _Checker(program)
    checker.run()
    findings += checker.findings
    if findings:
        raise RulesError(findings)
    return program


def _declare(program: Program, pack: str, statement: t.Statement) -> Iterator[Diagnostic]:
    if isinstance(statement, t.Pack):
        return
    if isinstance(statement, t.Setting):
        program.settings.append(statement)
        return
    if isinstance(statement, t.Rule | t.Theorem) and not pack:
        yield Diagnostic(
            "no-pack", "rules and theorems stand in a pack", statement.span, 'begin with `pack NAME "..."`'
        )
    if isinstance(statement, t.Theorem):
        program.theorems.append((pack, statement))
        return
    if isinstance(statement, t.Rule):
        if any(r.id == f"{pack}/{statement.name}" for r in program.rules):
            yield Diagnostic("twice", f"rule `{statement.name}` is declared twice in pack `{pack}`", statement.span)
        program.rules.append(PackRule(pack, statement))
        return
    name = statement.name
    earlier = program.declared(name)
    if earlier is not None:
        where = f"{earlier.span.file}:{earlier.span.line}"
        yield Diagnostic("twice", f"`{name}` is declared twice", statement.span, f"the first is at {where}")
        return
    if isinstance(statement, t.QuantityDecl):
        program.quantities[name] = statement
    elif isinstance(statement, t.ChoiceDecl):
        program.choices[name] = statement
    elif isinstance(statement, t.Instrument):
        program.instruments[name] = statement
    elif isinstance(statement, t.Parameter):
        program.parameters[name] = statement
    elif isinstance(statement, t.Definition):
        program.definitions[name] = statement
    else:
        program.curves[name] = statement


class _Checker:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.findings: list[Diagnostic] = []
        self.clause = ""
        self.open: list[str] = []

    def say(self, code: str, message: str, node: t.Node, hint: str = "") -> None:
        self.findings.append(Diagnostic(code, message, node.span, hint, self.clause))

    def run(self) -> None:
        p = self.program
        for quantity in p.quantities.values():
            self._quantity(quantity)
        for choice in p.choices.values():
            if len(set(choice.names)) != len(choice.names):
                self.say("twice", f"`{choice.name}` names an alternative twice", choice)
        for parameter in p.parameters.values():
            self._source(parameter.source)
            self._same(parameter.unit.dimension, parameter.low, parameter, "the lower end of the range")
            self._same(parameter.unit.dimension, parameter.high, parameter, "the upper end of the range")
            if parameter.low.base > parameter.high.base:
                self.say("range", f"the range of `{parameter.name}` ends before it begins", parameter)
        for setting in p.settings:
            self._setting(setting)
        for curve in p.curves.values():
            self._curve(curve)
        for definition in p.definitions.values():
            self.open = [definition.name]
            self.dimension(definition.value)
        self.open = []
        for entry in p.rules:
            self._rule(entry.rule)
        for _, theorem in p.theorems:
            self._theorem(theorem)

    # declarations

    def _same(self, dimension: Dimension, value: Quantity, node: t.Node, what: str) -> None:
        if value.dimension != dimension:
            found = _words(value.dimension)
            self.say("dimension", f"{what} is {found} where {_words(dimension)} is needed", node)

    def _quantity(self, decl: t.QuantityDecl) -> None:
        for what, value in (
            ("the resolution", decl.resolution),
            ("the lower end", decl.low),
            ("the upper end", decl.high),
        ):
            self._same(decl.unit.dimension, value, decl, what)
        if decl.uncertain is not None:
            self._same(decl.unit.dimension, decl.uncertain, decl, "the uncertainty")
        if decl.stale is not None:
            self._same(unit("s").dimension, decl.stale, decl, "the greatest age")
        if decl.low.base > decl.high.base or decl.resolution.base <= 0:
            self.say(
                "range",
                f"`{decl.name}` needs a positive resolution and a range that ends after it begins",
                decl,
            )
        elif any((end.base / decl.resolution.base).denominator != 1 for end in (decl.low, decl.high)):
            self.say("range", f"the range of `{decl.name}` does not end on a step of its resolution", decl)

    def _source(self, source: t.Source) -> None:
        instrument = self.program.instruments.get(source.instrument)
        if instrument is None:
            self.say(
                "unknown",
                f"no instrument is called `{source.instrument}`",
                source,
                "declare it with `instrument`",
            )
        elif source.evidence == "given" and instrument.authority != "Operator":
            self.say(
                "evidence",
                "`given` evidence is for the operator's own texts",
                source,
                "law is read, corroborated or recalled",
            )
        if source.until is not None and source.until <= source.start:
            self.say("dates", f"in force until {source.until} ends before it begins", source)

    def _setting(self, setting: t.Setting) -> None:
        self._source(setting.source)
        parameter = self.program.parameters.get(setting.name)
        if parameter is None:
            self.say("unknown", f"no parameter is called `{setting.name}`", setting)
            return
        self._same(parameter.unit.dimension, setting.value, setting, f"`{setting.name}`")
        if not parameter.low.base <= setting.value.base <= parameter.high.base:
            low, high = show(parameter.low.base, parameter.unit), show(parameter.high.base, parameter.unit)
            self.clause = clause(self.program, parameter.source)
            self.say(
                "range",
                f"{show(setting.value.base, parameter.unit)} is outside the legal range of `{setting.name}`",
                setting,
                f"choose a value from {low} to {high}",
            )
            self.clause = ""

    def _curve(self, curve: t.Curve) -> None:
        self._source(curve.source)
        for x, y in curve.points:
            self._same(curve.argument.dimension, x, curve, f"a point of `{curve.name}`")
            self._same(curve.result.dimension, y, curve, f"a value of `{curve.name}`")
        xs = [x.base for x, _ in curve.points]
        if len(xs) < 2 or any(a >= b for a, b in itertools.pairwise(xs)):
            self.say("curve", f"the points of `{curve.name}` do not ascend, or there are fewer than two", curve)

    def _rule(self, rule: t.Rule) -> None:
        self.clause = clause(self.program, rule.source)
        self._source(rule.source)
        for condition in (rule.scope, rule.when, *rule.exceptions):
            if condition is not None:
                self.condition(condition)
        left = self.dimension(rule.must.left)
        for right in rule.must.right:
            self._alike(left, self.dimension(right), right)
        if not any(e.allows for x in rule.examples for e in x.expected) or not any(
            not e.allows for x in rule.examples for e in x.expected
        ):
            self.say(
                "example",
                f"rule `{rule.name}` needs an example that is allowed and one that is refused",
                rule,
            )
        for example in rule.examples:
            for given in (*example.given, *(e.given for e in example.expected)):
                self._given(given)
        self.clause = ""

    def _given(self, given: t.Given) -> None:
        if given.value is None:
            if self.value_of(given.name) is None:
                self.say("unknown", f"nothing is called `{given.name}`", given)
            return
        if isinstance(given.value, tuple):
            for part in given.value:
                self._given(part)
            return
        p = self.program
        if given.name in p.choices:
            if given.value not in p.choices[given.name].names:
                names = ", ".join(p.choices[given.name].names)
                self.say(
                    "unknown",
                    f"`{given.value}` is not an alternative of `{given.name}`",
                    given,
                    f"one of {names}",
                )
        elif isinstance(given.value, str):
            self.say("dimension", f"`{given.name}` needs a number with its unit", given)
        else:
            dimension = self.value_of(given.name)
            if dimension is None:
                self.say("unknown", f"nothing is called `{given.name}`", given)
            else:
                self._same(dimension, given.value, given, f"`{given.name}`")

    def _theorem(self, theorem: t.Theorem) -> None:
        for name in (theorem.cause, theorem.effect):
            if name and name not in self.program.quantities:
                self.say("unknown", f"no quantity is called `{name}`", theorem)

    # expressions

    def value_of(self, name: str) -> Dimension | None:
        """Dimension of a named value, None when nothing bears the name."""
        p = self.program
        if name in p.quantities:
            return p.quantities[name].unit.dimension
        if name in p.parameters:
            return p.parameters[name].unit.dimension
        if name in p.choices:
            return DIMENSIONLESS
        base = name.removesuffix(UNCERTAINTY)
        if base != name and base in p.quantities and p.quantities[base].uncertain is not None:
            return p.quantities[base].unit.dimension
        return None

    def _alike(self, left: Dimension | None, right: Dimension | None, node: t.Node) -> None:
        if left is not None and right is not None and left != right:
            self.say("dimension", f"{_words(right)} stands where {_words(left)} is needed", node)

    def dimension(self, expr: t.Expression) -> Dimension | None:
        """Dimension of an expression; None after a finding was reported for it."""
        if isinstance(expr, t.Literal):
            return expr.value.dimension
        if isinstance(expr, t.Name):
            return self._name(expr)
        if isinstance(expr, t.Binary):
            left, right = self.dimension(expr.left), self.dimension(expr.right)
            if left is None or right is None:
                return None
            if expr.op in "+-":
                self._alike(left, right, expr.right)
                return left
            sign = 1 if expr.op == "*" else -1
            if sign < 0 and not self._constant(expr.right):
                self.say(
                    "division",
                    "only numbers and parameters may divide",
                    expr.right,
                    "multiply both sides by the quantity instead",
                )
            powers = dict(left)
            for name, power in right:
                powers[name] = powers.get(name, 0) + sign * power
            return tuple(sorted((name, power) for name, power in powers.items() if power))
        if isinstance(expr, t.Total):
            if expr.condition is not None:
                self.condition(expr.condition)
            if expr.name not in self.program.quantities:
                self.say("unknown", f"no quantity is called `{expr.name}`", expr)
                return None
            return self.program.quantities[expr.name].unit.dimension
        return self._call(expr)

    def _name(self, expr: t.Name) -> Dimension | None:
        if expr.name in self.program.definitions:
            if expr.name in self.open:
                self.say("circle", f"`{expr.name}` is defined by itself", expr)
                return None
            self.open.append(expr.name)
            found = self.dimension(self.program.definitions[expr.name].value)
            self.open.pop()
            return found
        found = self.value_of(expr.name)
        if found is None:
            near = _nearest(expr.name, [*self.program.quantities, *self.program.parameters, *self.program.choices])
            self.say("unknown", f"nothing is called `{expr.name}`", expr, f"did you mean `{near}`?" if near else "")
        return found

    def _call(self, expr: t.Call) -> Dimension | None:
        parts = [self.dimension(part) for part in expr.arguments]
        if expr.function in ("max", "min", "abs"):
            for dimension, part in zip(parts[1:], expr.arguments[1:], strict=True):
                self._alike(parts[0], dimension, part)
            if expr.function == "abs" and len(parts) != 1:
                self.say("arguments", "`abs` takes one value", expr)
            return parts[0]
        curve = self.program.curves.get(expr.function)
        if curve is None:
            self.say("unknown", f"no curve is called `{expr.function}`", expr)
            return None
        self._alike(curve.argument.dimension, parts[0], expr.arguments[0])
        return curve.result.dimension

    def _constant(self, expr: t.Expression) -> bool:
        if isinstance(expr, t.Binary):
            return self._constant(expr.left) and self._constant(expr.right)
        return isinstance(expr, t.Literal) or (isinstance(expr, t.Name) and expr.name in self.program.parameters)

    def condition(self, condition: t.Condition) -> None:
        """Checks a condition and everything in it."""
        if isinstance(condition, t.Junction):
            for part in condition.parts:
                self.condition(part)
        elif isinstance(condition, t.Not):
            self.condition(condition.part)
        elif isinstance(condition, t.Compare):
            self._alike(self.dimension(condition.left), self.dimension(condition.right), condition.right)
        else:
            name = condition.subject.name if isinstance(condition.subject, t.Name) else ""
            choice = self.program.choices.get(name)
            if choice is None:
                self.say("unknown", f"`{name or 'this'}` is not a choice or a flag", condition)
            elif isinstance(condition, t.OneOf):
                for alternative in condition.names:
                    if alternative not in choice.names:
                        self.say(
                            "unknown",
                            f"`{alternative}` is not an alternative of `{name}`",
                            condition,
                            f"one of {', '.join(choice.names)}",
                        )
            elif choice.names != ("no", "yes"):
                self.say(
                    "dimension",
                    f"`{name}` is not a yes-or-no quantity",
                    condition,
                    f"write `{name} in {{...}}`",
                )


def clause(program: Program, source: t.Source) -> str:
    """The clause as people cite it: the instrument's title and the place in it."""
    instrument = program.instruments.get(source.instrument)
    return f"{instrument.title if instrument else source.instrument}, {source.clause}"


def dimension_of(program: Program, expr: t.Expression) -> Dimension:
    """Dimension of an expression of a checked program."""
    return _Checker(program).dimension(expr) or DIMENSIONLESS


def _words(dimension: Dimension) -> str:
    if not dimension:
        return "a plain number"
    return " ".join(name.replace("_", " ") + (f"^{power}" if power != 1 else "") for name, power in dimension)


def _nearest(name: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, names, 1)), "")
