"""Core: the canonical, desugared form of the rules, in base units, with a digest.

No dates, choices, `abs`, definitions or uncertain readings are left: a choice of law is a constant, an exception is
part of the condition, and an uncertain quantity stands at the end of its band that is worse for the rule.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

from rules_dsl.units import Unit


@dataclass(frozen=True, slots=True)
class Const:
    """A number in base units."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Var:
    """A quantity, in base units; a choice is the position of its alternative."""

    name: str


@dataclass(frozen=True, slots=True)
class Param:
    """A value that the law leaves open; `value` is None while nobody has chosen."""

    name: str
    low: Fraction
    high: Fraction
    value: Fraction | None


@dataclass(frozen=True, slots=True)
class Add:
    """Sum of the parts."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Mul:
    """Product of two."""

    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Div:
    """Quotient by a constant."""

    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Extreme:
    """The greatest (`max`) or least (`min`) of the parts."""

    kind: str
    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Piecewise:
    """Points joined by straight lines, flat beyond the ends."""

    points: tuple[tuple[Fraction, Fraction], ...]
    argument: Expr


@dataclass(frozen=True, slots=True)
class Case:
    """The first case whose condition holds gives the value; `otherwise` where none does."""

    cases: tuple[tuple[Cond, Expr], ...]
    otherwise: Expr | None


@dataclass(frozen=True, slots=True)
class Window:
    """The rows seen: `all`, or from a row the `last` or `next` time `first`, the last `first` `rows`, the `stretch`
    from `first` to `second` ago, or the `same` local `unit` of the calendar in `zone` so far."""

    kind: str
    first: Expr | None = None
    second: Expr | None = None
    unit: str = ""
    zone: str = ""
    start: str = ""


@dataclass(frozen=True, slots=True)
class Over:
    """An aggregate of `body` over the rows of a window for which the condition holds: `sum`, `greatest`, `least`,
    `mean`, `integral`, `change`, `spread`, `count` or `share`."""

    kind: str
    body: Expr
    condition: Cond
    window: Window


@dataclass(frozen=True, slots=True)
class AsOf:
    """`body` at an earlier row: `ago` rows back where `rows`, else as in force that long ago."""

    body: Expr
    ago: Expr
    rows: bool
    otherwise: Expr | None


@dataclass(frozen=True, slots=True)
class Local:
    """`clock` (seconds after midnight), `day` (its first moment), `weekday` (1 to 7) or `period` (1 ...) of a
    moment."""

    kind: str
    argument: Expr
    zone: str
    length: Expr | None


@dataclass(frozen=True, slots=True)
class ClockOn:
    """The moment at which clocks in the zone show `clock` seconds, `count` days, months or years of the local calendar
    after the day of the argument; business days where `rests` says when business rests: (week days, holidays, known
    from, known until), dates as ISO text."""

    clock: int
    zone: str
    count: int
    unit: str
    rests: tuple[tuple[int, ...], tuple[str, ...], str, str] | None
    argument: Expr


Expr = Const | Var | Param | Add | Mul | Div | Extreme | Piecewise | Case | Over | AsOf | Local | ClockOn


@dataclass(frozen=True, slots=True)
class Le:
    """`expr <= 0`, or `< 0` when strict."""

    expr: Expr
    strict: bool


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; of nothing: true."""

    parts: tuple[Cond, ...]


@dataclass(frozen=True, slots=True)
class Any_:
    """Some part holds; of nothing: false."""

    parts: tuple[Cond, ...]


@dataclass(frozen=True, slots=True)
class Throughout:
    """The condition has held without a break, inside the rows, for at least the last while."""

    part: Cond
    span_of_time: Expr


Cond = Le | All | Any_ | Throughout
TRUE = All(())


@dataclass(frozen=True, slots=True)
class Carried:
    """A running state: its value at the first row, and at each later row that of the first case that holds."""

    name: str
    starts: Expr
    cases: tuple[tuple[Cond, Expr], ...]

    def nodes(self) -> tuple[Expr | Cond, ...]:
        """Everything that decides its value."""
        return (self.starts, *(part for case in self.cases for part in case))


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a rule looks at: their noun in the plural, the quantity that orders them (empty for none),
    whether it is a time, the quantities of a row that the rule needs, and the running states, each after those it
    depends on."""

    nouns: str
    order: str
    timed: bool
    names: tuple[str, ...]
    carried: tuple[Carried, ...]


@dataclass(frozen=True, slots=True)
class CoreRule:
    """One rule: where `scope` and `when` hold, every `margins` expression must be at least zero (above zero when
    `strict`), `whole`, where it stands, a whole number, and `demand` true.

    With a `quantifier` that is asked at rows of the subject; at each row where `when` begins to hold if it is an
    `event`, and then met `within` a time, for a time `lasting`.
    """

    id: str
    title: str
    subject: str
    checked: tuple[str, ...]
    clause: str
    evidence: str
    blocks: bool
    scope: Cond
    when: Cond
    margins: tuple[Expr, ...]
    strict: bool
    demand: Cond
    whole: Expr | None
    step: Fraction
    unit: Unit
    rows: Rows | None = None
    quantifier: str = ""
    event: bool = False
    within: Expr | None = None
    lasting: Expr | None = None

    def nodes(self) -> tuple[Expr | Cond, ...]:
        """Condition and demand: all but the scope."""
        found = (self.when, *self.margins, self.demand, self.whole, self.within, self.lasting)
        carried = self.rows.carried if self.rows else ()
        inside = tuple(part for state in carried for part in state.nodes())
        return (*(part for part in found if part is not None), *inside)


@dataclass(frozen=True, slots=True)
class Declared:
    """A quantity of the vocabulary in base units. `names` are the alternatives of a choice; `stale` is in seconds."""

    name: str
    role: str
    subject: str
    unit: Unit
    resolution: Fraction
    low: Fraction
    high: Fraction
    stale: Fraction | None
    uncertain: Fraction | None
    names: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class CoreTheorem:
    """A claim about every rule of a subject that is checked at a command, or about curves and no subject.

    `always_some`: where `given` holds some `effect` is allowed. `never_more`, `never_less`: as `cause` rises alone and
    `given` holds at both ends. `keeps`, `after` and `nowhere_above`: where every rule complies and `given` holds,
    `then` holds. `extra` declares what only the theorem speaks of; `shown` is what people want to see of a state.
    """

    id: str
    title: str
    subject: str
    kind: str
    cause: str = ""
    effect: str = ""
    given: Cond = TRUE
    then: Cond = TRUE
    extra: tuple[Declared, ...] = ()
    shown: tuple[tuple[str, Expr, Unit], ...] = ()


@dataclass(frozen=True)
class Core:
    """Everything in force on a day, ready to lower. It has no slots, so that its digest is worked out once."""

    vocabulary: tuple[Declared, ...]
    rules: tuple[CoreRule, ...]
    theorems: tuple[CoreTheorem, ...]

    def declared(self) -> dict[str, Declared]:
        """The vocabulary by name."""
        return {d.name: d for d in self.vocabulary}

    @cached_property
    def digest(self) -> str:
        """`sha256:` of the canonical form: rules, their choices and the vocabulary, without titles and places."""
        return digest([_plain(self.vocabulary), _plain(self.rules), _plain(self.theorems)])


def canonical(value: Any) -> bytes:
    """RFC 8785 form of lists, texts, whole numbers below 2^53 and objects with ASCII keys: all that is used here."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """`sha256:` and the hash of the canonical form."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def _plain(node: Any) -> Any:
    if isinstance(node, Fraction):
        return str(node)
    if isinstance(node, tuple):
        return [_plain(part) for part in node]
    inside = _fields(node.__class__)
    if inside:
        return [type(node).__name__.rstrip("_"), *(_plain(getattr(node, name)) for name in inside)]
    return node


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else ()


def names(node: Expr | Cond) -> Iterator[str]:
    """Every quantity a node speaks of, those of rows included."""
    if isinstance(node, Var):
        yield node.name
    for part in children(node):
        yield from names(part)


def present(node: Expr | Cond) -> Iterator[str]:
    """Every name whose value at the present row a node needs."""
    if isinstance(node, Var):
        yield node.name
    inside = _some(node.ago, node.otherwise) if isinstance(node, AsOf) else children(node)
    for part in inside:
        yield from present(part)


def children(node: Expr | Cond) -> tuple[Expr | Cond, ...]:
    """The direct parts of a node; raises `TypeError` for a node nobody has told it of."""
    match node:
        case Const() | Var() | Param():
            return ()
        case Add(parts) | Extreme(_, parts):
            return parts
        case All(conditions) | Any_(conditions):
            return conditions
        case Mul(left, right) | Div(left, right):
            return (left, right)
        case Piecewise(_, argument):
            return (argument,)
        case Le(expr, _):
            return (expr,)
        case Case(cases, otherwise):
            return _some(*(part for case in cases for part in case), otherwise)
        case Over(_, body, condition, window):
            return _some(body, condition, window.first, window.second)
        case AsOf(body, ago, _, otherwise):
            return _some(body, ago, otherwise)
        case Local(_, argument, _, length):
            return _some(argument, length)
        case ClockOn(_, _, _, _, _, argument):
            return (argument,)
        case Throughout(part, span_of_time):
            return (part, span_of_time)
        case _:
            raise TypeError(f"unknown node {node!r}")


def _some(*parts: Expr | Cond | None) -> tuple[Expr | Cond, ...]:
    return tuple(part for part in parts if part is not None)


def params(node: Expr | Cond) -> Iterator[Param]:
    """Every open value inside a node."""
    if isinstance(node, Param):
        yield node
    for part in children(node):
        yield from params(part)


def needs_rows(node: Expr | Cond) -> bool:
    """Whether the meaning of a node depends on rows."""
    return isinstance(node, Over | AsOf | Throughout) or any(needs_rows(part) for part in children(node))


def negate(condition: Cond) -> Cond:
    """The condition that holds exactly where this one does not."""
    match condition:
        case Le(expr, strict):
            return Le(Mul(Const(Fraction(-1)), expr), not strict)
        case All(parts):
            return Any_(tuple(negate(part) for part in parts))
        case Any_(parts):
            return All(tuple(negate(part) for part in parts))
        case Throughout():
            broken = Case(((condition, Const(Fraction(0))),), Const(Fraction(-1)))
            return Le(broken, True)
        case _:
            raise TypeError(f"unknown condition {condition!r}")
