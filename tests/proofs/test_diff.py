"""Differences of editions: every changed limit of real packs is found, with states that the interpreter confirms."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compiler.core import Core, CoreRule
from compiler.facts import rows
from compiler.from_syntax import to_core
from compiler.instance import Instance, with_one_row
from compiler.mutations import _CHANGED, changes
from compiler.to_exact import Subject, judge
from jurisdictions.loader import load, sources_of
from lexwatt.cli import app
from proofs.analyses import BLOCKED, Analysis, expressible
from proofs.checker.certificate import refutes
from proofs.checker.claim import claim_from_bytes
from proofs.compare import Difference, differences
from rules_dsl import tree as t
from rules_dsl.check import check_all
from rules_dsl.diagnostics import RulesError
from rules_dsl.parse import parse
from tests.proofs.made_up import DAY, HEAD, made, rule

EDITIONS = {
    ("active_power must be at most 5 kW", "active_power must be at most 5 kW"): "same",
    ("active_power must be at most 5 kW", "active_power must be at most 5000 W"): "same",
    ("active_power must be at most 5 kW", "active_power must be at most 4.999 kW"): "stricter",
    ("active_power must be at most 5 kW", "active_power must be at most 5.001 kW"): "looser",
    ("active_power must be at most 5 kW", "active_power must be below 5 kW"): "stricter",
    ("active_power must be at most 5 kW", "active_power must be at least 5 kW"): "incomparable",
}


def confirm(difference: Difference, old: CoreRule, new: CoreRule) -> None:
    """Each witness is refused by the one and not by the other, by the interpreter; each certificate checks."""
    for state, refuses, allows in ((difference.refused, new, old), (difference.allowed, old, new)):
        if state is not None:
            assert judge(refuses, with_one_row(refuses, state)).verdict in BLOCKED, difference
            assert judge(allows, with_one_row(allows, state)).verdict not in BLOCKED, difference
    assert len(difference.claims) + (difference.refused is not None) + (difference.allowed is not None) == 2
    assert all(refutes(*claim_from_bytes(claim)) for claim in difference.claims)


ELSEWHERE = {
    "another subject": lambda text: text.replace("each unit", "each trace").replace(
        LIMIT, f"at the last sample, {LIMIT}"
    ),
    "at every row": lambda text: text.replace("each unit", "each trace").replace(LIMIT, f"at every sample, {LIMIT}"),
}
LIMIT = "active_power must be at most 5 kW"


@pytest.mark.parametrize("there", ELSEWHERE)
def test_what_is_asked_elsewhere_is_not_the_same(there: str) -> None:
    one = made(rule("limit", LIMIT))
    texts = {"here": one, **{name: made(move(rule("limit", LIMIT))) for name, move in ELSEWHERE.items()}}
    for name, other in texts.items():
        (found,) = differences(texts[there], other)
        if name == there:
            assert found.how in ("same", "same text")
        else:
            assert (found.how, found.claims) == ("changed", ())
            assert found.note == "not comparable: asked of another subject, or at other rows"


@pytest.mark.parametrize(("before", "after"), EDITIONS)
def test_editions_are_compared_with_witnesses_that_the_interpreter_confirms(before: str, after: str) -> None:
    old, new = made(rule("limit", before)), made(rule("limit", after))
    (difference,) = differences(old, new)
    assert difference.how == EDITIONS[before, after]
    confirm(difference, old.rules[0], new.rules[0])


RANGES = {
    "as before": ({}, "same"),
    "narrower": ({"high": Fraction(60)}, "stricter"),
    "wider": ({"low": Fraction(20)}, "looser"),
    "moved": ({"low": Fraction(41), "high": Fraction(71)}, "incomparable"),
    "narrower in finer steps": ({"low": Fraction(81, 2), "resolution": Fraction(1, 3000)}, "stricter"),
}


@pytest.mark.parametrize("case", RANGES)
@pytest.mark.parametrize("spoken", ["when frequency > 1 Hz,", "with frequency > 1 Hz,"])
def test_a_range_that_changed_makes_rules_of_one_text_differ(case: str, spoken: str) -> None:
    changed, how = RANGES[case]
    old = made(rule("limit", "active_power must be at most 5 kW", spoken).replace("unit,\n  with", "unit with"))
    vocabulary = tuple(replace(d, **changed) if d.name == "frequency" else d for d in old.vocabulary)
    (difference,) = differences(old, replace(old, vocabulary=vocabulary))
    assert difference.how == how
    before, after = ({d.name: d for d in v}["frequency"] for v in (old.vocabulary, vocabulary))
    for state, refuses, allows in ((difference.refused, after, before), (difference.allowed, before, after)):
        if state is not None:
            assert allows.low <= state["frequency"] <= allows.high
            assert not refuses.low <= state["frequency"] <= refuses.high
    assert all(refutes(*claim_from_bytes(claim)) for claim in difference.claims)


def test_a_range_outside_which_a_rule_says_nothing_changes_nothing() -> None:
    old = made(rule("limit", "active_power must be at most 5 kW"))
    vocabulary = tuple(replace(d, high=Fraction(60)) if d.name == "frequency" else d for d in old.vocabulary)
    (difference,) = differences(old, replace(old, vocabulary=vocabulary))
    assert difference.how == "same"


def test_a_choice_of_other_alternatives_is_not_compared() -> None:
    old = made(rule("limit", "phase must be in {L1}"))
    vocabulary = tuple(replace(d, names=d.names[::-1]) if d.name == "phase" else d for d in old.vocabulary)
    (difference,) = differences(old, replace(old, vocabulary=vocabulary))
    assert (difference.how, difference.note) == ("changed", "not comparable: `phase` is declared otherwise")


def limits(packs: list[str], every: int) -> Iterator[tuple[str, Core]]:
    """The rules with each number (or one in `every`) of each rule, definition, curve, table, parameter and choice
    changed by one in its last digit, up and down, wherever what results is still legal."""
    met = 0
    sources = sources_of(packs)
    trees = {name: list(parse(text, name)) for name, text in sources.items()}
    for name, text in sources.items():
        if name.endswith("vocabulary.rules"):
            continue
        lines = text.splitlines(keepends=True)
        for place, statement in enumerate(trees[name]):
            if not isinstance(statement, _CHANGED):
                continue
            source = "".join(lines[statement.span.line - 1 : statement.span.end_line])
            for start, end, after in changes(source):
                if not source[start:end].replace(".", "").isdigit():
                    continue
                met += 1
                if met % every:
                    continue
                try:
                    (changed,) = parse(source[:start] + after + source[end:], name)
                    whole: dict[str, list[t.Statement]] = dict(trees)
                    whole[name] = [*trees[name][:place], changed, *trees[name][place + 1 :]]
                    program, findings = check_all(list(whole.values()))
                    if not findings:
                        yield f"{name}:{statement.span.line}: {source[start:end]} -> {after}", to_core(program, DAY)
                except RulesError:
                    continue


def agree_at_boundaries(old: CoreRule, new: CoreRule, core: Core) -> bool:
    """Whether the interpreter says the same of both wherever a row of either is just met, and a step to each side."""
    pair = (replace(old, id="old:x", blocks=True), replace(new, id="new:x", blocks=True))
    instance, left = expressible(Instance(new.subject, "", core.declared(), pair))
    assert not left
    found = Analysis(instance)
    for fact in {row for r in found.facts.rules for part in (r.scope, r.body) for row in rows(part)}:
        _, terms, b, _ = fact
        exact = [("L", terms, b, False), ("L", tuple((i, -a) for i, a in terms), -b, False)]
        answer = found.space.decide(exact)
        if not isinstance(answer, dict):
            continue
        for i, variable in ((i, found.facts.variables[i]) for i, _ in terms if i < len(found.facts.variables)):
            for step in (-1, 0, 1):
                if not variable.low <= answer[i] + step <= variable.high:
                    continue
                state = found.complete(found.physical({**answer, i: answer[i] + step}))
                said = {judge(r, with_one_row(r, state)).verdict in BLOCKED for r in pair}
                if len(said) > 1:
                    return False
    return True


REAL = pytest.mark.parametrize("packs", [["operator", "entsoe"], ["ieee1547"], ["ema"]], ids="+".join)


@REAL
def test_a_change_of_some_single_limits_of_a_real_pack_is_found(packs: list[str]) -> None:
    changes_are_found(packs, 40)


@pytest.mark.slow
@REAL
def test_a_change_of_any_single_limit_of_a_real_pack_is_found(packs: list[str]) -> None:
    changes_are_found(packs, 1)


def changes_are_found(packs: list[str], every: int) -> None:
    old = to_core(load(packs), DAY)
    before = {r.id: r for r in old.rules}
    hows: Counter[str] = Counter()
    for what, new in limits(packs, every):
        touched = [r for r in new.rules if r != before[r.id]]
        was = Core(old.vocabulary, tuple(before[r.id] for r in touched), ())
        for difference, rule_ in zip(differences(was, Core(new.vocabulary, tuple(touched), ())), touched, strict=True):
            hows[difference.how] += 1
            if difference.how == "changed":
                one = Instance(rule_.subject, "", new.declared(), (rule_,))
                assert expressible(one)[1], (what, difference)
            elif difference.how == "same":
                assert agree_at_boundaries(before[rule_.id], rule_, new), (what, difference)
            else:
                assert difference.how in ("stricter", "looser", "incomparable"), (what, difference)
                confirm(difference, before[rule_.id], rule_)
    found = hows["stricter"] + hows["looser"] + hows["incomparable"]
    assert found >= 2, hows
    assert hows["same"] <= found // 10, hows


def test_two_editions_of_a_rule_in_force_on_different_days() -> None:
    program = load(["ema"])
    old, new = to_core(program, date(2025, 7, 31)), to_core(program, date(2025, 8, 1))
    found = {d.rule: d for d in differences(old, new)}
    signs = found["ema/energy_signs"]
    assert signs.how == "looser" and "only warns" in signs.note
    assert signs.allowed is not None
    assert signs.allowed["pair_quantity"] < 0 and signs.allowed["storage"] == 1
    rules = [{r.id: r for r in core.rules}["ema/energy_signs"] for core in (old, new)]
    confirm(signs, *rules)
    assert {d.how for d in found.values()} <= {"looser", "same", "same text"}


def test_a_recorded_day_of_units_and_of_offers(tmp_path: Path) -> None:
    runner = CliRunner()
    day = tmp_path / "day.jsonl"

    def offer(quantity: str, storage: bool) -> str:
        pairs = [{"pair_quantity": quantity, "pair_price": "1 SGD/MWh"}, {"pair_quantity": "1 MW"}]
        inputs = {"offer_market": "nems_energy", "storage": storage, "pairs": pairs}
        return json.dumps({"subject": "energy_offer", "checked_at": "bid", "inputs": inputs})

    unit = json.dumps({"active_power": "3 kW"})
    cases = [offer("-5 MW", True), offer("-5 MW", False), offer("5 MW", True), unit, ""]
    day.write_text("\n".join(cases), encoding="utf-8")
    days = ["--before", "2025-07-31", "--after", "2025-08-01", "--day", str(day)]
    shown = runner.invoke(app, ["diff", "ema", "ema", *days])
    assert shown.exit_code == 0, shown.output
    assert "on the recorded day ema/energy_signs: 0 newly refused, 1 newly allowed" in shown.output
    # The price of the second step is missing throughout, so that no offer becomes allowed as a whole.
    assert "4 recorded cases, 0 newly refused, 0 newly allowed" in shown.output
    packs = [tmp_path / f"{name}.rules" for name in ("one", "two")]
    example = '  example "one"\n    allows active_power 0 W\n    refuses active_power 9 kW\n'
    for path, limit in zip(packs, ("5 kW", "2 kW"), strict=True):
        text = HEAD + rule("limit", f"active_power must be at most {limit}") + example
        path.write_text(text, encoding="utf-8")
    shown = runner.invoke(app, ["diff", *map(str, packs), "--day", str(day)])
    assert "on the recorded day made/limit: 1 newly refused, 0 newly allowed" in shown.output, shown.output
    assert "4 recorded cases, 1 newly refused, 0 newly allowed" in shown.output
    for bad in ("{", "[]", '{"inputs": 3}'):
        day.write_text(unit + "\n" + bad, encoding="utf-8")
        shown = runner.invoke(app, ["diff", *map(str, packs), "--day", str(day)])
        assert shown.exit_code == 2 and "day.jsonl:2" in shown.output.replace("\n", ""), shown.output
    assert runner.invoke(app, ["diff", *map(str, packs), "--day", str(tmp_path / "none")]).exit_code == 2


def test_a_whole_day_between_two_limits_is_newly_refused() -> None:
    old, new = (made(rule("limit", f"active_power must be at most {x} kW")) for x in (5, 4))
    (difference,) = differences(old, new)
    assert difference.refused is not None
    for watts in range(4001, 5001, 111):
        state = Subject({**difference.refused, "active_power": Fraction(watts)})
        assert [judge(c.rules[0], state).verdict in BLOCKED for c in (old, new)] == [False, True]
