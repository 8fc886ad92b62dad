"""Records of what happens around decisions (deliveries, quarantines, autonomy): in-toto Statements as theirs are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from compiler.core import canonical
from proofs.checker.delivery import FIELDS, name_of
from proofs.checker.receipt import STATEMENT_TYPE
from proofs.record import exact


def event(kind: str, predicate: Mapping[str, Any]) -> bytes:
    """The record of an event; raises `ValueError` naming fields that are missing or too many, and for a float."""
    if set(predicate) != FIELDS[kind]:
        raise ValueError(f"{kind} needs exactly its fields; differing: {sorted(set(predicate) ^ FIELDS[kind])}")
    exact(predicate, kind)
    inner = canonical(dict(predicate))
    subject = [{"name": name_of(kind, predicate), "digest": {"sha256": hashlib.sha256(inner).hexdigest()}}]
    # The keys in their order; the predicate, which is most of it, is written once.
    head = b'{"_type":%s,"predicate":%s' % (canonical(STATEMENT_TYPE), inner)
    return head + b',"predicateType":%s,"subject":%s}' % (canonical(kind), canonical(subject))


def moment(at: datetime) -> str:
    """An instant as it stands in records, to the millisecond, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
