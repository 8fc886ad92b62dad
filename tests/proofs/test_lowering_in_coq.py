"""The lowering proved in Coq against `compiler.lower`: each shipped rule's facts are shown to mean the rule, and rules
nobody wrote are judged alike at and around every limit."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from compiler import core as c
from compiler.facts import TRUE, Fact, FactSet, RuleFact, Variable, holds, rows
from compiler.from_syntax import to_core
from compiler.instance import Instance, of_pool, parts
from compiler.lower import lower, lowerable
from compiler.to_exact import Subject, Value, Verdict, judge
from jurisdictions.loader import load, packs
from proofs.agreement import Lowered, Question, agree, agreement, lowered, questions
from proofs.maker import Satisfiable
from tests.compiler import made_up
from tests.packs import DAY

COMMAND = Path(__file__).resolve().parents[2] / "build" / "checkers" / "lexwatt-lower"
SOME = 8
"""How many rules of a pack the quick test takes."""


@pytest.fixture(autouse=True)
def built() -> None:
    if not COMMAND.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("the extracted lowering is not built: run `make checkers`")
        pytest.skip("the extracted lowering is not built: `make checkers` needs Coq")


def shown(instance: Instance) -> int:
    """How many rules there are; each one's facts are shown to mean it."""
    asked = questions(instance, lower(instance))
    files = []
    for question, proved in zip(asked, lowered(COMMAND, asked), strict=True):
        assert proved is not None, question.rule.id
        files.append(agreement(question, proved))
    assert agree(COMMAND, files) == [True] * len(files)
    return len(files)


def shown_of(pack: str, most: int | None = None) -> int:
    """How many rules of a pack facts can express (or some, by chance); each one's facts are shown to mean it."""
    core = to_core(load((pack,)), DAY)
    count = 0
    for subject in sorted({rule.subject for rule in core.rules}):
        rules = tuple(rule for rule in core.rules if rule.subject == subject)
        found = lowerable(Instance(subject, core.digest, core.declared(), rules))[0]
        if most is not None:
            picked = sorted(random.Random(pack + subject).sample(range(len(found.rules)), min(len(found.rules), most)))
            found = replace(found, rules=tuple(found.rules[i] for i in picked))
            most -= len(picked)
        count += shown(found)
    return count


@pytest.mark.parametrize("pack", packs())
def test_the_facts_of_some_shipped_rules_mean_them(pack: str) -> None:
    assert shown_of(pack, SOME)


@pytest.mark.slow
@pytest.mark.parametrize("pack", packs())
def test_the_facts_of_every_shipped_rule_mean_it(pack: str) -> None:
    assert shown_of(pack)


def test_the_facts_of_a_pool_mean_its_rules() -> None:
    core = to_core(load(("entsoe", "operator")), DAY)
    registered: dict[str, Value] = {
        d.name: d.high for d in core.vocabulary if d.role == "nameplate" and d.subject == "unit"
    }
    pool = of_pool(core, "command", {"home_1": registered, "home_2": registered})
    own = replace(pool, rules=tuple(rule for rule in pool.rules if not rule.id.endswith("@home_2")))
    assert shown(lowerable(own)[0]) > 10


def test_the_facts_of_rules_nobody_wrote_mean_the_rules() -> None:
    pick = random.Random(20261125)
    for _ in range(25):
        shown(made_up.rule_set(pick, 1)[0])


def test_the_facts_of_tables_with_gaps_mean_the_rules() -> None:
    """A table that has no row for a state: nothing is complied with, also where another branch would decide."""
    pick = random.Random(4)
    count = 0
    while count < 25:
        rule = gappy(pick, made_up.rule(pick, count))
        gaps = any(isinstance(node, c.Case) and node.otherwise is None for node in nodes(rule))
        instance = Instance("unit", "made", made_up.vocabulary(), (rule,))
        if gaps and lowerable(instance)[0].rules:
            count += shown(instance)


def nodes(rule: c.CoreRule) -> Iterator[c.Expr | c.Cond]:
    stack = list(parts(rule))
    while stack:
        node = stack.pop()
        yield node
        stack += c.children(node)


# the proved lowering and the interpreter, at states


def harder(pick: random.Random, expr: c.Expr) -> c.Expr:
    """The expression with tables that have gaps, quotients, and products of what bends: more than Python lowers."""
    match expr:
        case c.Case(cases, otherwise):
            found = tuple((harder_cond(pick, x), harder(pick, y)) for x, y in cases)
            return c.Case(found, None if pick.random() < 0.6 or otherwise is None else harder(pick, otherwise))
        case c.Add(inner):
            return c.Add(tuple(harder(pick, part) for part in inner))
        case c.Mul(left, right):
            return c.Mul(harder(pick, left), harder(pick, right))
        case c.Extreme(kind, inner):
            bent = c.Extreme(kind, tuple(harder(pick, part) for part in (*inner, *inner[: pick.randrange(2)])))
            other = c.Extreme("min", (c.Var("a"), c.Var("x")))
            return c.Mul(bent, other) if pick.random() < 0.1 else bent
        case c.Piecewise(points, argument):
            return c.Piecewise(points, harder(pick, argument))
        case _:
            divisor = c.Const(Fraction(pick.choice((0, -2, 3, 7)), 2))
            return c.Div(expr, divisor) if pick.random() < 0.1 else expr


def harder_cond(pick: random.Random, condition: c.Cond) -> c.Cond:
    match condition:
        case c.Le(expr, strict):
            return c.Le(harder(pick, expr), strict)
        case c.All(inner):
            return c.All(tuple(harder_cond(pick, part) for part in inner))
        case c.Any_(inner):
            return c.Any_(tuple(harder_cond(pick, part) for part in inner))
        case _:
            return condition


def gappy(pick: random.Random, rule: c.CoreRule) -> c.CoreRule:
    margins = tuple(harder(pick, m) for m in rule.margins)
    scope, when, demand = (harder_cond(pick, part) for part in (rule.scope, rule.when, rule.demand))
    return replace(rule, scope=scope, when=when, margins=margins, demand=demand)


def asked_alone(rule: c.CoreRule) -> tuple[Instance, FactSet, Question]:
    """A rule without facts of its own."""
    instance = Instance("unit", "made", made_up.vocabulary(), (rule,))
    variables = []
    for name in instance.names():
        d = instance.vocabulary[name]
        variables.append(
            Variable(name, "W", d.resolution, int(d.low / d.resolution), int(d.high / d.resolution), d.role)
        )
    fact = RuleFact(rule.id, rule.title, rule.clause, rule.evidence, rule.blocks, TRUE, TRUE)
    facts = FactSet("unit", "made", tuple(variables), (), (fact,))
    return instance, facts, questions(instance, facts)[0]


def of_facts(proved: Lowered, values: dict[int, Fraction]) -> Verdict:
    applies, exempt, complies, violates = (
        holds(fact, values) for fact in (proved.applies, proved.exempt, proved.complies, proved.violates)
    )
    assert not (applies and exempt) and not (complies and violates)
    if exempt:
        return Verdict.NOT_APPLICABLE
    if not applies or not (complies or violates):
        return Verdict.CANNOT_TELL
    return Verdict.COMPLIES if complies else Verdict.VIOLATES


def states(pick: random.Random, facts: FactSet, question: Question, proved: Lowered) -> Iterator[dict[int, Fraction]]:
    """Valuations anywhere, at ends, between steps, and on the limit of a row and just beside it."""
    every = (proved.applies, proved.exempt, proved.complies, proved.violates)
    limits: list[Fact] = [row for fact in every for row in rows(fact)]
    for n in range(60):
        values: dict[int, Fraction] = {}
        for i, v in enumerate(facts.variables):
            inner = Fraction(pick.randint(2 * v.low, 2 * v.high), 2)
            values[i] = pick.choice((Fraction(v.low), Fraction(v.high), inner, inner, inner))
        if n % 2 and limits:
            _, terms, b, _ = pick.choice(limits)
            plain = [(i, a) for i, a in terms if i < len(facts.variables)]
            if plain:
                i, a = pick.choice(plain)
                full = products(question, values)
                at = full[i] + (b - sum(k * full[j] for j, k in terms)) / Fraction(a)
                at += pick.choice((0, 0, Fraction(1, 7), -Fraction(1, 7)))
                if facts.variables[i].low <= at <= facts.variables[i].high:
                    values[i] = at
        yield products(question, values)


def products(question: Question, values: dict[int, Fraction]) -> dict[int, Fraction]:
    return values | {w: values[x] * values[y] for w, x, y in question.products}


def test_the_proved_lowering_judges_as_the_interpreter_does() -> None:
    pick = random.Random(11)
    rules = []
    for n in range(300):
        rules.append(gappy(pick, made_up.rule(pick, n)))
    asked = [asked_alone(rule) for rule in rules]
    met: Counter[Verdict] = Counter()
    refused = 0
    for (instance, facts, question), proved in zip(asked, lowered(COMMAND, [q for *_, q in asked]), strict=True):
        if proved is None:
            refused += 1
            continue
        for values in states(pick, facts, question, proved):
            physical: dict[str, Value] = {
                v.name: values[i] * instance.vocabulary[v.name].resolution for i, v in enumerate(facts.variables)
            }
            wanted = judge(question.rule, Subject(physical)).verdict
            assert of_facts(proved, values) == wanted, (question.rule, physical)
            met[wanted] += 1
    assert refused < 60
    assert min(met[verdict] for verdict in Verdict) > 500, met


# what is wrong is found


def test_facts_that_do_not_mean_the_rule_are_told_apart() -> None:
    pick = random.Random(5)
    told = 0
    for _ in range(30):
        instance, facts = made_up.rule_set(pick, 1)
        (question,) = questions(instance, facts)
        (proved,) = lowered(COMMAND, [question])
        assert proved is not None
        good = agreement(question, proved)
        certificates = good[len(question.head) :]
        wrong = replace(facts, rules=(replace(facts.rules[0], body=nudged(pick, facts.rules[0].body)),))
        (other,) = questions(instance, wrong)
        try:
            agreement(other, proved)
        except Satisfiable as difference:
            told += 1
            full = difference.values
            assert holds(other.fact.scope, full) and holds(proved.applies, full)
            assert holds(other.fact.body, full) != holds(proved.complies, full)
            assert agree(COMMAND, [other.head + certificates]) == [False]
    assert told > 10


def nudged(pick: random.Random, fact: Fact) -> Fact:
    """The fact with one limit moved, one strictness turned, or one `and` for an `or`."""
    if fact[0] == "L":
        _, terms, b, strict = fact
        return ("L", terms, b + pick.choice((-1, 1)), strict) if pick.random() < 0.7 else ("L", terms, b, not strict)
    if not fact[1] or pick.random() < 0.2:
        return ("O" if fact[0] == "A" else "A", fact[1])
    at = pick.randrange(len(fact[1]))
    return (fact[0], (*fact[1][:at], nudged(pick, fact[1][at]), *fact[1][at + 1 :]))


def test_damaged_files_are_refused() -> None:
    pick = random.Random(8)
    instance, facts = made_up.rule_set(pick, 1)
    (question,) = questions(instance, facts)
    (proved,) = lowered(COMMAND, [question])
    assert proved is not None
    good = agreement(question, proved)
    cut = [good[:n] for n in range(0, len(good), max(1, len(good) // 40))]
    assert agree(COMMAND, [good, good + b"\0", b"LWA2" + good[4:], *cut]) == [True, *[False] * (len(cut) + 2)]
