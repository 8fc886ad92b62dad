"""Accounts for commands: each that a decision admitted has one outcome, and no outcome is of anything else. Standard
library alone.

Reads a ledger from its start, record by record. Decisions of services whose records are made after the act may stand
after the outcome of their commands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from proofs.checker.certificate import Bad
from proofs.checker.merkle import leaf_hash
from proofs.checker.receipt import FIRST_TYPE, PREDICATE_TYPE, read_record, read_statement

DELIVERY, QUARANTINE, AUTONOMY = "lexwatt/delivery/v1", "lexwatt/quarantine/v1", "lexwatt/autonomy/v1"
FIELDS: Mapping[str, frozenset[str]] = {
    DELIVERY: frozenset(
        (
            *("device", "record", "decision", "frame", "instead_of", "at", "service", "outcome", "reason", "attempts"),
            *("decided_after_ns", "acknowledged_after_ns", "tier", "fallback", "reversion_s", "breaker"),
            *("rules", "findings", "not_judged"),
        )
    ),
    QUARANTINE: frozenset(("device", "at", "event", "by", "reason", "record", "findings")),
    AUTONOMY: frozenset(("site", "at", "event", "reason", "schedule", "step", "decisions")),
}
OUTCOMES = frozenset(
    (
        *("acknowledged", "unacknowledged", "refused", "mismatch", "failed"),
        *("late", "quarantined", "breaker_open", "overloaded", "unknown"),
    )
)
"""How a delivery can end. With those of the second line nothing had been sent; but `unknown` stands for a command whose
outcome was lost with the process."""
TIERS = frozenset(("command", "fallback", "device", "none"))
"""What the device is under in the end: the command, the guarded fallback, its own timer, or nothing known."""


def name_of(kind: str, predicate: Mapping[str, Any]) -> str:
    """The subject's name in the record of an event."""
    if kind == DELIVERY:
        return f"{predicate['device']}/{predicate['record']}"
    return str(predicate["device"] if kind == QUARANTINE else predicate["site"])


def read_event(record: bytes) -> tuple[str, dict[str, Any]] | None:
    """Kind and predicate of an event's record, None for a decision; raises `Bad` for anything else."""
    kind, name, predicate = read_statement(record)
    if kind in (PREDICATE_TYPE, FIRST_TYPE):
        return None
    if kind not in FIELDS or set(predicate) != FIELDS[kind]:
        raise Bad("the record is of an unknown type, or does not have its fields")
    if name != name_of(kind, predicate):
        raise Bad("the record's subject does not name its predicate")
    return kind, predicate


@dataclass(slots=True)
class Accounts:
    """What a ledger says so far. A command is its decision's leaf hash (hex) and its device.

    `open` commands have no outcome yet, with their frames' hashes; `outcomes` are those that have one; `early` are
    outcomes whose decision has not come yet; `quarantined` are the devices that may not be commanded, with the reason.
    """

    open: dict[tuple[str, str], str] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], str] = field(default_factory=dict)
    early: dict[tuple[str, str], str] = field(default_factory=dict)
    quarantined: dict[str, str] = field(default_factory=dict)

    def take(self, record: bytes) -> None:
        """Goes on by one record; raises `Bad` for an outcome that is no command's, or not its only one."""
        found = read_event(record)
        if found is None:
            frames = read_record(record).get("frames") or {}
            leaf = leaf_hash(record).hex()
            for device, frame in frames.items():
                self._admitted((leaf, device), hashlib.sha256(bytes.fromhex(frame)).hexdigest())
            return
        kind, said = found
        if kind == QUARANTINE:
            if said["event"] == "quarantined":
                self.quarantined[said["device"]] = said["reason"]
            else:
                self.quarantined.pop(said["device"], None)
        if kind == DELIVERY:
            self._ended((said["record"], said["device"]), said)

    def _admitted(self, command: tuple[str, str], frame: str) -> None:
        if command in self.early:
            if self.early.pop(command) != frame:
                raise Bad(f"what was delivered to {command[1]} is not what was admitted")
            return
        if command in self.open or command in self.outcomes:
            raise Bad(f"the command for {command[1]} stands twice")
        self.open[command] = frame

    def _ended(self, command: tuple[str, str], said: Mapping[str, Any]) -> None:
        if command in self.outcomes:
            raise Bad(f"the command for {command[1]} has a second outcome")
        if said["outcome"] not in OUTCOMES or said["tier"] not in TIERS:
            raise Bad(f"the outcome `{said['outcome']}`, `{said['tier']}` is none")
        self.outcomes[command] = said["outcome"]
        if command not in self.open:
            self.early[command] = said["frame"]
        elif self.open.pop(command) != said["frame"]:
            raise Bad(f"what was delivered to {command[1]} is not what was admitted")


def accounts(records: Iterable[bytes]) -> Accounts:
    """What a whole ledger says; every command is accounted for when `open` and `early` are empty. Raises `Bad`."""
    found = Accounts()
    for record in records:
        found.take(record)
    return found
