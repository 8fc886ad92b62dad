"""Trees to text and back, and files through the formatter."""

from __future__ import annotations

import re

import pytest

from jurisdictions.loader import HOME
from rules_dsl.format import format_text, write
from rules_dsl.parse import parse
from tests.rules_dsl.trees import Maker

FILES = [*sorted(HOME.rglob("*.rules")), *sorted((HOME.parent / "docs" / "manual" / "examples").glob("*.rules"))]


def test_ten_thousand_trees_come_back_from_their_text() -> None:
    kinds: set[str] = set()
    for seed in range(10_000):
        tree = Maker(seed).statement()
        kinds.add(type(tree).__name__)
        text = write(tree)
        assert parse(text, "") == (tree,), f"seed {seed}: {text}"
    assert len(kinds) == 16


def test_the_layout_is_stable_on_made_up_files() -> None:
    for seed in range(500):
        make = Maker(seed)
        lines = "\n".join(write(make.statement()) for _ in range(4)).split("\n")
        for _ in range(6):
            at = make.pick.randrange(len(lines))
            if make.pick.random() < 0.5:
                lines.insert(at, make.pick.choice(["-- a thought", "", "  -- within"]))
            elif "--" not in lines[at] and lines[at].count('"') % 2 == 0:
                lines[at] += "  -- aside"
        text = "\n".join(lines)
        once = format_text(text)
        assert format_text(once) == once, f"seed {seed}"
        assert parse(once, "") == parse(text, "")
        assert sorted(re.findall(r"-- (?:a thought|within|aside)", once)) == sorted(
            re.findall(r"-- (?:a thought|within|aside)", text)
        )


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(HOME.parent)))
def test_every_file_stands_in_its_layout(file) -> None:  # type: ignore[no-untyped-def]
    text = file.read_text(encoding="utf-8")
    assert format_text(text) == text
    assert parse(format_text(text), "x") == parse(text, "x")


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(HOME.parent)))
def test_the_layout_does_not_depend_on_how_it_was_typed(file) -> None:  # type: ignore[no-untyped-def]
    text = file.read_text(encoding="utf-8")
    typed = re.sub(r"(?m)^( +)(?=\S)", lambda m: m[1] * 2, text)
    assert format_text(typed) == text
