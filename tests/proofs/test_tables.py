"""Decision tables and cases: dead rows, gaps and overlaps over the declared ranges, as trying each state says."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction

import pytest

from compiler import core as c
from compiler.cases import Cases, cases
from compiler.from_syntax import to_core
from compiler.to_exact import Subject, holds
from jurisdictions.loader import load, load_all, sources_of
from proofs.analyses import Finding
from proofs.checker.certificate import refutes
from proofs.checker.claim import claim_from_bytes
from proofs.tables import ALL, FIRES, ONE, ORDER, findings
from rules_dsl.units import unit
from tests.proofs.made_up import DAY, HEAD, rule

SIZE = 4
SEEDS = range(40)


def declared(name: str, names: tuple[str, ...] = ()) -> c.Declared:
    high = Fraction(len(names) - 1 if names else SIZE)
    return c.Declared(
        name, "measured", "unit", unit("" if names else "W"), Fraction(1), Fraction(0), high, None, None, names, ""
    )


def random_cases(seed: int) -> Cases:
    """Rows of one to three comparisons over two numbers and a choice, some with the same result."""
    draw = random.Random(seed)

    def comparison() -> c.Cond:
        name = draw.choice(("x", "y", "mode"))
        end = c.Const(Fraction(draw.randint(0, SIZE if name != "mode" else 2)))
        sign = draw.choice((1, -1))
        left = c.Mul(c.Const(Fraction(sign)), c.Var(name))
        right = c.Mul(c.Const(Fraction(-sign)), end)
        return c.Le(c.Add((left, right)), draw.random() < 0.5)

    conditions = tuple(c.All(tuple(comparison() for _ in range(draw.randint(1, 3)))) for _ in range(draw.randint(2, 4)))
    results = tuple(draw.choice("ab") for _ in conditions)
    vocabulary = {"x": declared("x"), "y": declared("y"), "mode": declared("mode", ("p", "q", "r"))}
    return Cases(
        "made", "House rules, 1", conditions, results, draw.random() < 0.5, draw.choice(("", "rest")), vocabulary
    )


def points() -> list[Subject]:
    """Every state that a row of these can tell from its neighbours."""
    halves = [Fraction(k, 2) for k in range(2 * SIZE + 1)]
    return [
        Subject({"x": x, "y": y, "mode": Fraction(mode)}) for x, y, mode in itertools.product(halves, halves, range(3))
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_answers_are_those_of_looking_at_every_state(seed: int) -> None:
    made = random_cases(seed)
    hold = [[i for i, row in enumerate(made.conditions) if holds(row, point)] for point in points()]
    first = {rows[0] for rows in hold if rows}
    overlap = any(made.results[i] != made.results[j] for rows in hold for i, j in itertools.combinations(rows, 2))
    found = list(findings(made))
    fires = [f.good for f in found if f.kind == FIRES][: len(made.conditions)]
    assert fires == [i in first for i in range(len(made.conditions))]
    if made.unique:
        assert [f.good for f in found if f.kind == ONE] == [not overlap]
        gap = any(not rows for rows in hold)
        last = [f.good for f in found if f.kind == ALL] or [f.good for f in found if f.kind == FIRES][-1:]
        assert last == [gap if made.rest else not gap]
    else:
        (order,) = [f for f in found if f.kind == ORDER]
        assert (order.state is not None) is overlap
    for finding in found:
        proven(finding)


def proven(finding: Finding) -> None:
    assert (finding.state is None) != (finding.claim is None)
    if finding.claim is not None:
        assert refutes(*claim_from_bytes(finding.claim))


def test_every_table_and_case_of_the_packs_is_decided() -> None:
    for pack in ("ieee1547", "nordic", "ofgem"):
        program = load([pack])
        core = to_core(program, DAY)
        tables = list(cases(program, core, DAY))
        assert {t.name.partition("(")[0] for t in tables} >= set(program.tables), pack
        for table in tables:
            for finding in findings(table):
                assert finding.good, finding.text
                assert table.clause in finding.text
                proven(finding)


TABLE = """
table share by volts in pu gives %
  cites house "2"  evidence corroborated  in force from 2026-01-01
  | < 0.9 pu          | 10 % |
  | 0.9 pu .. 1.1 pu  | 20 % |
  | >= 1.1 pu, < 9 pu | 30 % |
  | otherwise         | 40 % |

rule one "one"
  cites house "1"  evidence corroborated  in force from 2026-01-01
  checked at command
  applies to each unit
  active_power must be at most share(voltage) * rated_power
"""


FREE = """
parameter threshold : unit Hz within 50.2 Hz .. 50.5 Hz
  cites house "1"  evidence read  in force from 2026-01-01

table signal by over in Hz gives {low, normal}
  cites house "1"  evidence read  in force from 2026-01-01
  | < -1 Hz | low    |
  | > 1 Hz  | normal |
"""
RUNNING = """
running state : of {{no, yes, more}} per trace
  starts yes
  then no when previous {0} {1};
       more when {2}
  "made up"
"""


def of_trace(text: str, rule_text: str, vocabulary: str = "") -> list[Finding]:
    sources = {n: t + vocabulary for n, t in sources_of([]).items() if n.endswith("vocabulary.rules")}
    program, _ = load_all({**sources, "made.rules": HEAD + text + rule_text})
    (found,) = cases(program, to_core(program, DAY), DAY)
    return list(findings(found))


def test_a_value_set_free_may_be_any_of_its_range_though_its_ends_are_no_whole_numbers() -> None:
    found = of_trace(
        FREE, rule("one", "active_power must be at most 0 W", "when signal(frequency - threshold) in {low},")
    )
    assert [f.good for f in found if f.kind == FIRES] == [True, True]
    (gap,) = [f for f in found if f.kind == ALL]
    assert gap.good is False and gap.state is not None
    assert abs(gap.state["frequency"] - gap.state["threshold"]) <= 1
    narrow = """
quantity narrow : measured per unit
  unit pu  resolution 0.01 pu  range 0.9 pu .. 1.1 pu
  "made up"
"""
    asked = rule("one", "active_power must be at most 0 W", "at every sample, when not state in {no},")
    text = RUNNING.format("narrow", "<= 0.95 pu", "previous narrow >= 1.05 pu")
    found = of_trace(text, asked.replace("each unit", "each trace"), narrow)
    assert [f.good for f in found if f.kind == FIRES] == [True, True]


@pytest.mark.parametrize("earlier", ["as of 10 s ago else 0 W", "as of 3 samples ago"])
def test_a_value_at_another_time_is_another_value(earlier: str) -> None:
    asked = rule("one", "active_power must be at most 0 W", "at every sample, when not state in {no},")
    text = RUNNING.format("active_power", ">= 5 kW", f"active_power {earlier} >= 5 kW")
    found = of_trace(text, asked.replace("each unit", "each trace"))
    assert [f.good for f in found if f.kind == FIRES] == [True, True]


def test_a_row_beyond_the_declared_range_never_counts() -> None:
    vocabulary = {n: t for n, t in sources_of([]).items() if n.endswith("vocabulary.rules")}
    program, _ = load_all({**vocabulary, "made.rules": HEAD + TABLE})
    core = to_core(program, DAY)
    assert core.declared()["voltage"].high < 9
    (table,) = cases(program, core, DAY)
    dead = [f for f in findings(table) if not f.good]
    assert [f.text for f in dead] == [
        "what share(voltage) (House rules, 2) says where no row holds (40 %) never counts",
    ]
    proven(dead[0])
    without = TABLE[: TABLE.index("rule one")]
    program, _ = load_all({**vocabulary, "made.rules": HEAD + without})
    (table,) = cases(program, to_core(program, DAY), DAY)
    assert table.name == "share(volts)"
    assert all(f.good for f in findings(table))
