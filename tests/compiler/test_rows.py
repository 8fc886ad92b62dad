"""Windows, responses, held conditions and running states against definitions written out anew, second by second."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.core import CoreRule
from compiler.from_syntax import to_core
from compiler.to_exact import Subject, Verdict, judge
from jurisdictions.loader import VOCABULARY, load_texts
from tests.packs import DAY

Row = tuple[int, int]
"""(second, power in W)"""
ROWS = st.lists(st.tuples(st.integers(1, 5), st.integers(-3, 3)), min_size=1, max_size=7).map(
    lambda steps: [(sum(s for s, _ in steps[: i + 1]), p) for i, (_, p) in enumerate(steps)]
)
TEXT = """pack p "p"
instrument act "act" authority "Operator" zone UTC edition "1" link "x"
running total : unit W per trace starts active_power then previous total + active_power when active_power > 0 W "t"
rule r "r" cites act "1" evidence given in force from 2020-01-01 checked at telemetry applies to each trace
 at {where} sample, {when} {demand}
 example "e" allows sample a (elapsed 0 s, active_power 0 W) refuses sample a (elapsed 0 s, active_power 0 W)
"""


@cache
def rule(demand: str, where: str = "the last", when: str = "") -> CoreRule:
    text = TEXT.format(demand=demand, where=where, when=when)
    program = load_texts({str(VOCABULARY): VOCABULARY.read_text(encoding="utf-8"), "x": text})
    return to_core(program, DAY).rules[0]


def subject(rows: list[Row]) -> Subject:
    return Subject({}, [{"elapsed": Fraction(s), "active_power": Fraction(p)} for s, p in rows])


def measured(expression: str, rows: list[Row]) -> Fraction | None:
    """The value of an expression at the last row, read off the margin; None where it cannot be told."""
    found = judge(rule(f"{expression} must be at least 0 * {expression}"), subject(rows))
    if found.verdict is Verdict.CANNOT_TELL:
        return None
    return found.margin


def power(rows: list[Row], second: Fraction) -> int | None:
    """The power that stands at a moment."""
    before = [p for s, p in rows if s <= second]
    return before[-1] if before else None


@settings(max_examples=150, deadline=None)
@given(ROWS, st.integers(1, 9))
def test_windows_of_time_mean_what_their_page_says(rows: list[Row], span: int) -> None:
    now = rows[-1][0]
    inside = [p for s, p in rows if now - span < s <= now]
    halves = [Fraction(now * 2 - k, 2) for k in range(span * 2 + 1)]
    standing = [p for t in halves if (p := power(rows, t)) is not None]
    window = f"over the last {span} s"
    assert measured(f"sum of active_power {window}", rows) == sum(inside)
    assert measured(f"mean of active_power {window}", rows) == Fraction(sum(inside), len(inside))
    assert measured(f"greatest of active_power {window}", rows) == max(standing)
    assert measured(f"least of active_power {window}", rows) == min(standing)
    assert measured(f"spread of active_power {window}", rows) == max(standing) - min(standing)
    oldest = power(rows, Fraction(max(now - span, rows[0][0])))
    assert oldest is not None
    assert measured(f"change of active_power {window}", rows) == rows[-1][1] - oldest
    seconds = [power(rows, Fraction(t)) or 0 for t in range(now - span, now)]
    assert measured(f"integral of active_power {window}", rows) == sum(seconds)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.integers(0, 4), st.integers(5, 9), st.integers(1, 4))
def test_stretches_rows_and_earlier_values(rows: list[Row], near: int, far: int, count: int) -> None:
    now = rows[-1][0]
    halves = [Fraction(now * 2 - k, 2) for k in range(near * 2, far * 2 + 1)]
    standing = [p for t in halves if (p := power(rows, t)) is not None]
    expected = max(standing) if standing else None
    assert measured(f"greatest of active_power over between {near} s and {far} s ago", rows) == expected
    last = [p for _, p in rows[-count:]]
    assert measured(f"sum of active_power over the last {count} samples", rows) == sum(last)
    earlier = power(rows, Fraction(now - far))
    assert measured(f"(active_power as of {far} s ago else 9 W)", rows) == (9 if earlier is None else earlier)
    back = rows[-1 - count][1] if count < len(rows) else 9
    assert measured(f"(active_power as of {count} samples ago else 9 W)", rows) == back
    running = rows[0][1] + sum(p for _, p in rows[1:] if p > 0)
    assert measured("total", rows) == running


@settings(max_examples=200, deadline=None)
@given(ROWS, st.integers(1, 6))
def test_held_throughout(rows: list[Row], span: int) -> None:
    now = rows[-1][0]
    held = rows[0][0] <= now - span and all(
        (power(rows, Fraction(now * 2 - k, 2)) or 0) > 0 for k in range(span * 2 + 1)
    )
    found = judge(rule(f"it must hold that active_power > 0 W throughout the last {span} s"), subject(rows))
    assert (found.verdict is Verdict.COMPLIES) == held
    denied = judge(rule(f"it must hold that not [active_power > 0 W throughout the last {span} s]"), subject(rows))
    assert (denied.verdict is Verdict.COMPLIES) != held


@settings(max_examples=300, deadline=None)
@given(ROWS, st.integers(0, 5), st.integers(0, 5))
def test_responses_within_and_for_at_least(rows: list[Row], within: int, lasting: int) -> None:
    """Event: power becomes negative. Demand: power at least 1 W within `within`, for at least `lasting`."""
    demand = f"active_power must be at least 1 W within {within} s and for at least {lasting} s"
    found = judge(rule(demand, "every", "whenever active_power < 0 W,"), subject(rows))
    end = rows[-1][0]
    verdicts = set()
    for i, (s, p) in enumerate(rows):
        if p >= 0 or (i > 0 and rows[i - 1][1] < 0):
            continue
        answers = set()
        for k in range(within * 2 + 1):
            start = Fraction(2 * s + k, 2)
            stretch = [start + Fraction(j, 2) for j in range(lasting * 2 + 1)]
            seen = [power(rows, t) or 0 for t in stretch if t <= end]
            good = all(q >= 1 for q in seen)
            answers.add("no" if not good else "yes" if stretch[-1] <= end else "open")
        verdicts.add("yes" if "yes" in answers else "open" if "open" in answers or end < s + within else "no")
    worst = {"no": Verdict.VIOLATES, "open": Verdict.CANNOT_TELL}
    assert found.verdict is next((v for kind, v in worst.items() if kind in verdicts), Verdict.COMPLIES)


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(1, 9))
def test_a_look_ahead_beyond_the_rows_cannot_be_told(rows: list[Row], span: int) -> None:
    ahead = rule(f"least of active_power over the next {span} s must be at least 0 W", "the first")
    found = judge(ahead, subject(rows))
    start = rows[0][0]
    if rows[-1][0] < start + span:
        assert found.verdict is Verdict.CANNOT_TELL
    else:
        least = min(power(rows, Fraction(start * 2 + k, 2)) or 0 for k in range(span * 2 + 1))
        assert found.margin == least
