"""Facts: what proofs, kernels and solvers are given.

A fact is a nested tuple over integer-scaled variables, in the form that `proofs.checker.certificate` reads:

    ("L", terms, b, strict)   sum of a*x[i] <= b, or < b when strict
    ("A", facts)              all of them
    ("O", facts)              at least one of them

`FactSet` adds names, units, ranges, and the map from each fact to its rule and clause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Fact = tuple[Any, ...]
"""`("L", terms, b, strict)`, `("A", facts)` or `("O", facts)`."""

TRUE: Fact = ("A", ())
FALSE: Fact = ("O", ())


@dataclass(frozen=True, slots=True)
class Variable:
    """One quantity, counted in whole steps of `resolution` `unit`s.

    `low` and `high` bound it in steps. `role` is the vocabulary's: nameplate, measured, estimated, commanded,
    scheduled, bid. `name` is the quantity's, prefixed with the member's identity in a pool.
    """

    name: str
    unit: str
    resolution: Fraction
    low: int
    high: int
    role: str


@dataclass(frozen=True, slots=True)
class RuleFact:
    """One rule as facts: it applies where `scope` holds and then demands `body`."""

    rule: str
    title: str
    clause: str
    evidence: str
    blocks: bool
    scope: Fact
    body: Fact


@dataclass(frozen=True, slots=True)
class FactSet:
    """The rules of one subject as facts over shared variables.

    Product variables stand after the plain ones: `products[k] = (w, x, y)` says `w = x*y`, where `w` is
    `len(variables) + k`.
    """

    subject: str
    core: str
    variables: tuple[Variable, ...]
    products: tuple[tuple[int, int, int], ...]
    rules: tuple[RuleFact, ...]

    @property
    def size(self) -> int:
        """Number of variables, products included."""
        return len(self.variables) + len(self.products)

    def index(self) -> dict[str, int]:
        """Position of each plain variable by name."""
        return {v.name: i for i, v in enumerate(self.variables)}

    def plain(self, fact: Fact) -> set[int]:
        """The plain variables behind a fact: a product stands for its two factors."""
        out: set[int] = set()
        for i in mentions(fact):
            out.update((i,) if i < len(self.variables) else self.products[i - len(self.variables)][1:])
        return out

    def box(self) -> tuple[tuple[int, int], ...]:
        """Declared bounds of every variable in steps; those of a product follow from its factors."""
        plain = [(v.low, v.high) for v in self.variables]
        for _, x, y in self.products:
            corners = [a * b for a in plain[x] for b in plain[y]]
            plain.append((min(corners), max(corners)))
        return tuple(plain)


def rows(fact: Fact) -> Iterator[Fact]:
    """Every linear row inside a fact."""
    if fact[0] == "L":
        yield fact
    else:
        for part in fact[1]:
            yield from rows(part)


def mentions(fact: Fact) -> frozenset[int]:
    """Indices of the variables a fact speaks of."""
    return frozenset(i for row in rows(fact) for i, _ in row[1])


def negate(fact: Fact) -> Fact:
    """The fact that holds exactly where this one does not."""
    if fact[0] == "L":
        return ("L", tuple((i, -a) for i, a in fact[1]), -fact[2], not fact[3])
    return ("O" if fact[0] == "A" else "A", tuple(negate(part) for part in fact[1]))


def moved(fact: Fact, to: Mapping[int, int]) -> Fact:
    """The fact over other positions; a variable that `to` does not name keeps its own."""
    if fact[0] == "L":
        return ("L", tuple(sorted((to.get(i, i), a) for i, a in fact[1])), fact[2], fact[3])
    return (fact[0], tuple(moved(part, to) for part in fact[1]))


def holds(fact: Fact, values: Mapping[int, Fraction | int]) -> bool:
    """Whether a fact holds of exact values in steps; raises `KeyError` on a variable without one."""
    if fact[0] == "L":
        total = sum(a * values[i] for i, a in fact[1])
        return bool(total < fact[2] if fact[3] else total <= fact[2])
    if fact[0] == "A":
        return all(holds(part, values) for part in fact[1])
    return any(holds(part, values) for part in fact[1])
