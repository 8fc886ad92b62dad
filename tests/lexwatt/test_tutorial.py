"""The tutorial is followed to the letter: its files are written, its commands run, what it promises is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lexwatt.cli import app

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


def test_the_tutorial_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    commands = 0
    for kind, text in re.findall(r"```(rules|console)\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL):
        if kind == "rules":
            Path("island/island.rules").write_text(text, encoding="utf-8")
            continue
        for part in re.split(r"^\$ lexwatt ", text, flags=re.MULTILINE)[1:]:
            command, *promised = part.strip().split("\n")
            done = runner.invoke(app, [w.strip('"') for w in re.findall(r'"[^"]*"|\S+', command)])
            output = re.sub(r"\s+", " ", done.output)
            for line in promised:
                assert re.sub(r"\s+", " ", line) in output, f"{command}: {line!r} is not in {done.output}"
            assert done.exit_code == (1 if "finding(s)" in part else 0), done.output
            commands += 1
    assert commands >= 10
