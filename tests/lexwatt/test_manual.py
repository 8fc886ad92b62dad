"""The manual says what the grammar says, and each of its examples runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import sunspec2
from lark import Tree
from sunspec2.mdef import from_json_file

from compiler.coverage import cover, open_rows
from compiler.examples import run
from jurisdictions.loader import VOCABULARY, load, load_texts
from lexwatt.manual import MANUAL, Page, example, files, pages
from rules_dsl.diagnostics import CODES
from rules_dsl.parse import parser
from tests.packs import DAY

PAGES = pages()
TRACES = {str(r.alias or r.origin.name) for r in parser().rules if r.alias or not r.options.expand1}
"""What leaves a trace in a parse tree: aliases, and rules that are not inlined."""


def test_the_manual_is_what_the_grammar_and_the_vocabulary_make_of_it() -> None:
    made = dict(files())
    assert {p.name for p in MANUAL.glob("*.md")} == {p.name for p in made}
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: make manual"


def test_every_rule_of_the_grammar_has_its_page() -> None:
    public = {name for name in TRACES if not name.startswith("_")} - {"start"}
    assert public - {n for page in PAGES for n in page.rules} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.slug)
def test_the_example_of_a_page_shows_all_of_it_and_runs(page: Page) -> None:
    text = example(page).read_text(encoding="utf-8")
    seen = {str(tree.data) for tree in parser().parse(text).iter_subtrees()}
    assert isinstance(parser().parse(text), Tree)
    assert set(page.rules) & TRACES - seen == set()
    sources = {str(VOCABULARY): VOCABULARY.read_text(encoding="utf-8"), page.slug: text}
    program = load_texts(sources)
    own = {"manual", "strict"}
    outcomes = list(run(program, DAY, packs=own))
    assert outcomes
    assert [f"{o.rule} {o.example}: {o.problem}" for o in outcomes if o.problem] == []


def test_every_code_of_a_finding_is_explained() -> None:
    shown = (MANUAL / "errors.md").read_text(encoding="utf-8")
    for code in CODES:
        assert f"## `{code}`" in shown
    bad = Path(__file__).parents[1] / "rules_dsl" / "bad"
    used = {
        line[6 : line.index("]")]
        for f in bad.glob("*.expected")
        for line in f.read_text().splitlines()
        if line.startswith("error[")
    }
    assert used <= set(CODES)
    assert set(CODES) - used <= {"too-long", "unreadable"}


def test_bindings_to_sunspec_name_points_of_the_official_models() -> None:
    models = Path(sunspec2.__file__).parent / "models" / "json"
    program = load(["entsoe"])
    checked = 0
    for x in (*program.quantities.values(), *program.choices.values()):
        for protocol, place in x.bindings:
            if protocol != "sunspec":
                continue
            number, _, point = place.partition(".")
            definition = from_json_file(str(models / f"model_{number}.json"))
            names = {p["name"] for p in definition["group"]["points"]}
            assert point in names, f"{x.name}: {place}"
            checked += 1
    assert checked >= 8


def test_the_packs_show_their_limits_and_their_tables() -> None:
    for pack in ("ofgem", "nordic", "ieee1547", "ema", "dewa", "entsoe", "operator"):
        found = list(cover(load([pack]), DAY))
        assert open_rows(found)[0] == 0, pack
        assert [one.rule for one in found if one.boundary is False] == []
