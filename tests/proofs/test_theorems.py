"""The shipped packs' theorems are proved; broken packs give counterexamples that the interpreter replays."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from compiler.core import Core
from compiler.from_syntax import to_core
from compiler.instance import of_one
from compiler.to_exact import Subject, Verdict, curve, holds, judge
from jurisdictions.loader import VOCABULARY, load, load_texts, sources_of
from lexwatt.remembered import decide
from lexwatt.show import answer_lines
from proofs.checker.certificate import refutes
from proofs.checker.claim import from_bytes
from proofs.theorems import Answer, Proved, Refuted, Unknown, prove
from tests.packs import DAY, PACKS, broken


def test_every_theorem_of_the_shipped_packs_is_proved_by_a_certificate_that_checks() -> None:
    kinds: Counter[str] = Counter()
    for packs in (PACKS, ("ieee1547",), ("nordic",)):
        for answer in decide(to_core(load(packs), DAY)):
            assert isinstance(answer, Proved)
            assert refutes(answer.problem, from_bytes(answer.certificate))
            assert json.loads(answer.to_document())["type"] == "lexwatt/theorem/v1"
            weaker = replace(answer.problem, facts=answer.problem.facts[1:])
            assert not refutes(weaker, ("F", ()))
            kinds[answer.theorem.kind] += 1
    assert set(kinds) == {"always_some", "never_more", "never_less", "keeps", "after", "nowhere_above"}


def test_a_remembered_proof_is_checked_and_one_that_does_not_check_is_sought_anew(tmp_path: Path) -> None:
    rules = to_core(load(["nordic"]), DAY)
    (first,) = decide(rules, tmp_path)
    assert isinstance(first, Proved)
    (place,) = tmp_path.iterdir()
    assert decide(rules, tmp_path) == (first,)
    kept = json.loads(place.read_bytes())
    for spoilt in (b"", b"{}", json.dumps({**kept, "certificate": ["F", []]}).encode(), place.read_bytes()[:-9]):
        place.write_bytes(spoilt)
        assert decide(rules, tmp_path) == (first,)
        assert json.loads(place.read_bytes()) == kept


BROKEN = {
    "a ramp that holds back stopping": (
        "  except when active_power >= 0 W and active_power <= previous_setpoint\n",
        "",
        "operator/some_command",
    ),
    "a dead band that forbids stopping": ("  except when active_power = 0 W\n", "", "operator/some_command"),
    "a reserve that charges by force": (
        "active_power * command_duration\n    must be at most max(0 Wh, state_of_charge",
        "active_power * command_duration\n    must be at most max(-1 Wh, state_of_charge",
        "operator/some_command",
    ),
    "a droop the wrong way round": (
        "(frequency - lfsm_o_threshold) / (lfsm",
        "(lfsm_o_threshold - frequency) / (lfsm",
        "entsoe/less_at_higher_frequency",
    ),
    "a limit below the threshold only": (
        "when frequency > lfsm_o_threshold",
        "when frequency < lfsm_o_threshold",
        "entsoe/less_at_higher_frequency",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_pack_gives_a_counterexample_that_the_interpreter_replays(what: str) -> None:
    old, new, theorem = BROKEN[what]
    changed = broken(old, new)
    answer = next(a for a in decide(changed) if a.theorem.id == theorem)
    assert isinstance(answer, Refuted)
    text = "\n".join(answer_lines(answer, changed))
    assert "counterexample" in text
    assert " W" in text
    assert " Hz" in text
    if answer.theorem.kind == "always_some":
        for watts in range(-21, 22):
            assert _refused(changed, answer.states[0], Fraction(watts * 10**6, 1))
        for steps in _near(answer.states[0]):
            assert _refused(changed, answer.states[0], steps)
    else:
        lower, upper = answer.states
        assert lower[answer.theorem.cause] <= upper[answer.theorem.cause]
        power = lower["active_power"]
        assert upper["active_power"] == power
        about = [r.id for r in changed.rules if r.id == "entsoe/lfsm_o"]
        assert _refused(changed, lower, power, about)
        assert not _refused(changed, upper, power, about)


def _near(state: object) -> list[Fraction]:
    assert isinstance(state, dict)
    previous = state["previous_setpoint"]
    return [previous + d for d in (-1, 0, 1)] + [Fraction(0), Fraction(1), Fraction(-1)]


def _refused(rules: Core, state: object, power: Fraction, only: list[str] | None = None) -> bool:
    assert isinstance(state, dict)
    instance = of_one(rules, "unit", "command")
    values = {n: s * instance.vocabulary[n].resolution for n, s in {**state, "active_power": power}.items()}
    verdicts = [judge(r, Subject(values)).verdict for r in instance.rules if only is None or r.id in only]
    return any(v in (Verdict.VIOLATES, Verdict.CANNOT_TELL) for v in verdicts)


BAND = "off by at most state_of_charge_uncertainty"
SOC = "operator/soc_stays_inside"
HAIR = {
    "a reading off by a little more": ("operator", BAND, f"{BAND} + 0.0001 %", SOC, "state_of_charge becomes"),
    "a little above the floor": (
        "operator",
        "keeps state_of_charge >= soc_min and",
        "keeps state_of_charge >= soc_min + 0.0001 % and",
        SOC,
        "operator/soc_floor (Battery data sheet, LFP 250 kWh, doD_soc_limits.min_soc_trip) complies",
    ),
    "a little below the ceiling": (
        "operator",
        "and state_of_charge <= soc_max",
        "and state_of_charge <= soc_max - 0.0001 %",
        SOC,
        "state_of_charge becomes",
    ),
    "a loss of a millionth": (
        "operator",
        "state_of_charge - active_power * command_duration / usable",
        "state_of_charge - 1.000001 * active_power * command_duration / usable",
        SOC,
        "state_of_charge becomes",
    ),
    "a second longer than is looked ahead": (
        "entsoe",
        "after command_duration of a command that complies, state",
        "after command_duration + 1 s of a command that complies, state",
        "entsoe/fcr_energy_stays",
        "entsoe/fcr_keep_up (Commission Regulation (EU) 2017/1485 (SO GL), Art. 156(9)) complies",
    ),
    "a band a little wider than what the rule allows for": (
        "entsoe",
        BAND,
        f"{BAND} + 0.0001 %",
        "entsoe/fcr_room_stays",
        "entsoe/fcr_keep_down (Commission Regulation (EU) 2017/1485 (SO GL), Art. 156(9)) complies",
    ),
    "the crossing of two curves": (
        "ieee1547",
        "and 0.969 pu",
        "and 0.9697 pu",
        "ieee1547/b_supports_more",
        "volt_var_a is",
    ),
    "a factor a little above the other": (
        "nordic",
        "times 95 % is",
        "times 120.0001 % is",
        "nordic/fcrd_up_room",
        "fcrd_up_activation, scaled, is",
    ),
    "less where there is more": (
        "operator",
        "ramp_limit never allows less",
        "ramp_limit never allows more",
        "operator/ramp_gives",
        "operator/ramp (Site configuration CSAN-MICROGRID-001, dispatch limits, "
        "dispatch_limits.real_power.ramp_rate) refuses, by",
    ),
    "more where there is less": (
        "operator",
        "uncertainty never allows more",
        "uncertainty never allows less",
        "operator/doubt_costs",
        "every rule lets it pass",
    ),
    "any reactive mode": (
        "ieee1547",
        "reactive_mode in {constant_q}",
        "reactive_mode in {constant_q, volt_var}",
        "ieee1547/less_at_higher_voltage",
        "refuses, by",
    ),
}


@pytest.mark.parametrize("what", HAIR)
def test_a_claim_off_by_a_hair_is_refuted_and_the_interpreter_agrees(what: str) -> None:
    pack, old, new, theorem, told = HAIR[what]
    sources = sources_of([pack])
    changed = {name: text.replace(old, new) for name, text in sources.items()}
    assert changed != sources
    rules = to_core(load_texts(changed), DAY)
    answer = _one(rules, theorem)
    assert isinstance(answer, Refuted)
    assert told in "\n".join(line.partition("replayed: ")[2] for line in answer_lines(answer, rules))
    instance = of_one(rules, answer.theorem.subject, "command")
    declared = instance.vocabulary | {d.name: d for d in answer.theorem.extra}
    states = [{n: v * declared[n].resolution for n, v in state.items()} for state in answer.states]
    assert all(holds(answer.theorem.given, Subject(state)) for state in states)
    complies = [
        all(
            judge(r, Subject(s)).verdict in (Verdict.COMPLIES, Verdict.NOT_APPLICABLE)
            for r in instance.rules
            if r.blocks
        )
        for s in states
    ]
    if len(states) == 2:
        low, high = states
        assert {n for n in low if low[n] != high[n]} == {answer.theorem.cause}
        assert low[answer.theorem.cause] < high[answer.theorem.cause]
        assert complies == [answer.theorem.kind == "never_less", answer.theorem.kind == "never_more"]
        return
    (state,) = states
    assert complies == [True]
    assert not holds(answer.theorem.then, Subject(state))
    if theorem == SOC:
        loss = Fraction(1000001, 1000000) if "millionth" in what else 1
        error = state["error of state_of_charge"]
        moved = loss * state["active_power"] * state["command_duration"] / state["usable_energy"]
        after = state["state_of_charge"] + error - moved
        assert after < state["soc_min"] + Fraction(1, 10**6) or after > state["soc_max"] - Fraction(1, 10**6)


def _one(rules: Core, theorem: str) -> Answer:
    found = next(t for t in rules.theorems if t.id == theorem)
    return prove(found, of_one(rules, found.subject, "command"))


TOY = """pack toy "A toy"

instrument act "The Act"
  authority "Parliament"  zone Europe/London
  edition "1"
    link "none"

parameter open_value : unit kW within 1 kW .. 9 kW
  cites act "s. 1"  evidence read  in force from 2020-01-01
"""
RULE = """
rule r{n} "R"
  cites act "s. 1"  evidence read  in force from 2020-01-01
  checked at command
  applies to each unit
  {demand}
  example "e"
    allows active_power 0 W
    refuses active_power 1 W
"""


def _toy(claim: str, *demands: str) -> Answer:
    rules = "".join(RULE.format(n=n, demand=demand) for n, demand in enumerate(demands))
    text = f'{TOY}{rules}\ntheorem t "T"\n  for each unit {claim}\n'
    program = load_texts({str(VOCABULARY): VOCABULARY.read_text(encoding="utf-8"), "toy.rules": text})
    return _one(to_core(program, DAY), "toy/t")


STEP = "where previous_setpoint becomes"
TOYS = {
    "two that fit": (
        f"a command that complies keeps previous_setpoint <= 5 kW {STEP} (previous_setpoint + active_power) / 2",
        ["active_power must be at most 5 kW"],
        Proved,
        "",
    ),
    "the bound itself left out": (
        f"a command that complies keeps previous_setpoint < 5 kW {STEP} active_power",
        ["active_power must be at most 5 kW"],
        Refuted,
        "previous_setpoint becomes 5000 W",
    ),
    "swapped in one step": (
        "a command that complies keeps previous_setpoint <= reference_power "
        "where previous_setpoint becomes reference_power and reference_power becomes previous_setpoint",
        ["active_power must be at most 5 kW"],
        Refuted,
        "reference_power becomes",
    ),
    "divided twice": (
        "with usable_energy > 0 Wh and rated_power >= 1 W, "
        "after command_duration of a command that complies, max(0 %, state_of_charge) >= 0 % "
        "where state_of_charge changes at -active_power * rated_power / usable_energy / rated_power",
        ["active_power must be at most 5 kW"],
        Proved,
        "",
    ),
    "nothing to speak of": (
        f"with active_power > 5 kW, a command that complies keeps previous_setpoint <= 5 kW {STEP} active_power",
        ["active_power must be at most 5 kW"],
        Unknown,
        "no state was found in which what it assumes holds and every rule complies",
    ),
    "half of a choice is none": (
        f"a command that complies keeps previous_setpoint <= 5 kW {STEP} active_power",
        ["it must hold that active_power <= 5 kW or not phase in {three_phase, L1, L2, L3}"],
        Proved,
        "",
    ),
    "three in a product": (
        "after command_duration of a command that complies, active_power * rated_power <= 5 kW * rated_power "
        "where active_power changes at active_power / 1 s",
        ["active_power must be at most 5 kW"],
        Unknown,
        "a product of more than two quantities cannot be written as facts",
    ),
    "a value that nobody has chosen": (
        f"a command that complies keeps previous_setpoint <= open_value {STEP} active_power",
        ["active_power must be at most 5 kW"],
        Unknown,
        "parameter `open_value`, which nobody has chosen, cannot be written as facts",
    ),
    "a whole multiple that facts leave out": (
        f"a command that complies keeps previous_setpoint <= 4.5 kW {STEP} active_power",
        ["active_power must be at most 5 kW", "active_power must be a whole multiple of 3 kW"],
        Unknown,
        "the interpreter finds that `toy/r1` does not let it pass",
    ),
    "no whole multiple among what is left": (
        "some active_power is always allowed",
        ["active_power must be a whole multiple of 7 W", "active_power must be between 1 W and 2 W"],
        Unknown,
        "rule `toy/r0`: a whole multiple cannot be written as facts",
    ),
    "half a step is neither a command nor none": (
        "some active_power is always allowed",
        ["2 * active_power must equal 1 W"],
        Unknown,
        "in some state only active_power between whole steps is allowed",
    ),
    "a limit that nobody has chosen": (
        "some active_power is always allowed",
        ["active_power must be at most 5 kW", "active_power must be at most open_value"],
        Unknown,
        "rule `toy/r1`: parameter `open_value`, which nobody has chosen, cannot be written as facts",
    ),
    "a multiple that the cause stretches": (
        "raising reference_power never allows more active_power",
        [
            "active_power + reference_power must be a whole multiple of 3 W",
            "it must hold that active_power <= 5 kW or reference_power < 0 W",
        ],
        Unknown,
        "rule `toy/r0`: a whole multiple cannot be written as facts",
    ),
    "a multiple that the cause does not touch": (
        "raising frequency never allows more active_power",
        [
            "it must hold that active_power <= 5 kW or frequency < 50 Hz",
            "active_power must be a whole multiple of 3 kW",
        ],
        Proved,
        "",
    ),
    "what another rule forbids does not count": (
        "raising frequency never allows more active_power",
        ["it must hold that active_power <= 5 kW or frequency >= 50 Hz", "active_power must be at most 5 kW"],
        Proved,
        "",
    ),
    "what is assumed at both ends": (
        "with frequency < 50 Hz, raising frequency never allows more active_power",
        ["it must hold that active_power <= 5 kW or frequency >= 50 Hz"],
        Proved,
        "",
    ),
    "some command among those that remain": (
        "with frequency < 50 Hz, some active_power is always allowed",
        ["it must hold that active_power <= 5 kW and frequency < 50 Hz"],
        Proved,
        "",
    ),
    "a hair wider": (
        "with frequency <= 50 Hz, some active_power is always allowed",
        ["it must hold that active_power <= 5 kW and frequency < 50 Hz"],
        Refuted,
        "with active_power 0 W: toy/r0 (The Act, s. 1) refuses",
    ),
}


@pytest.mark.parametrize("what", TOYS)
def test_a_claim_about_a_toy_is_answered_as_one_reckons_by_hand(what: str) -> None:
    claim, demands, kind, told = TOYS[what]
    answer = _toy(claim, *demands)
    assert isinstance(answer, kind), answer
    found = (
        answer.why if isinstance(answer, Unknown) else "\n".join(answer.replay) if isinstance(answer, Refuted) else ""
    )
    assert told in found


def test_two_curves_compare_as_they_do_at_all_their_corners() -> None:
    pick = random.Random(11)
    outcomes: Counter[bool] = Counter()
    for _ in range(25):
        lower, upper = (_points(pick, lift) for lift in (0, pick.randint(0, 4)))
        start, end = sorted(pick.sample(range(-5, 35), 2))
        times = Fraction(pick.randint(5, 15), 10)
        text = TOY
        for name, points in (("lower", lower), ("upper", upper)):
            pairs = "  ".join(f"{x} W: {y} %" for x, y in points)
            text += (
                f'\ncurve {name} from W to %\n  cites act "s. 1"  evidence read  in force from 2020-01-01\n  {pairs}\n'
            )
        claim = f"curve lower times {float(times)} is nowhere above curve upper between {start} W and {end} W"
        text += f'\ntheorem t "T"\n  {claim}\n'
        program = load_texts({str(VOCABULARY): VOCABULARY.read_text(encoding="utf-8"), "toy.rules": text})
        corners = {x for x, _ in (*lower, *upper) if start <= x <= end} | {Fraction(start), Fraction(end)}
        true = all(times * curve(lower, x) <= curve(upper, x) for x in corners)
        answer = _one(to_core(program, DAY), "toy/t")
        assert isinstance(answer, Proved if true else Refuted), claim
        outcomes[true] += 1
    assert min(outcomes[True], outcomes[False]) >= 5


def _points(pick: random.Random, lift: int) -> list[tuple[Fraction, Fraction]]:
    xs = sorted(pick.sample(range(30), pick.randint(2, 5)))
    return [(Fraction(x), Fraction(pick.randint(0, 6) + lift)) for x in xs]
