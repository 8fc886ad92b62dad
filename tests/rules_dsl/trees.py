"""Random syntax trees of every kind of statement: what the grammar can say, whether or not it means anything."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from rules_dsl import tree as t
from rules_dsl.instants import instant
from rules_dsl.units import Quantity, quantity, unit

NAMES = ["alpha", "b2", "frequency", "P_max", "soc", "limit_", "x", "yet", "nota", "inn", "L1"]
UNITS = [
    "kW",
    "%",
    "Hz",
    "mHz",
    "MWh",
    "s",
    "min",
    "pu",
    "EUR/MWh",
    "kW/min",
    "kvar",
    "SGD/MWh",
    "GBP",
    "h",
    "degC",
    "var/VA",
]
MOMENTS = [
    "2026-03-29T14:00 Europe/London",
    "2026-03-29T14:00Z",
    "2026-03-29T14:00:01.5+02:00",
    "2027-01-01 Europe/Oslo",
    "2026-01-01T00:00 UTC",
]
ZONES = ["Europe/London", "UTC", "America/New_York"]

ROLES = ["nameplate", "measured", "estimated", "commanded", "scheduled", "bid", "settled", "registered"]
DEMANDS = ["at_most", "at_least", "below", "above", "between", "equal", "multiple", "in", "not_in", "flag", "never"]
DEMANDS += ["that"]
CHECKPOINTS = ["command", "schedule", "bid", "registration", "telemetry", "settlement"]
PLACES = ["country", "operator", "site", "contract"]


class Maker:
    """Makes trees; deeper ones the larger `depth` is."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)

    def some(self, make: Callable[[], Any], low: int = 1, high: int = 3) -> tuple[Any, ...]:
        return tuple(make() for _ in range(self.pick.randint(low, high)))

    def maybe(self, make: Callable[[], Any]) -> Any:
        return make() if self.pick.random() < 0.5 else None

    def name(self) -> str:
        return self.pick.choice(NAMES)

    def names(self, low: int = 1) -> tuple[str, ...]:
        return self.some(self.name, low)

    def text(self) -> str:
        return "".join(self.pick.choice("abc ABC.,;:-–'()|{}0") for _ in range(self.pick.randint(0, 12)))

    def day(self) -> date:
        return date(2020, 1, 1) + timedelta(days=self.pick.randint(0, 4000))

    def number(self, signed: bool = True) -> Quantity:
        digits = self.pick.choice(["0", "1", "7", "50.2", "0.015", "300", "1000000", "99.9"])
        sign = "-" if signed and digits != "0" and self.pick.random() < 0.3 else ""
        return quantity(f"{sign}{digits} {self.pick.choice([*UNITS, ''])}".strip())

    def positive(self) -> Quantity:
        return self.number(signed=False)

    def moment(self) -> t.InstantLiteral:
        text = self.pick.choice(MOMENTS)
        return t.InstantLiteral(instant(text), text)

    def expression(self, depth: int = 3) -> t.Expression:
        inner = lambda: self.expression(depth - 1)  # noqa: E731 - a short name keeps the table below readable
        simple: list[Callable[[], t.Expression]] = [
            lambda: t.Literal(self.positive()),
            lambda: t.Name(self.name()),
            lambda: t.Literal(self.number()),
            self.moment,
        ]
        if depth <= 0:
            return self.pick.choice(simple)()
        deep: list[Callable[[], t.Expression]] = [
            lambda: t.Binary(self.pick.choice("+-*/"), inner(), inner()),
            lambda: t.Binary("*", t.Literal(quantity("-1")), inner()),
            lambda: t.Call(self.pick.choice(["max", "min", "abs"]), self.some(inner)),
            lambda: t.Call(self.name(), self.some(inner)),
            lambda: t.Aggregate(
                self.pick.choice(["sum", "greatest", "least", "mean", "integral", "change", "spread"]),
                inner(),
                self.over(depth - 1),
                self.maybe(lambda: self.condition(depth - 1)),
            ),
            lambda: self.counting(depth - 1),
            lambda: t.AsOf(self.name(), None, "", self.maybe(inner)),
            lambda: t.AsOf(self.name(), inner(), self.pick.choice(["", "samples"]), self.maybe(inner)),
            lambda: t.Local(self.pick.choice(["clock", "day", "weekday"]), inner(), self.pick.choice(ZONES), None),
            lambda: t.Local("period", inner(), self.pick.choice(ZONES), inner()),
            lambda: t.ClockOn(self.pick.choice([0, 50400, 86340]), self.pick.choice(ZONES), 0, "day", "", inner()),
            lambda: self.away(inner()),
        ]
        return self.pick.choice(simple + deep + deep)()

    def away(self, argument: t.Expression) -> t.ClockOn:
        step = self.pick.choice(["day", "month", "year", "business"])
        calendar = self.name() if step == "business" else ""
        count = self.pick.choice([-14, -2, -1, 1, 3])
        return t.ClockOn(self.pick.choice([0, 3600]), self.pick.choice(ZONES), count, step, calendar, argument)

    def counting(self, depth: int) -> t.Aggregate:
        kind = self.pick.choice(["count", "share"])
        over = t.Over("all", "samples")
        if self.pick.random() < 0.5:
            other = self.over(depth)
            over = t.Over(other.kind, "samples", other.first, other.second, other.unit, other.zone, other.start)
        return t.Aggregate(kind, None, over, self.maybe(lambda: self.condition(depth)))

    def over(self, depth: int) -> t.Over:
        kind = self.pick.choice(["all", "last", "next", "rows", "stretch", "same"])
        inner = lambda: self.expression(depth)  # noqa: E731 - as above
        if kind == "all":
            return t.Over("all", "samples")
        if kind == "rows":
            return t.Over("rows", "samples", inner())
        if kind == "stretch":
            return t.Over("stretch", first=inner(), second=inner())
        if kind == "same":
            zone = self.pick.choice(ZONES)
            return t.Over(
                "same", unit=self.pick.choice(["day", "year"]), zone=zone, start=self.pick.choice(["", "04-01"])
            )
        return t.Over(kind, first=inner())

    def condition(self, depth: int = 2) -> t.Condition:
        value = lambda: self.expression(max(0, depth - 1))  # noqa: E731 - as above
        inner = lambda: self.condition(depth - 1)  # noqa: E731 - as above
        simple: list[Callable[[], t.Condition]] = [
            lambda: t.Compare(self.pick.choice(["<", "<=", ">", ">=", "="]), value(), value()),
            lambda: t.OneOf(value(), self.names()),
            lambda: t.OneOf(value(), self.name()),
            lambda: t.Holds(value()),
        ]
        if depth <= 0:
            return self.pick.choice(simple)()
        deep: list[Callable[[], t.Condition]] = [
            lambda: t.Not(inner()),
            lambda: t.Junction("and", self.some(inner, 2)),
            lambda: t.Junction("or", self.some(inner, 2)),
            lambda: t.Throughout(inner(), value()),
        ]
        return self.pick.choice(simple + deep)()

    # statements

    def period(self) -> t.Period:
        recorded = self.maybe(self.day)
        withdrawn = self.maybe(self.day) if recorded else None
        return t.Period(self.day(), self.maybe(self.day), recorded, withdrawn)

    def source(self) -> t.Source:
        evidence = self.pick.choice(["read", "corroborated", "given", "reported", "recalled"])
        return t.Source(self.name(), self.text(), evidence, self.period())

    def bindings(self) -> tuple[tuple[str, str], ...]:
        protocols = ["sunspec", "iec61850", "openadr", "ieee2030_5", "dnp3"]
        return self.some(lambda: (self.pick.choice(protocols), self.text()), 0, 2)

    def role(self) -> str:
        return self.pick.choice(ROLES)

    def point(self) -> Quantity | str:
        return self.name() if self.pick.random() < 0.3 else self.number()

    def cell(self) -> t.Cell:
        a, b = self.number(), self.number()
        return self.pick.choice(
            [
                t.Cell(),
                t.Cell(names=self.names()),
                t.Cell(bounds=((">=", a), ("<", b))),
                t.Cell(bounds=(("=", a),)),
                t.Cell(bounds=(("<", a),)),
                t.Cell(bounds=((">", a), ("<=", b))),
            ]
        )

    def result(self) -> Quantity | str:
        return self.name() if self.pick.random() < 0.5 else self.number()

    def demand(self) -> t.Demand:
        kind = self.pick.choice(DEMANDS)
        if kind == "that":
            return t.Demand("that", None, condition=self.condition())
        left = self.expression()
        if kind in ("in", "not_in"):
            return t.Demand(kind, left, names=self.pick.choice([self.names(), self.name()]))
        if kind == "flag":
            return t.Demand(kind, left, names=(self.pick.choice(["yes", "no"]),))
        if kind == "never":
            return t.Demand(kind, left, names=(self.pick.choice(["fall", "rise"]),))
        return t.Demand(kind, left, tuple(self.expression() for _ in range(2 if kind == "between" else 1)))

    def given(self, depth: int = 1) -> t.Given:
        if depth and self.pick.random() < 0.3:
            return t.Given(self.name(), self.some(lambda: self.given(0)), self.name())
        return t.Given(self.name(), self.pick.choice([None, self.number(), "yes", "no", "alert", self.moment()]))

    def row_table(self) -> t.RowTable:
        width = self.pick.randint(1, 3)
        cell = lambda: self.pick.choice([None, self.number(), "yes", "alert", self.moment()])  # noqa: E731 - as above
        rows = self.some(lambda: tuple(cell() for _ in range(width)))
        return t.RowTable("samples", tuple(self.name() for _ in range(width)), rows)

    def expectation(self) -> t.Expectation:
        verdict = self.pick.choice(["allows", "refuses", "cannot tell"])
        margin = self.maybe(self.number) if verdict != "cannot tell" else None
        return t.Expectation(verdict, self.some(self.given, 0, 2), margin)

    def example(self) -> t.Example:
        return t.Example(
            self.text(), self.some(self.given, 0, 3), self.maybe(self.row_table), self.some(self.expectation)
        )

    def rule(self) -> t.Rule:
        relation = lambda: t.Relation(  # noqa: E731 - as above
            self.pick.choice(["overrides", "notwithstanding", "tightens"]), self.some(lambda: "pack/rule_2")
        )
        when = self.maybe(self.condition)
        timing = self.pick.choice(
            [
                None,
                t.Timing(self.expression(1), self.maybe(lambda: self.expression(1))),
                t.Timing(None, self.expression(1)),
            ]
        )
        positions = ["every", "every later", "the first", "the last"]
        return t.Rule(
            self.name(),
            self.text(),
            self.source(),
            self.maybe(relation),
            self.some(lambda: self.pick.choice(CHECKPOINTS)),
            self.pick.choice(["", "blocks", "warns"]),
            self.name(),
            self.maybe(self.condition),
            self.maybe(lambda: t.Quantifier(self.pick.choice(positions), self.name())),
            when,
            when is not None and self.pick.random() < 0.5,
            self.demand(),
            timing,
            self.some(self.condition, 0, 2),
            self.some(lambda: t.Transition(self.day(), self.condition()), 0, 1),
            self.pick.choice(["", "a note"]),
            self.some(self.example, 0, 2),
        )

    def statement(self) -> t.Statement:
        kind: Callable[[], t.Statement] = self.pick.choice(
            [
                lambda: t.Pack(
                    self.name(), self.text(), self.pick.randint(0, 3), self.names(0), self.maybe(self.period)
                ),
                lambda: t.Adoption("pack/rule_2", self.source()),
                self.subject,
                lambda: t.QuantityDecl(
                    self.name(),
                    self.role(),
                    self.name(),
                    unit(self.pick.choice(UNITS)),
                    self.positive(),
                    self.number(),
                    self.number(),
                    self.maybe(self.positive),
                    self.maybe(self.positive),
                    self.pick.choice(["", "export"]),
                    self.bindings(),
                    self.text(),
                ),
                lambda: t.ChoiceDecl(
                    self.name(),
                    self.pick.choice([("no", "yes"), self.names()]),
                    self.role(),
                    self.name(),
                    self.maybe(self.positive),
                    self.bindings(),
                    self.text(),
                ),
                lambda: t.InstantDecl(self.name(), self.role(), self.name(), self.maybe(self.positive), self.text()),
                lambda: t.Calendar(
                    self.name(),
                    self.text(),
                    self.pick.choice(ZONES),
                    (5, 6)[: self.pick.randint(1, 2)],
                    self.some(self.day, 0, 10),
                    self.day(),
                    self.day(),
                    self.name(),
                    self.text(),
                ),
                lambda: t.Instrument(
                    self.name(),
                    self.text(),
                    self.text(),
                    self.pick.choice(["", *ZONES]),
                    self.some(self.edition),
                    self.pick.choice(["", self.name()]),
                ),
                self.parameter,
                lambda: t.Setting(
                    self.name(),
                    self.number(),
                    self.some(lambda: (self.pick.choice(PLACES), self.name()), 0, 2),
                    self.source(),
                ),
                lambda: t.Definition(self.name(), self.pick.choice([self.expression(), self.names()])),
                lambda: t.Running(
                    self.name(),
                    *self.pick.choice([(unit(self.pick.choice(UNITS)), ()), (None, self.names())]),
                    self.name(),
                    self.expression(2),
                    self.some(lambda: t.Case(self.expression(2), self.maybe(self.condition))),
                    self.text(),
                ),
                lambda: t.Curve(
                    self.name(),
                    unit(self.pick.choice(UNITS)),
                    unit(self.pick.choice(UNITS)),
                    self.some(lambda: (self.point(), self.point())),
                    self.source(),
                ),
                self.table,
                self.rule,
                self.rule,
                self.theorem,
                self.theorem,
            ]
        )
        return kind()

    def theorem(self) -> t.Theorem:
        scaled = lambda: t.Scaled(self.name(), self.maybe(lambda: self.expression(1)))  # noqa: E731
        if self.pick.random() < 0.25:
            claim = t.NowhereAbove(scaled(), scaled(), self.expression(1), self.expression(1))
            return t.Theorem(self.name(), self.text(), "", None, claim)
        about: t.Claim = self.pick.choice(
            [
                lambda: t.AlwaysSome(self.name()),
                lambda: t.Raising(self.pick.choice(["more", "less"]), self.name(), self.name()),
                lambda: t.Leads(
                    self.maybe(lambda: self.expression(2)),
                    self.condition(2),
                    self.some(lambda: t.Step(self.name(), self.expression(2))),
                    self.some(lambda: t.OffBy(self.name(), self.expression(2)), 0, 2),
                ),
            ]
        )()
        return t.Theorem(self.name(), self.text(), self.name(), self.maybe(lambda: self.condition(2)), about)

    def subject(self) -> t.Subject:
        if self.pick.random() < 0.5:
            return t.Subject(self.name(), self.text())
        return t.Subject(self.name(), self.text(), self.name(), self.name(), self.pick.choice([None, "", self.name()]))

    def edition(self) -> t.Edition:
        start = self.maybe(self.day)
        return t.Edition(self.text(), start, self.maybe(self.day) if start else None, self.text())

    def parameter(self) -> t.Parameter:
        legal = self.some(self.number, 0, 2)
        return t.Parameter(
            self.name(),
            unit(self.pick.choice(UNITS)),
            self.number(),
            self.number(),
            self.maybe(self.number),
            self.source(),
            self.pick.choice(["", "a text"]),
            legal,
            self.some(self.number) if legal else (),
        )

    def table(self) -> t.Table:
        columns = self.some(lambda: t.Column(self.name(), self.maybe(lambda: unit(self.pick.choice(UNITS)))))
        rows = self.some(lambda: t.TableRow(tuple(self.cell() for _ in columns), self.result()))
        otherwise = (t.TableRow((), self.result()),) if self.pick.random() < 0.5 else ()
        in_unit, names = self.pick.choice([(unit(self.pick.choice(UNITS)), ()), (None, self.names())])
        return t.Table(self.name(), columns, in_unit, names, rows + otherwise, self.source())
