"""Kernel and generated check mean what facts mean: at limits, past int64, with values missing or out of range."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.kernel import rule_set
from compiler.facts import FALSE, TRUE, Fact, FactSet, RuleFact, Variable, holds, rows
from compiler.steps import WIDTH
from compiler.to_kernel import Kernel
from compiler.to_python import single, source
from tests.packs import unit_rules

State = tuple[int | None, ...]


def meaning(facts: FactSet, state: State) -> tuple[int, ...]:
    """Codes straight from what facts are said to mean, one row after the other in Python integers."""
    known = {
        i: x
        for i, (x, v) in enumerate(zip(state, facts.variables, strict=True))
        if x is not None and v.low <= x <= v.high
    }
    values: dict[int, Fraction | int] = dict(known)
    values |= {w: known[x] * known[y] for w, x, y in facts.products if x in known and y in known}
    codes = []
    for rule in facts.rules:
        if not facts.plain(rule.scope) <= known.keys():
            codes.append(3)
        elif not holds(rule.scope, values):
            codes.append(1)
        elif not facts.plain(rule.body) <= known.keys():
            codes.append(3)
        else:
            codes.append(0 if holds(rule.body, values) else 2)
    return tuple(codes)


def arrays(facts: FactSet, states: Sequence[State]) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Values and usability for the kernel; the place of a missing value holds a number that must not matter."""
    shape = (len(states), len(facts.variables))
    rubbish = (-(2**63), 2**63 - 1, 0, 2**31)
    values = [[rubbish[(n + i) % 4] if x is None else x for i, x in enumerate(s)] for n, s in enumerate(states)]
    usable = [[x is not None for x in s] for s in states]
    return np.array(values, dtype=np.int64).reshape(shape), np.array(usable, dtype=np.bool_).reshape(shape)


def assert_one_meaning(facts: FactSet, states: Sequence[State]) -> set[int]:
    """Kernel, both ways round, and generated check give the facts' codes; returns which codes were met."""
    wanted = [meaning(facts, state) for state in states]
    values, usable = arrays(facts, states)
    kernel, check = Kernel(facts), single(facts)
    found = kernel.judge(values, usable)
    assert found.dtype == np.int8 and found.shape == (len(states), len(facts.rules))
    assert [tuple(line) for line in found.tolist()] == wanted
    by_columns = kernel.judge_columns(np.ascontiguousarray(values.T), np.ascontiguousarray(usable.T))
    assert (found == by_columns.T).all()
    assert [check(state) for state in states] == wanted
    return {code for line in wanted for code in line}


def near(facts: FactSet, pick: random.Random, missing: float, outside: float) -> State:
    """A state of ends, small numbers and anything between, some missing, some outside the declared range."""
    state: list[int | None] = []
    for v in facts.variables:
        far = [x for x in (v.low - 1, v.high + 1, v.low - 2**32, v.high + 2**32, 2**63 - 1) if -(2**63) <= x < 2**63]
        inside = [v.low, v.high, max(v.low, min(v.high, pick.randint(-3, 3))), pick.randint(v.low, max(v.low, v.high))]
        chance = pick.random()
        state.append(None if chance < missing else pick.choice(far if far and chance < missing + outside else inside))
    return tuple(state)


def at_limits(facts: FactSet, pick: random.Random, each: int) -> list[State]:
    """States beside the limit of every row: one variable is moved until the row is as close to its bound as it gets."""
    out: list[State] = []
    plain = len(facts.variables)
    for row in sorted(
        {row for rule in facts.rules for part in (rule.scope, rule.body) for row in rows(part)}, key=repr
    ):
        for _ in range(each):
            state = [pick.randint(v.low, max(v.low, v.high)) for v in facts.variables]
            moved = pick.choice(sorted(facts.plain(row)) or [0])

            def total(x: int, row: Fact = row, state: list[int] = state, moved: int = moved) -> int:
                at = [*state[:moved], x, *state[moved + 1 :]]
                at += [at[x] * at[y] for _, x, y in facts.products]
                return sum(a * at[i] for i, a in row[1])

            rest, slope = total(0), total(1) - total(0)
            if not plain or not slope or total(2) - total(1) != slope:
                continue
            limit = (row[2] - rest) // slope
            for x in range(limit - 2, limit + 3):
                if facts.variables[moved].low <= x <= facts.variables[moved].high:
                    out.append((*state[:moved], x, *state[moved + 1 :]))
    return out


def made(
    variables: Sequence[tuple[int, int]], rules: Sequence[tuple[Fact, Fact]], products: Sequence[tuple[int, int]] = ()
) -> FactSet:
    """A fact set over variables with these ranges."""
    names = tuple(Variable(f"x{i}", "W", Fraction(1), low, high, "measured") for i, (low, high) in enumerate(variables))
    pairs = tuple((len(variables) + k, x, y) for k, (x, y) in enumerate(products))
    facts = tuple(RuleFact(f"r{i}", "", "", "given", True, scope, body) for i, (scope, body) in enumerate(rules))
    return FactSet("unit", "sha256:0", names, pairs, facts)


@pytest.mark.parametrize("which", ["packs", "thirty rules"])
def test_rules_of_the_packs_keep_their_meaning(which: str) -> None:
    facts = unit_rules()[1] if which == "packs" else rule_set()[0]
    pick = random.Random(1)
    states = [near(facts, pick, *chances) for chances in [(0, 0), (0.02, 0.02), (0.3, 0.1)] for _ in range(1500)]
    states += at_limits(facts, pick, 8)
    assert len(states) > 4500
    assert assert_one_meaning(facts, states) == {0, 1, 2, 3}


def test_a_rule_set_to_measure_has_thirty_rules() -> None:
    facts, made_up = rule_set()
    assert len(facts.rules) >= 30
    assert sum(r.rule.startswith("made/") for r in facts.rules) in (0, made_up)


def test_rows_that_leave_int64_stay_exact() -> None:
    big = 2**62
    above: Fact = ("L", ((0, 3), (1, -5)), 7, False)
    product: Fact = ("L", ((2, 1),), 2**100, True)
    mixed: Fact = ("L", ((0, 1), (2, 2**70)), 2**130, False)
    facts = made(
        [(-big, big), (-big, big)],
        [(TRUE, above), (above, product), (TRUE, ("O", (product, mixed))), (mixed, ("A", (above, product)))],
        [(0, 1)],
    )
    pick = random.Random(2)
    states = [near(facts, pick, 0.1, 0.1) for _ in range(500)] + at_limits(facts, pick, 60)
    roots = [(s * 2**50 + d, t * 2**50 + e) for s in (1, -1) for t in (1, -1) for d in (-1, 0, 1) for e in (-1, 0, 1)]
    assert assert_one_meaning(facts, states + roots) == {0, 1, 2, 3}


@pytest.mark.parametrize("edge", [2**31, 2**32, 2**53, 2**63])
@pytest.mark.parametrize("off", [-2, -1, 0, 1])
def test_sums_at_the_edge_of_a_number_type_stay_exact(edge: int, off: int) -> None:
    top = (edge + off) // 2
    row: Fact = ("L", ((0, 1), (1, 1)), 2 * top - 1, False)
    lower: Fact = ("L", ((0, -1), (1, -1)), 2 * top, True)
    facts = made([(-top, top), (-top, top)], [(TRUE, row), (lower, row), (row, ("L", ((0, 1), (1, -1)), 0, True))])
    ends = [-top, -top + 1, -1, 0, 1, top - 1, top]
    assert_one_meaning(facts, [(x, y) for x in ends for y in ends])


def test_ranges_past_int64_and_empty_ranges() -> None:
    row: Fact = ("L", ((0, 1),), 5, False)
    facts = made([(-(2**70), 2**70)], [(TRUE, row)])
    assert_one_meaning(facts, [(x,) for x in (-(2**63), 2**63 - 1, 5, 6, None)])
    for low, high in ((1, 0), (2**64, 2**65), (-(2**65), -(2**64))):
        facts = made([(low, high)], [(TRUE, row), (row, TRUE)])
        assert assert_one_meaning(facts, [(x,) for x in (-(2**63), 2**63 - 1, 0, 1, None)]) == {3}


def test_constant_rules_ask_for_what_their_facts_mention() -> None:
    always: Fact = ("L", ((0, 1),), 100, False)
    never: Fact = ("L", ((0, 1),), -100, False)
    rules = [(s, b) for s in (TRUE, FALSE, always, never) for b in (TRUE, FALSE, always, never)]
    facts = made([(0, 9), (0, 9)], [*rules, (("L", ((1, 1),), 4, False), always)])
    assert assert_one_meaning(facts, [(x, y) for x in (0, 10, None) for y in (0, 5, None)]) == {0, 1, 2, 3}


@pytest.mark.parametrize("count", [0, 1, WIDTH - 1, WIDTH, WIDTH + 1, 2 * WIDTH + 65])
def test_every_number_of_states_is_judged_alike(count: int) -> None:
    facts = made([(0, 100), (0, 100)], [(("L", ((1, 1),), 50, False), ("L", ((0, 1), (1, -1)), 3, False))])
    pick = np.random.default_rng(3)
    values, usable = pick.integers(-2, 103, (count, 2)), pick.random((count, 2)) > 0.05
    codes = Kernel(facts).judge(values, usable)
    assert codes.shape == (count, 1)
    states = [
        tuple(x if u else None for x, u in zip(*s, strict=True))
        for s in zip(values.tolist(), usable.tolist(), strict=True)
    ]
    assert [tuple(line) for line in codes.tolist()] == [meaning(facts, s) for s in states]


def test_answers_do_not_change_afterwards_nor_inputs_at_all() -> None:
    _, facts = unit_rules()
    pick = random.Random(4)
    kernel = Kernel(facts)
    values, usable = arrays(facts, [near(facts, pick, 0.1, 0.1) for _ in range(300)])
    before = values.copy(), usable.copy()
    codes = kernel.judge(values, usable)
    kept = codes.copy()
    again = kernel.judge(values[::-1], usable[::-1])
    assert (codes == kept).all() and (again[::-1] == kept).all()
    assert (values == before[0]).all() and (usable == before[1]).all()
    strided = np.repeat(values, 2, axis=1)[:, ::2]
    assert (kernel.judge(strided, usable) == kept).all()


def test_threads_share_a_kernel() -> None:
    _, facts = unit_rules()
    pick = random.Random(5)
    kernel = Kernel(facts)
    batches = [arrays(facts, [near(facts, pick, 0.05, 0.05) for _ in range(200)]) for _ in range(8)]
    wanted = [kernel.judge(*batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: kernel.judge(*batches[n % 8]), range(200)))
    assert all((codes == wanted[n % 8]).all() for n, codes in enumerate(found))


def test_arrays_and_values_of_another_kind_are_refused() -> None:
    facts = made([(0, 9), (0, 9)], [(TRUE, ("L", ((0, 1),), 5, False))])
    kernel, check = Kernel(facts), single(facts)
    values, usable = arrays(facts, [(1, 2), (3, 4), (5, 6)])
    for judge in (kernel.judge, kernel.judge_columns):
        with pytest.raises(TypeError):
            judge(values.astype(np.float64), usable)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="shape"):
            judge(values[:1, :1], usable[:1, :1])
    with pytest.raises(ValueError, match="shape"):
        kernel.judge_columns(values, usable)
    for wrong in (1.0, True, np.int64(1), "1", Fraction(1)):
        with pytest.raises(TypeError):
            check((wrong, 2))  # type: ignore[arg-type]
    for count in ((1,), (1, 2, 3)):
        with pytest.raises(ValueError, match="unpack"):
            check(count)


def test_generated_source_holds_no_text_of_a_rule() -> None:
    facts = made([(0, 9)], [(TRUE, ("L", ((0, 1),), 5, False))])
    hostile = "x'\n    raise SystemExit  # "
    named = replace(
        facts,
        subject=hostile,
        variables=tuple(replace(v, name=hostile, unit=hostile) for v in facts.variables),
        rules=tuple(replace(r, rule=hostile, title=hostile, clause=hostile) for r in facts.rules),
    )
    assert source(named) == source(facts)


def test_deep_facts_can_be_generated() -> None:
    fact: Fact = ("L", ((0, 1),), 0, False)
    for n in range(1, 100):
        fact = ("A" if n % 2 else "O", (("L", ((0, 1), (1, -1)), n % 7, bool(n % 3)), fact))
    assert_one_meaning(
        made([(0, 9), (0, 9)], [(TRUE, fact), (fact, TRUE)]), [(x, y) for x in range(10) for y in range(10)]
    )


# ── facts nobody wrote ──────────────────────────────────────────────────────────────────────────────────────────────

SIZES = st.sampled_from([1, 3, 9, 2**15, 2**31, 2**32, 2**53, 2**62, 2**63 - 1])
COEFFICIENTS = st.one_of(
    st.sampled_from([1, -1]), st.integers(-6, 6), st.sampled_from([2**31, -(2**33), 2**62, -(2**80)])
)
BOUNDS = st.one_of(st.integers(-9, 9), st.sampled_from([2**31, -(2**31) - 1, 2**62, -(2**63), 2**63, 2**90]))


@st.composite
def fact_sets(draw: st.DrawFn) -> FactSet:
    """Small fact sets: ranges of every width, shared rows and their opposites, products, nested all and any."""
    ranges = []
    for _ in range(draw(st.integers(1, 4))):
        ends = draw(SIZES) * draw(st.sampled_from([-1, 0, 1])), draw(SIZES)
        ranges.append((min(ends), max(ends)))
    index = st.integers(0, len(ranges) - 1)
    products = draw(st.lists(st.tuples(index, index).map(lambda p: (min(p), max(p))), max_size=2, unique=True))
    anywhere = st.integers(0, len(ranges) + len(products) - 1)
    # As rows of lowered rules: indices increase, coefficients are not zero.
    terms = st.dictionaries(anywhere, COEFFICIENTS.filter(bool), max_size=4).map(lambda d: tuple(sorted(d.items())))
    pool = draw(st.lists(st.tuples(st.just("L"), terms, BOUNDS, st.booleans()), min_size=1, max_size=5))
    pool += [("L", tuple((i, -a) for i, a in row[1]), -row[2], not row[3]) for row in pool]
    leaf: st.SearchStrategy[Fact] = st.sampled_from(pool)
    fact = st.recursive(
        leaf, lambda inner: st.tuples(st.sampled_from("AO"), st.lists(inner, max_size=3).map(tuple)), max_leaves=8
    )
    return made(ranges, draw(st.lists(st.tuples(st.one_of(st.just(TRUE), fact), fact), max_size=4)), products)


@settings(max_examples=200, deadline=None)
@given(fact_sets(), st.integers(0, 10**6))
@example(made([(0, 1)], []), 0)
def test_made_up_facts_mean_the_same_in_kernel_and_generated_code(facts: FactSet, seed: int) -> None:
    pick = random.Random(seed)
    states = [near(facts, pick, *chances) for chances in [(0, 0), (0.2, 0.2)] for _ in range(12)]
    assert_one_meaning(facts, states + at_limits(facts, pick, 2))
