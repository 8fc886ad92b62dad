"""Exact units: `"50.7 Hz"` becomes a `Fraction` and a dimension, and nothing is ever rounded.

pint does the unit algebra with `Fraction` as its number type, over the project's own definitions in `units.txt`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pint

MAX_DIGITS = 40
"""A number with more digits than any meter or statute writes is refused, not computed with."""

_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")
_UNIT = re.compile(r"[A-Za-z%]+(?:[*/][A-Za-z%]+)*")

Dimension = tuple[tuple[str, int], ...]
"""Exponent of each base dimension, sorted, none zero: active power is `(("active_power", 1),)`."""

DIMENSIONLESS: Dimension = ()


class UnitError(ValueError):
    """A number or unit that cannot be read; the message says what was found."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure: its text, its factor to the base units (W, s, V, Hz ...) and its dimension."""

    text: str
    factor: Fraction
    dimension: Dimension


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact value in base units with its dimension, and the unit it was written in."""

    base: Fraction
    unit: Unit

    @property
    def dimension(self) -> Dimension:
        """The dimension of the unit it was written in."""
        return self.unit.dimension


@lru_cache(maxsize=1)
def _registry() -> pint.UnitRegistry[Fraction]:
    import pint  # it takes long to start, and nothing is read where every answer is remembered

    registry: pint.UnitRegistry[Fraction] = pint.UnitRegistry(
        None, non_int_type=Fraction, preprocessors=[lambda text: text.replace("%", " percent")]
    )
    registry.load_definitions((files("rules_dsl") / "units.txt").read_text(encoding="utf-8").splitlines())
    return registry


@lru_cache(maxsize=1024)
def unit(text: str) -> Unit:
    """The unit written as `text` (`kW`, `kW/min`, `%`, or the empty text for a plain number).

    Raises `UnitError` for a unit that `units.txt` does not define.
    """
    if not text:
        return Unit("", Fraction(1), DIMENSIONLESS)
    if not _UNIT.fullmatch(text) or len(text) > 40:
        raise UnitError(f"`{text}` is not a unit")
    from pint.errors import PintError

    try:
        one = _registry().Quantity(Fraction(1), _registry().parse_units(text)).to_root_units()
    except (PintError, AssertionError, AttributeError, TypeError) as error:
        raise UnitError(f"`{text}` is not a known unit") from error
    powers = ((name.strip("[]"), int(str(power))) for name, power in one.dimensionality.items() if power)
    dimension = tuple(sorted(powers))
    return Unit(text, Fraction(one.magnitude), dimension)


def number(text: str) -> Fraction:
    """The exact value of a decimal number.

    Raises `UnitError` for anything else: `NaN`, `inf`, hexadecimal, grouped digits, more than `MAX_DIGITS` digits.
    """
    if len(text) > MAX_DIGITS or not _NUMBER.fullmatch(text):
        raise UnitError(f"`{text[:MAX_DIGITS]}` is not a decimal number")
    return Fraction(text)


def quantity(text: str) -> Quantity:
    """The exact quantity written as `text`, a number and a unit with a space between (`"50.7 Hz"`, `"5 %"`).

    Raises `UnitError` when either part cannot be read.
    """
    head, _, tail = text.strip().partition(" ")
    if not tail and head.endswith("%"):
        head, tail = head[:-1], "%"
    found = unit(tail.strip())
    return Quantity(number(head) * found.factor, found)


def show(value: Fraction, in_unit: Unit) -> str:
    """A base-unit value as text in a unit, exact: decimals when they end, `n/d` when they do not."""
    scaled = value / in_unit.factor
    text = decimal(scaled)
    return f"{text} {in_unit.text}".rstrip()


def decimal(value: Fraction) -> str:
    """An exact decimal text of a rational when it has one, otherwise `n/d`."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    whole, part = (digits[:-places], digits[-places:]) if places else (digits, "")
    return ("-" if value < 0 else "") + (f"{whole}.{part}" if part else whole)
