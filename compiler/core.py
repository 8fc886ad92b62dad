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
class Total:
    """Sum of a quantity over the members that satisfy a condition on their registration."""

    name: str
    condition: Cond


Expr = Const | Var | Param | Add | Mul | Div | Extreme | Piecewise | Total


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


Cond = Le | All | Any_
TRUE = All(())


@dataclass(frozen=True, slots=True)
class CoreRule:
    """One rule: where `scope` and `when` hold, every `margins` expression must be at least zero, and `whole`, where it
    stands, a whole number."""

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
    whole: Expr | None
    step: Fraction
    unit: Unit


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
    """A claim about every rule of a subject that is checked at a command."""

    id: str
    title: str
    subject: str
    kind: str
    cause: str
    effect: str


@dataclass(frozen=True, slots=True)
class Core:
    """Everything in force on a day, ready to lower."""

    vocabulary: tuple[Declared, ...]
    rules: tuple[CoreRule, ...]
    theorems: tuple[CoreTheorem, ...]

    def declared(self) -> dict[str, Declared]:
        """The vocabulary by name."""
        return {d.name: d for d in self.vocabulary}

    @property
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
    if is_dataclass(node):
        return [type(node).__name__.rstrip("_"), *(_plain(getattr(node, f.name)) for f in fields(node))]
    return node


def names(node: Expr | Cond) -> Iterator[str]:
    """Every quantity a node speaks of, members' quantities excepted."""
    if isinstance(node, Var):
        yield node.name
    for part in children(node):
        yield from names(part)


def children(node: Expr | Cond) -> tuple[Expr | Cond, ...]:
    """The direct parts of a node; raises `TypeError` for a node nobody has told it of."""
    match node:
        case Const() | Var() | Param() | Total():
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
        case _:
            raise TypeError(f"unknown node {node!r}")


def totals(node: Expr | Cond) -> Iterator[Total]:
    """Every sum over members inside a node."""
    if isinstance(node, Total):
        yield node
    for part in children(node):
        yield from totals(part)


def params(node: Expr | Cond) -> Iterator[Param]:
    """Every open value inside a node."""
    if isinstance(node, Param):
        yield node
    for part in children(node):
        yield from params(part)


def negate(condition: Cond) -> Cond:
    """The condition that holds exactly where this one does not."""
    match condition:
        case Le(expr, strict):
            return Le(Mul(Const(Fraction(-1)), expr), not strict)
        case All(parts):
            return Any_(tuple(negate(part) for part in parts))
        case Any_(parts):
            return All(tuple(negate(part) for part in parts))
        case _:
            raise TypeError(f"unknown condition {condition!r}")
