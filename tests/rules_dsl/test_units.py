"""Units are exact, and what cannot be read is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest

from rules_dsl.units import UnitError, decimal, quantity, show, unit


@pytest.mark.parametrize(
    ("text", "base", "dimension"),
    [
        ("50.7 Hz", "507/10", (("frequency", 1),)),
        ("10 mHz", "1/100", (("frequency", 1),)),
        ("100 kW/min", "5000/3", (("active_power", 1), ("time", -1))),
        ("5 %", "1/20", ()),
        ("5%", "1/20", ()),
        ("0.1 kWh", "360000", (("active_power", 1), ("time", 1))),
        ("15 min", "900", (("time", 1),)),
        ("9 kvar", "9000", (("reactive_power", 1),)),
        ("9 kVA", "9000", (("apparent_power", 1),)),
        ("-2500 kW", "-2500000", (("active_power", 1),)),
        ("7", "7", ()),
    ],
)
def test_quantities_are_exact(text: str, base: str, dimension: tuple[tuple[str, int], ...]) -> None:
    found = quantity(text)
    assert (found.base, found.dimension) == (Fraction(base), dimension)
    assert show(found.base, found.unit) in (text, text.replace("%", " %"))


@pytest.mark.parametrize(
    "text",
    [
        "NaN W",
        "inf W",
        "-inf Hz",
        "0x10 W",
        "1_000 W",
        "W",
        "",
        "5 kg",
        "5 Hz Hz",
        "1e400 W",
        "5 W**9",
        "٣ W",
        "9" * 60,
    ],
)
def test_what_is_no_number_with_a_unit_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        quantity(text)


@pytest.mark.parametrize(
    ("value", "text"), [("1/3", "1/3"), ("1/8", "0.125"), ("-5/2", "-2.5"), ("100", "100"), ("1/1000", "0.001")]
)
def test_a_rational_is_shown_without_rounding(value: str, text: str) -> None:
    assert decimal(Fraction(value)) == text


def test_power_of_three_kinds_does_not_mix() -> None:
    assert len({unit(u).dimension for u in ("kW", "kvar", "kVA")}) == 3
