"""Records of what happens around decisions (deliveries, quarantines, autonomy): in-toto Statements as theirs are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from proofs.checker.canonical_json import dumps
from proofs.checker.delivery import FIELDS, name_of
from proofs.checker.receipt import STATEMENT_TYPE
from proofs.record import exact


def event(kind: str, predicate: Mapping[str, Any]) -> bytes:
    """The record of an event; raises `ValueError` naming fields that are missing or too many, and for a float."""
    if set(predicate) != FIELDS[kind]:
        raise ValueError(f"{kind} needs exactly its fields; differing: {sorted(set(predicate) ^ FIELDS[kind])}")
    exact(predicate, kind)
    digest = hashlib.sha256(dumps(dict(predicate))).hexdigest()
    subject = [{"name": name_of(kind, predicate), "digest": {"sha256": digest}}]
    return dumps({"_type": STATEMENT_TYPE, "subject": subject, "predicateType": kind, "predicate": dict(predicate)})


def moment(at: datetime) -> str:
    """An instant as it stands in records, to the millisecond, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
