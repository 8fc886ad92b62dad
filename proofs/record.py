"""Decision records: in-toto Statements in RFC 8785 form."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from proofs.checker.canonical_json import dumps
from proofs.checker.receipt import HANDOVER_TYPE, PREDICATE_TYPE, STATEMENT_TYPE, handover_text
from proofs.keys import SigningKey

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
    exact(predicate, "record")
    return _wrapped(f"{predicate['id']}/{predicate['sequence']}", PREDICATE_TYPE, predicate)


def handover(old: SigningKey, new: SigningKey, index: int, at: str) -> bytes:
    """The record, at a place in the log, by which its key hands over to another; `at` is a moment as text.

    Raises `ValueError` where the new key has another log's name.
    """
    if new.name != old.name:
        raise ValueError(f"the new key is named {new.name}, the log {old.name}")
    told = {
        "origin": old.name,
        "index": index,
        "at": at,
        "old": old.verifier.text(),
        "new": new.verifier.text(),
    }
    signature = base64.b64encode(old.signature(handover_text(told))).decode()
    return _wrapped(f"{old.name}/{index}", HANDOVER_TYPE, told | {"signature": signature})


def _wrapped(name: str, kind: str, predicate: Mapping[str, Any]) -> bytes:
    digest = hashlib.sha256(dumps(dict(predicate))).hexdigest()
    return dumps(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": digest}}],
            "predicateType": kind,
            "predicate": dict(predicate),
        }
    )


def exact(value: Any, where: str) -> None:
    """Raises `ValueError` naming the place of a float: a record is exact."""
    if isinstance(value, float):
        raise ValueError(f"{where} is a float")
    if isinstance(value, Mapping):
        for key, item in value.items():
            exact(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            exact(item, f"{where}[{i}]")
