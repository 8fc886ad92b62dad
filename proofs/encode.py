"""Writes certificates and claims: the forms that `proofs.checker.claim` reads. Nothing here is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proofs.checker.certificate import Fact, Problem, Tree
from proofs.checker.claim import FACTS, KINDS, MAGIC


def to_bytes(tree: Tree) -> bytes:
    """The compact binary form of a certificate, nodes in depth-first order."""
    out = bytearray()
    stack: list[Tree] = [tree]
    while stack:
        node = stack.pop()
        kind = node[0]
        out.append(KINDS.index(kind))
        if kind in "FC":
            pairs = node[1]
            put_number(out, len(pairs))
            for i, a in pairs:
                put_number(out, i)
                put_number(out, folded(a))
        if kind == "F":
            continue
        if kind == "S":
            put_number(out, node[1])
            put_number(out, len(node[2]))
            stack += reversed(node[2])
        elif kind == "C":
            put_number(out, folded(node[2]))
            stack += (node[4], node[3])
        elif kind == "I":
            put_number(out, node[1])
            put_number(out, folded(node[2]))
            stack += (node[4], node[3])
        elif kind == "P":
            put_number(out, folded(node[1]))
            put_number(out, folded(node[2]))
            stack.append(node[3])
    return bytes(out)


def claim_bytes(problem: Problem, tree: Tree) -> bytes:
    """Problem and certificate as one claim in binary form (`docs/architecture.md`, Claims)."""
    out = bytearray(MAGIC)
    put_box(out, problem.box)
    put_number(out, len(problem.ints))
    for i in sorted(problem.ints):
        put_number(out, i)
    put_products(out, problem.products)
    put_number(out, len(problem.facts))
    for fact in problem.facts:
        put_fact(out, fact)
    return bytes(out) + to_bytes(tree)


def put_box(out: bytearray, box: Sequence[tuple[int | None, int | None]]) -> None:
    """Each variable's ends, where it has them."""
    put_number(out, len(box))
    for low, high in box:
        out.append((low is not None) + 2 * (high is not None))
        for end in (low, high):
            if end is not None:
                put_number(out, folded(end))


def put_products(out: bytearray, products: Sequence[tuple[int, int, int]]) -> None:
    """Each product variable with its factors."""
    put_number(out, len(products))
    for product in products:
        for i in product:
            put_number(out, i)


def put_fact(out: bytearray, fact: Fact) -> None:
    """A fact, conjunctions and disjunctions with their parts."""
    out.append(FACTS.index(fact[0]))
    if fact[0] != "L":
        put_number(out, len(fact[1]))
        for part in fact[1]:
            put_fact(out, part)
        return
    _, terms, b, strict = fact
    out.append(strict)
    put_number(out, len(terms))
    for i, a in terms:
        put_number(out, i)
        put_number(out, folded(a))
    put_number(out, folded(b))


def claim_json(problem: Problem, tree: Tree) -> dict[str, Any]:
    """The same claim as plain data for JSON; whole numbers from 2^53 on are texts."""
    return {
        "type": "lexwatt/claim/v1",
        "problem": {
            "box": _plain(problem.box),
            "ints": sorted(problem.ints),
            "products": _plain(problem.products),
            "facts": _plain(problem.facts),
        },
        "certificate": _plain(tree),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if type(value) is int and abs(value) >= 2**53 else value


def put_number(out: bytearray, value: int) -> None:
    """Seven bits a byte, low first."""
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def folded(value: int) -> int:
    """A signed number as one that is not negative: 0, -1, 1, -2, ... in turn."""
    return value << 1 if value >= 0 else (-value << 1) - 1
