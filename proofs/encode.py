"""Writes certificates and claims: the forms that `proofs.checker.claim` reads. Nothing here is trusted."""

from __future__ import annotations

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
            _put(out, len(pairs))
            for i, a in pairs:
                _put(out, i)
                _put(out, _zigzag(a))
        if kind == "F":
            continue
        if kind == "S":
            _put(out, node[1])
            _put(out, len(node[2]))
            stack += reversed(node[2])
        elif kind == "C":
            _put(out, _zigzag(node[2]))
            stack += (node[4], node[3])
        elif kind == "I":
            _put(out, node[1])
            _put(out, _zigzag(node[2]))
            stack += (node[4], node[3])
        elif kind == "P":
            _put(out, _zigzag(node[1]))
            _put(out, _zigzag(node[2]))
            stack.append(node[3])
    return bytes(out)


def claim_bytes(problem: Problem, tree: Tree) -> bytes:
    """Problem and certificate as one claim in binary form (`docs/architecture.md`, Claims)."""
    out = bytearray(MAGIC)
    _put(out, len(problem.box))
    for low, high in problem.box:
        out.append((low is not None) + 2 * (high is not None))
        for end in (low, high):
            if end is not None:
                _put(out, _zigzag(end))
    _put(out, len(problem.ints))
    for i in sorted(problem.ints):
        _put(out, i)
    _put(out, len(problem.products))
    for product in problem.products:
        for i in product:
            _put(out, i)
    _put(out, len(problem.facts))
    for fact in problem.facts:
        _fact(out, fact)
    return bytes(out) + to_bytes(tree)


def _fact(out: bytearray, fact: Fact) -> None:
    out.append(FACTS.index(fact[0]))
    if fact[0] != "L":
        _put(out, len(fact[1]))
        for part in fact[1]:
            _fact(out, part)
        return
    _, terms, b, strict = fact
    out.append(strict)
    _put(out, len(terms))
    for i, a in terms:
        _put(out, i)
        _put(out, _zigzag(a))
    _put(out, _zigzag(b))


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


def _put(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1
