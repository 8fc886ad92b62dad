"""Facts in the form that generated checks run on: equal rows, and a row and its opposite, become one comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from compiler.facts import Fact

Box = Sequence[tuple[int, int]]
"""Least and greatest value of each variable, products included."""


@dataclass(frozen=True, slots=True)
class Atom:
    """`sum of a*x[i] <= bound` over whole numbers; coefficients have no common divisor and the first is positive."""

    terms: tuple[tuple[int, int], ...]
    bound: int


@dataclass(frozen=True, slots=True)
class Literal:
    """An atom, or its opposite where `positive` is false."""

    atom: Atom
    positive: bool


@dataclass(frozen=True, slots=True)
class Group:
    """All of the parts, or at least one of them; at least two parts, none of them a group of the same kind."""

    every: bool
    parts: tuple[Literal | Group, ...]


Normal = Literal | Group | bool


def literal(row: Fact, box: Box) -> Literal | bool:
    """A row as a literal that means the same of whole numbers, decided at once where the box decides it."""
    slopes: dict[int, int] = {}
    for i, a in row[1]:
        slopes[i] = slopes.get(i, 0) + a
    terms = tuple((i, a) for i, a in sorted(slopes.items()) if a)
    bound: int = row[2] - 1 if row[3] else row[2]
    least = sum(a * box[i][0 if a > 0 else 1] for i, a in terms)
    most = sum(a * box[i][1 if a > 0 else 0] for i, a in terms)
    if most <= bound:
        return True
    if least > bound:
        return False
    common = gcd(*(a for _, a in terms))
    bound //= common
    if terms[0][1] > 0:
        return Literal(Atom(tuple((i, a // common) for i, a in terms), bound), True)
    return Literal(Atom(tuple((i, -a // common) for i, a in terms), -bound - 1), False)


def normal(fact: Fact, box: Box) -> Normal:
    """A fact over literals; for whole numbers inside the box it means what the fact means."""
    if fact[0] == "L":
        return literal(fact, box)
    every: bool = fact[0] == "A"
    parts: dict[Literal | Group, None] = {}  # a set that keeps the order
    for inner in fact[1]:
        part = normal(inner, box)
        if isinstance(part, bool):
            if part is not every:
                return not every
        elif isinstance(part, Group) and part.every is every:
            parts.update(dict.fromkeys(part.parts))
        else:
            parts[part] = None
    if not parts:
        return every
    return next(iter(parts)) if len(parts) == 1 else Group(every, tuple(parts))


def reach(box: Box, terms: Sequence[tuple[int, int]]) -> int:
    """The size that no partial sum of the terms exceeds inside the box, in whatever order they are added."""
    return sum(abs(a) * max(abs(end) for end in box[i]) for i, a in terms)
