"""Certificates: made ones check, damaged or borrowed ones never show what is false, hostile ones are refused."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from itertools import product as combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.cases import refute_by_cases
from proofs.checker.certificate import Bad, Fact, Problem, Tree, refutes
from proofs.checker.claim import from_bytes
from proofs.encode import to_bytes
from proofs.maker import Satisfiable, refute


def low(terms: dict[int, int], b: int, strict: bool = False) -> Fact:
    return ("L", tuple(sorted((i, a) for i, a in terms.items() if a)), b, strict)


BOX = ((0, 3), (-2, 2), (0, 3))
ROWS = st.builds(
    low,
    st.dictionaries(st.integers(0, 2), st.integers(-4, 4), min_size=1),
    st.integers(-8, 8),
    st.booleans(),
)
FACTS = st.recursive(
    ROWS,
    lambda inner: st.tuples(st.sampled_from("AO"), st.lists(inner, min_size=1, max_size=3).map(tuple)),
    max_leaves=5,
)


def holds(fact: Fact, point: tuple[int, ...]) -> bool:
    if fact[0] == "L":
        total = sum(a * point[i] for i, a in fact[1])
        return bool(total < fact[2] if fact[3] else total <= fact[2])
    return (all if fact[0] == "A" else any)(holds(part, point) for part in fact[1])


def solutions(problem: Problem) -> Iterator[tuple[int, ...]]:
    ranges = [range(a or 0, (b or 0) + 1) for a, b in problem.box]
    for point in combinations(*ranges):
        fits = all(point[w] == point[x] * point[y] for w, x, y in problem.products)
        if fits and all(holds(f, point) for f in problem.facts):
            yield point


@settings(max_examples=150, deadline=None)
@given(st.lists(FACTS, min_size=1, max_size=4))
def test_whole_number_problems_are_decided_as_by_trying_every_point(facts: list[Fact]) -> None:
    problem = Problem(3, BOX, frozenset({0, 1, 2}), (), tuple(facts))
    found = next(solutions(problem), None)
    try:
        certificate = refute(problem)
    except Satisfiable as answer:
        assert found is not None
        point = tuple(int(answer.values[i]) for i in range(3))
        assert point in set(solutions(problem))
        return
    assert found is None
    assert refutes(problem, certificate)
    assert from_bytes(to_bytes(certificate)) == certificate


@settings(max_examples=60, deadline=None)
@given(st.lists(FACTS, min_size=1, max_size=3), st.lists(FACTS, min_size=1, max_size=3), st.data())
def test_a_certificate_put_together_from_cases_checks(
    facts: list[Fact], members: list[Fact], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(facts)))
    every = tuple(_with_product(f) for f in facts)
    split: Fact = ("O", tuple(_with_product(m) for m in members))
    problem = Problem(4, (*BOX, (-6, 6)), frozenset({0, 1, 2, 3}), ((3, 0, 1),), (*every[:at], split, *every[at:]))
    others = [i for i in range(len(facts) + 1) if i != at]
    using = [data.draw(st.permutations(others)) for _ in members]
    try:
        certificate = refute_by_cases(problem, at, using, 5)
    except Satisfiable:
        assert next(solutions(problem), None) is not None
        return
    assert refutes(problem, certificate)


@settings(max_examples=60, deadline=None)
@given(st.lists(FACTS, min_size=1, max_size=3))
def test_products_are_decided_as_by_trying_every_point(facts: list[Fact]) -> None:
    moved = tuple(_with_product(f) for f in facts)
    problem = Problem(4, (*BOX, (-6, 6)), frozenset({0, 1, 2, 3}), ((3, 0, 1),), moved)
    found = next(solutions(problem), None)
    try:
        certificate = refute(problem, seconds=5)
    except Satisfiable:
        assert found is not None
        return
    assert found is None
    assert refutes(problem, certificate)


def _with_product(fact: Fact) -> Fact:
    """The same fact with its third variable replaced by the product."""
    if fact[0] == "L":
        return ("L", tuple(sorted((3 if i == 2 else i, a) for i, a in fact[1])), fact[2], fact[3])
    return (fact[0], tuple(_with_product(part) for part in fact[1]))


def _damaged(tree: Tree, pick: random.Random) -> Tree:
    """The tree with one number, node or branch changed."""
    if pick.random() < 0.4 or tree[0] in "FX":
        kind = tree[0]
        if kind == "F":
            pairs = list(tree[1])
            if pairs and pick.random() < 0.7:
                n = pick.randrange(len(pairs))
                k, m = pairs[n]
                pairs[n] = (max(0, k + pick.choice([-1, 1])), m) if pick.random() < 0.5 else (k, m * pick.randint(1, 3))
            else:
                pairs.append((pick.randint(0, 6), pick.randint(1, 3)))
            return ("F", tuple(pairs))
        if kind == "X":
            return ("F", ((0, 1),))
        if kind == "S":
            return ("S", tree[1] + 1, tree[2])
        if kind == "P":
            return ("P", tree[1] - 1, tree[2], tree[3])
        return ("I", tree[1], tree[2] + 1, tree[3], tree[4])
    parts = list(tree)
    if tree[0] == "S":
        subs = list(tree[2])
        n = pick.randrange(len(subs))
        subs[n] = _damaged(subs[n], pick)
        return ("S", tree[1], tuple(subs))
    n = len(parts) - 1
    parts[n] = _damaged(parts[n], pick)
    return tuple(parts)


def test_damaged_and_borrowed_certificates_never_show_what_is_false() -> None:
    pick = random.Random(11)
    good: list[Tree] = []
    false_claims: list[Problem] = []
    while len(good) < 25 or len(false_claims) < 25:
        facts = tuple(_random_fact(pick, 2) for _ in range(3))
        problem = Problem(3, BOX, frozenset({0, 1, 2}), (), facts)
        try:
            good.append(refute(problem))
        except Satisfiable:
            false_claims.append(problem)
    tried = 0
    for problem in false_claims[:25]:
        for tree in good[:25]:
            for certificate in (tree, *(_damaged(tree, pick) for _ in range(8))):
                tried += 1
                try:
                    assert not refutes(problem, certificate)
                except Bad:
                    continue
        for tree in good[:10]:
            data = bytearray(to_bytes(tree))
            for _ in range(12):
                copy = bytearray(data)
                copy[pick.randrange(len(copy))] ^= 1 << pick.randrange(8)
                tried += 1
                try:
                    assert not refutes(problem, from_bytes(bytes(copy)))
                except Bad:
                    continue
    assert tried > 8000


def _random_fact(pick: random.Random, depth: int) -> Fact:
    if depth == 0 or pick.random() < 0.4:
        return low({i: pick.randint(-4, 4) for i in range(3)} | {0: 1}, pick.randint(-6, 4), pick.random() < 0.5)
    return (pick.choice("AO"), tuple(_random_fact(pick, depth - 1) for _ in range(2)))


PLAIN = Problem(1, ((0, 1),), frozenset({0}), (), (low({0: 1}, -1),))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x09",
        b"\x00",
        b"\x00\x01",
        b"\x00\x01\x00\x02\x00",
        b"\x00\x01\x80\x00\x02",
        b"\x00\xff\xff\xff\xff\x7f",
        b"\x01\x00\xff\x7f",
        b"\x02\x00\x00" * 5000,
        b"\x04\x00\x00" * 5000,
        b"\xff" * 100,
        b"\x00" + b"\xff" * 100_000,
    ],
)
def test_hostile_bytes_are_refused_quickly(data: bytes) -> None:
    with pytest.raises(Bad):
        refutes(PLAIN, from_bytes(data))


@pytest.mark.parametrize(
    "tree",
    [
        ("F", ((0, -1),)),
        ("F", ((0, True),)),
        ("F", ((1, 1),)),
        ("S", 0, ()),
        ("I", 0, 0.5, ("X",), ("X",)),
        ("C", ((0, 0),), 0, ("X",), ("X",)),
        ("P", 7, 0, ("X",)),
        ("P", 0, 0, ("X",)),
        ("Q",),
        (),
        None,
        ("F", ((0, 1 << 5000),)),
        ("F", ((0, 1), (0, 1))),
        ("C", ((0, 1),), 0, ("X",), ("F", ((1, 1), (0, 1)))),
    ],
)
def test_malformed_trees_are_refused(tree: Tree) -> None:
    with pytest.raises(Bad):
        refutes(PLAIN, tree)


@pytest.mark.parametrize(
    "problem",
    [
        Problem(1, (), frozenset(), (), ()),
        Problem(1, ((0, 1),), frozenset({5}), (), ()),
        Problem(3, ((0, 2), (0, 2), (1, 4)), frozenset(), ((2, 0, 1),), ()),
        Problem(3, ((0, 2), (0, 2), (0, 3)), frozenset(), ((2, 0, 1),), ()),
        Problem(2, ((0, 2), (0, 2)), frozenset(), ((0, 0, 1),), ()),
        Problem(1, ((0, 1),), frozenset(), (), (("L", ((0, 1.0),), 0, False),)),
        Problem(1, ((0, 1),), frozenset(), (), (("Z", ()),)),
    ],
)
def test_malformed_problems_are_refused(problem: Problem) -> None:
    with pytest.raises(Bad):
        refutes(problem, ("X",))


def test_a_wide_split_of_many_facts_is_walked_in_the_room_of_one_branch() -> None:
    idle: Fact = ("L", (), 0, False)
    problem = Problem(1, ((0, 1),), frozenset(), (), ((*(idle,) * 20_000, ("O", (idle,) * 2_000))))
    tracemalloc.start()
    assert not refutes(problem, ("S", 0, (("X",),) * 2_000))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_branches_of_a_branch_see_what_stands_above_them_and_nothing_beside() -> None:
    low_half, high_half = low({0: 1}, 0), low({0: -1}, -1)
    split: Fact = ("O", (("A", (low_half, ("O", (high_half, low({0: -1}, -2))))), high_half))
    problem = Problem(1, ((0, 1),), frozenset(), (), (split, low({0: 1}, 0)))
    inner: Tree = ("S", 1, (("F", ((1, 1), (2, 1))), ("F", ((1, 1), (2, 1)))))
    assert refutes(problem, ("S", 0, (inner, ("F", ((0, 1), (1, 1))))))
    for astray in (2, 3):
        with pytest.raises(Bad):
            refutes(problem, ("S", 0, (inner, ("F", ((0, 1), (astray, 1))))))
    with pytest.raises(Bad):
        refutes(problem, ("S", 0, (inner, ("S", 1, (("F", ((0, 1), (1, 1))), ("F", ((0, 1), (1, 1))))))))


def test_an_empty_box_is_shown_by_x_and_nothing_else_is() -> None:
    assert refutes(Problem(1, ((1, 0),), frozenset(), (), ()), ("X",))
    assert not refutes(Problem(1, ((0, 0),), frozenset(), (), ()), ("X",))


def test_a_strict_tie_counts_and_a_plain_tie_does_not() -> None:
    assert refutes(Problem(1, ((0, 1),), frozenset(), (), (low({0: 1}, 0, True),)), ("F", ((0, 1),)))
    assert not refutes(Problem(1, ((0, 1),), frozenset(), (), (low({0: 1}, 0),)), ("F", ((0, 1),)))


def test_half_points_need_the_whole_number_split() -> None:
    facts = (low({0: 2}, 1), low({0: -2}, -1))
    assert refutes(
        Problem(1, ((0, 1),), frozenset({0}), (), facts), refute(Problem(1, ((0, 1),), frozenset({0}), (), facts))
    )
    with pytest.raises(Satisfiable) as answer:
        refute(Problem(1, ((0, 1),), frozenset(), (), facts))
    assert answer.value.values == {0: Fraction(1, 2)}
