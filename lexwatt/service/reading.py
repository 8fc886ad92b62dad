"""Bytes to plain values, strictly: no key twice, no NaN, no number of endless digits, no endless depth.

What JSON parsers take in good faith and read differently from each other is refused here, before anything is judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

DEPTH = 16
DIGITS = 40


class Unreadable(ValueError):
    """Bytes that are no value; the message says why."""


@dataclass(frozen=True, slots=True)
class Inexact:
    """A JSON number with a fraction or an exponent, which no field takes: readers differ on which number it is."""

    text: str

    def __str__(self) -> str:
        return self.text[:DIGITS]


def strict_json(data: bytes) -> Any:
    """The value of a JSON text. Raises `Unreadable`."""
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise Unreadable(f"nested deeper than {DEPTH}") from None
    return _shallow(value, data.count(b"[") + data.count(b"{"))


def strict_msgpack(data: bytes) -> Any:
    """The value of one msgpack message. Raises `Unreadable`."""
    messages = Messages(max(len(data), 16))
    values = list(messages.feed(data))
    if len(values) != 1 or not messages.whole():
        raise Unreadable("not one msgpack message")
    return values[0]


class Messages:
    """Takes a stream of msgpack apart as it comes; a message may have `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most, self._fed, self._taken = most, 0, 0
        self._unpacker = msgpack.Unpacker(
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_once,
            ext_hook=_no_extension,
            max_buffer_size=most,
            max_str_len=most,
            max_bin_len=0,
            max_ext_len=0,
        )

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that are whole by now. Raises `Unreadable`, after which the stream cannot go on."""
        try:
            # Fed in pieces, so that the buffer's limit is that of one message and not of what the network gave at once.
            for start in range(0, len(data), max(1, self._most // 2)):
                piece = data[start : start + max(1, self._most // 2)]
                self._fed += len(piece)
                self._unpacker.feed(piece)
                for value in self._unpacker:
                    self._taken = self._unpacker.tell()
                    yield _shallow(value, DEPTH + 1)
        except msgpack.exceptions.BufferFull:
            raise Unreadable(f"a message of more than {self._most} bytes") from None
        except RecursionError:
            raise Unreadable(f"nested deeper than {DEPTH}") from None
        except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
            raise Unreadable(f"not msgpack: {error}") from None

    def whole(self) -> bool:
        """Whether the last message was not cut off."""
        return bool(self._taken == self._fed)


def _shallow(value: Any, brackets: int) -> Any:
    """The value, if it is not nested too deep; with few brackets it cannot be."""
    if brackets <= DEPTH:
        return value
    level = [value]
    for _ in range(DEPTH):
        level = [
            item
            for node in level
            if isinstance(node, dict | list)
            for item in (node.values() if isinstance(node, dict) else node)
            if isinstance(item, dict | list)
        ]
        if not level:
            return value
    raise Unreadable(f"nested deeper than {DEPTH}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"`{twice[:DIGITS]}` stands twice in one object")
    return found


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise Unreadable(f"a number of more than {DIGITS} digits")
    return int(text)


def _no_number(name: str) -> Any:
    raise Unreadable(f"{name} is no number")


def _no_extension(code: int, data: bytes) -> Any:
    raise Unreadable("extension types are not taken")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_int=_whole, parse_float=Inexact, parse_constant=_no_number)
