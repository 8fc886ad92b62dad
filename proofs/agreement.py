"""Facts checked against the lowering that is proved in Coq: a rule, its facts, and certificates that both say the same.

The extracted command `lexwatt-lower` lowers the rule again and checks the certificates (`proofs/coq/Reader.v`,
`agrees_sound`): the facts then mean the rule in every state inside the declared ranges. What is written and searched
here is not trusted, but for `put_rule`, which says which rule was meant.
"""

from __future__ import annotations

import itertools
import subprocess  # nosec B404  # the proved checker is our own program
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from compiler import core as c
from compiler.facts import Fact, FactSet, RuleFact, mentions, negate
from compiler.instance import Instance, parts
from proofs.checker.certificate import Problem
from proofs.checker.claim import MAGIC, claim_from_bytes
from proofs.encode import folded, put_box, put_fact, put_number, put_products, to_bytes
from proofs.maker import refute


@dataclass(frozen=True, slots=True)
class Lowered:
    """The four facts of the proved lowering, over the same variables and `products` (its own after the fact set's):
    where the rule applies, where it does not, where what it asks is met, and where not. Where neither of a pair holds,
    the interpreter cannot tell."""

    applies: Fact
    exempt: Fact
    complies: Fact
    violates: Fact


@dataclass(frozen=True, slots=True)
class Question:
    """One rule and the facts that are said to mean it. `head` is its form in bytes, without certificates."""

    rule: c.CoreRule
    fact: RuleFact
    box: tuple[tuple[int, int], ...]
    products: tuple[tuple[int, int, int], ...]
    head: bytes


def questions(instance: Instance, facts: FactSet) -> list[Question]:
    """One for each rule; the facts are those of the instance. Raises `TypeError` for a rule no facts can express."""
    out = []
    positions = facts.index()
    steps = [instance.vocabulary[v.name].resolution for v in facts.variables]
    for rule, fact in zip(instance.rules, facts.rules, strict=True):
        products = [*facts.products]
        known = {pair[1:] for pair in products}
        for pair in sorted(_pairs(rule, positions) - known):
            products.append((len(facts.variables) + len(products), *pair))
        whole = FactSet(facts.subject, facts.core, facts.variables, tuple(products), (fact,))
        head = bytearray(b"LWA1")
        put_number(head, len(steps))
        for step in steps:
            _put_rational(head, step)
        put_box(head, whole.box())
        put_products(head, products)
        put_rule(head, rule, positions)
        put_fact(head, fact.scope)
        put_fact(head, fact.body)
        out.append(Question(rule, fact, whole.box(), whole.products, bytes(head)))
    return out


def lowered(command: Path, asked: Sequence[Question]) -> list[Lowered | None]:
    """What the proved lowering makes of each rule; None where it refuses. `command` is the built `lexwatt-lower`."""
    lines = "".join(question.head.hex() + "\n" for question in asked)
    found = _run(command, "--facts", lines)
    out: list[Lowered | None] = []
    for line in found:
        if line == "-":
            out.append(None)
            continue
        framed = MAGIC + bytes((0, 0, 0, 4)) + bytes.fromhex(line) + bytes((5,))
        out.append(Lowered(*claim_from_bytes(framed)[0].facts))
    return out


def agreement(question: Question, proved: Lowered, seconds: float = 30.0) -> bytes:
    """The file that shows that the facts mean the rule.

    Raises `Satisfiable` with a valuation where they do not say what the proved lowering says, `Undecided` at a limit.
    """
    out = bytearray(question.head)
    scope, body = question.fact.scope, question.fact.body
    for wanted in (
        (proved.exempt, scope),
        (negate(proved.exempt), negate(scope)),
        (proved.applies, proved.complies, negate(("A", (scope, body)))),
        (scope, body, negate(("A", (proved.applies, proved.complies)))),
    ):
        spoken = mentions(("A", wanted))
        products = tuple(p for p in question.products if p[0] in spoken)
        out += to_bytes(refute(Problem(len(question.box), question.box, frozenset(), products, wanted), seconds))
    return bytes(out)


def agree(command: Path, files: Sequence[bytes]) -> list[bool]:
    """Whether the proved checker accepts each file."""
    return [line == "1" for line in _run(command, "--batch", "".join(data.hex() + "\n" for data in files))]


def _run(command: Path, option: str, lines: str) -> list[str]:
    done = subprocess.run([command, option], input=lines, capture_output=True, text=True, timeout=600, check=True)  # noqa: S603  # nosec B603  # our own program by its path, no shell
    found = done.stdout.split()
    if len(found) != lines.count("\n"):
        raise RuntimeError(f"{command.name} answered {len(found)} of {lines.count(chr(10))} questions")
    return found


def _pairs(rule: c.CoreRule, positions: Mapping[str, int]) -> set[tuple[int, int]]:
    """The pairs of quantities that a product in the rule may multiply."""
    found: set[tuple[int, int]] = set()
    stack = list(parts(rule))
    while stack:
        node = stack.pop()
        stack += c.children(node)
        if isinstance(node, c.Mul):
            left, right = ({positions[n] for n in c.names(part)} for part in (node.left, node.right))
            found |= {(min(i, j), max(i, j)) for i, j in itertools.product(left, right)}
    return found


def put_rule(out: bytearray, rule: c.CoreRule, positions: Mapping[str, int]) -> None:
    """A rule without rows: scope, condition, margins and demand. Raises `TypeError` where it is not of that kind."""
    if rule.whole is not None or rule.quantifier:
        raise TypeError(f"rule `{rule.id}` asks for a whole multiple or at rows")
    _put_cond(out, rule.scope, positions)
    _put_cond(out, rule.when, positions)
    put_number(out, len(rule.margins))
    for margin in rule.margins:
        _put_expr(out, margin, positions)
    out.append(rule.strict)
    _put_cond(out, rule.demand, positions)


def _put_rational(out: bytearray, value: Fraction) -> None:
    put_number(out, folded(value.numerator))
    put_number(out, value.denominator)


def _put_exprs(out: bytearray, parts: Sequence[c.Expr], positions: Mapping[str, int]) -> None:
    put_number(out, len(parts))
    for part in parts:
        _put_expr(out, part, positions)


def _put_expr(out: bytearray, expr: c.Expr, positions: Mapping[str, int]) -> None:
    match expr:
        case c.Const(value):
            out.append(0)
            _put_rational(out, value)
        case c.Param(_, _, _, chosen):
            out += bytes((1, chosen is not None))
            if chosen is not None:
                _put_rational(out, chosen)
        case c.Var(name):
            out.append(2)
            put_number(out, positions[name])
        case c.Add(inner):
            out.append(3)
            _put_exprs(out, inner, positions)
        case c.Mul(left, right) | c.Div(left, right):
            out.append(4 if isinstance(expr, c.Mul) else 5)
            _put_expr(out, left, positions)
            _put_expr(out, right, positions)
        case c.Extreme(kind, inner):
            out += bytes((6, kind == "max"))
            _put_exprs(out, inner, positions)
        case c.Piecewise(points, argument):
            out.append(7)
            put_number(out, len(points))
            for number in itertools.chain.from_iterable(points):
                _put_rational(out, number)
            _put_expr(out, argument, positions)
        case c.Case(cases, otherwise):
            out.append(8)
            put_number(out, len(cases))
            for condition, part in cases:
                _put_cond(out, condition, positions)
                _put_expr(out, part, positions)
            out.append(otherwise is not None)
            if otherwise is not None:
                _put_expr(out, otherwise, positions)
        case _:
            raise TypeError(f"facts cannot express {expr!r}")


def _put_cond(out: bytearray, condition: c.Cond, positions: Mapping[str, int]) -> None:
    match condition:
        case c.Le(expr, strict):
            out += bytes((0, strict))
            _put_expr(out, expr, positions)
        case c.All(inner) | c.Any_(inner):
            out.append(1 if isinstance(condition, c.All) else 2)
            put_number(out, len(inner))
            for part in inner:
                _put_cond(out, part, positions)
        case _:
            raise TypeError(f"facts cannot express {condition!r}")
