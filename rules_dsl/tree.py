"""The syntax tree of a rule file: frozen, with a place on every node; equality ignores the place.

`parse.py` makes it, `check.py` reads it. Numbers are exact `units.Quantity`s as written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

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
class Total(Node):
    """`sum of QUANTITY over members with (CONDITION)`."""

    name: str
    condition: Condition | None


Expression = Literal | Name | Binary | Call | Total


# ── conditions ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """`left op right` with op one of < <= > >= =."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class OneOf(Node):
    """A choice is one of the named alternatives."""

    subject: Expression
    names: tuple[str, ...]


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


Condition = Compare | OneOf | Holds | Not | Junction


# ── statements ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Source(Node):
    """Which clause of which instrument says so, on what evidence, and from when until when it is in force.

    `until` is exclusive. Evidence is read, corroborated, given (an operator's own policy) or recalled (may only warn).
    """

    instrument: str
    clause: str
    evidence: str
    start: date
    until: date | None

    def in_force(self, on: date) -> bool:
        """Whether the day lies in the half-open period."""
        return self.start <= on and (self.until is None or on < self.until)


@dataclass(frozen=True, slots=True)
class Pack(Node):
    """Names the pack that a file belongs to."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class QuantityDecl(Node):
    """A physical quantity of the vocabulary. `stale` is the greatest usable age in seconds; `uncertain` the half-width
    assumed where a reading states none."""

    name: str
    role: str
    subject: str
    unit: Unit
    resolution: Quantity
    low: Quantity
    high: Quantity
    stale: Quantity | None
    uncertain: Quantity | None
    text: str


@dataclass(frozen=True, slots=True)
class ChoiceDecl(Node):
    """A quantity that takes one of several named values; a flag is a choice of `no` and `yes`."""

    name: str
    names: tuple[str, ...]
    role: str
    subject: str
    stale: Quantity | None
    text: str


@dataclass(frozen=True, slots=True)
class Instrument(Node):
    """A legal or contractual text."""

    name: str
    title: str
    authority: str
    edition: str
    link: str


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """A value that the law leaves open inside a range."""

    name: str
    unit: Unit
    low: Quantity
    high: Quantity
    source: Source
    text: str


@dataclass(frozen=True, slots=True)
class Setting(Node):
    """Somebody's choice of a parameter, with its own source."""

    name: str
    value: Quantity
    source: Source


@dataclass(frozen=True, slots=True)
class Definition(Node):
    """A name for an expression."""

    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Curve(Node):
    """Points joined by straight lines and held flat beyond both ends."""

    name: str
    argument: Unit
    result: Unit
    points: tuple[tuple[Quantity, Quantity], ...]
    source: Source


@dataclass(frozen=True, slots=True)
class Must(Node):
    """What is demanded: `left` at_most / at_least / between / multiple `right`."""

    kind: str
    left: Expression
    right: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Given(Node):
    """One input of an example; `value` is None for `unknown`, nested inputs for a member."""

    name: str
    value: Quantity | str | tuple[Given, ...] | None


@dataclass(frozen=True, slots=True)
class Expectation(Node):
    """The rule allows or refuses this value, by this margin where stated."""

    allows: bool
    given: Given
    margin: Quantity | None


@dataclass(frozen=True, slots=True)
class Example(Node):
    """A worked case inside a rule."""

    title: str
    given: tuple[Given, ...]
    expected: tuple[Expectation, ...]


@dataclass(frozen=True, slots=True)
class Rule(Node):
    """One rule: whom it applies to, when, what must hold, with exceptions and examples."""

    name: str
    title: str
    source: Source
    checked: tuple[str, ...]
    subject: str
    scope: Condition | None
    when: Condition | None
    must: Must
    exceptions: tuple[Condition, ...]
    note: str
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Theorem(Node):
    """A property of all rules in force for a subject: `always_some` command, or `never_more` of it as a cause rises."""

    name: str
    title: str
    subject: str
    kind: str
    cause: str
    effect: str


Statement = Pack | QuantityDecl | ChoiceDecl | Instrument | Parameter | Setting | Definition | Curve | Rule | Theorem
