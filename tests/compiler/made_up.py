"""Fact sets nobody wrote, with their rules in core, for comparing the meanings."""

from __future__ import annotations

import random
from fractions import Fraction
from functools import lru_cache

from compiler import core as c
from compiler.facts import FactSet
from compiler.instance import Instance
from compiler.lower import CannotLower, lower
from rules_dsl.units import quantity

NAMES = ("a", "b", "x", "y", "mode")
RANGES = {"a": (-9, 9), "b": (0, 12), "x": (-20, 20), "y": (-7, 30), "mode": (0, 3)}


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, c.Declared]:
    unit = quantity("1 W").unit
    out = {}
    for name in NAMES:
        low, high = RANGES[name]
        step = Fraction(1, 2) if name == "y" else Fraction(1)
        role = "commanded" if name in ("x", "y") else "measured"
        names = ("p", "q", "r", "s") if name == "mode" else ()
        ends = Fraction(low), Fraction(high)
        out[name] = c.Declared(name, role, "unit", unit, step, *ends, None, None, names, name)
    return out


def _number(pick: random.Random) -> c.Const:
    return c.Const(Fraction(pick.randint(-8, 8), pick.choice((1, 1, 1, 2, 3))))


def expression(pick: random.Random, depth: int, gaps: bool = False) -> c.Expr:
    """One over the vocabulary; with `gaps` some tables have no row for some states."""
    if gaps and depth and pick.random() < 0.2:
        return c.Case(((condition(pick, 0), expression(pick, 0)),), None)
    kind = pick.randrange(9) if depth else pick.randrange(3)
    if kind < 2:
        return c.Var(pick.choice(NAMES[:4]))
    if kind == 2:
        return _number(pick)
    inner = [expression(pick, depth - 1, gaps) for _ in range(2)]
    if kind in (3, 4):
        return c.Add(tuple(inner))
    if kind == 5:
        return c.Mul(_number(pick), inner[0])
    if kind == 6:
        return c.Mul(c.Var(pick.choice(NAMES[:2])), c.Var(pick.choice(NAMES[2:4])))
    if kind == 7:
        return c.Extreme(pick.choice(("max", "min")), tuple(inner))
    if pick.random() < 0.5:
        xs = sorted(pick.sample(range(-12, 13), 3))
        return c.Piecewise(tuple((Fraction(x), Fraction(pick.randint(-9, 9))) for x in xs), inner[0])
    return c.Case(((condition(pick, 0), inner[0]),), inner[1])


def condition(pick: random.Random, depth: int, gaps: bool = False) -> c.Cond:
    kind = pick.randrange(4) if depth else 0
    if kind == 0:
        if pick.random() < 0.25:
            return c.Le(c.Add((c.Var("mode"), c.Const(Fraction(-pick.randint(0, 3))))), pick.random() < 0.5)
        return c.Le(expression(pick, depth, gaps), pick.random() < 0.4)
    parts = tuple(condition(pick, depth - 1, gaps) for _ in range(pick.randint(1, 3)))
    return c.negate(c.All(parts)) if kind == 3 else (c.All if kind == 1 else c.Any_)(parts)


def rule(pick: random.Random, n: int, gaps: bool = False) -> c.CoreRule:
    scope = condition(pick, 1, gaps) if pick.random() < 0.5 else c.TRUE
    when = condition(pick, 1, gaps) if pick.random() < 0.5 else c.TRUE
    margins = tuple(expression(pick, 2, gaps) for _ in range(pick.randint(0, 2)))
    demand = condition(pick, 1, gaps) if not margins or pick.random() < 0.3 else c.TRUE
    unit = vocabulary()["x"].unit
    strict = pick.random() < 0.3
    head = (f"made/r{n}", "made up", "unit", ("command",), f"clause {n}", "read", True)
    return c.CoreRule(*head, scope, when, margins, strict, demand, None, Fraction(1), unit)


def rule_set(pick: random.Random, rules: int, gaps: bool = False) -> tuple[Instance, FactSet]:
    """Some rules that facts can express, and their facts."""
    kept: list[c.CoreRule] = []
    while len(kept) < rules:
        one = rule(pick, len(kept), gaps)
        try:
            lower(Instance("unit", "made", vocabulary(), (one,)))
        except CannotLower:
            continue
        kept.append(one)
    instance = Instance("unit", "made", vocabulary(), tuple(kept))
    return instance, lower(instance)


def state(pick: random.Random, facts: FactSet) -> dict[str, int | None]:
    """Steps of each variable; one in thirty missing."""
    return {
        v.name: None
        if pick.random() < 0.03
        else pick.choice((v.low, v.high, pick.randint(v.low, v.high), pick.randint(v.low, v.high)))
        for v in facts.variables
    }
