"""`python -m bench.kernel`: exact checks of many units and of one, beside plain floating point."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import reduce
from operator import and_, or_

import numpy as np
from numpy.typing import NDArray

from compiler.facts import Fact, FactSet
from compiler.from_syntax import to_core
from compiler.instance import of_one
from compiler.lower import lower
from compiler.to_kernel import CODES, Kernel
from compiler.to_python import single
from jurisdictions.loader import load_texts, packs, sources_of
from tests.packs import DAY

UNITS = 10_000
RULES = 30
PACK = """
pack made "made"
instrument paper "a paper" authority "Operator" zone UTC edition "1" link "none"
"""
SHAPES = (
    "applies to each unit, when frequency > 50.{k} Hz, active_power must be at most 0.{k} * rated_power",
    "applies to each unit with rfg_adopted, active_power must be at most 0.{k} * rated_power + {k}0 W",
    "applies to each unit, when state_of_charge < {k} %, "
    "active_power must be at most max(0 W, previous_setpoint - 0.{k} * rated_power)",
    "applies to each unit with rfg_adopted, when frequency < 49.{k} Hz, "
    "active_power must be at least curve_{k}(frequency) * rated_power",
)
"""A limit at a frequency, a share of the rating, a bent limit at low charge, a droop curve."""


def rule_set() -> tuple[FactSet, int]:
    """The rules on a unit's command in every pack that ships, made-up ones up to thirty, and how many are made up."""
    shipped = sources_of(packs())
    found = len(of_one(to_core(load_texts(shipped), DAY), "unit", "command").rules)
    text = PACK
    for n in range(RULES - found):
        k, shape = 1 + n // 4, SHAPES[n % 4]
        cites = f'cites paper "{n}" evidence given in force from 2020-01-01'
        if "curve" in shape:
            text += f"curve curve_{k} from Hz to pu {cites}\n  49 Hz: 0.{k} pu 49.5 Hz: 0.0{k} pu 50 Hz: 0 pu\n"
        text += f'rule made_{n} "made {n}" {cites} checked at command\n  {shape.format(k=k)}\n'
        text += '  example "x" given phase L1 allows active_power 0 W refuses active_power 0 W\n'
    facts = lower(of_one(to_core(load_texts(shipped | {"made": text}), DAY), "unit", "command"))
    return facts, max(0, RULES - found)


def median_us(work: Callable[[], object], times: int) -> float:
    """Median of `times` runs in microseconds, after one that is not counted."""
    work()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1e6)
    return statistics.median(took)


def floating(facts: FactSet, columns: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
    """Whether each rule is kept, written without care: each row once, no value missing, rounded."""
    values = [*columns, *(columns[x] * columns[y] for _, x, y in facts.products)]
    known: dict[Fact, NDArray[np.bool_]] = {}

    def truth(fact: Fact) -> NDArray[np.bool_]:
        if fact not in known:
            if fact[0] == "L":
                total = reduce(np.add, [a * values[i] for i, a in fact[1]])
                known[fact] = total < fact[2] if fact[3] else total <= fact[2]
            elif fact[1]:
                known[fact] = reduce(and_ if fact[0] == "A" else or_, [truth(part) for part in fact[1]])
            else:
                known[fact] = np.full(columns.shape[1], fact[0] == "A")
        return known[fact]

    return [~truth(rule.scope) | truth(rule.body) for rule in facts.rules]


def main() -> None:
    """Prints the figures."""
    facts, made = rule_set()
    pick = np.random.default_rng(1)
    columns = np.stack([pick.integers(v.low, v.high + 1, UNITS) for v in facts.variables])
    usable = np.ones_like(columns, dtype=np.bool_)
    gaps = pick.random(columns.shape) >= 0.01
    states = np.ascontiguousarray(columns.T)
    kernel, check = Kernel(facts), single(facts)
    floats = columns.astype(np.float64)
    print(
        f"{len(facts.rules)} rules on a unit's command ({len(facts.rules) - made} of the packs, {made} made up), "
        f"{len(facts.variables)} quantities, {len(facts.products)} products; {UNITS:,} units, one core"
    )
    codes = kernel.judge_columns(columns, usable)
    for r, kept in enumerate(floating(facts, floats)):
        away = int(np.count_nonzero(kept != (codes[r] < 2)))
        if away:
            print(f"  floating point gives another answer {away} times on {facts.rules[r].rule}")
    base = median_us(lambda: floating(facts, floats), 50)
    rounds = (
        ("exact, one variable after the other", lambda: kernel.judge_columns(columns, usable)),
        ("exact, one unit after the other", lambda: kernel.judge(states, usable.T)),
        ("exact, 1 % of the values missing", lambda: kernel.judge_columns(columns, gaps)),
    )
    for what, work in rounds:
        took = median_us(work, 100)
        print(f"{what:<58} {took / 1000:>18.2f} ms   {took / base:.2f} x plain float64")
    print(f"{'plain float64, rounded, no missing values':<58} {base / 1000:>18.2f} ms")
    lines = iter(states.tolist())
    took = median_us(lambda: check(next(lines)), 5_000)
    print(f"{'exact, one command in generated Python':<58} {took:>18.2f} us   median of 5,000 states")
    assert check(states[0].tolist()) == tuple(codes[:, 0].tolist())
    met = np.bincount(codes.ravel(), minlength=len(CODES)) / codes.size
    print("  " + ", ".join(f"{share:.0%} {code.value}" for code, share in zip(CODES, met.tolist(), strict=True)))


if __name__ == "__main__":
    main()
