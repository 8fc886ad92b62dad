"""Reads claims, a problem and its certificate, in binary and in readable form, strictly. Standard library alone.

The binary form is one string of bytes (`docs/architecture.md`, Claims); `proofs/coq/Claim.v` reads the same. Numbers
have variable length: seven bits a byte, low first, no padding; signed ones are folded (0, -1, 1, -2, ...).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from proofs.checker.canonical_json import once
from proofs.checker.certificate import MAX_BITS, MAX_DEPTH, MAX_NODES, MAX_POSITIONS, Bad, Fact, Problem, Tree, whole

Found = TypeVar("Found")
MAX_BYTES = 4_000_000
MAGIC = b"LWC1"
KINDS = "FSICPX"
FACTS = "LAO"


def from_bytes(data: bytes) -> Tree:
    """The certificate of a binary form; raises `Bad` for truncated, padded, trailing or oversized input."""
    return _all_of(data, 0, lambda reader: reader.tree(0))


def claim_from_bytes(data: bytes) -> tuple[Problem, Tree]:
    """Problem and certificate of a claim in binary form; raises `Bad` as `from_bytes` does."""
    if data[: len(MAGIC)] != MAGIC:
        raise Bad("this is not a claim")
    return _all_of(data, len(MAGIC), lambda reader: (reader.problem(), reader.tree(0)))


def claim_from_json(data: bytes) -> tuple[Problem, Tree]:
    """Problem and certificate of a claim in readable form, which may stand inside a larger object; raises `Bad`."""
    if len(data) > MAX_BYTES:
        raise Bad("the claim is too large")
    try:
        raw = json.loads(data, parse_float=_refuse, parse_constant=_refuse, object_pairs_hook=once)
        found = raw["problem"]
        box, products, facts = (_tuples(found[key], 0) for key in ("box", "products", "facts"))
        ints = found["ints"]
        if type(ints) is not list or not all(type(i) is int for i in ints) or ints != sorted(set(ints)):
            raise Bad("the whole variables do not ascend")
        return Problem(len(box), box, frozenset(ints), products, facts), _tuples(raw["certificate"], 0)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Bad(f"the claim cannot be read: {error}") from error


def _refuse(text: str) -> Any:
    raise Bad(f"{text} is not a whole number")


def _tuples(value: Any, depth: int) -> Any:
    if depth > 3 * MAX_DEPTH:
        raise Bad("the claim nests too deep")
    if type(value) is list:
        return tuple(_tuples(part, depth + 1) for part in value)
    if type(value) is str and value not in (*KINDS, *FACTS):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(value) > 1300:
            raise Bad("a whole number was expected")
        found = whole(int(value))
        if abs(found) < 2**53 or str(found) != value:
            raise Bad("a whole number is not in its shortest form")
        return found
    if type(value) is dict:
        raise Bad("an object stands where a list was expected")
    return value


def _all_of(data: bytes, start: int, read: Callable[[_Reader], Found]) -> Found:
    reader = _Reader(data, start)
    try:
        found = read(reader)
    except StopIteration:
        raise Bad("the claim ends too soon") from None
    if next(reader.rest, None) is not None:
        raise Bad("bytes follow the claim")
    return found


class _Reader:
    """Takes one number after the other; marks and kinds are numbers too. `StopIteration` says that none is left."""

    __slots__ = ("nodes", "rest", "take")

    def __init__(self, data: bytes, start: int) -> None:
        if len(data) > MAX_BYTES:
            raise Bad("the claim is too large")
        self.rest = iter(_numbers(data[start:]))
        self.take, self.nodes = self.rest.__next__, 0

    def position(self) -> int:
        value = self.take()
        if value >= MAX_POSITIONS:
            raise Bad("a position is out of range")
        return value

    def signed(self) -> int:
        value = self.take()
        return value >> 1 ^ -(value & 1)

    def pairs(self) -> tuple[tuple[int, int], ...]:
        take, found = self.take, []
        for _ in range(take()):
            position, value = take(), take()
            if position >= MAX_POSITIONS:
                raise Bad("a position is out of range")
            found.append((position, value >> 1 ^ -(value & 1)))
        return tuple(found)

    def ends(self) -> tuple[int | None, int | None]:
        mark = self.take()
        if mark > 3:
            raise Bad("unknown mark of a range")
        return self.signed() if mark & 1 else None, self.signed() if mark & 2 else None

    def problem(self) -> Problem:
        box = tuple([self.ends() for _ in range(self.take())])
        ints = [self.position() for _ in range(self.take())]
        if ints != sorted(set(ints)):
            raise Bad("the whole variables do not ascend")
        products = tuple([(self.position(), self.position(), self.position()) for _ in range(self.take())])
        facts = tuple([self.fact(0) for _ in range(self.take())])
        return Problem(len(box), box, frozenset(ints), products, facts)

    def fact(self, depth: int) -> Fact:
        kind = self.take()
        if depth > MAX_DEPTH or kind > 2:
            raise Bad("unknown kind of fact, or facts nest too deep")
        if kind:
            return FACTS[kind], tuple([self.fact(depth + 1) for _ in range(self.take())])
        strict = self.take()
        if strict > 1:
            raise Bad("the strict mark must be true or false")
        return "L", self.pairs(), self.signed(), strict == 1

    def tree(self, depth: int) -> Tree:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise Bad("the certificate is too deep or too large")
        number, inner = self.take(), depth + 1
        kind = KINDS[number] if number < len(KINDS) else ""
        if kind == "F":
            return "F", self.pairs()
        if kind == "S":
            return "S", self.position(), tuple([self.tree(inner) for _ in range(self.take())])
        if kind == "I":
            return "I", self.position(), self.signed(), self.tree(inner), self.tree(inner)
        if kind == "C":
            return "C", self.pairs(), self.signed(), self.tree(inner), self.tree(inner)
        if kind == "P":
            return "P", self.signed(), self.signed(), self.tree(inner)
        if kind == "X":
            return ("X",)
        raise Bad("unknown kind of certificate node")


def _numbers(data: bytes) -> list[int]:
    """The numbers that bytes hold from end to end; none is padded or exceeds what a signed whole number may have."""
    if data.isascii():
        return list(data)
    found: list[int] = []
    rest = iter(data)
    for byte in rest:
        if byte < 128:
            found.append(byte)
            continue
        value, shift, more = byte & 127, 7, True
        while more:
            byte = next(rest, -1)
            if byte < 0:
                raise Bad("the claim ends too soon")
            value |= (byte & 127) << shift
            shift, more = shift + 7, byte > 127
            if shift > MAX_BITS + 7:
                raise Bad("a number is too long")
        if byte == 0:
            raise Bad("a number is padded")
        if shift > MAX_BITS:
            whole((value + 1) >> 1)
        found.append(value)
    return found
