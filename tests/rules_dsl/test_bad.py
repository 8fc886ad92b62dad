"""Every kind of slip has a file under `bad/` with all that its author is told, to the letter.

`python -m tests.rules_dsl.test_bad` writes the expectations anew; look at what changed before you commit it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compiler.from_syntax import to_core
from jurisdictions.loader import VOCABULARY, load_all
from rules_dsl.diagnostics import RulesError, render
from tests.packs import DAY

HERE = Path(__file__).parent / "bad"
FILES = sorted(HERE.glob("*.rules"))


def told(file: Path) -> str:
    """What the author of a file is told."""
    name = file.name
    sources = {str(VOCABULARY): VOCABULARY.read_text(encoding="utf-8"), name: file.read_text(encoding="utf-8")}
    program, findings = load_all(sources)
    if not findings:
        try:
            to_core(program, DAY)
        except RulesError as error:
            findings = list(error.diagnostics)
    home = str(VOCABULARY.parent)
    text = "\n\n".join(render(d, sources) for d in findings).replace(home, "jurisdictions") + "\n"
    return re.sub(r"(vocabulary\.rules):\d+", r"\1:...", text)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_slip_is_told_with_its_place_what_was_found_and_what_to_do(file: Path) -> None:
    expected = file.with_suffix(".expected").read_text(encoding="utf-8")
    assert told(file) == expected
    assert expected.startswith("error["), "a wrong file has to be found wrong"


def test_there_are_slips_enough_and_every_code_has_one() -> None:
    codes = {
        line[6 : line.index("]")]
        for f in HERE.glob("*.expected")
        for line in f.read_text().splitlines()
        if line.startswith("error[")
    }
    assert len(FILES) >= 120
    said = set()
    root = Path(__file__).parents[2]
    for path in (
        *root.glob("rules_dsl/*.py"),
        root / "compiler" / "from_syntax.py",
        root / "jurisdictions" / "loader.py",
    ):
        text = path.read_text(encoding="utf-8")
        for mark in (
            'say(\n                "',
            'self.say("',
            'Diagnostic("',
            'Diagnostic(\n            "',
            'InstantError("',
            '_fail(token, "',
        ):
            for part in text.split(mark)[1:]:
                said.add(part.split('"')[0])
    elsewhere = {"example", "no-pack", "too-long", "unreadable"}
    unseen = {code for code in said if code.replace("-", "").isalpha()} - codes - elsewhere
    assert not unseen, f"no file shows {sorted(unseen)}"


if __name__ == "__main__":
    for path in FILES:
        path.with_suffix(".expected").write_text(told(path), encoding="utf-8")
