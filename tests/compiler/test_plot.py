"""Pictures agree with the rules they are of, say their numbers, and are the same each time."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from compiler.to_plot import LIMIT, CannotPlot, plot, save
from jurisdictions.loader import VOCABULARY, load, load_texts, packs
from lexwatt.cli import app
from lexwatt.manual import MANUAL
from rules_dsl.program import Program
from tests.packs import DAY


def program() -> Program:
    return load(packs())


def svg(figure: Figure, tmp_path: Path) -> str:
    save(figure, tmp_path / "x.svg")
    return (tmp_path / "x.svg").read_text(encoding="utf-8")


def limit(figure: Figure) -> list[tuple[float, float]]:
    """The ends of every piece of limit line."""
    return [
        (float(x), float(y))
        for line in figure.axes[0].lines
        if line.get_color() == LIMIT
        for x, y in zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
    ]


def test_a_curve_says_its_points_and_its_clause(tmp_path: Path) -> None:
    text = svg(plot(program(), "dc_response", DAY), tmp_path)
    for words in ("0.015 Hz: 0 pu", "0.2 Hz: 0.05 pu", "0.5 Hz: 1 pu", "NESO Response Service Terms, Schedule 2"):
        assert words in text
    with_choices = svg(plot(program(), "volt_watt", DAY), tmp_path)
    assert "1.06 pu: 1 pu" in with_choices
    assert "1.1 pu: 0.2 pu" in with_choices


def test_a_table_shows_each_row(tmp_path: Path) -> None:
    text = svg(plot(program(), "ride_time", DAY), tmp_path)
    for words in ("0.16 s", "12 s", "20 s", "0.45 pu", "1.2 pu", "otherwise 0 s"):
        assert words in text


def test_the_limit_of_lfsm_o_is_where_the_formula_has_it() -> None:
    points = limit(plot(program(), "entsoe/lfsm_o", DAY))
    assert len(points) > 50
    beyond = [(f, p) for f, p in points if f >= 50.201]
    assert beyond
    for f, p in beyond:
        assert p == pytest.approx(max(0.0, 100 - 100 * (f - 50.2) / 2.5), abs=0.002)


def test_the_band_of_volt_var_has_both_its_sides() -> None:
    points = limit(plot(program(), "ieee1547/volt_var_category_b", DAY))
    flat = [q for v, q in points if 0.996 < v < 1.004]
    assert {round(q, 1) for q in flat} == {-7.5, 7.5}


def test_a_response_is_drawn_along_its_rows(tmp_path: Path) -> None:
    text = (MANUAL / "examples" / "response.rules").read_text(encoding="utf-8")
    made = load_texts({str(VOCABULARY): VOCABULARY.read_text(encoding="utf-8"), "x": text})
    picture = svg(plot(made, "manual/full_response", DAY), tmp_path)
    for words in ("demanded: response", "limit: contracted", "time to respond", "to be held", "elapsed in s"):
        assert words in picture


RULES = sorted({r.id for r in load(packs()).rules})


@pytest.mark.parametrize("name", RULES[::25])
def test_a_rule_is_drawn_or_refused_by_name(name: str, tmp_path: Path) -> None:
    drawn_or_refused(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_drawn_or_refused_by_name(name: str, tmp_path: Path) -> None:
    drawn_or_refused(name, tmp_path)


def drawn_or_refused(name: str, tmp_path: Path) -> None:
    try:
        text = svg(plot(program(), name, DAY), tmp_path)
    except CannotPlot as refusal:
        assert name in str(refusal)
    else:
        assert name in text


def test_the_same_picture_is_the_same_file(tmp_path: Path) -> None:
    one, two = (svg(plot(program(), "operator/ramp", DAY), tmp_path) for _ in range(2))
    assert one == two
    assert "<text" in one


def test_the_command_draws_and_refuses(tmp_path: Path) -> None:
    runner = CliRunner()
    out = tmp_path / "c.svg"
    done = runner.invoke(app, ["plot", "dc_response", "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_text(encoding="utf-8").startswith("<?xml")
    assert runner.invoke(app, ["plot", "nothing", "-o", str(out)]).exit_code == 1
    buffer = io.BytesIO()
    plot(program(), "ofgem/ldes_power", DAY).savefig(buffer, format="png")
    assert buffer.getvalue()[1:4] == b"PNG"
