"""Kinds of values: what may be added to, compared with and asked of what.

A kind is a dimension, how a plain ratio was written (as a share in % or pu, as a bare number, or come about by
division), or the alternatives of a choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from rules_dsl import tree as t
from rules_dsl.diagnostics import Diagnostic
from rules_dsl.program import Program
from rules_dsl.units import DIMENSIONLESS, Dimension, Unit, unit

UNCERTAINTY = "_uncertainty"
"""Suffix of the companion of an uncertain quantity: the half-width of its band."""

SECONDS = unit("s")
TIME: Dimension = (("time", 1),)
INSTANT: Dimension = (("instant", 1),)


@dataclass(frozen=True, slots=True)
class Kind:
    """What sort of value an expression has. `written` is `share`, `bare` or empty, for a plain ratio; `names` are the
    alternatives of a choice."""

    dimension: Dimension = DIMENSIONLESS
    written: str = ""
    names: tuple[str, ...] = ()


def kind_of(in_unit: Unit) -> Kind:
    """The kind of a number in a unit."""
    if in_unit.dimension:
        return Kind(in_unit.dimension)
    return Kind(written="bare" if in_unit.text in ("", "count") else "share")


def words(kind: Kind) -> str:
    """The kind as people call it."""
    if kind.names:
        return f"one of {', '.join(kind.names)}"
    if kind.dimension == INSTANT:
        return "a moment in time"
    if kind.dimension == TIME:
        return "a duration"
    if not kind.dimension:
        return {"share": "a share in % or pu", "bare": "a bare number"}.get(kind.written, "a ratio")
    known = _KNOWN.get(kind.dimension)
    if known is not None:
        return known
    above = [_base(n) + (f"^{p}" if p != 1 else "") for n, p in kind.dimension if p > 0]
    below = [_base(n) + (f"^{-p}" if p != -1 else "") for n, p in kind.dimension if p < 0]
    return " times ".join(above or ["one"]) + (" per " + " per ".join(below) if below else "")


def _base(name: str) -> str:
    if name.startswith("currency_"):
        return f"money in {name.removeprefix('currency_').upper()}"
    return name.replace("_", " ")


CURRENCIES = ("EUR", "GBP", "USD", "SGD", "NOK", "AED", "AUD", "HKD", "SAR", "OMR")

_KNOWN: dict[Dimension, str] = {
    unit("Wh").dimension: "energy",
    unit("varh").dimension: "reactive energy",
    unit("W/s").dimension: "a rate of active power",
    unit("Hz/s").dimension: "a rate of frequency",
    **{unit(f"{c}/Wh").dimension: f"a price of energy in {c}" for c in CURRENCIES},
    **{unit(f"{c}/W").dimension: f"a price of power in {c}" for c in CURRENCIES},
}
_HINTS = {
    frozenset({"energy", "active power"}): "a power times a time is an energy",
    frozenset({"a rate of active power", "active power"}): "a rate is a power per time; times a time it is a power",
    frozenset({"active power", "reactive power"}): "W and var measure different things",
    frozenset({"active power", "apparent power"}): "W and VA measure different things",
    frozenset({"reactive power", "apparent power"}): "var and VA measure different things",
}


@dataclass(slots=True)
class Typing:
    """Finds the kind of each expression, and what is wrong with it.

    `subject` is what the rule is about (None: not known, as in a definition by itself); `rows` says that one row is
    looked at, so that its quantities have a meaning; `divides` that quantities may divide.
    """

    program: Program
    findings: list[Diagnostic] = field(default_factory=list)
    clause: str = ""
    subject: t.Subject | None = None
    rows: bool = False
    divides: bool = False
    open: list[str] = field(default_factory=list)

    def say(self, code: str, message: str, node: t.Node, hint: str = "") -> None:
        """Adds a finding."""
        self.findings.append(Diagnostic(code, message, node.span, hint, self.clause))

    # names

    def value_of(self, name: str) -> tuple[Kind, str] | None:
        """Kind and subject of a named value (no subject for a parameter); None when nothing bears the name."""
        p = self.program
        if name in p.quantities:
            return kind_of(p.quantities[name].unit), p.quantities[name].subject
        if name in p.parameters:
            return kind_of(p.parameters[name].unit), ""
        if name in p.choices:
            return Kind(names=p.choices[name].names), p.choices[name].subject
        if name in p.instants:
            return Kind(INSTANT), p.instants[name].subject
        base = name.removesuffix(UNCERTAINTY)
        if base != name and base in p.quantities and p.quantities[base].uncertain is not None:
            return kind_of(p.quantities[base].unit), p.quantities[base].subject
        return None

    def unknown(self, what: str, name: str, node: t.Node, names: Sequence[str]) -> None:
        """Says that nothing of that sort bears the name, and what comes near."""
        near = next(iter(get_close_matches(name, names, 1)), "")
        self.say("unknown", f"no {what} is called `{name}`", node, f"did you mean `{near}`?" if near else "")

    def _name(self, expr: t.Name) -> Kind | None:
        p = self.program
        if expr.name in p.definitions:
            value = p.definitions[expr.name].value
            if isinstance(value, tuple):
                self.say("kind", f"`{expr.name}` is a set, not a value", expr, f"write `... in {expr.name}`")
                return None
            if expr.name in self.open:
                self.say("circle", f"`{expr.name}` is defined by itself", expr)
                return None
            self.open.append(expr.name)
            found = self.kind(value)
            self.open.pop()
            return found
        if expr.name in p.running:
            return self._running(expr.name, expr)
        known = self.value_of(expr.name)
        if known is None:
            names = [*p.quantities, *p.parameters, *p.choices, *p.instants, *p.definitions, *p.running]
            near = next(iter(get_close_matches(expr.name, names, 1)), "")
            hint = f"did you mean `{near}`?" if near else ""
            self.say("unknown", f"nothing is called `{expr.name}`", expr, hint)
            return None
        self._reach(expr.name, known[1], expr)
        return known[0]

    def _running(self, name: str, node: t.Node) -> Kind | None:
        running = self.program.running[name]
        if self.subject is not None and (self.subject.name != running.subject or not self.rows):
            where = f"at the rows of each {running.subject}"
            self.say("subject", f"`{name}` has a value {where} only", node, "say at which rows: `at every ...,`")
        return Kind(names=running.names) if running.unit is None else kind_of(running.unit)

    def _reach(self, name: str, owner: str, node: t.Node) -> None:
        """Says so when a name of another subject stands here."""
        if self.subject is None or not owner or owner == self.subject.name:
            return
        if self.subject.rows and owner == self.subject.of:
            if not self.rows:
                rows = self.subject.rows
                hint = f"say at which: `at every {rows},`, or `sum of ... over {plural(rows)}`"
                self.say("subject", f"`{name}` belongs to each {rows}, not to the {self.subject.name}", node, hint)
            return
        self.say("subject", f"`{name}` belongs to each {owner}, and this is about each {self.subject.name}", node)

    # expressions

    def alike(self, left: Kind | None, right: Kind | None, node: t.Node) -> bool:
        """Whether two kinds compare; says so when they do not."""
        before = len(self.findings)
        if left is not None and right is not None:
            self._alike(left, right, node)
        return len(self.findings) == before

    def _alike(self, left: Kind, right: Kind, node: t.Node) -> None:
        if left.names or right.names:
            if left.names != right.names:
                self.say("kind", f"{words(right)} stands where {words(left)} is needed", node)
            return
        if left.dimension != right.dimension:
            hint = _HINTS.get(frozenset({words(left), words(right)}), "")
            self.say("dimension", f"{words(right)} stands where {words(left)} is needed", node, hint)
        elif {left.written, right.written} == {"share", "bare"} and not left.dimension:
            hint = "write a share with its unit, `5 %` or `0.05 pu`, and a count without"
            self.say("share", f"{words(right)} stands where {words(left)} is needed", node, hint)

    def kind(self, expr: t.Expression) -> Kind | None:
        """The kind of an expression; None after a finding was reported for it."""
        match expr:
            case t.Literal(value):
                return kind_of(value.unit)
            case t.InstantLiteral():
                return Kind(INSTANT)
            case t.Name():
                return self._name(expr)
            case t.Binary():
                return self._binary(expr)
            case t.Call():
                return self._call(expr)
            case t.Aggregate():
                return self._aggregate(expr)
            case t.AsOf():
                return self._as_of(expr)
            case t.Local():
                return self._local(expr)
            case t.ClockOn():
                self.needs(expr.argument, INSTANT, "a moment in time")
                if expr.calendar and expr.calendar not in self.program.calendars:
                    self.unknown("calendar", expr.calendar, expr, [*self.program.calendars])
                return Kind(INSTANT)
            case _:
                raise TypeError(f"unknown expression {expr!r}")

    def needs(self, expr: t.Expression, dimension: Dimension, what: str) -> None:
        """Says so when an expression is not of a dimension."""
        found = self.kind(expr)
        if found is not None and (found.names or found.dimension != dimension):
            self.say("dimension", f"{words(found)} stands where {what} is needed", expr)

    def _binary(self, expr: t.Binary) -> Kind | None:
        left, right = self.kind(expr.left), self.kind(expr.right)
        if left is None or right is None:
            return None
        if left.names or right.names:
            self.say("kind", "alternatives of a choice do not calculate", expr)
            return None
        if expr.op in "+-":
            if left.dimension == INSTANT:
                if right.dimension == INSTANT and expr.op == "-":
                    return Kind(TIME)
                if right.dimension == TIME:
                    return left
                self.say("dimension", f"{words(right)} stands where a duration is needed", expr.right)
                return None
            if not self.alike(left, right, expr.right):
                return None
            return left if left.written == right.written else Kind(left.dimension)
        if INSTANT in (left.dimension, right.dimension):
            self.say("dimension", "a moment in time does not multiply", expr, "subtract another moment first")
            return None
        sign = 1 if expr.op == "*" else -1
        if sign < 0 and not self.divides and not self.constant(expr.right):
            hint = "multiply both sides by the quantity instead"
            self.say("division", "only numbers and parameters may divide", expr.right, hint)
        elif sign < 0 and isinstance(expr.right, t.Literal) and not expr.right.value.base:
            self.say("division", "nothing divides by zero", expr.right)
        powers = dict(left.dimension)
        for name, power in right.dimension:
            powers[name] = powers.get(name, 0) + sign * power
        dimension = tuple(sorted((name, power) for name, power in powers.items() if power))
        if dimension or left.dimension:
            return Kind(dimension)
        both = {left.written, right.written}
        return Kind(written=both.pop() if len(both) == 1 else "")

    def constant(self, expr: t.Expression) -> bool:
        """Whether an expression is made of numbers and parameters alone."""
        if isinstance(expr, t.Binary):
            return self.constant(expr.left) and self.constant(expr.right)
        return isinstance(expr, t.Literal) or (isinstance(expr, t.Name) and expr.name in self.program.parameters)

    def _call(self, expr: t.Call) -> Kind | None:
        parts = [self.kind(part) for part in expr.arguments]
        if expr.function in ("max", "min", "abs"):
            if any(part is not None and part.names for part in parts):
                self.say("kind", "alternatives of a choice do not calculate", expr)
                return None
            alike = [self.alike(parts[0], k, part) for k, part in zip(parts[1:], expr.arguments[1:], strict=True)]
            if not all(alike):
                return None
            if expr.function == "abs" and len(parts) != 1:
                self.say("arguments", "`abs` takes one value", expr)
            return parts[0]
        curve, table = self.program.curves.get(expr.function), self.program.tables.get(expr.function)
        if curve is None and table is None:
            self.unknown("curve or table", expr.function, expr, [*self.program.curves, *self.program.tables])
            return None
        if curve is not None:
            wanted, result = [kind_of(curve.argument)], kind_of(curve.result)
        else:
            assert table is not None
            wanted = [self.column(column) for column in table.columns]
            result = Kind(names=table.names) if table.unit is None else kind_of(table.unit)
        if len(wanted) != len(parts):
            self.say("arguments", f"`{expr.function}` takes {len(wanted)} value(s), not {len(parts)}", expr)
            return result
        for want, kind, part in zip(wanted, parts, expr.arguments, strict=True):
            self.alike(want, kind, part)
        return result

    def column(self, column: t.Column) -> Kind:
        """The kind of a table's input."""
        if column.unit is not None:
            return kind_of(column.unit)
        choice = self.program.choices.get(column.name) or self.program.running.get(column.name)
        return Kind(names=choice.names if choice is not None else ())

    # rows

    def noun(self, rows: str, node: t.Node) -> None:
        """Says so when the subject has no rows of that name."""
        if self.subject is None:
            return
        if not self.subject.rows:
            self.say("rows", f"{_a(self.subject.name)} is not made of rows", node)
        elif rows not in (self.subject.rows, plural(self.subject.rows)):
            self.say("rows", f"the rows of {_a(self.subject.name)} are its {plural(self.subject.rows)}", node)

    def ordered(self, node: t.Node, dimensions: Sequence[Dimension] = ()) -> None:
        """Says so when the rows are in no order, or not in an order of one of the dimensions."""
        if self.subject is None or not self.subject.rows:
            return
        if self.subject.order is None:
            self.say("rows", f"the {plural(self.subject.rows)} of {_a(self.subject.name)} are in no order", node)
        elif dimensions:
            known = self.value_of(self.subject.order)
            if known is None or known[0].dimension not in dimensions:
                what = "moments in time" if dimensions == [INSTANT] else "time"
                rows = f"the {plural(self.subject.rows)} of {_a(self.subject.name)}"
                self.say("rows", f"{rows} are not in order of {what}", node)

    def at_a_row(self, node: t.Node) -> None:
        """Says so when no row is being looked at."""
        if self.subject is not None and not self.rows:
            self.say("rows", "this is seen from a row", node, "say from which: `at every ...,`")

    def _aggregate(self, expr: t.Aggregate) -> Kind | None:
        over = expr.over
        if over.rows:
            self.noun(over.rows, over)
        elif self.subject is not None and not self.subject.rows:
            self.say("rows", f"{_a(self.subject.name)} is not made of rows", over)
        if over.kind != "all":
            self.at_a_row(over)
        if over.kind in ("last", "next", "stretch"):
            self.ordered(over, [TIME, INSTANT])
            for part in (over.first, over.second):
                if part is not None:
                    self.needs(part, TIME, "a duration")
        elif over.kind == "rows":
            self.ordered(over)
            assert over.first is not None
            if not isinstance(over.first, t.Literal) or not is_count(over.first):
                self.say("number", "the number of rows is a whole number of at least 1", over.first)
        elif over.kind == "same":
            self.ordered(over, [INSTANT])
            if over.start and over.unit != "year":
                self.say("date", f"a {over.unit} does not begin on a date", over)
        elif expr.kind in ("integral", "change"):
            self.ordered(over)
        outer, self.rows = self.rows, True
        if expr.condition is not None:
            self.condition(expr.condition)
        value = self.kind(expr.value) if expr.value is not None else None
        self.rows = outer
        if expr.kind == "count":
            return Kind(written="bare")
        if expr.kind == "share":
            if expr.condition is None:
                self.say("arguments", "a share is of rows `with (...)`", expr)
            return Kind(written="share")
        if value is None:
            return None
        if value.names or (value.dimension == INSTANT and expr.kind in ("sum", "mean", "integral")):
            self.say("kind", f"{words(value)} has no {expr.kind}", expr)
            return None
        if expr.kind == "integral":
            self.ordered(over, [TIME, INSTANT])
            powers = dict(value.dimension)
            powers["time"] = powers.get("time", 0) + 1
            return Kind(tuple(sorted((n, p) for n, p in powers.items() if p)))
        if value.dimension == INSTANT and expr.kind in ("change", "spread"):
            return Kind(TIME)
        return value

    def _as_of(self, expr: t.AsOf) -> Kind | None:
        self.at_a_row(expr)
        self.ordered(expr)
        if expr.rows:
            self.noun(expr.rows, expr)
            if not isinstance(expr.ago, t.Literal) or not is_count(expr.ago):
                self.say("number", "the number of rows is a whole number of at least 1", expr)
        elif expr.ago is not None:
            self.ordered(expr, [TIME, INSTANT])
            self.needs(expr.ago, TIME, "a duration")
        # INVARIANT: a running state may speak of its own past, so its kind is taken from its declaration alone.
        found = self._name(t.Name(expr.name, span=expr.span))
        if expr.otherwise is not None:
            self.alike(found, self._alternative(expr.otherwise, found), expr.otherwise)
        return found

    def _local(self, expr: t.Local) -> Kind | None:
        self.needs(expr.argument, INSTANT, "a moment in time")
        if expr.length is not None:
            self.needs(expr.length, TIME, "a duration")
            if not self.constant(expr.length):
                self.say("number", "the length of a period is a number or a parameter", expr.length)
        return {"clock": Kind(TIME), "day": Kind(INSTANT)}.get(expr.kind, Kind(written="bare"))

    def _alternative(self, expr: t.Expression, wanted: Kind | None) -> Kind | None:
        """The kind of an expression that may be an alternative of the wanted choice by name."""
        if wanted is not None and wanted.names and isinstance(expr, t.Name):
            if expr.name in wanted.names:
                return wanted
            if self.program.declared(expr.name) is None:
                self.say("unknown", f"`{expr.name}` is not one of {', '.join(wanted.names)}", expr)
                return None
        return self.kind(expr)

    def gives(self, expr: t.Expression, wanted: Kind) -> None:
        """Says so when an expression does not give the wanted kind; a bare name may be an alternative."""
        self.alike(wanted, self._alternative(expr, wanted), expr)

    # conditions

    def condition(self, condition: t.Condition) -> None:
        """Checks a condition and everything in it."""
        match condition:
            case t.Junction(_, parts):
                for part in parts:
                    self.condition(part)
            case t.Not(part):
                self.condition(part)
            case t.Compare(_, left, right):
                kind = self.kind(left)
                if kind is not None and kind.names:
                    self.say("kind", f"{words(kind)} does not compare", condition, "write `... in {...}`")
                else:
                    self.alike(kind, self.kind(right), right)
            case t.OneOf(subject, names):
                self.alternatives(self.kind(subject), names, condition)
            case t.Holds(subject):
                kind = self.kind(subject)
                if kind is not None and kind.names != ("no", "yes"):
                    hint = "write `... in {...}`" if kind.names else "compare it with something"
                    self.say("kind", f"{words(kind)} is not a yes-or-no value", condition, hint)
            case t.Throughout(part, span_of_time):
                self.at_a_row(condition)
                self.ordered(condition, [TIME, INSTANT])
                self.condition(part)
                self.needs(span_of_time, TIME, "a duration")
            case _:
                raise TypeError(f"unknown condition {condition!r}")

    def alternatives(self, kind: Kind | None, names: tuple[str, ...] | str, node: t.Node) -> None:
        """Says so when a set is unknown or holds names that the choice lacks."""
        if isinstance(names, str):
            definition = self.program.definitions.get(names)
            if definition is None or not isinstance(definition.value, tuple):
                sets = [d.name for d in self.program.definitions.values() if isinstance(d.value, tuple)]
                self.unknown("set", names, node, sets)
                return
            names = definition.value
        if kind is None:
            return
        if not kind.names:
            self.say("kind", f"{words(kind)} is not a choice", node)
            return
        for name in names:
            if name not in kind.names:
                self.say("unknown", f"`{name}` is not one of {', '.join(kind.names)}", node)


def _a(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" and noun != "unit" else "a ") + noun


def plural(noun: str) -> str:
    """A noun in the plural: `pairs`, `entries`."""
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"


def is_count(expr: t.Literal) -> bool:
    """Whether a number is a whole one of at least 1, without a unit."""
    return not expr.value.unit.text and expr.value.base.denominator == 1 and expr.value.base >= 1


def parts_of(node: t.Node | tuple[object, ...]) -> Iterator[t.Node]:
    """Every node inside a node, itself included."""
    if isinstance(node, tuple):
        for item in node:
            if isinstance(item, t.Node | tuple):
                yield from parts_of(item)
        return
    yield node
    for name in node.__dataclass_fields__:
        value = getattr(node, name)
        if name != "span" and isinstance(value, t.Node | tuple):
            yield from parts_of(value)


def mentioned(node: t.Node) -> set[str]:
    """Every declared name that a node speaks of."""
    names: set[str] = set()
    for part in parts_of(node):
        match part:
            case t.Name(name) | t.AsOf(name) | t.Call(name) | t.OneOf(_, str(name)) | t.Demand(names=str(name)):
                names.add(name)
            case t.Curve(points=points):
                names.update(end for point in points for end in point if isinstance(end, str))
    return names
