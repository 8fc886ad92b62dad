"""Decision records: in-toto Statements in RFC 8785 form."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from proofs.checker.canonical_json import dumps
from proofs.checker.receipt import PREDICATE_TYPE, STATEMENT_TYPE

FIELDS = frozenset(
    (
        *("ruleset", "subject", "id", "sequence", "at", "deadline", "state", "unusable", "requested", "grid"),
        *("outcome", "command", "findings", "reason", "frames", "certificate", "gap", "theorems"),
        *("policy", "service_class", "recorded", "yielded", "rows", "interpreted", "content"),
    )
)


def statement(predicate: Mapping[str, Any]) -> bytes:
    """The record of a decision.

    Raises `ValueError` naming fields that are missing or too many, and any value that is a float: a record is exact.
    """
    if set(predicate) != FIELDS:
        raise ValueError(f"a decision record needs exactly its fields; differing: {sorted(set(predicate) ^ FIELDS)}")
    _exact(predicate, "record")
    name = f"{predicate['id']}/{predicate['sequence']}"
    digest = hashlib.sha256(dumps(dict(predicate))).hexdigest()
    return dumps(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": digest}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": dict(predicate),
        }
    )


def _exact(value: Any, where: str) -> None:
    if isinstance(value, float):
        raise ValueError(f"{where} is a float")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _exact(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _exact(item, f"{where}[{i}]")
