"""Reads claims, a problem and its certificate, in binary and in readable form, strictly. Standard library alone.

The binary form is one string of bytes (`docs/architecture.md`, Claims); `proofs/coq/Claim.v` reads the same. Numbers
have variable length: seven bits a byte, low first, no padding; signed ones are folded (0, -1, 1, -2, ...).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from proofs.checker.certificate import MAX_BITS, MAX_DEPTH, MAX_NODES, MAX_POSITIONS, Bad, Fact, Problem, Tree, whole

MAX_BYTES = 4_000_000
MAGIC = b"LWC1"
KINDS = "FSICPX"
FACTS = "LAO"


def from_bytes(data: bytes) -> Tree:
    """The certificate of a binary form; raises `Bad` for truncated, padded, trailing or oversized input."""
    reader = _Reader(data)
    tree = reader.tree(0)
    reader.done()
    return tree


def claim_from_bytes(data: bytes) -> tuple[Problem, Tree]:
    """Problem and certificate of a claim in binary form; raises `Bad` as `from_bytes` does."""
    reader = _Reader(data)
    if reader.data[:4] != MAGIC:
        raise Bad("this is not a claim")
    reader.at = 4
    box = tuple(reader.ends() for _ in range(reader.count()))
    ints = [reader.position() for _ in range(reader.count())]
    if ints != sorted(set(ints)):
        raise Bad("the whole variables do not ascend")
    products = tuple((reader.position(), reader.position(), reader.position()) for _ in range(reader.count()))
    facts = tuple(reader.fact(0) for _ in range(reader.count()))
    tree = reader.tree(0)
    reader.done()
    return Problem(len(box), box, frozenset(ints), products, facts), tree


def claim_from_json(data: bytes) -> tuple[Problem, Tree]:
    """Problem and certificate of a claim in readable form, which may stand inside a larger object; raises `Bad`."""
    if len(data) > MAX_BYTES:
        raise Bad("the claim is too large")
    try:
        raw = json.loads(data, parse_float=_refuse, parse_constant=_refuse)
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


class _Reader:
    __slots__ = ("at", "data", "nodes")

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_BYTES:
            raise Bad("the claim is too large")
        self.data, self.at, self.nodes = data, 0, 0

    def done(self) -> None:
        if self.at != len(self.data):
            raise Bad("bytes follow the claim")

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise Bad("the claim ends too soon")
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        value = shift = 0
        while True:
            if shift > MAX_BITS:
                raise Bad("a number is too long")
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                if byte == 0 and shift:
                    raise Bad("a number is padded")
                return value
            shift += 7

    def position(self) -> int:
        value = self.number()
        if value >= MAX_POSITIONS:
            raise Bad("a position is out of range")
        return value

    def signed(self) -> int:
        value = self.number()
        return whole(-(value >> 1) - 1 if value & 1 else value >> 1)

    def count(self) -> int:
        value = self.number()
        if value > len(self.data) - self.at:
            raise Bad("a count is larger than what follows")
        return value

    def pairs(self) -> tuple[tuple[int, int], ...]:
        return tuple((self.position(), self.signed()) for _ in range(self.count()))

    def ends(self) -> tuple[int | None, int | None]:
        mark = self.byte()
        if mark > 3:
            raise Bad("unknown mark of a range")
        return self.signed() if mark & 1 else None, self.signed() if mark & 2 else None

    def fact(self, depth: int) -> Fact:
        kind = self.byte()
        if depth > MAX_DEPTH or kind > 2:
            raise Bad("unknown kind of fact, or facts nest too deep")
        if kind:
            return FACTS[kind], tuple(self.fact(depth + 1) for _ in range(self.count()))
        strict = self.byte()
        if strict > 1:
            raise Bad("the strict mark must be true or false")
        return "L", self.pairs(), self.signed(), strict == 1

    def tree(self, depth: int) -> Tree:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise Bad("the certificate is too deep or too large")
        sub: Callable[[], Tree] = lambda: self.tree(depth + 1)  # noqa: E731
        kind = self.byte()
        match KINDS[kind] if kind < len(KINDS) else "":
            case "F":
                return "F", self.pairs()
            case "S":
                return "S", self.position(), tuple(sub() for _ in range(self.count()))
            case "I":
                return "I", self.position(), self.signed(), sub(), sub()
            case "C":
                return "C", self.pairs(), self.signed(), sub(), sub()
            case "P":
                return "P", self.signed(), self.signed(), sub()
            case "X":
                return ("X",)
            case _:
                raise Bad("unknown kind of certificate node")
