"""Verdicts and margins in generated whole-number code are the interpreter's; what is fixed changes nothing."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from compiler.facts import FactSet
from compiler.from_syntax import to_core
from compiler.instance import Instance, of_one
from compiler.lower import lower
from compiler.to_exact import Subject, judge
from compiler.to_kernel import CODES
from compiler.to_margins import CannotMeasure, margins
from compiler.to_python import single
from jurisdictions.loader import load, load_texts, sources_of
from tests.packs import DAY, PACKS, core

HEAD = """
pack made "made"
instrument paper "a paper" authority "Operator" zone UTC edition "1" link "none"
"""
CITES = 'cites paper "1" evidence given in force from 2020-01-01 checked at command'


def drawn(pick: random.Random, facts: FactSet) -> list[int]:
    """Values near each other and near nothing, so that rules bind."""
    size = pick.choice([3, 500, 20_000_000])
    return [max(v.low, min(v.high, pick.randint(-size, size) + (0 if v.low <= 0 else v.low))) for v in facts.variables]


def same(instance: Instance, facts: FactSet, seed: int, times: int) -> set[str]:
    """The verdicts met, all alike by both."""
    pick, names, met = random.Random(seed), [v.name for v in facts.variables], set[str]()
    settled = [i for i, v in enumerate(facts.variables) if v.role in ("nameplate", "registered")]
    for turn in range(times):
        values = drawn(pick, facts)
        base = {n: x * instance.vocabulary[n].resolution for n, x in zip(names, values, strict=True)}
        if turn % 25 == 0:
            fixed = {i: values[i] for i in settled}
            left = [i for i in range(len(names)) if i not in fixed]
            some = margins(instance, [names[i] for i in left], {names[i]: base[names[i]] for i in fixed})
            whole, check, narrow = margins(instance, names, {}), single(facts), single(facts, fixed)
        values = [fixed.get(i, x) for i, x in enumerate(values)]
        base = {n: x * instance.vocabulary[n].resolution for n, x in zip(names, values, strict=True)}
        rest = [values[i] for i in left]
        found = [judge(rule, Subject(base)) for rule in instance.rules]
        for measured, given in ((whole, values), (some, rest)):
            codes, numbers = measured.judge(given)
            assert [CODES[c] for c in codes] == [f.verdict for f in found]
            told = [None if m is None else Fraction(m, s) for m, s in zip(numbers, measured.scale, strict=True)]
            assert told == [f.margin for f in found]
        blind: list[int | None] = [None if pick.random() < 0.1 else x for x in values]
        assert check(values) == narrow(rest)
        known = [fixed.get(i, x) for i, x in enumerate(blind)]
        assert check(known) == narrow([blind[i] for i in left])
        met |= {f.verdict.value for f in found}
    return met


@pytest.mark.parametrize("packs", [PACKS, ("ieee1547", "operator")])
def test_margins_are_the_interpreters(packs: tuple[str, ...]) -> None:
    rules = core() if packs == PACKS else to_core(load(packs), DAY)
    instance = of_one(rules, "unit", "command")
    assert same(instance, lower(instance), 3, 120) == {"complies", "violates", "not_applicable"}


def test_curves_choices_and_ends_are_too() -> None:
    text = HEAD + f"curve bend from Hz to pu {CITES.removesuffix(' checked at command')}\n"
    text += "  49 Hz: 0.3 pu 49.5 Hz: 0.7 pu 50 Hz: 0.1 pu\n"
    demands = (
        "active_power must be below bend(frequency) * rated_power",
        "when frequency < 49.7 Hz, active_power must be at most max(0 W, 0.3 * previous_setpoint - 7 W)",
        "abs(active_power - previous_setpoint) must be at least min(0.01 * rated_power, bend(frequency) * 3 kW)",
        "active_power must be at most 2 MW / 3",
    )
    for k, demand in enumerate(demands):
        text += f'rule r{k} "r{k}" {CITES}\n  applies to each unit, {demand}\n'
        text += '  example "x" given phase L1 allows active_power 0 W refuses active_power 0 W\n'
    instance = of_one(to_core(load_texts(sources_of(()) | {"made": text}), DAY), "unit", "command")
    assert len(instance.rules) == 4
    assert same(instance, lower(instance), 4, 200) >= {"complies", "violates"}


def test_what_looks_at_rows_is_left_to_the_interpreter() -> None:
    (rule, *_) = [r for r in core().rules if r.rows is not None]
    instance = Instance(rule.subject, core().digest, core().declared(), (rule,))
    with pytest.raises(CannotMeasure, match=rule.id):
        margins(instance, [], {})
