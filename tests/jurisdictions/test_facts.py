"""Each fact is encoded or left out with its reason; each worked example is asked of the rules and agrees, or the
disagreement is explained."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from jurisdictions.facts import KINDS, BadFacts, fact_file, fact_files
from jurisdictions.loader import HOME
from jurisdictions.worked import NotRead, Verdict, questions
from lexwatt.tracing import LEAST, answer, coverage_page, everything, share, trace

FILES = {file.pack: file for file in fact_files(HOME)}


@pytest.mark.parametrize("pack", FILES)
def test_facts_are_encoded_or_left_out_with_a_reason(pack: str) -> None:
    traced = trace(everything(), FILES[pack].facts)
    assert not {e.fact.id: e.wrong for e in traced if e.wrong}
    assert not [e.fact.id for e in traced if e.state == "open" and e.fact.kind in KINDS]
    assert share(traced) >= LEAST


@pytest.mark.parametrize("pack", FILES)
def test_worked_examples_agree_or_the_disagreement_is_explained(pack: str) -> None:
    answers = [answer(example) for example in FILES[pack].worked]
    assert answers
    assert not {a.example.id: a.otherwise for a in answers if a.state in ("DISAGREES", "NOT READ")}
    assert sum(a.asked for a in answers) >= len(answers)
    needless = [a.example.id for a in answers if a.state == "agrees" and a.example.disagreement]
    assert not needless, "a disagreement is explained where there is none"


def test_a_wrong_outcome_is_noticed(tmp_path: Path) -> None:
    text = (HOME / "dewa" / "facts.yaml").read_text(encoding="utf-8")
    old = "required_outcome: {allow: true, cycle_ceiling: 1000.0"
    assert old in text
    for new in ("required_outcome: {allow: false, cycle_ceiling: 1000.0", old.replace("1000.0", "1000.1")):
        path = tmp_path / "dewa.yaml"
        path.write_text(text.replace(old, new), encoding="utf-8")
        found = [answer(e) for e in fact_file(path).worked if e.id == "dewa-ex-40"]
        assert [a.state for a in found] == ["DISAGREES"]


def test_an_example_that_no_reader_knows_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "moon.yaml"
    path.write_text(
        "worked_examples:\n- {id: a, inputs: {tide: 3}, required_outcome: {allow: true}, decided_by: [moon-1]}\n",
        encoding="utf-8",
    )
    (file,) = fact_files(tmp_path)
    with pytest.raises(NotRead, match="moon-1"):
        questions(file.worked[0])
    assert answer(file.worked[0]).state == "NOT READ"


@pytest.mark.parametrize(
    "text",
    ["worked_examples:\n- {id: a}\n", "facts:\n- [1, 2]\n", "facts: {\n", "worked_examples:\n- 3\n"],
)
def test_a_file_that_is_no_fact_file_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadFacts, match=r"bad\.yaml"):
        fact_file(path)
    with pytest.raises(BadFacts, match="holds no fact files"):
        list(fact_files(tmp_path / "nothing"))


def test_questions_never_depend_on_the_name_of_an_example() -> None:
    for file in FILES.values():
        for example in file.worked[::5]:
            assert questions(replace(example, id="x", title="", note="")) == questions(example)


def test_a_question_names_rules_of_packs_that_ship() -> None:
    known = {entry.id for entry in everything().rules}
    for file in FILES.values():
        for example in file.worked:
            for question in questions(example):
                names = question.rules if isinstance(question, Verdict) else (question.rule,)
                assert set(names) <= known, (example.id, names)


STANDS_IN = re.compile(
    r"stands? (in|for|from)\b|day of force|(date|day)s? (is|was|are|were)? ?not (known|found|given|read)"
    r"|no (date|day)|not dated|days? .*unknown|from the (first )?day"
)


def test_a_day_that_no_fact_gives_is_said_to_stand_in() -> None:
    facts: dict[str, list[dict[str, str | None]]] = {}
    for file in FILES.values():
        for fact in yaml.safe_load(file.path.read_text(encoding="utf-8"))["facts"]:
            for rule in fact.get("encoded_by", ()):
                facts.setdefault(rule, []).append(fact["in_force"])
    editions = Counter(entry.id for entry in everything().rules)
    silent = []
    for entry in everything().rules:
        known = facts.get(entry.id, [])
        starts, ends = {str(f["from"]) for f in known}, {str(f["to"]) for f in known}
        period = entry.rule.source.period
        begins = "None" in starts and str(period.start) not in starts
        stops = ends == {"None"} and period.until is not None and editions[entry.id] == 1
        text = Path(entry.rule.span.file).read_text(encoding="utf-8")
        remarks = " ".join(line[2:].strip() for line in text.splitlines() if line.startswith("--"))
        if (begins or stops) and not STANDS_IN.search(f"{entry.rule.note} {remarks}"):
            silent.append(entry.id)
    assert not silent


def test_the_page_names_a_rule_of_several_editions_once() -> None:
    traced = {"aemo": trace(everything(), FILES["aemo"].facts)}
    assert any(len({r.id for r in e.rules}) < len(e.rules) for e in traced["aemo"])
    rows = [line.split(" | ") for part in coverage_page(traced) for line in part.splitlines() if "aemo/" in line]
    named = [row[3].split(", ") for row in rows]
    assert named and all(len(set(names)) == len(names) for names in named)
