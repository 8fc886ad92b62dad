"""A stretch of a log judged again: every record hashed, every decision re-derived by the independent checker.

Each stretch stands for itself, so that several processes share a day. What only the order of the whole tells is left to
`proofs/audit.py`: the tree, the guards' numbers, what is in force, what was delivered.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from proofs.checker.canonical_json import NotCanonical, loads
from proofs.checker.certificate import Bad
from proofs.checker.decision import MOMENT, check_decision, disputed
from proofs.checker.delivery import DELIVERY, FIELDS, name_of
from proofs.checker.merkle import HASH_SIZE, leaf_hash
from proofs.checker.receipt import FIRST_TYPE, HANDOVER_TYPE, PREDICATE_TYPE, read_statement
from proofs.recorded import Recorded
from proofs.tree import WIDTH, fold

DECISIONS = (PREDICATE_TYPE, FIRST_TYPE)
ACTIVATION_TYPE = "lexwatt/activation/v1"
SKEW_MS = 1000
"""How far `at` may fall behind the record before: records of several devices are made side by side."""
MOST = 1000
"""Findings of one kind that are kept in full; the rest are counted."""
GONE = b"\0" * HASH_SIZE
"""Stands for the hash of a record that is missing."""

Frames = Callable[[str, bytes], tuple[Mapping[str, int], Mapping[str, int]]]
"""Command and grid of a frame for a device, in steps by quantity.

Raises `LookupError` for a device that is not known, `ValueError` for a frame that no command gives.
"""


@dataclass(slots=True)
class Finding:
    """Something that does not hold: of which kind, where in the log (to `until`), of whom, when, under which clause."""

    code: str
    message: str
    index: int | None = None
    unit: str | None = None
    at: str | None = None
    clause: str | None = None
    until: int | None = None


@dataclass(slots=True)
class Use:
    """Where and when a rule set or policy was used."""

    count: int
    first: int
    last: int
    earliest: str
    latest: str

    def add(self, other: Use) -> None:
        """Takes in a later stretch."""
        self.count, self.last = self.count + other.count, other.last
        self.earliest, self.latest = min(self.earliest, other.earliest), max(self.latest, other.latest)


class Documents:
    """Rule set and policy documents by digest, found in a folder by what they hash to, whatever they are called."""

    def __init__(self, folder: Path | None) -> None:
        self.found: dict[str, bytes] = {}
        self.misnamed: list[str] = []
        for path in sorted(folder.rglob("*.json")) if folder is not None else ():
            data = path.read_bytes()
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            self.found[digest] = data
            if re.fullmatch(r"sha256-[0-9a-f]{64}", path.stem) and path.stem != digest.replace(":", "-"):
                self.misnamed.append(path.name)

    def core(self, digest: str) -> str | None:
        """The digest of the core that a rule set document was lowered from."""
        try:
            found = loads(self.found[digest])["core"]
        except (KeyError, TypeError, NotCanonical):
            return None
        return found if type(found) is str else None


@dataclass(slots=True)
class Part:
    """What a stretch shows. `leaves` are the hashes of what is stored, `kept` of each tile that says otherwise."""

    start: int
    end: int
    leaves: bytes = b""
    kept: dict[int, bytes] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    not_rederived: Counter[str] = field(default_factory=Counter)
    yielded: Counter[str] = field(default_factory=Counter)
    rulesets: dict[str, Use] = field(default_factory=dict)
    policies: dict[str, Use] = field(default_factory=dict)
    runs: list[list[Any]] = field(default_factory=list)
    other: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    moments: tuple[str, str, int] | None = None
    sent: list[tuple[int, int]] = field(default_factory=list)
    delivered: list[tuple[int, int]] = field(default_factory=list)
    frames: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)

    def find(self, finding: Finding) -> None:
        """Counts a finding, and keeps it unless there are very many of its kind."""
        self.counts[finding.code] += 1
        if self.counts[finding.code] <= MOST:
            self.findings.append(finding)


@dataclass(slots=True)
class Judge:
    """What stretches are judged by. Places before `first` are hashed alone."""

    source: Recorded
    documents: Documents
    first: int = 0
    frames: Frames | None = None

    def stretch(self, start: int, end: int) -> Part:
        """The records from `start` (where a tile begins) to before `end`."""
        part = Part(start, end)
        leaves: list[bytes] = []
        tiles = {i: self.source.hashes(0, i) for i in range(start // WIDTH, -(-end // WIDTH))}
        for place, data in self._placed(part, start, end, tiles):
            leaves.append(GONE if data is None else leaf_hash(data))
            if data is not None and place >= self.first:
                self._record(part, place, data)
        part.leaves = b"".join(leaves)
        for i, kept in tiles.items():
            at = (i * WIDTH - start) * HASH_SIZE
            found = part.leaves[at : at + WIDTH * HASH_SIZE]
            if len(kept) < len(found) and (len(found) == WIDTH * HASH_SIZE or kept):
                part.find(Finding("tile_changed", f"tile 0/{i} is missing or cut short", i * WIDTH))
            elif kept and kept[: len(found)] != found:
                part.kept[i] = kept[: len(found)]
            if len(found) == WIDTH * HASH_SIZE:
                above = self.source.hashes(1, i // WIDTH)[i % WIDTH * HASH_SIZE :][:HASH_SIZE]
                if i not in part.kept and above and above != fold(found):
                    part.find(
                        Finding("tile_changed", f"the root kept for tile 0/{i} is not that of its records", i * WIDTH)
                    )
        return part

    def _placed(
        self, part: Part, start: int, end: int, tiles: Mapping[int, bytes]
    ) -> Iterable[tuple[int, bytes | None]]:
        """Each place once, with its record or None; says which places have none or several."""
        rows = self.source.rows(start, end)
        row = next(rows, None)
        for place in range(start, end):
            there = []
            while row is not None and row[0] == place:
                there.append(row[1])
                row = next(rows, None)
            if not there:
                part.find(Finding("record_missing", f"record {place} is missing", place))
            if len(there) > 1:
                part.find(Finding("record_twice", f"{len(there)} records stand at place {place}", place))
                wanted = tiles[place // WIDTH][place % WIDTH * HASH_SIZE :][:HASH_SIZE]
                there.sort(key=lambda data: leaf_hash(data) != wanted)
            yield place, there[0] if there else None

    def _record(self, part: Part, place: int, data: bytes) -> None:
        try:
            kind, name, predicate = read_statement(data)
            if kind in FIELDS and (set(predicate) != FIELDS[kind] or name != name_of(kind, predicate)):
                raise Bad("the record does not have its fields, or its subject does not name them")
        except Bad as error:
            part.find(Finding("record_unreadable", str(error), place))
            return
        part.kinds[kind] += 1
        if kind in DECISIONS:
            try:
                self._decision(part, place, data, predicate)
            except (Bad, KeyError, TypeError, ValueError, AttributeError) as error:
                part.find(self._about(place, predicate, error))
        elif kind == DELIVERY:
            part.delivered.append((place, delivery_key(*(str(predicate[k]) for k in ("record", "device", "frame")))))
            part.ended[str(predicate["outcome"])] += 1
        elif kind in (HANDOVER_TYPE, ACTIVATION_TYPE):
            part.other.append((place, kind, predicate))

    def _decision(self, part: Part, place: int, data: bytes, predicate: dict[str, Any]) -> None:
        at, digest, named = str(predicate["at"]), str(predicate["ruleset"]), predicate.get("policy")
        outcome, sequence = str(predicate["outcome"]), predicate["sequence"]
        if type(sequence) is not int or not MOMENT.fullmatch(at):
            raise Bad("`sequence` must be a whole number, `at` a moment")
        part.outcomes[outcome] += 1
        for uses, name in ((part.rulesets, digest), (part.policies, named)):
            if type(name) is str:
                use = uses.get(name)
                if use is None:
                    uses[name] = Use(1, place, place, at, at)
                else:
                    use.add(Use(1, place, place, at, at))
        frames, record = predicate["frames"], leaf_hash(data).hex()
        for device, frame in frames.items():
            written = hashlib.sha256(bytes.fromhex(frame)).hexdigest()
            part.sent.append((place, delivery_key(record, device, written)))
        self._numbered(part, place, digest, sequence)
        if part.moments is not None and ms(at) < ms(part.moments[1]) - SKEW_MS:
            part.find(clock(predicate, place, part.moments[1]))
        part.moments = (part.moments[0] if part.moments else at, at, part.moments[2] if part.moments else place)
        document = self.documents.found.get(digest)
        if document is None:
            part.counts["document_missing"] += 1
            return
        guide = None
        if named is not None:
            guide = self.documents.found.get(str(named))
            if guide is None:
                part.counts["document_missing"] += 1
                return
        part.not_rederived.update(check_decision(document, predicate, guide))
        part.yielded.update(entry["tier"] for entry in predicate.get("yielded", ()))
        if self.frames is not None and frames:
            self._framed(part, predicate)
        part.counts["rederived"] += 1

    def _numbered(self, part: Part, place: int, digest: str, sequence: int) -> None:
        """Runs of consecutive numbers: rule set, first number, first and last place, and whether places ascend too."""
        last = part.runs[-1] if part.runs else None
        if last is not None and last[0] == digest and last[1] + last[4] == sequence:
            last[3], last[4] = place, last[4] + 1
        else:
            part.runs.append([digest, sequence, place, place, 1])

    def _framed(self, part: Part, predicate: Mapping[str, Any]) -> None:
        """That each frame is the command's, on the grid of a device that is known otherwise than from the record."""
        assert self.frames is not None
        command: dict[str, int] = {}
        for device, text in predicate["frames"].items():
            try:
                found, grid = self.frames(device, bytes.fromhex(text))
            except LookupError:
                part.frames["not decoded"] += 1
                return
            except ValueError as error:
                raise Bad(f"the frame of {device} cannot be decoded: {error}") from error
            before = f"{device}." if predicate["subject"] == "pool" else ""
            command |= {before + name: value for name, value in found.items()}
            if any(predicate["grid"].get(before + name) != step for name, step in grid.items()):
                raise Bad(f"the record's grid is not that of {device}")
        if command != predicate["command"]:
            raise Bad("the frames decode to another command than was decided")
        part.frames["decoded"] += 1

    def _about(self, place: int, predicate: Mapping[str, Any], error: Exception) -> Finding:
        clause = None
        document = self.documents.found.get(str(predicate.get("ruleset")))
        if document is not None:
            try:
                rules = disputed(document, predicate)
            except (Bad, KeyError, TypeError, ValueError, AttributeError):
                rules = []
            clause = "; ".join(f"{rule}: {text}" for rule, text in rules) or None
        told = str(error) if isinstance(error, Bad) else f"the record lacks or misplaces {error}"
        return Finding("decision_refuted", told, place, _text(predicate, "id"), _text(predicate, "at"), clause)


def clock(predicate: Mapping[str, Any], place: int, before: str) -> Finding:
    """The finding that time ran backwards."""
    at = str(predicate["at"])
    told = f"time ran backwards, from {before} to {at}"
    return Finding("clock_backwards", told, place, _text(predicate, "id"), at)


def ms(at: str) -> int:
    """A moment of a record in ms since 1970; raises `ValueError` for a day that does not exist."""
    return round(datetime.fromisoformat(at).timestamp() * 1000)


def delivery_key(record: str, device: str, frame: str) -> int:
    """A short name for a frame sent to a device: of its decision's leaf hash, the device and the frame's hash."""
    return int.from_bytes(hashlib.sha256(f"{record} {device} {frame}".encode()).digest()[:8], "big")


def _text(predicate: Mapping[str, Any], key: str) -> str | None:
    found = predicate.get(key)
    return None if found is None else str(found)
