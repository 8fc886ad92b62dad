"""The commands of those who write rules."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from lexwatt.cli import app
from lexwatt.manual import MANUAL

RUNNER = CliRunner()


def run(*arguments: str) -> Result:
    return RUNNER.invoke(app, list(arguments))


def test_a_new_pack_passes_its_own_examples_and_stands_in_its_layout(tmp_path: Path) -> None:
    assert run("new", "my_country", "--in", str(tmp_path), "--title", "My country").exit_code == 0
    folder = tmp_path / "my_country"
    assert run("check", str(folder)).exit_code == 0
    assert run("fmt", "--check", str(folder)).exit_code == 0
    tested = run("test", str(folder), "--coverage", "--mutate", "--least", "90")
    assert tested.exit_code == 0, tested.output
    assert "2 of 2 expectations hold in 1 rules" in tested.output
    assert "100.0 %" in tested.output
    assert run("new", "my_country", "--in", str(tmp_path)).exit_code == 1
    assert run("new", "My Country", "--in", str(tmp_path)).exit_code == 2
    assert run("new", "ofgem", "--in", str(tmp_path)).exit_code == 1


def test_layout_is_checked_and_mended(tmp_path: Path) -> None:
    run("new", "p", "--in", str(tmp_path))
    file = tmp_path / "p" / "p.rules"
    tidy = file.read_text(encoding="utf-8")
    file.write_text(tidy.replace("  checked", "     checked") + "\n\n-- the end\n", encoding="utf-8")
    checked = run("fmt", "--check", str(file))
    assert checked.exit_code == 1
    assert "would change" in checked.output
    assert run("fmt", str(file)).exit_code == 0
    assert file.read_text(encoding="utf-8") == tidy + "\n-- the end\n"


def test_findings_are_several_and_also_json(tmp_path: Path) -> None:
    run("new", "p", "--in", str(tmp_path))
    file = tmp_path / "p" / "p.rules"
    wrong = (
        file.read_text(encoding="utf-8")
        .replace("at most p_limit", "at most p_limt")
        .replace("default 50", "default 500")
    )
    file.write_text(wrong, encoding="utf-8")
    found = json.loads(run("check", str(file), "--json").stdout)
    assert [(f["code"], f["line"]) for f in found] == [("range", 10), ("unknown", 19)]
    assert found[1]["hint"] == "did you mean `p_limit`?"
    assert run("check", str(file)).exit_code == 1


def test_a_failing_example_is_named_with_its_place(tmp_path: Path) -> None:
    run("new", "p", "--in", str(tmp_path))
    file = tmp_path / "p" / "p.rules"
    file.write_text(file.read_text(encoding="utf-8").replace("by 1 W", "by 2 W"), encoding="utf-8")
    done = run("test", str(file))
    assert done.exit_code == 1
    assert "margin should be -2 W and is -1 W" in done.output


def test_what_is_in_force_on_a_day() -> None:
    now, before = run("packs", "--on", "2026-11-24"), run("packs", "--on", "2000-01-01")
    line = next(x for x in now.output.splitlines() if x.startswith("ofgem"))
    assert int(line.split()[1]) >= 20
    assert next(x for x in before.output.splitlines() if x.startswith("ofgem")).split()[1] == "0"


def test_explain_says_numbers_source_and_running_state() -> None:
    text = run("explain", "ofgem/dc_state_of_energy", "--on", "2026-11-24").output
    assert "state of energy must be at least dc required energy" in text
    assert "energy required as the period begins" in text
    assert "dc duration: 15 min" in text
    assert "NESO Response Service Terms, 6.11(ii)-(iii), 6.12" in text
    late = run("explain", "ema/energy_gate").output
    assert "only warns" in late


def test_options_that_say_nothing_are_refused() -> None:
    assert run("check", "ofgem", "--on", "tomorrow").exit_code == 2
    assert run("check", "ofgem", "--on", "2026-01-01T10:00").exit_code == 2
    assert run("check", "ofgem", "--on", "2026-01-01T10:00Z").exit_code == 0
    assert run("check", "ofgem", "--for", "planet=mars").exit_code == 2
    assert run("check", "ofgem", "--for", "country=GB,site=one").exit_code == 0


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "x.rules"
    file.write_bytes(b"pack p \xff\xfe\x00")
    for command in ("check", "test", "fmt"):
        done = run(command, str(file))
        assert done.exit_code == 1
        assert "is not UTF-8 text" in done.output
    assert run("check", str(tmp_path / "missing.rules")).exit_code == 1
    file.write_bytes(("\ufeff" + 'pack p "P"\r\n').encode())
    assert run("check", str(file)).exit_code == 0
    file.write_text("x" * 1_000_001, encoding="utf-8")
    assert run("check", str(file)).exit_code == 1


def test_what_was_known_on_a_day_can_be_asked_for() -> None:
    page = str(MANUAL / "examples" / "instrument.rules")
    asked = ["explain", "manual/limit", "--packs", page, "--on", "2026-06-01"]
    assert "at most 20 kW" in run(*asked).output
    assert "at most 21 kW" in run(*asked, "--known", "2023-01-15").output
    assert run(*asked, "--known", "then").exit_code == 2
    checked = run("check", page, "--on", "2026-06-01", "--known", "2022-01-01")
    assert "0 in force" in checked.output


def test_a_place_picks_its_own_choice() -> None:
    page = str(MANUAL / "examples" / "parameter.rules")
    asked = ["explain", "manual/falls", "--packs", page]
    assert "threshold: 50.2 Hz" in run(*asked).output
    assert "threshold: 50.5 Hz" in run(*asked, "--for", "country=IE").output
    assert "droop: 4 %" in run(*asked, "--for", "country=IE,site=north").output
