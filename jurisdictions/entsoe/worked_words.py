"""The words in which worked examples of the European markets tell their inputs and outcomes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from jurisdictions.worked import AS_OF, NotRead

Given = Mapping[str, Any]
_WORDS = {
    "complies": "pass accept accepted allow allowed permitted open ok yes valid deliverable exempt compliant normal",
    "violates": "fail reject rejected block blocked refuse refused flag closed forbidden no invalid breach violation",
    "cannot_tell": "undecided unknown stop",
}
_ASIDE = {"area", "market", "state", "question", "asset", "note", "product", "reserve"}
"""Inputs that tell which form a case has; they are read where they decide."""


def verdict_of(outcome: Any) -> str:
    """The verdict that the first telling word of an outcome asks for."""
    if isinstance(outcome, bool):
        return "complies" if outcome else "violates"
    if isinstance(outcome, Mapping):
        for key in ("verdict", "outcome", "accept", "allowed", "pass"):
            if key in outcome:
                return verdict_of(outcome[key])
    text = str(outcome).lower()
    if re.match(r"(do )?not (accept|allow|permit|pass|open)", text):
        return "violates"
    for word in re.findall(r"[a-z]+", text):
        for verdict, words in _WORDS.items():
            if word in words.split():
                return verdict
    raise NotRead(f"the outcome `{outcome}` has no word that is understood")


def decimal(value: Any) -> str:
    """An exact number as decimals; raises `NotRead` for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction):
        raise NotRead(f"`{value}` is no number")
    exact = Fraction(str(value)) if not isinstance(value, Fraction) else value
    whole = exact * 10**9
    if whole.denominator != 1:
        whole = Fraction(round(whole))
    sign, digits = "-" if whole < 0 else "", f"{abs(int(whole)):010d}"
    return f"{sign}{digits[:-9]}.{digits[-9:]}".rstrip("0").rstrip(".")


def megawatts(value: Any) -> str:
    """A number of megawatts as a quantity."""
    return f"{decimal(value)} MW"


def first_of(given: Given, *names: str) -> Any:
    """The value of the first of some inputs that is there; raises `NotRead` where none is."""
    for name in names:
        if name in given:
            return given[name]
    raise NotRead(f"none of the inputs {', '.join(names)} is there")


def has_any(given: Given, *names: str) -> bool:
    """Whether one of some inputs is there."""
    return any(name in given for name in names)


def delivery_day(given: Given, default: date = AS_OF + timedelta(days=1)) -> date:
    """The day of delivery that a case names, or the day after the fact files were compiled."""
    for name in ("delivery_day", "delivery_date", "day", "date"):
        if name in given:
            return date.fromisoformat(str(given[name])[:10])
    return default


def moment_of(text: Any, day: date, zone: str) -> str:
    """`D-1 08:00:01`, `14:00` or an ISO moment as an instant with its zone."""
    text = str(text).strip()
    relative = re.fullmatch(r"(?:D ?([+-] ?\d+)?\s+)?(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(?: ?CES?T)?", text)
    if relative:
        on = day + timedelta(days=int((relative[1] or "0").replace(" ", "")))
        hour, rest = relative[2].split(":", 1)
        return f"{on}T{hour:0>2}:{rest} {zone}"
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return f"{text}T00:00 {zone}"
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?", text):
        return f"{text.replace(' ', 'T')} {zone}"
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})", text):
        return str(text)
    raise NotRead(f"`{text}` is no moment that is understood")


def only_inputs(given: Given, *read: str) -> None:
    """Raises `NotRead` where a case has inputs that a reader does not look at."""
    left = set(given) - set(read) - _ASIDE
    if left:
        raise NotRead(f"the inputs {', '.join(sorted(left))} are not understood")
