"""Certificates for one commanded quantity that are built without a search: they check, and only for what is true."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.checker.certificate import Fact, Problem, refutes
from proofs.nearest import nearest

ROWS = st.builds(
    lambda a, b, s: ("L", ((0, a),) if a else (), b, s), st.integers(-4, 4), st.integers(-30, 30), st.booleans()
)
FACTS = st.recursive(
    ROWS,
    lambda inner: st.builds(lambda tag, parts: (tag, tuple(parts)), st.sampled_from("AO"), st.lists(inner, max_size=3)),
    max_leaves=10,
)


def holds(fact: Fact, x: int) -> bool:
    """Whether a fact holds at a step."""
    if fact[0] == "L":
        total = sum(a * x for _, a in fact[1])
        return bool(total < fact[2] if fact[3] else total <= fact[2])
    return (all if fact[0] == "A" else any)(holds(part, x) for part in fact[1])


@settings(max_examples=250, deadline=None)
@given(st.lists(FACTS, min_size=1, max_size=4), st.integers(-40, 40), st.sampled_from([1, 3]), st.integers(1, 30))
def test_a_certificate_stands_for_what_is_nearest(bodies: list[Fact], asked: int, grid: int, wrong: int) -> None:
    # Every rule is a disjunction, as those of a decision are; the rows are over steps of the device.
    rules: list[Fact] = [("O", (("O", ()), body)) for body in bodies]
    box = (-10, 12)
    good = [x for x in range(box[0], box[1] + 1) if all(holds(rule, x) for rule in rules)]
    first = [k for k, rule in enumerate(rules) if not holds(rule, asked // grid)]
    given_ = [lambda r=rule: r for rule in rules]  # type: ignore[misc]
    nothing = nearest(box, given_, first, asked, grid, None)
    assert (nothing is None) == bool(good)
    if nothing is not None:
        assert refutes(Problem(1, (box,), frozenset({0}), (), tuple(rules)), nothing)
    best = min((abs(x * grid - asked) for x in good), default=wrong)
    for distance in {best, best + wrong} - {0}:
        tree = nearest(box, given_, first, asked, grid, distance)
        facts = (
            *rules,
            ("L", ((0, grid), (1, -1)), asked, False),
            ("L", ((0, -grid), (1, -1)), -asked, False),
            ("L", ((1, 1),), distance - 1, False),
        )
        true = not any(abs(x * grid - asked) < distance for x in good)
        assert (tree is not None) == true
        if tree is not None:
            assert refutes(Problem(2, (box, (0, distance)), frozenset({0}), (), facts), tree)
