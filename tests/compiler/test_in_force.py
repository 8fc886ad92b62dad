"""What is in force: on a day and at a moment, for a place, as known on another day, by priority and adoption."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from fractions import Fraction

import pytest

from compiler.clashes import clashes
from compiler.core import CoreRule
from compiler.coverage import cover
from compiler.from_syntax import to_core
from compiler.mutations import mutants
from compiler.to_exact import Subject, Verdict, judge
from jurisdictions.loader import VOCABULARY, load_texts, packs, sources_of
from lexwatt.manual import MANUAL
from rules_dsl.diagnostics import RulesError
from rules_dsl.parse import parse
from rules_dsl.program import Day, Program
from tests.packs import DAY


def program(text: str) -> Program:
    return load_texts({str(VOCABULARY): VOCABULARY.read_text(encoding="utf-8"), "x.rules": text})


def page(slug: str) -> Program:
    return program((MANUAL / "examples" / f"{slug}.rules").read_text(encoding="utf-8"))


def limits(found: Program, on: Day, known: date | None = None) -> list[str]:
    return [rule.title for rule in to_core(found, on, known=known).rules]


def threshold(rule: CoreRule) -> Fraction:
    hot = {"frequency": Fraction("50.45"), "reference_power": Fraction(10**5), "rated_power": Fraction(10**5)}
    found = judge(rule, Subject({**hot, "active_power": Fraction(0)}))
    assert found.margin is not None
    return found.margin


def test_editions_follow_each_other_and_a_correction_is_remembered() -> None:
    found = page("instrument")
    assert limits(found, date(2019, 12, 31)) == []
    assert limits(found, date(2020, 1, 1)) == ["Power stays within ten kilowatts"]
    assert limits(found, date(2022, 12, 31)) == ["Power stays within ten kilowatts"]
    assert limits(found, date(2023, 1, 1)) == ["Power stays within twenty kilowatts"]
    assert limits(found, date(2026, 6, 1), known=date(2023, 1, 15)) == ["Power stays within twenty-one kilowatts"]
    assert limits(found, date(2026, 6, 1), known=date(2023, 2, 1)) == ["Power stays within twenty kilowatts"]
    assert limits(found, date(2026, 6, 1), known=date(2022, 1, 1)) == []
    assert limits(found, date(2027, 1, 1)) == [], "the new code has taken the old one's place"


def test_a_day_begins_where_the_instrument_is() -> None:
    found = page("instrument")
    assert limits(found, datetime(2022, 12, 31, 22, 59, tzinfo=UTC)) == ["Power stays within ten kilowatts"]
    assert limits(found, datetime(2022, 12, 31, 23, 0, tzinfo=UTC)) == ["Power stays within twenty kilowatts"]


def test_a_narrower_choice_goes_before_a_wider_one() -> None:
    found = page("parameter")
    everywhere = to_core(found, DAY).rules[0]
    assert threshold(everywhere) == Fraction(90_000)
    ireland = to_core(found, DAY, places={"country": "IE"}).rules[0]
    assert judge(ireland, Subject({"frequency": Fraction(50)})).verdict is Verdict.CANNOT_TELL
    north = to_core(found, DAY, choices={"threshold": Fraction("50.2")}, places={"country": "IE", "site": "north"})
    assert threshold(north.rules[0]) == Fraction(87_500)


def test_adoption_by_name_makes_a_reported_rule_block() -> None:
    alone = {r.id: r.blocks for r in to_core(load_texts(sources_of(["dewa"])), DAY).rules}
    assert alone["dewa/cycle_budget"] is False
    adopted = {r.id: r.blocks for r in to_core(page("pack"), DAY).rules}
    assert adopted["dewa/cycle_budget"] is True
    before = {r.id: r.blocks for r in to_core(page("pack"), date(2025, 12, 31)).rules}
    assert before["dewa/cycle_budget"] is False


CHOSEN = """pack two "Two"
instrument act "Act" authority "A" zone UTC edition "1" link "x"
parameter most : unit kW within 1 kW .. 9 kW default 5 kW cites act "1" evidence read in force from 2020-01-01
curve falling from Hz to kW cites act "1" evidence read in force from 2020-01-01
 50 Hz : most
 51 Hz : 0 kW
set most = 4 kW for operator north cites act "2" evidence {evidence} in force from 2020-01-01
rule cap "Cap" cites act "1" evidence read in force from 2020-01-01 checked at command applies to each unit
 active_power must be at most falling(frequency)
 example "e" given frequency 50 Hz allows active_power 5 kW refuses active_power 6 kW
"""
ADOPTED = 'adopt two/cap cites act "3" evidence read in force from 2020-01-01\n'


def test_a_rule_is_no_better_than_the_choice_of_value_it_reads() -> None:
    def cap(evidence: str, more: str = "", operator: str = "north", **choices: int) -> tuple[str, bool]:
        found = program(CHOSEN.format(evidence=evidence) + more)
        given = {name: Fraction(value) for name, value in choices.items()}
        (rule,) = to_core(found, DAY, given, places={"operator": operator}).rules
        return rule.evidence, rule.blocks

    assert cap("corroborated") == ("read", True)
    assert cap("reported") == ("reported", False)
    assert cap("reported", operator="south") == ("read", True), "nobody in the south reads that choice"
    assert cap("reported", most=4000) == ("read", True), "the case gives the value itself"
    assert cap("reported", ADOPTED) == ("reported", True)
    assert cap("recalled") == ("recalled", False)
    with pytest.raises(RulesError, match="blocks without being adopted"):
        cap("recalled", ADOPTED)
    own = 'set most = 4 kW for operator north, site mill cites act "2" evidence read in force from 2020-01-01\n'
    assert cap("recalled", own) == ("recalled", False)


def test_the_pack_with_the_higher_priority_wins() -> None:
    text = """pack high "High" priority 5 adopts dewa
instrument own "Own" authority "Operator" zone UTC edition "1" link "x"
set cycle_share = 70 % cites own "1" evidence given in force from 2026-01-01
"""
    lower = text.replace("high", "low").replace("High", "Low").replace("priority 5", "priority 1").replace("70", "50")
    both = load_texts(
        {
            str(VOCABULARY): VOCABULARY.read_text(encoding="utf-8"),
            "a": text,
            "b": lower.replace("own", "own_2"),
        }
    )
    chosen = both.chosen("cycle_share", DAY, {})
    assert chosen is not None
    assert chosen.value.base == Fraction(7, 10)


def test_notwithstanding_and_overrides_and_transition() -> None:
    core = to_core(page("relation"), DAY)
    assert {r.id.partition("/")[2] for r in core.rules} == {"general", "emergency_export", "stricter", "replacement"}
    assert limits(page("relation"), date(2024, 12, 31))[-1] == "A rule of the year before"
    small = {"rated_power": Fraction(5000), "active_power": Fraction(11_000)}
    (rule,) = to_core(page("transition"), DAY).rules
    assert judge(rule, Subject(small)).verdict is Verdict.COMPLIES
    (rule,) = to_core(page("transition"), date(2099, 1, 1)).rules
    assert judge(rule, Subject(small)).verdict is Verdict.VIOLATES


CLASH = """pack two "Two authorities"
instrument one "One" authority "A" zone UTC edition "1" link "x"
instrument other "Other" authority "B" zone UTC edition "1" link "x"
rule up "Up" cites one "1" evidence read in force from 2020-01-01 {relation} checked at command applies to each unit
 when frequency < 49.5 Hz,
 active_power must be at least 6 kW
 example "e" given frequency 49 Hz allows active_power 6 kW refuses active_power 5 kW
rule down "Down" cites other "1" evidence {evidence} in force from 2020-01-01 checked at command
 applies to each unit with phase in {{L1}},
 active_power must be at most {most} kW
 example "e" given phase L1; frequency 50 Hz allows active_power 1 kW refuses active_power 16 kW
"""


def test_two_authorities_that_clash_are_shown_a_state() -> None:
    def told(relation: str = "", evidence: str = "read", most: str = "5") -> list[str]:
        found = program(CLASH.format(relation=relation, evidence=evidence, most=most))
        return [d.message for d in clashes(found, to_core(found, DAY))]

    (message,) = told()
    assert re.fullmatch(r"`two/down` and `two/up` cannot both be met where frequency \S+ Hz, phase L1", message)
    assert told(relation="notwithstanding two/down") == []
    assert told(evidence="recalled") == [], "a rule that warns clashes with none"
    assert told(most="6") == []


BY_PHASE = """pack two "Two authorities"
instrument one "One" authority "A" zone UTC edition "1" link "x"
table least_power by phase gives kW cites one "1" evidence read in force from 2020-01-01
 | three_phase | 1 kW |
 | L1 | 2 kW |
 | L2 | 6 kW |
 | L3 | 3 kW |
rule up "Up" cites one "1" evidence read in force from 2020-01-01 checked at command applies to each unit
 active_power must be at least least_power(phase)
 example "e" given phase L1 allows active_power 2 kW refuses active_power 1 kW
rule down "Down" cites one "2" evidence read in force from 2020-01-01 checked at command applies to each unit
 active_power must be at most 5 kW
 example "e" given phase L2 allows active_power 5 kW refuses active_power 6 kW
"""


def test_a_clash_by_a_table_of_alternatives_is_shown_at_one_of_them() -> None:
    found = program(BY_PHASE)
    told = [d.message for d in clashes(found, to_core(found, DAY))]
    assert told == ["`two/down` and `two/up` cannot both be met where phase L2"]


OUT_OF_ORDER = """pack two "Rows"
instrument one "One" authority "A" zone UTC edition "1" link "x"
rule low "Low" cites one "1" evidence read in force from 2020-01-01 checked at telemetry
 applies to each trace with product in {dc_low},
 at every sample,
 response must be at most 5 kW
 example "e" given product dc_low; sample a (elapsed 0 s, response 1 kW)
  allows sample b (elapsed 1 s, response 5 kW)
  refuses sample b (elapsed 1 s, response 6 kW)
 example "not asked" given product none; sample a (elapsed 5 s, response 1 kW)
  allows sample b (elapsed 1 s, response 9 kW)
"""


def test_rows_out_of_order_where_the_rule_does_not_apply_stop_no_coverage() -> None:
    (found,) = cover(program(OUT_OF_ORDER), DAY)
    assert found.verdicts == {Verdict.COMPLIES, Verdict.VIOLATES, Verdict.NOT_APPLICABLE}
    assert found.boundary


def test_the_packs_that_ship_do_not_clash() -> None:
    found = load_texts(sources_of(packs()))
    assert list(clashes(found, to_core(found, DAY))) == []


def test_rows_out_of_order_or_missing_cannot_be_told() -> None:
    (rule, _) = to_core(page("response"), DAY).rules
    row = {"elapsed": Fraction(0), "frequency": Fraction(49), "response": Fraction(0)}
    for rows in ((), (row, row), (row, {**row, "elapsed": Fraction(-1)}), ({"elapsed": Fraction(0)},)):
        found = judge(rule, Subject({"contracted": Fraction(1)}, rows))
        assert found.verdict is Verdict.CANNOT_TELL
        assert found.unusable


def _noticed(pack: str, every: int) -> tuple[int, list[str]]:
    files = {name: (text, parse(text, name)) for name, text in sources_of([pack]).items()}
    made = list(mutants(files, [pack], DAY, every))
    return len(made), [f"{m.span.file}:{m.span.line}: {m.before} to {m.after}" for m in made if not m.noticed]


SMALL = 70
"""Rules of a pack up to which every change is tried in every run; of larger packs one in 29 is, and all at night."""


@pytest.mark.parametrize("pack", packs())
def test_nine_of_ten_of_some_changes_of_a_number_are_noticed_by_the_examples(pack: str) -> None:
    made, missed = _noticed(pack, 1 if len(load_texts(sources_of([pack])).rules) <= SMALL else 29)
    assert made >= 5
    assert 1 - len(missed) / made >= 0.9, missed


@pytest.mark.slow
@pytest.mark.parametrize("pack", packs())
def test_nine_of_ten_changes_of_a_number_are_noticed_by_the_examples(pack: str) -> None:
    made, missed = _noticed(pack, 1)
    assert made >= 5
    assert 1 - len(missed) / made >= 0.9, missed
