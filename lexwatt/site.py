"""Wires one site together: rules in force, fleet, ledger, guard, and the theorems the guard relies on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from compiler.core import Core
from compiler.from_syntax import to_core
from guardrails.fleet import Fleet, load_site
from guardrails.guard import Guard
from guardrails.policy import UNGUIDED, GuardPolicy
from guardrails.seal import Sealer
from jurisdictions.loader import load
from lexwatt.remembered import decide
from proofs.keys import SigningKey, load_or_create
from proofs.ledger import Ledger
from proofs.theorems import Answer, Proved

LOG_NAME = "lexwatt.example/guard"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where a run keeps its ledger, key, rule set documents, theorems and receipts."""

    path: Path

    def make(self) -> None:
        """Creates what is missing."""
        for name in ("rules", "theorems", "receipts"):
            (self.path / name).mkdir(parents=True, exist_ok=True)

    @property
    def ledger(self) -> Path:
        """The ledger's database."""
        return self.path / "ledger.db"

    @property
    def vkey(self) -> Path:
        """The log's public key."""
        return self.path / "log.vkey"

    def key(self) -> SigningKey:
        """The log's signing key, made on first use; the public half is written beside it."""
        key = load_or_create(self.path / "log.key", LOG_NAME)
        self.vkey.write_text(key.verifier.text() + "\n", encoding="utf-8")
        return key

    def rules(self, digest: str) -> Path:
        """Where the rule set document of a digest lies."""
        return self.path / "rules" / (digest.replace(":", "-") + ".json")

    def keep_rules(self, digest: str, data: bytes) -> None:
        """Stores a rule set document under its digest."""
        _store(self.rules(digest), data)

    def keep_theorem(self, proved: Proved) -> Path:
        """Stores a theorem with its certificate."""
        path = self.path / "theorems" / (proved.theorem.id.replace("/", "-") + ".json")
        _store(path, proved.to_document())
        return path


def _store(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in force on a day, and what was proved of them."""

    core: Core
    on: date
    answers: tuple[Answer, ...]


def load_rules(packs: Sequence[str | Path], on: date, remembered: Path | None = None) -> Rules:
    """The rules of packs in force on a day, with every theorem decided. Raises `RulesError`."""
    core = to_core(load(packs), on)
    return Rules(core, on, decide(core, remembered))


def open_guard(rules: Rules, folder: Folder, ledger: Ledger, sealer: Sealer, policy: GuardPolicy = UNGUIDED) -> Guard:
    """A guard under the rules, recording to the ledger; theorems that were proved are named in every record."""
    proved = [a for a in rules.answers if isinstance(a, Proved)]
    for answer in proved:
        folder.keep_theorem(answer)
    return Guard(
        rules.core,
        ledger,
        sealer,
        time.monotonic_ns,
        theorems=[a.digest for a in proved],
        keep=folder.keep_rules,
        policy=policy,
    )


__all__ = ["Fleet", "Folder", "Rules", "decide", "load_rules", "load_site", "open_guard"]
