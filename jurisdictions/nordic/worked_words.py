"""How the Nordic worked examples say things: numbers in keys or in sentences, products, verdicts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from jurisdictions.worked import Limit, NotRead, Question, Verdict

NUMBER = r"([-+]?\d+(?:[  ]\d{3})*(?:\.\d+)?)"

_GOOD = ("pass", "allow", "accept", "compl", "ok", "fine", "valid", "yes", "approve", "permit", "may ", "standard")
_BAD = (
    "not ",
    "fail",
    "reject",
    "block",
    "refuse",
    "violat",
    "forbid",
    "split",
    "force",
    "invalid",
    "expected to be dropped",
    "drop",
    "deny",
    "no,",
    "breach",
    "too ",
    "late",
    "must wait",
    "wait",
)


class Given:
    """The inputs of one example: values by their keys, and all their words in one line."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = dict(_flat(raw))
        self.text = "; ".join(f"{value}" for value in self.raw.values() if isinstance(value, str))

    def key(self, pattern: str) -> str | None:
        """The first key that the whole pattern matches."""
        return next((k for k in self.raw if re.fullmatch(pattern, k, re.IGNORECASE)), None)

    def number(self, pattern: str) -> Fraction | None:
        """The number under the first key that the whole pattern matches; absent where there is no such key."""
        key = self.key(pattern)
        return None if key is None or self.raw[key] is None else _fraction(self.raw[key], key)

    def flag(self, pattern: str) -> bool | None:
        """The yes or no under such a key."""
        key = self.key(pattern)
        if key is None:
            return None
        value = self.raw[key]
        if not isinstance(value, bool):
            raise NotRead(f"`{key}` is `{value}`, not yes or no")
        return value

    def said(self, pattern: str) -> Fraction | None:
        """The number that the words give where the pattern matches; its first group is the number."""
        found = re.search(pattern, self.text, re.IGNORECASE)
        return None if found is None else _fraction(found.group(1), found.group(0))

    def either(self, key: str, words: str) -> Fraction | None:
        """A number under a key, or else in the words."""
        value = self.number(key)
        return self.said(words) if value is None else value


def _flat(raw: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in raw.items():
        name = f"{above}_{key}" if above else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        else:
            yield name, value


def _fraction(value: Any, where: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise NotRead(f"`{where}` is `{value}`, not a number")
    found = re.match(rf"\s*{NUMBER}", str(value))
    if not found:
        raise NotRead(f"`{where}` is `{value}`, not a number")
    return Fraction(re.sub(r"[^\d.+-]", "", found.group(1)))


def with_unit(value: Fraction, unit: str) -> str:
    """A number and its unit as texts that rules read, to twelve decimals."""
    whole = f"{float(value):.12f}".rstrip("0").rstrip(".") if value.denominator != 1 else f"{value.numerator}"
    return f"{whole} {unit}".rstrip()


def product(text: str) -> str:
    """The FCR product that a text names."""
    said = text.lower().replace("‑", "-")
    if "fcr-n" in said or "fcr_n" in said:
        return "fcr_n"
    if "down" in said:
        return "fcrd_down"
    if "up" in said or "fcr-d" in said:
        return "fcrd_up"
    raise NotRead(f"`{text}` names no FCR product")


def verdict(outcome: Any) -> str:
    """`complies` or `violates`, by the first word of judgement in the outcome."""
    if isinstance(outcome, Mapping):
        outcome = outcome.get("allow", outcome.get("verdict", outcome.get("outcome")))
    if isinstance(outcome, bool):
        return "complies" if outcome else "violates"
    said = str(outcome).lower()
    places = [(said.find(word), "violates") for word in _BAD if word in said]
    places += [(said.find(word), "complies") for word in _GOOD if word in said]
    if not places:
        raise NotRead(f"`{outcome}` says neither yes nor no")
    return min(places)[1]


def wanted_number(outcome: Any, unit: str, before: str = "") -> tuple[Fraction, Fraction] | None:
    """A number of the outcome that bears the unit, with half a step of its last digit (a whole number: a twentieth)."""
    found = re.search(rf"{before}{NUMBER} ?{unit}\b", str(outcome), re.IGNORECASE)
    if found is None:
        return None
    text = found.group(1)
    decimals = len(text.partition(".")[2])
    half = Fraction(1, 2 * 10**decimals) if decimals else Fraction(1, 20)
    return _fraction(text, text), half


def rules(*names: str) -> tuple[str, ...]:
    """Full names of rules of this pack."""
    return tuple(f"nordic/{name}" for name in names)


def ask(subject: str, inputs: Mapping[str, Any], names: tuple[str, ...], wanted: str) -> Question:
    """The question for the worst verdict of some rules of this pack."""
    if not names:
        raise NotRead(f"nothing is asked of {subject} with {', '.join(inputs)}")
    return Verdict(subject, dict(inputs), rules(*names), wanted)


def limit(subject: str, inputs: Mapping[str, Any], rule: str, quantity: str, value: str, within: Fraction) -> Question:
    """The question where the limit of a rule of this pack lies; `within` is in base units."""
    return Limit(subject, dict(inputs), f"nordic/{rule}", quantity, value, with_unit(within, ""))
