"""Checks a receipt offline: the log's signature, the record's place, and the decision itself. Standard library alone.

A receipt is a C2SP tlog-proof whose `extra` line carries the record, which is an in-toto Statement in RFC 8785 form.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from proofs.checker.canonical_json import NotCanonical, dumps, loads
from proofs.checker.certificate import Bad
from proofs.checker.decision import check_decision
from proofs.checker.merkle import leaf_hash, verify_inclusion
from proofs.checker.note import Checkpoint, decode64, open_checkpoint, parse_vkey

HEADER = "c2sp.org/tlog-proof@v1"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "lexwatt/decision/v2"
FIRST_TYPE = "lexwatt/decision/v1"
"""Records from before there were policies: no tier yields, all was recorded before it was done."""
MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Verified:
    """What a good receipt shows: the decision, its place in the log, and the tree head it was found under.

    `not_rederived` names the rules that facts cannot express: what the record says of them was taken as it stands.
    """

    predicate: dict[str, Any]
    index: int
    checkpoint: Checkpoint
    not_rederived: tuple[str, ...] = ()


def open_receipt(receipt: bytes, vkey: str) -> tuple[bytes, int, Checkpoint]:
    """The record, its index and the checkpoint of a receipt whose signature and inclusion proof verify.

    Raises `Bad`, saying what is wrong, otherwise.
    """
    if len(receipt) > MAX_BYTES:
        raise Bad("the receipt is too long")
    try:
        text = receipt.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Bad("the receipt is not text") from error
    head, gap, note = text.partition("\n\n")
    lines = head.split("\n")
    if not gap or len(lines) < 3 or lines[0] != HEADER:
        raise Bad("this is not a tlog-proof")
    if not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise Bad("the receipt must carry its record and its index")
    record = decode64(lines[1][6:])
    digits = lines[2][6:]
    if not digits.isascii() or not digits.isdigit() or str(int(digits[:20])) != digits:
        raise Bad("the index is not a number")
    proof = [decode64(line) for line in lines[3:]]
    checkpoint = open_checkpoint(note, parse_vkey(vkey))
    if not verify_inclusion(int(digits), checkpoint.size, leaf_hash(record), proof, checkpoint.root):
        raise Bad("the record does not stand in the signed tree at this index")
    return record, int(digits), checkpoint


def read_record(record: bytes) -> dict[str, Any]:
    """The predicate of a record; raises `Bad` unless it is a canonical Statement whose subject names the predicate."""
    try:
        statement = loads(record)
        if statement["_type"] != STATEMENT_TYPE or statement["predicateType"] not in (PREDICATE_TYPE, FIRST_TYPE):
            raise Bad("the record is of an unknown type")
        predicate = statement["predicate"]
        if ("policy" in predicate) != (statement["predicateType"] == PREDICATE_TYPE):
            raise Bad("the record does not have the fields of its type")
        name = f"{predicate['id']}/{predicate['sequence']}"
        digest = hashlib.sha256(dumps(predicate)).hexdigest()
        if statement["subject"] != [{"name": name, "digest": {"sha256": digest}}] or len(statement) != 4:
            raise Bad("the record's subject does not name its predicate")
    except (NotCanonical, KeyError, TypeError) as error:
        raise Bad(f"the record cannot be read: {error}") from error
    return dict(predicate)


def verify_receipt(receipt: bytes, vkey: str, document: bytes, policy: bytes | None = None) -> Verified:
    """What the receipt shows, everything having been checked; raises `Bad`, saying what is wrong, otherwise.

    `policy` is the document of the guard policy, where the record names one.
    """
    record, index, checkpoint = open_receipt(receipt, vkey)
    predicate = read_record(record)
    try:
        left = check_decision(document, predicate, policy)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Bad(f"the record lacks or misplaces {error}") from error
    return Verified(predicate, index, checkpoint, left)
