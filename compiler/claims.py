"""Theorems to core: what is assumed, what is claimed, and the names that only the theorem has."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from compiler import core as c
from compiler.bounds import bounds
from compiler.clear import Quotient, cleared, positive
from rules_dsl import tree as t
from rules_dsl.diagnostics import Diagnostic
from rules_dsl.kinds import parts_of
from rules_dsl.units import Unit

if TYPE_CHECKING:
    from compiler.from_syntax import _Build


_MINUS = c.Const(Fraction(-1))


def theorem_in_core(build: _Build, pack: str, theorem: t.Theorem) -> c.CoreTheorem:
    """The theorem as it is on the day; what is wrong with it joins the findings of `build`."""
    claim = theorem.claim
    given = build.condition(theorem.given) if theorem.given is not None else c.TRUE
    bare = c.CoreTheorem(f"{pack}/{theorem.name}", theorem.title, theorem.subject, "always_some", given=given)
    node: t.Node = claim
    match claim:
        case t.AlwaysSome(effect):
            found = replace(bare, effect=effect)
            if effect in c.names(given):
                hint = "write what is to hold of it as a rule"
                _say(build, f"`{effect}` is sought and cannot be assumed", theorem.given or claim, hint)
        case t.Raising(kind, cause, effect):
            found = replace(bare, kind=f"never_{kind}", cause=cause, effect=effect)
        case t.Leads(steps=steps):
            found = _leads(build, bare, claim)
            node = next((step for step in steps if _divides(step)), claim)
        case t.NowhereAbove():
            found = _nowhere_above(build, bare, claim)
    try:
        above_zero = positive(found.given, build.vocabulary)
        for part in (found.given, found.then):
            cleared(part, above_zero)
    except Quotient as error:
        _say(build, str(error), node, f"say `with {error.name} > 0 ...,`" if error.name else "")
    return found


def _divides(step: t.Step) -> bool:
    return any(isinstance(part, t.Binary) and part.op == "/" for part in parts_of(step))


def _say(build: _Build, message: str, node: t.Node, hint: str = "") -> None:
    build.findings.append(Diagnostic("theorem", message, node.span, hint))


def _leads(build: _Build, bare: c.CoreTheorem, claim: t.Leads) -> c.CoreTheorem:
    """The condition on the true values before the step is assumed where the claim is an induction, that on those after
    it is claimed. What no step names stays as it is."""
    assumed = [bare.given]
    extra: list[c.Declared] = []
    for off in claim.off_by:
        half = build.expression(off.half)
        error = _error(build, off, half)
        extra.append(error)
        part = c.Var(error.name)
        build.standing[off.name] = c.Add((c.Var(off.name), part))
        assumed += [c.Le(_minus(part, half), False), c.Le(_minus(c.Mul(_MINUS, part), half), False)]
    if claim.after is None:
        assumed.append(build.condition(claim.condition))
        moves = {step.name: build.expression(step.value) for step in claim.steps}
    else:
        moves = {
            step.name: build.expression(t.Binary("+", t.Name(step.name), t.Binary("*", step.value, claim.after)))
            for step in claim.steps
        }
    build.standing |= moves
    then = build.condition(claim.condition)
    build.standing.clear()
    kind = "keeps" if claim.after is None else "after"
    shown = tuple((f"{name} becomes", expr, build.vocabulary[name].unit) for name, expr in moves.items())
    return replace(bare, kind=kind, given=c.All(tuple(assumed)), then=then, extra=tuple(extra), shown=shown)


def _error(build: _Build, off: t.OffBy, half: c.Expr) -> c.Declared:
    """How far the truth is from the reading, as a quantity; no name of a pack holds a space."""
    declared = build.vocabulary[off.name]
    least = most = Fraction(0)
    try:
        least, most = bounds(half, {n: (d.low, d.high) for n, d in build.vocabulary.items()})
    except (TypeError, KeyError, ZeroDivisionError):
        _say(build, f"it cannot be told how far `{off.name}` may be off", off, "write numbers and quantities")
    if least < 0:
        _say(build, f"`{off.name}` would be off by less than nothing", off, "write `max(0, ...)` with its unit")
    end = ceil(max(most, Fraction(0)) / declared.resolution) * declared.resolution
    text = f"{off.name} as it is, less as it is read"
    return replace(declared, name=f"error of {off.name}", low=-end, high=end, stale=None, uncertain=None, text=text)


def _nowhere_above(build: _Build, bare: c.CoreTheorem, claim: t.NowhereAbove) -> c.CoreTheorem:
    lower, upper = (build.program.curves[side.curve] for side in (claim.lower, claim.upper))
    start, end = build.expression(claim.start), build.expression(claim.end)
    try:
        low, high = bounds(start, {})[0], bounds(end, {})[1]
    except ZeroDivisionError:
        _say(build, "a number that divides may be zero as its parameters are chosen", claim)
        return bare
    if low > high:
        build.findings.append(Diagnostic("range", "the range ends before it begins", claim.span))
    name = f"argument of {lower.name}"
    argument = c.Var(name)
    step = Fraction(1, low.denominator * high.denominator)
    text = f"{lower.argument.text} at which the curves are compared"
    declared = c.Declared(name, "measured", "", lower.argument, step, low, high, None, None, (), text)
    sides: list[tuple[str, c.Expr, Unit]] = []
    for side, curve in ((claim.lower, lower), (claim.upper, upper)):
        value, label = build.curve(curve, argument), curve.name
        if side.times is not None:
            value, label = c.Mul(build.expression(side.times), value), f"{curve.name}, scaled,"
        sides.append((f"{label} is", value, curve.result))
    return replace(
        bare,
        kind="nowhere_above",
        given=c.All((c.Le(_minus(start, argument), False), c.Le(_minus(argument, end), False))),
        then=c.Le(_minus(sides[0][1], sides[1][1]), False),
        extra=(declared,),
        shown=tuple(sides),
    )


def _minus(left: c.Expr, right: c.Expr) -> c.Expr:
    return c.Add((left, c.Mul(_MINUS, right)))
