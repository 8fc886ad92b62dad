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
from tests.proofs.made_up import DAY, HEAD

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
