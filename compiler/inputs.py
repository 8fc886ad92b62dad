"""Outside values to subjects: each is read exactly, checked against the vocabulary, and refused by name when unfit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from compiler import core as c
from compiler.to_exact import Subject, Unusable, Value
from rules_dsl.check import UNCERTAINTY
from rules_dsl.instants import InstantError, instant
from rules_dsl.kinds import kind_of, words
from rules_dsl.units import UnitError, quantity, show


def read(vocabulary: Mapping[str, c.Declared], raw: Mapping[str, Any]) -> Subject:
    """The subject that plain data describes: texts with units, booleans for flags, names for choices,
    moments as RFC 3339 texts, and the rows (`members`, `samples`, ...) as a list of such objects.

    Nothing raises: what cannot be used becomes `Unusable` with the reason. A plain number is unusable too, since it
    says no unit; so are values outside the declared range. An uncertain quantity without a stated uncertainty gets the
    vocabulary's. Names that the vocabulary does not know are left out.
    """
    values: dict[str, Value] = {name: read_one(d, raw[name]) for name, d in vocabulary.items() if name in raw}
    for name, declared in vocabulary.items():
        companion = name + UNCERTAINTY
        if declared.uncertain is not None and name in values and companion not in raw:
            values[companion] = declared.uncertain
    rows = next((v for name, v in raw.items() if name not in vocabulary and isinstance(v, list | tuple)), ())
    inside = [read(vocabulary, row if isinstance(row, Mapping) else {}).values for row in rows]
    return Subject(values, inside)


def read_one(declared: c.Declared, raw: Any) -> Value:
    """One value in base units, or why it cannot be used."""
    if raw is None:
        return Unusable("null")
    if declared.names:
        return _alternative(declared, raw)
    if declared.unit.text == "instant":
        return _moment(declared, raw)
    if isinstance(raw, bool):
        return Unusable(f"true or false where a value in {declared.unit.text} is needed")
    if isinstance(raw, float) and not math.isfinite(raw):
        return Unusable("not a finite number")
    if not isinstance(raw, str):
        return Unusable(f'without a unit: write it as text, such as "1 {declared.unit.text}"')
    try:
        found = quantity(raw)
    except UnitError as error:
        return Unusable(str(error))
    if found.dimension != declared.unit.dimension:
        return Unusable(f"in `{found.unit.text}` where {declared.unit.text} is needed")
    if kind_of(found.unit) != kind_of(declared.unit):
        return Unusable(f"{words(kind_of(found.unit))} where {words(kind_of(declared.unit))} is needed")
    return in_range(declared, found.base)


def in_range(declared: c.Declared, value: Fraction) -> Value:
    """The value, or why it lies outside what the vocabulary allows."""
    if declared.low <= value <= declared.high:
        return value
    if declared.unit.text == "instant":
        return Unusable("outside the years from 1970 to 9998")
    low, high = show(declared.low, declared.unit), show(declared.high, declared.unit)
    return Unusable(f"outside the range from {low} to {high}")


def _moment(declared: c.Declared, raw: Any) -> Value:
    if not isinstance(raw, str):
        return Unusable("not a moment as text, such as 2026-03-29T14:00Z")
    try:
        return in_range(declared, instant(raw))
    except InstantError as error:
        return Unusable(str(error))


def _alternative(declared: c.Declared, raw: Any) -> Value:
    if declared.names == ("no", "yes") and isinstance(raw, bool):
        return Fraction(int(raw))
    if isinstance(raw, str) and raw in declared.names:
        return Fraction(declared.names.index(raw))
    return Unusable(f"not one of {', '.join(declared.names)}")
