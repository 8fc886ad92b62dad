"""One meaning: interpreter, facts, kernel and guard give the same verdict, at and around every limit too."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.bind import substitute
from compiler.facts import FactSet, negate, rows
from compiler.from_syntax import to_core
from compiler.instance import Instance, of_one
from compiler.intervals import Interval, admissible, closest
from compiler.lower import CannotLower, disjunction, lower
from compiler.to_exact import Subject, Unusable, Value, Verdict, judge
from compiler.to_kernel import CODES, Kernel
from guardrails.guard import judge_facts
from jurisdictions.loader import VOCABULARY, load_texts
from tests.packs import DAY, memory_guard, request, unit_rules

States = list[dict[str, int | None]]


def to_subject(instance: Instance, facts: FactSet, state: dict[str, int | None]) -> Subject:
    values: dict[str, Value] = {}
    for variable in facts.variables:
        steps = state[variable.name]
        resolution = instance.vocabulary[variable.name].resolution
        values[variable.name] = Unusable("missing") if steps is None else steps * resolution
    return Subject(values)


def random_states(facts: FactSet, count: int, seed: int, missing: float = 0.01) -> States:
    pick = random.Random(seed)
    out: States = []
    for _ in range(count):
        state: dict[str, int | None] = {}
        for v in facts.variables:
            choices = [v.low, v.high, max(v.low, min(0, v.high)), pick.randint(v.low, v.high)]
            near = pick.randint(max(v.low, -3), min(v.high, max(v.low, -3) + 6))
            state[v.name] = None if pick.random() < missing else pick.choice([*choices, near])
        out.append(state)
    return out


def boundary_states(facts: FactSet, count: int, seed: int) -> States:
    """States on each row of each rule: exactly at its limit, one step inside, one outside, by moving one variable."""
    pick = random.Random(seed)
    out: States = []
    names = [v.name for v in facts.variables]
    all_rows = sorted({row for rule in facts.rules for row in (*rows(rule.scope), *rows(rule.body))}, key=repr)
    for row in all_rows:
        made = 0
        for state in random_states(facts, count * 30, pick.randint(0, 10**9), missing=0):
            plain = {i: Fraction(state[n] or 0) for i, n in enumerate(names)}
            moved = pick.choice(sorted(facts.plain(row)))
            rest = substitute(facts, row, {i: v for i, v in plain.items() if i != moved})
            if rest[0] != "L":
                continue
            ((_, slope),) = rest[1]
            limit = Fraction(rest[2], slope)
            variable = facts.variables[moved]
            for steps in (limit // 1 - 1, limit // 1, limit // 1 + 1, limit // 1 + 2):
                if variable.low <= steps <= variable.high:
                    out.append({**state, variable.name: int(steps)})
            made += 1
            if made == count:
                break
    return out


def assert_one_meaning(instance: Instance, facts: FactSet, states: States) -> set[tuple[str, Verdict]]:
    """All three agree on every state; returns which verdicts were met of which rule."""
    values = np.array([[s[v.name] or 0 for v in facts.variables] for s in states], dtype=np.int64)
    usable = np.array([[s[v.name] is not None for v in facts.variables] for s in states], dtype=np.bool_)
    codes = Kernel(facts).judge(values, usable)
    met: set[tuple[str, Verdict]] = set()
    for n, state in enumerate(states):
        subject = to_subject(instance, facts, state)
        exact = {i: Fraction(s) for i, v in enumerate(facts.variables) if (s := state[v.name]) is not None}
        for r, rule in enumerate(instance.rules):
            wanted = judge(rule, subject).verdict
            assert CODES[codes[n, r]] is wanted, (rule.id, state)
            assert judge_facts(facts, facts.rules[r], exact) is wanted, (rule.id, state)
            met.add((rule.id, wanted))
    return met


def test_interpreter_facts_and_kernel_agree_on_random_states() -> None:
    instance, facts = unit_rules()
    met = assert_one_meaning(instance, facts, random_states(facts, 4000, seed=1))
    for rule in instance.rules:
        assert {(rule.id, v) for v in (Verdict.COMPLIES, Verdict.VIOLATES, Verdict.CANNOT_TELL)} <= met


def test_interpreter_facts_and_kernel_agree_around_every_limit() -> None:
    instance, facts = unit_rules()
    states = boundary_states(facts, 40, seed=2)
    assert len(states) > 3000
    assert_one_meaning(instance, facts, states)


@pytest.mark.parametrize("part", [pytest.param(4, id="part"), pytest.param(1, id="whole", marks=pytest.mark.slow)])
def test_guard_and_kernel_give_the_interpreters_verdict_on_ten_thousand_commands(part: int) -> None:
    instance, facts = unit_rules()
    guard, _, _, _ = memory_guard()
    template = request("HOME_1", Fraction(0))
    states = [*random_states(facts, 8000, seed=3), *boundary_states(facts, 40, seed=4)]
    assert len(states) >= 10_000
    states = states[::part]
    values = np.array([[s[v.name] or 0 for v in facts.variables] for s in states], dtype=np.int64)
    usable = np.array([[s[v.name] is not None for v in facts.variables] for s in states], dtype=np.bool_)
    codes = Kernel(facts).judge(values, usable)
    for n, state in enumerate(states):
        subject = to_subject(instance, facts, state)
        wanted = [
            (f.rule.id, f.verdict, f.margin)
            for f in (judge(rule, subject) for rule in instance.rules)
            if f.verdict in (Verdict.VIOLATES, Verdict.CANNOT_TELL)
        ]
        power = subject.values["active_power"]
        asked = replace(template, active_power=power, state=subject.values)
        found = [(f.rule.id, f.verdict, f.margin) for f in guard.check(asked)]
        assert found == wanted, state
        by_kernel = [(r.id, CODES[c]) for r, c in zip(instance.rules, codes[n], strict=True) if c > 1]
        assert by_kernel == [(name, verdict) for name, verdict, _ in wanted], state


def test_decisions_follow_from_the_findings() -> None:
    instance, facts = unit_rules()
    guard, _, _, _ = memory_guard()
    seen: set[str] = set()
    template = request("HOME_1", Fraction(0))
    for state in random_states(facts, 250, seed=5, missing=0.002):
        subject = to_subject(instance, facts, state)
        asked = replace(template, active_power=subject.values["active_power"], state=subject.values)
        decision = guard.decide(asked)
        seen.add(decision.outcome)
        if decision.outcome == "admitted":
            assert not guard.check(asked)
        if decision.command is None:
            assert not decision.admitted
        else:
            sent = replace(asked, active_power=Fraction(decision.command["HOME_1"]))
            assert not guard.check(sent)
            assert dict(decision.admitted[0].command)["active_power"] == decision.command["HOME_1"]
    assert seen == {"admitted", "repaired", "refused"}


def test_admissible_sets_agree_with_the_interpreter_at_and_beside_their_ends() -> None:
    instance, facts = unit_rules()
    command = facts.index()["active_power"]
    whole = Interval(Fraction(facts.variables[command].low), Fraction(facts.variables[command].high))
    fact = [disjunction([negate(r.scope), r.body]) for r in facts.rules]
    nonempty = 0
    for state in random_states(facts, 300, seed=6, missing=0):
        values = {i: Fraction(state[v.name] or 0) for i, v in enumerate(facts.variables) if i != command}
        for n, rule in enumerate(instance.rules):
            found = admissible(substitute(facts, fact[n], values), command, whole)
            nonempty += bool(found)
            for a, b in pairwise(found):
                assert a.high < b.low or (a.high == b.low and a.high_open and b.low_open)
            ends = {e for i in found for e in (i.low, i.high)} | {whole.low, whole.high, Fraction(0)}
            for end in ends:
                for p in (end - Fraction(1, 3), end, end + Fraction(1, 3)):
                    if not whole.low <= p <= whole.high:
                        continue
                    inside = any(not Interval(p, p).meet(i).empty for i in found)
                    subject = to_subject(instance, facts, state)
                    judged = judge(rule, Subject({**subject.values, "active_power": p})).verdict
                    assert inside == (judged in (Verdict.COMPLIES, Verdict.NOT_APPLICABLE)), (rule.id, p, state)
    assert nonempty > 1000


ENDS = st.fractions(-20, 20, max_denominator=4)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(ENDS, ENDS, st.booleans(), st.booleans()), max_size=4),
    st.fractions(-25, 25, max_denominator=3),
    st.integers(1, 7),
)
def test_the_closest_step_is_the_closest(
    raw: list[tuple[Fraction, Fraction, bool, bool]], target: Fraction, grid: int
) -> None:
    intervals = tuple(i for a, b, c, d in raw if not (i := Interval(a, b, c, d)).empty)
    inside = [
        k * grid
        for k in range(-25, 26)
        if any(not Interval(Fraction(k * grid), Fraction(k * grid)).meet(i).empty for i in intervals)
    ]
    found = closest(intervals, target, grid)
    assert (found is None) == (not inside)
    if found is not None:
        assert found in inside
        assert abs(found - target) == min(abs(x - target) for x in inside)


@pytest.mark.parametrize("end", ["low", "high"])
def test_the_kernel_is_exact_at_the_far_ends_of_every_range(end: str) -> None:
    _, facts = unit_rules()
    values = np.array([[getattr(v, end) for v in facts.variables]], dtype=np.int64)
    usable = np.ones_like(values, dtype=np.bool_)
    codes = Kernel(facts).judge(values, usable)[0]
    exact = {i: Fraction(getattr(v, end)) for i, v in enumerate(facts.variables)}
    assert [CODES[c] for c in codes] == [judge_facts(facts, r, exact) for r in facts.rules]


def test_the_kernel_treats_a_value_out_of_range_as_unusable_and_refuses_other_arrays() -> None:
    _, facts = unit_rules()
    kernel = Kernel(facts)
    values = np.zeros((1, len(facts.variables)), dtype=np.int64)
    values[0, facts.index()["active_power"]] = 2**62
    codes = kernel.judge(values, np.ones_like(values, dtype=np.bool_))[0]
    rule = next(i for i, r in enumerate(facts.rules) if r.rule == "operator/discharge_power")
    assert CODES[codes[rule]] is Verdict.CANNOT_TELL
    with pytest.raises(TypeError):
        kernel.judge(values.astype(np.float64), np.ones_like(values, dtype=np.bool_))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shape"):
        kernel.judge(values[:, :3], np.ones((1, 3), dtype=np.bool_))


# ── rules nobody wrote ──────────────────────────────────────────────────────────────────────────────────────────────

KINDS = ["be at most", "be at least", "be below", "be above", "equal"]
SHARES = ["bend(frequency)", "0.5", "2", "dome(frequency)", "steps(frequency, phase)"]
LEAVES = st.sampled_from(["active_power", "previous_setpoint", "rated_power", "3 W", "0 W", "7 W"])


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(["max", "min"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        inner.map(lambda p: f"abs({p})"),
        st.tuples(st.sampled_from(["3", "-2", "0"]), inner).map(lambda t: f"({t[0]} * {t[1]})"),
        st.tuples(st.sampled_from(SHARES), LEAVES).map(lambda t: f"({t[0]} * {t[1]})"),
    )


POWER = st.one_of(LEAVES, _wider(LEAVES), _wider(_wider(LEAVES)))
CONDITION = st.one_of(
    st.tuples(POWER, st.sampled_from(["<", "<=", ">", ">=", "="]), POWER).map(" ".join),
    st.just("rfg_adopted"),
    st.just("not rfg_adopted"),
    st.just("phase in {L1, L2}"),
)
RULE = """
pack made "made"
instrument paper "a paper" authority "Operator" zone UTC edition "1" link "none"
curve bend from Hz to pu cites paper "1" evidence given in force from 2020-01-01
  49 Hz: 0.5 pu 50 Hz: 0.25 pu 51 Hz: 2 pu
curve dome from Hz to pu cites paper "1" evidence given in force from 2020-01-01
  49 Hz: 0 pu 50 Hz: 1 pu 51 Hz: 1.5 pu
table steps by hz in Hz, phase gives pu cites paper "1" evidence given in force from 2020-01-01
  | < 49.5 Hz          | any    | 0.5 pu |
  | >= 49.5 Hz, <= 50 Hz | L1, L2 | -1 pu |
  | otherwise | 1 pu |
rule made "made" cites paper "1" evidence given in force from 2020-01-01 checked at command
  applies to each unit with {scope}, when {when}, {left} must {kind} {right}
  example "x" given phase L1 allows active_power 0 W refuses active_power 0 W
"""


@settings(max_examples=40, deadline=None)
@given(CONDITION, CONDITION, POWER, st.sampled_from(KINDS), POWER, st.integers(0, 10**6))
def test_made_up_rules_mean_the_same_everywhere(
    scope: str, when: str, left: str, kind: str, right: str, seed: int
) -> None:
    text = RULE.format(scope=scope, when=when, left=left, kind=kind, right=right)
    program = load_texts({"vocabulary": VOCABULARY.read_text(encoding="utf-8"), "made": text})
    instance = of_one(to_core(program, DAY), "unit", "command")
    try:
        facts = lower(instance)
    except CannotLower:
        return
    pick = random.Random(seed)
    states: States = []
    for _ in range(20):
        states.append(
            {
                v.name: pick.choice([49000, 49500, 50000, 50001, 51000, 52000])
                if v.name == "frequency"
                else pick.randint(max(v.low, -12), min(v.high, 12))
                for v in facts.variables
            }
        )
    if facts.variables:
        assert_one_meaning(instance, facts, states)
