"""Analyses of rule sets: findings on made-up packs with a known answer, replayed and checked."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compiler.from_syntax import to_core
from compiler.instance import Instance, of_one, with_one_row
from compiler.lower import lower
from compiler.to_exact import Subject, Verdict, judge
from jurisdictions import loader
from jurisdictions.loader import load
from lexwatt.cli import app
from proofs.analyses import BLOCKED, Analysis, Finding, expressible
from proofs.checker.certificate import refutes
from proofs.checker.claim import claim_from_bytes
from proofs.policies import Commands, groups, pack
from tests.proofs.made_up import DAY, HEAD, analysis, made, rule


def by_kind(findings: list[Finding]) -> dict[tuple[str, str], Finding]:
    return {(f.kind, f.rules[0]): f for f in findings}


def some_command(found: Analysis) -> list[Finding]:
    return [Commands(Analysis(part), "command").some() for part in groups(found, "command")]


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
    (gap,) = some_command(set_)
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
    (found,) = some_command(analysis(band))
    assert found.good, found.text
    assert found.claim is not None and refutes(*claim_from_bytes(found.claim))
    assert "along a limit" in found.text


def test_a_control_that_takes_whole_values_does_not_follow_a_limit() -> None:
    line = rule("line", "active_power must equal (voltage - 1 pu) * 1 kW / 1 pu", "when voltage >= 1.1 pu,")
    set_ = analysis(line)
    (found,) = some_command(set_)
    assert found.good and "along a limit" in found.text
    commands = Commands(set_, "command")
    set_.ints = frozenset(commands.controls)
    found = commands.some()
    assert found.good is False and found.state is not None and found.claim is not None
    assert refutes(*claim_from_bytes(found.claim))
    assert (found.state["voltage"] * 1000).denominator > 1, "between two whole watts nothing is allowed"


def test_the_first_rule_does_not_narrow_the_ranges_of_the_others() -> None:
    first = rule("first", "active_power must be at most 5 kW", "when voltage >= 1.1 pu,")
    core = made(first, rule("second", "active_power must be at most 4 kW", "when voltage < 0.9 pu,"))
    facts = lower(of_one(core, "unit", "command"))
    declared = core.declared()["voltage"]
    ends = {(v.low * v.resolution, v.high * v.resolution) for v in facts.variables if v.name == "voltage"}
    assert ends == {(declared.low, declared.high)}


OTHERS = {
    "apart": (["active_power must be at least 5.001 kW", ""], {"made", "other"}),
    "in one state": (["active_power must be at least 5.001 kW", "when voltage > 1.05 pu,"], {"made", "other"}),
    "none": (["active_power must be at least 5 kW", ""], None),
    "overlap": (["active_power must be between 1 kW and 9 kW", "when frequency > 50.2 Hz,"], None),
}


@pytest.mark.parametrize("case", OTHERS)
def test_two_packs_that_each_allow_something_and_together_nothing(case: str) -> None:
    (demand, before), clash = OTHERS[case]
    core = made(TIGHT, others=(rule("floor", demand, before),))
    instance, _ = expressible(of_one(core, "unit", "command"))
    (part,) = groups(Analysis(instance), "command")
    found = Commands(Analysis(part), "command").together("made", "other")
    assert found.claim is not None and refutes(*claim_from_bytes(found.claim))
    assert found.good is (clash is None)
    if clash is not None:
        assert "between made and other, each of which alone allows something" in found.text
        check_clash(found, part)


def check_clash(found: Finding, part: Instance) -> None:
    """By the interpreter each pack's command meets its own rules and not the other's; and no command meets both."""
    assert found.state is not None
    whole = Analysis(part)
    assert set(found.commands) == {pack(r) for r in found.rules}
    for name, command in found.commands.items():
        said = {r.id: judge(r, Subject(whole.complete({**found.state, **command}))).verdict for r in part.rules}
        assert not any(v in BLOCKED for r, v in said.items() if pack(r) == name)
        assert any(v in BLOCKED for v in said.values())
    for watts in range(-20_000, 20_000, 250):
        state = whole.complete({**found.state, "active_power": Fraction(watts)})
        assert any(judge(r, Subject(state)).verdict in BLOCKED for r in part.rules)


def test_a_clash_is_found_beside_a_gap_that_one_pack_has_alone() -> None:
    own = rule("own", "active_power must be at least 6 kW", "when voltage > 1.05 pu,")
    floor = rule("floor", "active_power must be at least 5.5 kW", "when voltage < 0.95 pu,")
    for others, clash in (((floor,), True), ((rule("loose", "active_power must be at most 9 kW"),), False)):
        instance, _ = expressible(of_one(made(TIGHT, own, others=others), "unit", "command"))
        (part,) = groups(Analysis(instance), "command")
        found = Commands(Analysis(part), "command").together("made", "other")
        assert found.good is not clash, found.text
        assert found.claim is not None and refutes(*claim_from_bytes(found.claim))
        if clash:
            assert found.state is not None and found.state["voltage"] < Fraction(95, 100)
            check_clash(found, part)


def test_rules_at_every_row_are_asked_at_one_row() -> None:
    core = to_core(load(["ema", "ofgem"]), DAY)
    instance, _ = expressible(of_one(core, "energy_offer", "bid"))
    rows = [r for r in instance.rules if r.quantifier]
    assert {r.id for r in rows} >= {"ema/energy_ceiling", "ofgem/bm_bid_under_offer"}
    whole = Analysis(instance)
    for finding in whole.each_rule():
        assert finding.good is not None
        if finding.state is not None and finding.kind == "can be broken":
            (rule_,) = [r for r in instance.rules if r.id == finding.rules[0]]
            assert judge(rule_, with_one_row(rule_, whole.complete(finding.state))).verdict is Verdict.VIOLATES


def test_rules_at_rows_that_they_do_not_name_the_order_of_are_decided() -> None:
    core = to_core(load(["ieee1547"]), DAY)
    rules = tuple(r for r in core.rules if r.id in ("ieee1547/ride_rocof", "ieee1547/mandatory_current"))
    assert len(rules) == 2 and all(r.rows is not None and r.rows.order == "elapsed" for r in rules)
    instance, left = expressible(Instance("trace", core.digest, core.declared(), rules))
    assert not left
    found = list(Analysis(instance).each_rule())
    assert found and all(finding.good is not None for finding in found)


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
    assert "made/tight (House rules, 1): stricter" in shown.output
    assert "newly refused: active_power" in shown.output
    assert "made/up (House rules, 1): new" in shown.output
    case = tmp_path / "case.json"
    case.write_text('{"active_power": "3 kW", "voltage": "1.1 pu"}', encoding="utf-8")
    told = runner.invoke(app, ["why", str(case), "--packs", str(two)])
    assert told.exit_code == 1
    assert "made/up" in told.output and "cannot be met together" in told.output
    day = tmp_path / "day.jsonl"
    day.write_text("".join(f'{{"active_power": "{w} W"}}\n' for w in range(3000, 6000, 500)), encoding="utf-8")
    shown = runner.invoke(app, ["diff", str(one), str(two), "--day", str(day)])
    assert "made/tight: 2 newly refused, 0 newly allowed" in shown.output


def test_an_answer_is_sought_anew_once_an_adopted_pack_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "HOME", tmp_path)
    ground = tmp_path / "ground" / "ground.rules"
    ground.parent.mkdir()
    own = tmp_path / "own.rules"
    own.write_text('pack own "Our own" adopts ground\n', encoding="utf-8")
    text = HEAD.replace("pack made", "pack ground")
    said = []
    floor = rule("floor", "active_power must be at least 1 kW")
    for rules in (TIGHT + EXAMPLE.format(0, 5001), floor + EXAMPLE.format(1000, 0)):
        ground.write_text(text + rules, encoding="utf-8")
        said.append(CliRunner().invoke(app, ["prove", str(own), "--all", "--cache", str(tmp_path / "kept")]).output)
    assert "ground/tight can be met" in said[0]
    assert "ground/floor can be met" in said[1]


EXAMPLE = """  example "one"
    allows active_power {} W
    refuses active_power {} W
"""


def test_rules_that_facts_cannot_express_are_named_beside_what_is_said_of_every_state(tmp_path: Path) -> None:
    step = rule("step", "active_power must be a whole multiple of 10 W") + EXAMPLE.format(10, 15)
    warned = rule("tick", "active_power must be a whole multiple of 2 W").replace("at command", "at command warns")
    spoken = rule("volts", "voltage must be a whole multiple of 0.1 pu")
    spoken += '  example "v"\n    allows voltage 1 pu\n    refuses voltage 1.01 pu\n'
    floor = rule("floor", "active_power must be at least 1 kW") + EXAMPLE.format(1000, 0)
    for name, text in {
        "one": HEAD + TIGHT + EXAMPLE.format(0, 5001) + step + warned + EXAMPLE.format(2, 3) + spoken,
        "two": (HEAD + floor + step).replace("pack made", "pack other").replace("house", "home"),
        "three": (HEAD + step).replace("pack made", "pack third").replace("house", "hut"),
    }.items():
        (tmp_path / f"{name}.rules").write_text(text, encoding="utf-8")
    one, two, three = (str(tmp_path / f"{name}.rules") for name in ("one", "two", "three"))
    said = CliRunner().invoke(app, ["prove", one, two, three, "--all", "--cache", str(tmp_path / "kept")]).output
    first, second, third = (part for part in said.split(str(tmp_path))[1:4])
    assert "3 that facts cannot express, judged by the interpreter alone" in first
    assert "; of commands without made/step, which facts cannot express" in first
    assert "allowed in every state, leaving out made/step, which facts cannot express: active_power" in first
    assert "without other/step" in second and "made" not in second.split("; of commands")[1]
    assert "nothing to decide; 1 that facts cannot express" in third
    (pair,) = re.findall(r"one.rules \+ \S+two.rules: (.*)", said)
    assert pair == "fit together: 1 yes; of commands without made/step, other/step, which facts cannot express"
    assert "wherever each alone does, leaving out made/step, other/step, which facts cannot express" in said
    (pair,) = re.findall(r"one.rules \+ \S+three.rules: (.*)", said)
    assert pair == "nothing to decide; of commands without made/step, third/step, which facts cannot express"


def told(case: dict[str, str], packs: list[str], folder: Path) -> tuple[int, str]:
    path = folder / "case.json"
    path.write_text(json.dumps(case), encoding="utf-8")
    found = CliRunner().invoke(app, ["why", str(path), "--packs", ",".join(packs)])
    return found.exit_code, found.output


STATE = {
    "frequency": "50.7 Hz",
    "frequency_uncertainty": "0 Hz",
    "reference_power": "100 kW",
    "rfg_adopted": "yes",
    "fcr_reserved": "0 W",
    "usable_energy": "1 MWh",
    "state_of_charge": "50 %",
    "command_duration": "900 s",
}


def test_why_tells_the_closest_command_and_that_none_is_closer(tmp_path: Path) -> None:
    code, output = told({**STATE, "active_power": "90 kW"}, ["entsoe"], tmp_path)
    assert code == 0, output
    assert (
        "entsoe/lfsm_o (Commission Regulation (EU) 2016/631 (NC RfG), Art. 13(2), Figure 1): violates, by 10" in output
    )
    assert re.search(r"closest allowed: active_power 80000 W \(none is closer: certificate of \d+ bytes\)", output)
    code, output = told({**STATE, "active_power": "70 kW"}, ["entsoe"], tmp_path)
    assert code == 0 and output.startswith("allowed: active_power"), output


def test_why_tells_each_pair_of_packs_that_clashes(tmp_path: Path) -> None:
    packs = []
    for name, demand in (("one", "at most 5 kW"), ("two", "at least 6 kW"), ("three", "at least 7 kW")):
        head = HEAD.replace("pack made", f"pack {name}").replace("instrument house", f"instrument {name}_house")
        text = rule(f"{name}_limit", f"active_power must be {demand}").replace("cites house", f"cites {name}_house")
        example = '  example "one"\n    allows active_power {}\n    refuses active_power {}\n'
        path = tmp_path / f"{name}.rules"
        path.write_text(head + text + example.format(*(("0 W", "9 kW") if name == "one" else ("9 kW", "0 W"))))
        packs.append(str(path))
    code, output = told({"active_power": "1 W"}, packs, tmp_path)
    assert code == 1, output
    for other in ("two", "three"):
        assert f"nothing is allowed between one and {other}, each of which alone allows something" in output
        assert re.search(rf"{other} alone allows active_power \d", output), output
    assert "two and three" not in output


BAD = {
    "missing": ({"active_power": "90 kW"}, "is missing"),
    "range": ({**STATE, "frequency": "900 Hz"}, "`frequency` is outside the range"),
    "unit": ({**STATE, "reference_power": "3 Hz"}, "`reference_power` is in `Hz`"),
}


@pytest.mark.parametrize("case", BAD)
def test_why_names_what_it_cannot_use(case: str, tmp_path: Path) -> None:
    given, expected = BAD[case]
    code, output = told(given, ["entsoe"], tmp_path)
    assert code == 2 and expected in output
