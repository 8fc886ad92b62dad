"""The rule set document: a fact set as RFC 8785 JSON, whose hash every decision record names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from compiler.core import CoreRule, canonical
from compiler.facts import Fact, FactSet


def document(facts: FactSet, interpreted: Sequence[tuple[CoreRule, str]] = ()) -> bytes:
    """The canonical bytes of the document (`docs/architecture.md`, Rule set document).

    `interpreted` are the rules that facts cannot express, each with the reason: they are named, not written out.
    """
    beside = {"interpreted": [_named(rule, why) for rule, why in interpreted]} if interpreted else {}
    return canonical(
        {
            "type": "lexwatt/ruleset/v1",
            "subject": facts.subject,
            "core": facts.core,
            "variables": [
                {
                    "name": v.name,
                    "unit": v.unit,
                    "resolution": str(v.resolution),
                    "low": _whole(v.low),
                    "high": _whole(v.high),
                    "role": v.role,
                }
                for v in facts.variables
            ],
            "products": [list(p) for p in facts.products],
            "rules": [
                {
                    "id": r.rule,
                    "title": r.title,
                    "clause": r.clause,
                    "evidence": r.evidence,
                    "blocks": r.blocks,
                    "scope": fact_json(r.scope),
                    "body": fact_json(r.body),
                }
                for r in facts.rules
            ],
            **beside,
        }
    )


def _named(rule: CoreRule, why: str) -> dict[str, Any]:
    told = {"id": rule.id, "title": rule.title, "clause": rule.clause, "evidence": rule.evidence}
    return {**told, "blocks": rule.blocks, "why": why}


def document_digest(data: bytes) -> str:
    """`sha256:` and the hash of the document's bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def fact_json(fact: Fact) -> list[Any]:
    """A fact as JSON arrays."""
    if fact[0] == "L":
        return ["L", [[i, _whole(a)] for i, a in fact[1]], _whole(fact[2]), fact[3]]
    return [fact[0], [fact_json(part) for part in fact[1]]]


def _whole(value: int) -> int | str:
    """JSON numbers are doubles to many readers: from 2^53 on an integer travels as text."""
    return value if abs(value) < 2**53 else str(value)
