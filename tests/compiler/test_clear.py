"""Quotients multiplied out: the same condition, wherever what divides is above zero."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import pytest

from compiler import core as c
from compiler.clear import Quotient, cleared, positive
from compiler.core import Declared
from compiler.to_exact import Subject, holds
from rules_dsl.units import unit

FREE, DIVISORS = ("p", "q", "r"), ("e", "f")


def expression(pick: random.Random, depth: int) -> c.Expr:
    if depth == 0 or pick.random() < 0.2:
        name = pick.choice((*FREE, *DIVISORS))
        return pick.choice([c.Var(name), c.Const(Fraction(pick.randint(-6, 6), pick.randint(1, 4)))])
    inner = [expression(pick, depth - 1) for _ in range(2)]
    match pick.randrange(6):
        case 0 | 1:
            return c.Add(tuple(inner))
        case 2:
            return c.Mul(*inner)
        case 3:
            return c.Div(inner[0], c.Mul(c.Const(Fraction(pick.choice([-2, 3]))), c.Var(pick.choice(DIVISORS))))
        case 4:
            return c.Div(inner[0], c.Mul(c.Var("e"), c.Var(pick.choice(DIVISORS))))
        case _:
            return c.Extreme(pick.choice(["max", "min"]), tuple(inner))


def divides(node: c.Expr | c.Cond) -> bool:
    return isinstance(node, c.Div) or any(divides(part) for part in c.children(node))


def test_a_condition_without_its_quotients_means_the_same() -> None:
    pick = random.Random(5)
    seen: Counter[bool] = Counter()
    quotients = 0
    for _ in range(400):
        parts = tuple(c.Le(expression(pick, 4), pick.random() < 0.5) for _ in range(2))
        condition: c.Cond = pick.choice([c.All(parts), c.Any_(parts)])
        plain = cleared(condition, frozenset(DIVISORS))
        assert not divides(plain)
        quotients += divides(condition)
        for _ in range(5):
            values = {n: Fraction(pick.randint(-8, 8), pick.randint(1, 3)) for n in FREE}
            values |= {n: Fraction(pick.randint(1, 8), pick.randint(1, 8)) for n in DIVISORS}
            before, after = (holds(x, Subject(values)) for x in (condition, plain))
            assert before == after
            seen[before] += 1
    assert quotients > 200
    assert min(seen.values()) > 300


def le(expr: c.Expr, strict: bool = False) -> c.Le:
    return c.Le(expr, strict)


def over(divisor: c.Expr) -> c.Cond:
    return le(c.Div(c.Var("p"), divisor))


REFUSED = {
    "may be zero": over(c.Var("q")),
    "only a number or a product": over(c.Add((c.Var("e"), c.Const(Fraction(1))))),
    "a curve of a quotient": le(
        c.Piecewise(((Fraction(0), Fraction(0)), (Fraction(1), Fraction(1))), c.Div(c.Var("p"), c.Var("e")))
    ),
    "a table or a value over rows": le(c.Case(((over(c.Var("e")), c.Var("p")),), None)),
    "zero as its parameters": c.All(
        (
            over(c.Var("e")),
            le(c.Div(c.Div(c.Var("p"), c.Var("e")), c.Param("n", Fraction(0), Fraction(1), Fraction(0)))),
        )
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_multiplied_out_is_refused(why: str) -> None:
    with pytest.raises(Quotient, match=why):
        cleared(REFUSED[why], frozenset(DIVISORS))


def test_what_is_above_zero_is_known_by_its_range_or_by_what_is_assumed() -> None:
    def named(name: str, low: int) -> Declared:
        one = Fraction(1)
        return Declared(name, "measured", "unit", unit("W"), one, Fraction(low), Fraction(9), None, None, (), "")

    vocabulary = {n: named(n, low) for n, low in (("p", 1), ("q", 0), ("r", 0), ("e", 0), ("f", -9), ("g", 0))}

    def at_least(name: str, bound: int, strict: bool) -> c.Cond:
        return le(c.Add((c.Const(Fraction(bound)), c.Mul(c.Const(Fraction(-2)), c.Var(name)))), strict)

    given = c.All(
        (
            c.All((at_least("q", 0, True), at_least("r", 0, False))),
            at_least("e", 1, False),
            at_least("f", -1, True),
            c.Any_((at_least("g", 1, True), at_least("g", 2, True))),
        )
    )
    assert positive(given, vocabulary) == {"p", "q", "e"}
