"""Analyses of rule sets: findings on made-up packs with a known answer, replayed and checked."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compiler.core import Core
from compiler.from_syntax import to_core
from compiler.instance import of_one
from compiler.lower import lowerable
from compiler.to_exact import Subject, Verdict, judge
from jurisdictions.loader import load_all, load_texts, sources_of
from lexwatt.cli import app
from proofs.analyses import Analysis, Finding
from proofs.checker.certificate import refutes
from proofs.checker.claim import claim_from_bytes
from proofs.compare import BLOCKED, differences

DAY = date(2026, 11, 24)
HEAD = """
pack made "Made up"

instrument house "House rules"
  authority "House"  zone UTC
  edition "2026" from 2026-01-01
    link "https://house.example/rules"

"""


def rule(name: str, demand: str, before: str = "") -> str:
    return f"""
rule {name} "{name}"
  cites house "1"  evidence corroborated  in force from 2026-01-01
  checked at command
  applies to each unit,
  {before}
  {demand}
"""


def made(*rules: str) -> Core:
    sources = sources_of(["entsoe"])
    vocabulary = {n: t for n, t in sources.items() if n.endswith("vocabulary.rules")}
    program, _ = load_all({**vocabulary, "made.rules": HEAD + "".join(rules)})  # the rules bring no examples
    return to_core(program, DAY)


def analysis(*rules: str) -> Analysis:
    instance, left = lowerable(of_one(made(*rules), "unit", "command"))
    assert not left
    return Analysis(instance)


def by_kind(findings: list[Finding]) -> dict[tuple[str, str], Finding]:
    return {(f.kind, f.rules[0]): f for f in findings}


TIGHT = rule("tight", "active_power must be at most 5 kW")
LOOSE = rule("loose", "active_power must be at most 6 kW")
NEVER = rule("never", "active_power must be at most 30 MW")
UP = rule("up", "active_power must be at least 5.001 kW", "when voltage > 1.05 pu,")


def test_met_broken_needed_and_subsumed() -> None:
    found = by_kind(list(analysis(TIGHT, LOOSE, NEVER).each_rule()))
    assert found["can be met", "made/tight"].good
    assert found["can be broken", "made/tight"].good
    assert found["is needed", "made/tight"].good
    assert found["is needed", "made/loose"].good is False
    assert found["is needed", "made/loose"].rules == ("made/loose", "made/tight")
    assert found["can be broken", "made/never"].good is False
    for finding in found.values():
        if finding.claim is not None:
            assert refutes(*claim_from_bytes(finding.claim))
        else:
            assert finding.state is not None


def test_a_gap_names_the_least_set_of_clashing_rules_and_its_state() -> None:
    set_ = analysis(TIGHT, LOOSE, UP)
    (gap,) = set_.some_command()
    assert gap.good is False
    assert set(gap.rules) == {"made/tight", "made/up"}
    assert gap.state is not None and gap.claim is not None
    assert gap.state["voltage"] > 1
    assert refutes(*claim_from_bytes(gap.claim))
    core = made(TIGHT, LOOSE, UP)
    for watts in range(-20_000, 20_000, 50):
        state = set_.complete({**gap.state, "active_power": Fraction(watts)})
        assert any(judge(r, Subject(state)).verdict is Verdict.VIOLATES for r in core.rules)


def test_some_command_along_a_limit_is_proved() -> None:
    band = rule(
        "band",
        "active_power must be between (voltage - 1 pu) * rated_power / 1 pu - 1 % * rated_power "
        "and (voltage - 1 pu) * rated_power / 1 pu + 1 % * rated_power",
    )
    (found,) = analysis(band).some_command()
    assert found.good, found.text
    assert found.claim is not None and refutes(*claim_from_bytes(found.claim))
    assert "along a limit" in found.text


EDITIONS = {
    ("active_power must be at most 5 kW", "active_power must be at most 5 kW"): "same",
    ("active_power must be at most 5 kW", "active_power must be at most 5000 W"): "same",
    ("active_power must be at most 5 kW", "active_power must be at most 4.999 kW"): "stricter",
    ("active_power must be at most 5 kW", "active_power must be at most 5.001 kW"): "looser",
    ("active_power must be at most 5 kW", "active_power must be below 5 kW"): "stricter",
    ("active_power must be at most 5 kW", "active_power must be at least 5 kW"): "incomparable",
}


@pytest.mark.parametrize(("before", "after"), EDITIONS)
def test_editions_are_compared_with_witnesses_that_the_interpreter_confirms(before: str, after: str) -> None:
    old, new = made(rule("limit", before)), made(rule("limit", after))
    (difference,) = differences(old, new)
    assert difference.how == EDITIONS[before, after]
    for state, refuses, allows in ((difference.refused, new, old), (difference.allowed, old, new)):
        if state is not None:
            assert judge(refuses.rules[0], Subject(state)).verdict in BLOCKED
            assert judge(allows.rules[0], Subject(state)).verdict not in BLOCKED
    for claim in difference.claims:
        assert refutes(*claim_from_bytes(claim))


def test_a_change_of_any_single_limit_of_a_real_pack_is_found() -> None:
    """Each number of each rule, definition, curve, table, parameter and setting, up and down in its last digit."""
    from compiler.mutations import _CHANGED, changes
    from rules_dsl.diagnostics import RulesError
    from rules_dsl.parse import parse

    sources = sources_of(["operator", "entsoe"])
    old = to_core(load_texts(sources), DAY)
    lowered = {r.id for s in ("unit", "bid") for p in ("command", "bid") for r in _kept(old, s, p)}
    tried = found = 0
    missed = []
    for name, text in sources.items():
        if name.endswith("vocabulary.rules"):
            continue
        lines = text.splitlines(keepends=True)
        for statement in parse(text, name):
            if not isinstance(statement, _CHANGED):
                continue
            source = "".join(lines[statement.span.line - 1 : statement.span.end_line])
            for start, end, after in changes(source):
                if not source[start:end].replace(".", "").isdigit():
                    continue
                body = source[:start] + after + source[end:]
                changed = "".join(lines[: statement.span.line - 1]) + body + "".join(lines[statement.span.end_line :])
                try:
                    new = to_core(load_texts({**sources, name: changed}), DAY)
                except RulesError:
                    continue
                if new.digest == old.digest:
                    continue
                touched = [r.id for r in new.rules if r.id in lowered and r not in old.rules]
                if not touched:
                    continue
                tried += 1
                hows = {d.rule: d for d in differences(_only(old, touched), _only(new, touched))}
                noticed = any(d.refused is not None or d.allowed is not None for d in hows.values())
                found += noticed
                if not noticed:
                    missed.append(
                        (statement.span.line, source[start:end], after, [(d.how, d.note) for d in hows.values()])
                    )
    assert tried >= 20
    assert found == tried, missed


def _kept(core: Core, subject: str, point: str) -> tuple[object, ...]:
    return lowerable(of_one(core, subject, point))[0].rules


def _only(core: Core, rules: list[str]) -> Core:
    return Core(core.vocabulary, tuple(r for r in core.rules if r.id in rules), ())


def test_the_commands(tmp_path: Path) -> None:
    runner = CliRunner()
    cache = tmp_path / "cache"
    first = runner.invoke(app, ["prove", "operator", "entsoe", "--cache", str(cache), "--out", str(tmp_path / "kept")])
    assert first.exit_code == 0, first.output
    assert "some command: " in first.output and " NO" not in first.output
    again = runner.invoke(app, ["prove", "operator", "entsoe", "--cache", str(cache)])
    assert again.output == first.output
    kept = list((tmp_path / "kept").glob("*.claim"))
    assert kept
    assert all(refutes(*claim_from_bytes(path.read_bytes())) for path in kept)
    one = tmp_path / "one.rules"
    two = tmp_path / "two.rules"
    shown_by = """  example "one"
    given voltage 1.1 pu
    allows active_power {} W
    refuses active_power {} W
"""
    one.write_text(HEAD + TIGHT + shown_by.format(0, 5001), encoding="utf-8")
    text = HEAD + TIGHT.replace("5 kW", "4 kW") + shown_by.format(0, 4001) + UP + shown_by.format(5001, 0)
    two.write_text(text, encoding="utf-8")
    shown = runner.invoke(app, ["diff", str(one), str(two)])
    assert "made/tight: stricter" in shown.output
    assert "newly refused: active_power" in shown.output
    assert "made/up: new" in shown.output
    case = tmp_path / "case.json"
    case.write_text('{"active_power": "3 kW", "voltage": "1.1 pu"}', encoding="utf-8")
    told = runner.invoke(app, ["why", str(case), "--packs", str(two)])
    assert told.exit_code == 1
    assert "made/up" in told.output and "cannot be met together" in told.output
    day = tmp_path / "day.jsonl"
    day.write_text("".join(f'{{"active_power": "{w} W"}}\n' for w in range(3000, 6000, 500)), encoding="utf-8")
    shown = runner.invoke(app, ["diff", str(one), str(two), "--day", str(day)])
    assert "made/tight: 2 newly refused, 0 newly allowed" in shown.output
