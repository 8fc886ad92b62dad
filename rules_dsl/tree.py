"""The syntax tree of a rule file: frozen, with a place on every node; equality ignores the place.

`parse.py` makes it, `check.py` reads it. Numbers are exact `units.Quantity`s as written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from rules_dsl.units import Quantity, Unit


@dataclass(frozen=True, slots=True)
class Span:
    """Where a node stands: file, 1-based line and column, and where it ends."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


NOWHERE = Span("", 0, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Any node; `span` takes no part in equality."""

    span: Span = field(default=NOWHERE, compare=False, repr=False)


# ── expressions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A number with its unit."""

    value: Quantity


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A quantity, parameter, definition or choice by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`left op right` with op one of + - * /."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`max`, `min`, `abs` of the arguments, or a curve's value at one argument."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class InstantLiteral(Node):
    """A moment in time: seconds since 1970-01-01T00:00Z, exact, and the text it was written as."""

    seconds: Fraction
    text: str


@dataclass(frozen=True, slots=True)
class Over(Node):
    """The rows that an aggregate ranges over, seen from a row.

    `kind` is all, last, next, rows (the last n), stretch (from `first` to `second` ago) or same (calendar `unit` in
    `zone`, beginning on `start`, a month and day); `rows` is the noun of the rows where it was written.
    """

    kind: str
    rows: str = ""
    first: Expression | None = None
    second: Expression | None = None
    unit: str = ""
    zone: str = ""
    start: str = ""


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    """`sum of EXPR over ... with (CONDITION)`; `count` and `share` have no value, and a share no meaning without
    rows."""

    kind: str
    value: Expression | None
    over: Over
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class AsOf(Node):
    """A quantity some rows (`rows` is their noun) or some time before; `otherwise` stands where there is no such row.

    `previous NAME` is the row before: `ago` is None.
    """

    name: str
    ago: Expression | None
    rows: str
    otherwise: Expression | None


@dataclass(frozen=True, slots=True)
class Local(Node):
    """`clock`, `day`, `weekday` or `period` of an instant in a zone; `length` is the period's."""

    kind: str
    argument: Expression
    zone: str
    length: Expression | None


@dataclass(frozen=True, slots=True)
class ClockOn(Node):
    """A time of day, in seconds, in a zone, on the local day `count` `unit`s after (before when negative) the day of an
    instant; the unit is day, month, year or business, a business day of `calendar`."""

    clock: int
    zone: str
    count: int
    unit: str
    calendar: str
    argument: Expression


Expression = Literal | Name | Binary | Call | InstantLiteral | Aggregate | AsOf | Local | ClockOn


# ── conditions ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """`left op right` with op one of < <= > >= =."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class OneOf(Node):
    """A choice is one of the named alternatives, or of those of the named set."""

    subject: Expression
    names: tuple[str, ...] | str


@dataclass(frozen=True, slots=True)
class Holds(Node):
    """A yes-or-no quantity is yes."""

    subject: Expression


@dataclass(frozen=True, slots=True)
class Not(Node):
    """The condition does not hold."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Junction(Node):
    """All of (`and`) or any of (`or`) the parts."""

    op: str
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Throughout(Node):
    """The condition has held without a break for the last while."""

    part: Condition
    span_of_time: Expression


Condition = Compare | OneOf | Holds | Not | Junction | Throughout


# ── statements ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Period(Node):
    """In force from a day until another, exclusive; recorded here from a day until another, exclusive."""

    start: date
    until: date | None
    recorded: date | None = None
    withdrawn: date | None = None

    def holds(self, on: date, known: date | None) -> bool:
        """Whether it is in force on the day, as known on another day (None: as known now)."""
        if not (self.start <= on and (self.until is None or on < self.until)):
            return False
        if known is None:
            return self.withdrawn is None
        return (self.recorded is None or self.recorded <= known) and (self.withdrawn is None or known < self.withdrawn)

    def overlap(self, other: Period) -> date | None:
        """The first day on which both are in force and known at the same time; None when there is none."""
        start = max(self.start, other.start)
        ends = [p.until for p in (self, other) if p.until is not None]
        if ends and min(ends) <= start:
            return None
        known = max(self.recorded or date.min, other.recorded or date.min)
        gone = [p.withdrawn for p in (self, other) if p.withdrawn is not None]
        return None if gone and min(gone) <= known else start


@dataclass(frozen=True, slots=True)
class Source(Node):
    """Which clause of which instrument says so, on what evidence, and when it is in force.

    Evidence is read, corroborated, given (an operator's own texts), reported (a tertiary source) or recalled; the
    last two may only warn.
    """

    instrument: str
    clause: str
    evidence: str
    period: Period


@dataclass(frozen=True, slots=True)
class Pack(Node):
    """Names the pack that a file belongs to, its priority, the packs it adopts and when all of it is in force."""

    name: str
    title: str
    priority: int = 0
    adopts: tuple[str, ...] = ()
    period: Period | None = None


@dataclass(frozen=True, slots=True)
class Adoption(Node):
    """Makes a reported rule of another pack one that blocks."""

    rule: str
    source: Source


@dataclass(frozen=True, slots=True)
class Subject(Node):
    """What rules apply to. `rows` is the noun of its rows, `of` their subject; `order` is None for rows in no order,
    empty for rows as given, else the quantity that rises from row to row."""

    name: str
    text: str
    rows: str = ""
    of: str = ""
    order: str | None = None


@dataclass(frozen=True, slots=True)
class QuantityDecl(Node):
    """A physical quantity of the vocabulary. `stale` is the greatest usable age in seconds; `uncertain` the half-width
    assumed where a reading states none; `bindings` are (protocol, place) pairs."""

    name: str
    role: str
    subject: str
    unit: Unit
    resolution: Quantity
    low: Quantity
    high: Quantity
    stale: Quantity | None
    uncertain: Quantity | None
    sign: str
    bindings: tuple[tuple[str, str], ...]
    text: str


@dataclass(frozen=True, slots=True)
class ChoiceDecl(Node):
    """A quantity that takes one of several named values; a flag is a choice of `no` and `yes`."""

    name: str
    names: tuple[str, ...]
    role: str
    subject: str
    stale: Quantity | None
    bindings: tuple[tuple[str, str], ...]
    text: str


@dataclass(frozen=True, slots=True)
class InstantDecl(Node):
    """A quantity that is a moment in time."""

    name: str
    role: str
    subject: str
    stale: Quantity | None
    text: str


@dataclass(frozen=True, slots=True)
class Calendar(Node):
    """Days on which business rests: week days (Monday is 0) and holidays, known from a day until another, exclusive."""

    name: str
    title: str
    zone: str
    weekdays: tuple[int, ...]
    holidays: tuple[date, ...]
    start: date
    until: date
    instrument: str
    clause: str


@dataclass(frozen=True, slots=True)
class Edition(Node):
    """One edition of an instrument."""

    title: str
    start: date | None
    until: date | None
    link: str


@dataclass(frozen=True, slots=True)
class Instrument(Node):
    """A legal or contractual text; dates that cite it are days in its time zone."""

    name: str
    title: str
    authority: str
    zone: str
    editions: tuple[Edition, ...]
    replaces: str = ""

    def edition_on(self, on: date) -> Edition:
        """The edition in force on a day, the first where none says so."""
        for edition in reversed(self.editions):
            if (edition.start is None or edition.start <= on) and (edition.until is None or on < edition.until):
                return edition
        return self.editions[0]


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """A value that the law leaves open inside a range; `legal` and `illegal` are tries of the range."""

    name: str
    unit: Unit
    low: Quantity
    high: Quantity
    default: Quantity | None
    source: Source
    text: str
    legal: tuple[Quantity, ...] = ()
    illegal: tuple[Quantity, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting(Node):
    """Somebody's choice of a parameter, with its own source; `places` say for whom, as (kind, name) pairs."""

    name: str
    value: Quantity
    places: tuple[tuple[str, str], ...]
    source: Source


@dataclass(frozen=True, slots=True)
class Definition(Node):
    """A name for an expression, or for a set of alternatives."""

    name: str
    value: Expression | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Curve(Node):
    """Points joined by straight lines and held flat beyond both ends; a coordinate is a number or a parameter's
    name."""

    name: str
    argument: Unit
    result: Unit
    points: tuple[tuple[Quantity | str, Quantity | str], ...]
    source: Source


@dataclass(frozen=True, slots=True)
class Column(Node):
    """An input of a table: a number in a unit, or a choice of the vocabulary by its name when `unit` is None."""

    name: str
    unit: Unit | None


@dataclass(frozen=True, slots=True)
class Cell(Node):
    """What a table row takes of one input: `bounds` as (comparison, value), or alternatives, or anything."""

    bounds: tuple[tuple[str, Quantity], ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableRow(Node):
    """One row: its cells and its result; no cells at all for the `otherwise` row."""

    cells: tuple[Cell, ...]
    result: Quantity | str


@dataclass(frozen=True, slots=True)
class Table(Node):
    """A decision table; its result is a number in `unit`, or one of `names`."""

    name: str
    columns: tuple[Column, ...]
    unit: Unit | None
    names: tuple[str, ...]
    rows: tuple[TableRow, ...]
    source: Source


@dataclass(frozen=True, slots=True)
class Case(Node):
    """One way on of a running state."""

    value: Expression
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class Running(Node):
    """A value carried along the rows of a subject: a number in `unit`, or one of `names`."""

    name: str
    unit: Unit | None
    names: tuple[str, ...]
    subject: str
    starts: Expression
    cases: tuple[Case, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Demand(Node):
    """What must hold: `left` `kind` `right`.

    `kind` is at_most, at_least, below, above, between, equal, multiple, in, not_in (with `names`), flag (with `names`),
    never (with `names` fall or rise) or that (with `condition`).
    """

    kind: str
    left: Expression | None
    right: tuple[Expression, ...] = ()
    names: tuple[str, ...] | str = ()
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Timing(Node):
    """How soon the demand must be met, and for how long it must then last."""

    within: Expression | None
    lasting: Expression | None


@dataclass(frozen=True, slots=True)
class Relation(Node):
    """How a rule stands to others: it overrides them, is an exception to them, or is meant to be stricter."""

    kind: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quantifier(Node):
    """At which rows the rule asks: `every`, `every later`, `the first` or `the last`."""

    position: str
    rows: str


@dataclass(frozen=True, slots=True)
class Transition(Node):
    """Until the day, whoever meets the condition is exempt."""

    until: date
    condition: Condition


@dataclass(frozen=True, slots=True)
class Given(Node):
    """One input of an example: `value` is None for `unknown`; `row` is the noun of a row with inputs of its own."""

    name: str
    value: Quantity | InstantLiteral | str | tuple[Given, ...] | None
    row: str = ""


@dataclass(frozen=True, slots=True)
class RowTable(Node):
    """Rows of an example as a table: the noun in the plural, the names at its head, and the values under them; `lines`
    are the lines on which they stand."""

    noun: str
    head: tuple[str, ...]
    rows: tuple[tuple[Quantity | InstantLiteral | str | None, ...], ...]
    lines: tuple[int, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Expectation(Node):
    """The rule `allows`, `refuses` or `cannot tell` the case with these values, by this margin where stated."""

    verdict: str
    given: tuple[Given, ...]
    margin: Quantity | None


@dataclass(frozen=True, slots=True)
class Example(Node):
    """A worked case inside a rule."""

    title: str
    given: tuple[Given, ...]
    rows: RowTable | None
    expected: tuple[Expectation, ...]


@dataclass(frozen=True, slots=True)
class Rule(Node):
    """One rule: whom it applies to, at which rows, when, what must hold, with exceptions and examples."""

    name: str
    title: str
    source: Source
    relation: Relation | None
    checked: tuple[str, ...]
    effect: str
    subject: str
    scope: Condition | None
    quantifier: Quantifier | None
    when: Condition | None
    event: bool
    demand: Demand
    timing: Timing | None
    exceptions: tuple[Condition, ...]
    transitions: tuple[Transition, ...]
    note: str
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class AlwaysSome(Node):
    """In every state some value of the quantity is allowed."""

    effect: str


@dataclass(frozen=True, slots=True)
class Raising(Node):
    """As the cause rises alone, never `more` or never `less` values of the effect are allowed."""

    kind: str
    cause: str
    effect: str


@dataclass(frozen=True, slots=True)
class Step(Node):
    """What a quantity becomes, or the rate at which it changes."""

    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class OffBy(Node):
    """The truth lies within `half` of the reading, either way."""

    name: str
    half: Expression


@dataclass(frozen=True, slots=True)
class Leads(Node):
    """A command that complies keeps the condition over a step; with `after`, the condition holds that long after it."""

    after: Expression | None
    condition: Condition
    steps: tuple[Step, ...]
    off_by: tuple[OffBy, ...]


@dataclass(frozen=True, slots=True)
class Scaled(Node):
    """A curve, perhaps times a number."""

    curve: str
    times: Expression | None


@dataclass(frozen=True, slots=True)
class NowhereAbove(Node):
    """One curve is nowhere above another between two values of their argument."""

    lower: Scaled
    upper: Scaled
    start: Expression
    end: Expression


Claim = AlwaysSome | Raising | Leads | NowhereAbove


@dataclass(frozen=True, slots=True)
class Theorem(Node):
    """A claim about all rules in force for a subject, where the condition holds; about curves without a subject."""

    name: str
    title: str
    subject: str
    given: Condition | None
    claim: Claim


Statement = (
    Pack
    | Adoption
    | Subject
    | QuantityDecl
    | ChoiceDecl
    | InstantDecl
    | Calendar
    | Instrument
    | Parameter
    | Setting
    | Definition
    | Running
    | Curve
    | Table
    | Rule
    | Theorem
)
