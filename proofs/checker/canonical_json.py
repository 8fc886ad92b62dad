"""RFC 8785 (JSON Canonicalization Scheme). Standard library alone."""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_BYTES = 16_000_000
LATE_KEYS = re.compile("[\ue000-\U0010ffff]")
"""Characters whose order by UTF-16 code units is not that of code points."""


class NotCanonical(ValueError):
    """A value that JSON cannot carry, or a text that is not the canonical form of what it says."""


def dumps(value: Any) -> bytes:
    """The canonical form. Raises `NotCanonical` for what JSON cannot carry: NaN, infinities, lone surrogates, keys that
    are no text, whole numbers beyond a double's exact range."""
    try:
        return _value(value).encode("utf-8")
    except (UnicodeEncodeError, RecursionError) as error:
        raise NotCanonical("text with half a surrogate pair, or values nested too deep") from error


def loads(data: bytes) -> Any:
    """The value of a canonical text.

    Raises `NotCanonical` when the text is not JSON, names a key twice, or is not byte for byte the canonical form.
    """
    if len(data) > MAX_BYTES:
        raise NotCanonical("the text is too long")
    try:
        text = data.decode("utf-8")
        if text.isascii() or LATE_KEYS.search(text) is None:
            value = PLAIN.decode(text)
            # A key that stood twice is not written twice.
            if SORTED.encode(value) == text:
                return value
    except (Unusual, ValueError, RecursionError):
        pass  # what is wrong, or has floats in it, is looked at the long way
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=_no, parse_int=_int)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"not JSON: {error}") from error
    if dumps(value) != data:
        raise NotCanonical("not the canonical form")
    return value


class Unusual(Exception):
    """A number that the short way does not write as RFC 8785 does."""


def _unusual(text: str) -> Any:
    raise Unusual


def _short(text: str) -> int:
    if len(text) > 15:
        raise Unusual
    return int(text)


# The standard library's own writer gives the canonical form of values without floats, of whole numbers below 2^53 and
# of keys that code points order as UTF-16 does.
PLAIN = json.JSONDecoder(parse_float=_unusual, parse_int=_short, parse_constant=_unusual)
SORTED = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys and values, for `json.loads`; raises `NotCanonical` when a key stands twice: people read
    the first, programs the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotCanonical("a key stands twice")
    return found


def _no(name: str) -> Any:
    raise NotCanonical(f"{name} is not JSON")


def _int(text: str) -> int | float:
    value = int(text) if len(text) < 400 else 2**53
    return value if abs(value) < 2**53 else float(text)


def _value(value: Any) -> str:
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) >= 2**53:
            raise NotCanonical("a whole number beyond 2^53 is not exact in every reader")
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_value(item) for item in value) + "]"
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise NotCanonical("a key is not text")
        # Section 3.2.3: names in the order of their UTF-16 code units.
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_value(key)}:{_value(value[key])}" for key in keys) + "}"
    raise NotCanonical(f"a {type(value).__name__} is not JSON")


def _number(value: float) -> str:
    """ECMAScript Number::toString (section 3.2.2.3): Python's shortest digits, ECMAScript's layout."""
    if not math.isfinite(value):
        raise NotCanonical("not a finite number")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, part = mantissa.partition(".")
    part = "" if part == "0" else part
    digits = (whole + part).lstrip("0")
    # n: position of the decimal point relative to the digits.
    n = (
        len(whole.lstrip("0")) + int(exponent or 0)
        if whole.strip("0")
        else int(exponent or 0) - (len(part) - len(part.lstrip("0")))
    )
    digits = digits.rstrip("0") or "0"
    k = len(digits)
    if k <= n <= 21:
        return sign + digits + "0" * (n - k)
    if 0 < n <= 21:
        return f"{sign}{digits[:n]}.{digits[n:]}"
    if -6 < n <= 0:
        return f"{sign}0.{'0' * -n}{digits}"
    power = f"e{'+' if n > 0 else '-'}{abs(n - 1)}"
    return sign + digits[0] + (f".{digits[1:]}" if k > 1 else "") + power
