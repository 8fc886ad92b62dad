"""Theorems to core: what is assumed, what is claimed, and the names that only the theorem has."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from compiler import core as c
from compiler.bounds import bounds
from compiler.clear import Quotient, cleared, positive
from rules_dsl import tree as t
from rules_dsl.diagnostics import Diagnostic
from rules_dsl.units import Unit

if TYPE_CHECKING:
    from compiler.from_syntax import _Build


def theorem_in_core(build: _Build, pack: str, theorem: t.Theorem) -> c.CoreTheorem:
    """The theorem as it is on the day; what cannot be is among the findings of `build`."""
    id_, title, subject = f"{pack}/{theorem.name}", theorem.title, theorem.subject
    given = build.condition(theorem.given) if theorem.given is not None else c.TRUE
    match theorem.claim:
        case t.AlwaysSome(effect):
            found = c.CoreTheorem(id_, title, subject, "always_some", "", effect, given)
            if effect in c.names(given):
                node = theorem.given or theorem.claim
                _say(build, f"`{effect}` is sought and cannot be assumed", node, "write what is to hold of it as a rule")
        case t.Raising(kind, cause, effect):
            found = c.CoreTheorem(id_, title, subject, f"never_{kind}", cause, effect, given)
        case t.Leads():
            found = _leads(build, c.CoreTheorem(id_, title, subject, "", given=given), theorem.claim)
        case t.NowhereAbove():
            found = _nowhere_above(build, c.CoreTheorem(id_, title, "", "nowhere_above"), theorem.claim)
    known = build.vocabulary | {d.name: d for d in found.extra}
    above_zero = positive(found.given, known)
    for part, node in ((found.given, theorem.given or theorem.claim), (found.then, theorem.claim)):
        try:
            cleared(part, above_zero)
        except Quotient as error:
            _say(build, str(error), node, f"say `with {error.name} > 0 ...,`" if error.name else "")
            break
    return found


def _say(build: _Build, message: str, node: t.Node, hint: str = "") -> None:
    build.findings.append(Diagnostic("theorem", message, node.span, hint))


def _leads(build: _Build, bare: c.CoreTheorem, claim: t.Leads) -> c.CoreTheorem:
    """The condition on the true values before the step is assumed where the claim is an induction, that on those after
    it is claimed."""
    assumed = [bare.given]
    extra: list[c.Declared] = []
    truth: dict[str, c.Expr] = {}
    for off in claim.off_by:
        declared = build.vocabulary[off.name]
        half = build.expression(off.half)
        try:
            least, most = bounds(half, {n: (d.low, d.high) for n, d in build.vocabulary.items()})
        except (TypeError, KeyError, ZeroDivisionError):
            _say(build, f"it cannot be told how far `{off.name}` may be off", off, "write numbers and quantities")
            continue
        if least < 0:
            _say(build, f"`{off.name}` would be off by less than nothing", off, "write `max(0, ...)` with its unit")
            continue
        name = f"error of {off.name}"
        end = ceil(most / declared.resolution) * declared.resolution
        text = f"{off.name} as it is, less as it is read"
        extra.append(
            c.Declared(
                name,
                declared.role,
                declared.subject,
                declared.unit,
                declared.resolution,
                -end,
                end,
                None,
                None,
                (),
                text,
            )
        )
        error = c.Var(name)
        truth[off.name] = c.Add((c.Var(off.name), error))
        assumed += [c.Le(_minus(error, half), False), c.Le(_minus(_minus(c.Const(Fraction(0)), error), half), False)]
    build.standing = truth
    if claim.after is None:
        assumed.append(build.condition(claim.condition))
        moves = {step.name: build.expression(step.value) for step in claim.steps}
    else:
        moves = {
            step.name: c.Add((build.expression(t.Name(step.name)), c.Mul(build.expression(step.value), _for(build, claim))))
            for step in claim.steps
        }
    build.standing = truth | moves
    then = build.condition(claim.condition)
    build.standing = {}
    return c.CoreTheorem(
        bare.id,
        bare.title,
        bare.subject,
        "keeps" if claim.after is None else "after",
        given=c.All(tuple(assumed)),
        then=then,
        extra=tuple(extra),
        shown=tuple((f"{name} becomes", expr, build.vocabulary[name].unit) for name, expr in moves.items()),
    )


def _for(build: _Build, claim: t.Leads) -> c.Expr:
    assert claim.after is not None
    return build.expression(claim.after)


def _nowhere_above(build: _Build, bare: c.CoreTheorem, claim: t.NowhereAbove) -> c.CoreTheorem:
    lower, upper = (build.program.curves[side.curve] for side in (claim.lower, claim.upper))
    start, end = build.expression(claim.start), build.expression(claim.end)
    low, high = bounds(start, {})[0], bounds(end, {})[1]
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
    return c.CoreTheorem(
        bare.id,
        bare.title,
        bare.subject,
        bare.kind,
        given=c.All((c.Le(_minus(start, argument), False), c.Le(_minus(argument, end), False))),
        then=c.Le(_minus(sides[0][1], sides[1][1]), False),
        extra=(declared,),
        shown=tuple(sides),
    )


def _minus(left: c.Expr, right: c.Expr) -> c.Expr:
    return c.Add((left, c.Mul(c.Const(Fraction(-1)), right)))
