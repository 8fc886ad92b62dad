"""Each mistake gets its own message, with place, clause and hint."""

from __future__ import annotations

import pytest

from compiler.from_syntax import to_core
from jurisdictions.loader import VOCABULARY, load_texts
from rules_dsl.diagnostics import RulesError, render
from tests.packs import DAY

HEAD = """pack p "p"
instrument law "The Act" authority "Parliament" edition "1" link "x"
instrument own "Our table" authority "Operator" edition "1" link "x"
"""
SOURCE = 'cites law "s. 1" evidence read in force from 2020-01-01'


def rule(
    demand: str = "active_power must be at most 5 kW",
    source: str = SOURCE,
    when: str = "",
    scope: str = "",
    examples: str = 'example "e" given frequency 50 Hz allows active_power 5 kW refuses active_power 6 kW',
) -> str:
    return f'rule r "R" {source} checked at command applies to each unit {scope} {when} {demand} {examples}\n'


CASES: dict[str, tuple[str, str, str, str]] = {
    # what: (text, code, part of the message, part of the hint)
    "a word out of place": (HEAD + "rule r R", "syntax", "found `R`", "text in double quotes"),
    "an end too early": (HEAD + 'rule r "R"', "syntax", "the end of the file", "`cites`"),
    "a day that is not": (HEAD + rule(source=SOURCE.replace("01-01", "02-30")), "date", "`2020-02-30`", ""),
    "an unknown quantity": (
        HEAD + rule("active_pwer must be at most 5 kW"),
        "unknown",
        "`active_pwer`",
        "did you mean `active_power`?",
    ),
    "power against frequency": (
        HEAD + rule("active_power must be at most 5 Hz"),
        "dimension",
        "frequency stands where active power is needed",
        "",
    ),
    "reactive against active power": (
        HEAD + rule("active_power must be at most 5 kvar"),
        "dimension",
        "reactive power stands where active power",
        "",
    ),
    "a division by a quantity": (
        HEAD + rule("active_power must be at most 5 kW / frequency * 1 Hz"),
        "division",
        "only numbers and parameters may divide",
        "multiply both sides",
    ),
    "an instrument nobody declared": (
        HEAD + rule(source=SOURCE.replace("law", "act")),
        "unknown",
        "no instrument is called `act`",
        "`instrument`",
    ),
    "law on the operator's word": (
        HEAD + rule(source=SOURCE.replace("read", "given")),
        "evidence",
        "`given` evidence is for the operator's own texts",
        "read, corroborated or recalled",
    ),
    "an end before the beginning": (
        HEAD + rule(source=SOURCE + " until 2019-01-01"),
        "dates",
        "ends before it begins",
        "",
    ),
    "no refused example": (
        HEAD + rule(examples='example "e" given frequency 50 Hz allows active_power 5 kW'),
        "example",
        "an example that is allowed and one that is refused",
        "",
    ),
    "a choice outside its law": (
        HEAD + f"parameter q : unit Hz within 1 Hz .. 2 Hz {SOURCE}\nset q = 3 Hz {SOURCE}\n",
        "range",
        "3 Hz is outside the legal range of `q`",
        "from 1 Hz to 2 Hz",
    ),
    "a setting of nothing": (HEAD + f"set q = 3 Hz {SOURCE}\n", "unknown", "no parameter is called `q`", ""),
    "a name twice": (HEAD + "define a = 1 W\ndefine a = 2 W\n", "twice", "`a` is declared twice", "the first is at"),
    "a rule twice": (HEAD + rule() + rule(), "twice", "rule `r` is declared twice", ""),
    "a definition in a circle": (
        HEAD + "define a = b\ndefine b = a\n",
        "circle",
        "is defined by itself",
        "",
    ),
    "a curve that goes back": (
        HEAD + f"curve c from Hz to pu {SOURCE} 2 Hz: 1 1 Hz: 2\n",
        "curve",
        "do not ascend",
        "",
    ),
    "an alternative that is none": (
        HEAD + rule(scope="with phase in {L9},"),
        "unknown",
        "`L9` is not an alternative of `phase`",
        "three_phase, L1, L2, L3",
    ),
    "a choice used as a flag": (HEAD + rule(scope="with phase,"), "dimension", "not a yes-or-no quantity", ""),
    "a rule outside a pack": (HEAD.split("\n", 1)[1] + rule(), "no-pack", "stand in a pack", "begin with"),
    "two settings in force": (
        HEAD + f"parameter q : unit Hz within 1 Hz .. 2 Hz {SOURCE}\nset q = 1 Hz {SOURCE}\nset q = 2 Hz {SOURCE}\n",
        "clash",
        "set twice",
        "the other is at",
    ),
    "doubt with no worse end": (
        HEAD + rule("abs(state_of_charge - 50 %) * state_of_charge must be at most 1"),
        "uncertain",
        "which end of the band around `state_of_charge`",
        "rises or falls",
    ),
    "parentheses without end": (HEAD + "(" * 300, "too-deep", "nest too deep", ""),
    "a book for a file": ("-- " + "x" * 1_000_001, "too-long", "longer than a rule file may be", ""),
}


@pytest.mark.parametrize("what", CASES)
def test_a_mistake_is_named_with_its_place_and_a_hint(what: str) -> None:
    text, code, message, hint = CASES[what]
    sources = {"vocabulary": VOCABULARY.read_text(encoding="utf-8"), "bad.rules": text}
    with pytest.raises(RulesError) as caught:
        to_core(load_texts(sources), DAY)
    found = next(d for d in caught.value.diagnostics if d.code == code)
    assert message in found.message
    assert hint in found.hint
    shown = render(found, sources)
    assert shown.startswith(f"error[{code}]: ")
    assert f"--> bad.rules:{found.span.line}:{found.span.column}" in shown
    assert code in ("too-long", "too-deep") or "^" in shown


def test_several_mistakes_are_told_in_one_run() -> None:
    text = HEAD + rule("active_pwer must be at most 5 kW", when="when frequncy > 50 Hz,")
    with pytest.raises(RulesError) as caught:
        load_texts({"vocabulary": VOCABULARY.read_text(encoding="utf-8"), "bad.rules": text})
    assert len(caught.value.diagnostics) == 2
    assert all(d.clause == "The Act, s. 1" for d in caught.value.diagnostics)


def test_a_recalled_rule_warns_and_cannot_block() -> None:
    text = HEAD + rule(source=SOURCE.replace("read", "recalled"))
    core = to_core(load_texts({"vocabulary": VOCABULARY.read_text(encoding="utf-8"), "x.rules": text}), DAY)
    assert [r.blocks for r in core.rules] == [False]
