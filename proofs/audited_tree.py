"""What was signed, held against what is stored: checkpoints and their keys, and the tree grown again from the records.

Two trees grow: one from the records, one from the hashes that tiles keep, where these say otherwise. At each checkpoint
whose signature holds, the one whose root was signed shows whether records were changed, or tiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from proofs.checker.certificate import Bad
from proofs.checker.ed25519 import verify as verify_plainly
from proofs.checker.merkle import HASH_SIZE
from proofs.checker.note import (
    Checkpoint,
    VerifierKey,
    cosignatures,
    decode64,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    parse_vkey,
)
from proofs.checker.receipt import HANDOVER_TYPE, handover_text, read_statement
from proofs.recorded import Recorded
from proofs.rederive import GONE, Finding, Part
from proofs.tree import HEIGHT, WIDTH, Tree


@dataclass(slots=True)
class Head:
    """A checkpoint that holds: its size and root, and whether the log keeps it or somebody else did."""

    size: int
    root: bytes
    elsewhere: bool = False


@dataclass(slots=True)
class Signed:
    """The checkpoints of a stretch whose signatures hold, ascending, and how the key changed."""

    heads: list[Head] = field(default_factory=list)
    latest: str = ""
    keys: list[tuple[int, str]] = field(default_factory=list)
    cosigned: dict[str, tuple[int, int]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def quickly(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature verifies, by the package that also signs."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_signed(
    source: Recorded, keys: Sequence[VerifierKey], witnesses: Sequence[VerifierKey], seen: Iterable[str]
) -> Signed:
    """The checkpoints, each under the key of its time, from the first of `keys` on.

    A key gives way to the one that a hand-over names, or to the next of `keys`. `seen` are checkpoints that somebody
    else kept. Those between the ends are many and verified by `cryptography`; the last one by the checker alone.
    """
    signed = Signed(keys=[(0, keys[0].text())])
    current, spare = keys[0], list(keys[1:])
    for in_scope, notes in ((False, source.earlier()), (True, source.notes())):
        for size, note in notes:
            last = size == source.size
            try:
                holder = next((k for k in (current, *spare) if _by(note, k)), current)
                if holder is not current:
                    del spare[: spare.index(holder) + 1]
                    current = holder
                    signed.keys.append((size, current.text()))
                found = open_checkpoint(note, current, verify_plainly if last else quickly)
                if found.size != size:
                    raise Bad(f"it signs {found.size} records")
                successor = _successor(source, note, current, found)
                for name, at in cosignatures(parse_note(note), witnesses).items() if in_scope else ():
                    signed.cosigned[name] = (size, at)
            except Bad as error:
                if in_scope:
                    told_of = f"the checkpoint of {size} records: {error}"
                    signed.findings.append(Finding("checkpoint_bad", told_of, size - 1))
                continue
            if in_scope:
                signed.heads.append(Head(size, found.root))
                signed.latest = note
            if successor is not None:
                current = successor
                signed.keys.append((size, current.text()))
    chain = [(size, parse_vkey(text)) for size, text in signed.keys]
    for note in seen:
        _seen(signed, source, note, chain)
    for key in witnesses:
        if key.name not in signed.cosigned:
            signed.findings.append(Finding("cosignature_missing", f"no checkpoint is cosigned by {key.name}"))
    signed.heads.sort(key=lambda head: head.size)
    return signed


def _by(note: str, key: VerifierKey) -> bool:
    try:
        return any((name, key_id) == (key.name, key.key_id) for name, key_id, _ in parse_note(note).signatures)
    except Bad:
        return False


def _successor(source: Recorded, note: str, key: VerifierKey, found: Checkpoint) -> VerifierKey | None:
    """The key to which the last record under a checkpoint hands the log over, if it does; both keys sign it."""
    others = [k for name, k, _ in parse_note(note).signatures if name == key.name and k != key.key_id]
    if not others:
        return None
    data = next((data for _, data in source.rows(found.size - 1, found.size)), b"")
    kind, _, predicate = read_statement(data)
    if kind != HANDOVER_TYPE:
        raise Bad("another key of the log signed too, and no record hands over to it")
    signature = decode64(str(predicate.pop("signature", "")))
    if not verify_plainly(key.public, handover_text(predicate), signature):
        raise Bad("the hand-over is not signed by the key that it replaces")
    told = (predicate.get("origin"), predicate.get("index"), predicate.get("old"))
    if told != (key.name, found.size - 1, key.text()):
        raise Bad("the hand-over is another log's, another place's or another key's")
    new = parse_vkey(str(predicate.get("new")))
    open_checkpoint(note, new)
    return new


def _seen(signed: Signed, source: Recorded, note: str, chain: Sequence[tuple[int, VerifierKey]]) -> None:
    try:
        size = parse_checkpoint(parse_note(note).body).size
        key = next(key for start, key in reversed(chain) if start <= size)
        found = open_checkpoint(note, key)
    except Bad as error:
        signed.findings.append(Finding("seen_bad", f"a checkpoint kept elsewhere does not hold: {error}"))
        return
    if found.size > source.size:
        told = f"a checkpoint of {found.size} records was signed, {source.size} are stored: the log was cut short"
        signed.findings.append(Finding("log_truncated", told, source.size, until=found.size - 1))
    elif found.size >= source.first:
        signed.heads.append(Head(found.size, found.root, elsewhere=True))


class Growth:
    """The trees, taken through the stretch in order. `good` is the size up to which everything is as signed."""

    def __init__(self, source: Recorded, signed: Signed) -> None:
        self.source, self.findings = source, list[Finding]()
        self._heads = iter(signed.heads)
        self._head = next(self._heads, None)
        aligned = source.first - source.first % WIDTH
        self.found = self._begun(aligned)
        self.start = len(self.found)
        self.good, self._lost = self.start, False
        self._kept: Tree | None = None
        self._differing: list[tuple[int, bytes, bytes]] = []
        self._tiles: list[tuple[bool, str, int]] = []
        self._settle()

    def _begun(self, size: int) -> Tree:
        """The tree before the stretch, as its tiles have it; the empty one where they are not there."""
        edges = [b""]
        while size >> HEIGHT * len(edges):
            level = len(edges)
            count = size >> HEIGHT * level
            edges.append(self.source.hashes(level, count // WIDTH)[: count % WIDTH * HASH_SIZE])
        try:
            return Tree.of(size, edges, self.source.hashes)
        except ValueError:
            self.findings.append(Finding("tile_changed", "tiles before the stretch are missing", 0))
            return Tree()

    def take(self, part: Part) -> None:
        """The next stretch of records."""
        kept = bytearray(part.leaves)
        for tile, hashes in part.kept.items():
            at = (tile * WIDTH - part.start) * HASH_SIZE
            kept[at : at + len(hashes)] = hashes
        place = part.start
        while place < part.end:
            end = part.end if self._head is None else min(part.end, self._head.size)
            here = slice((place - part.start) * HASH_SIZE, (end - part.start) * HASH_SIZE)
            self._grow(place, part.leaves[here], bytes(kept[here]))
            place = end
            self._settle()

    def _grow(self, place: int, leaves: bytes, kept: bytes) -> None:
        before = self.found
        rows = [leaves[i : i + HASH_SIZE] for i in range(0, len(leaves), HASH_SIZE)]
        self.found, tiles = before.extended(rows)
        found = [(False, tile) for tile in tiles]
        if self._kept is not None or leaves != kept:
            others = [kept[i : i + HASH_SIZE] for i in range(0, len(kept), HASH_SIZE)]
            self._differing += [(place + i, a, b) for i, (a, b) in enumerate(zip(rows, others, strict=True)) if a != b]
            self._kept, tiles = (self._kept or before).extended(others)
            found += [(True, tile) for tile in tiles]
        for of_kept, tile in found:
            if tile.level and self.source.hashes(tile.level, tile.index) != tile.hashes:
                first = tile.index * WIDTH << HEIGHT * tile.level
                self._tiles.append((of_kept, f"tile {tile.level}/{tile.index}", first))

    def _settle(self) -> None:
        """Holds the trees against each checkpoint of the size that they have reached."""
        while self._head is not None and self._head.size <= len(self.found):
            head, self._head = self._head, next(self._heads, None)
            if head.size < len(self.found):
                continue
            if self.found.root() == head.root:
                tiles = sorted({place // WIDTH for place, *_ in self._differing})
                for i in tiles:
                    self._find("tile_changed", f"tile 0/{i} is not that of its records", i * WIDTH)
                self._rest(head.size, of_kept=False)
            elif self._kept is not None and self._kept.root() == head.root:
                self._changed("is not what was signed", "are not what was signed")
                self.found = self._kept
                self._rest(head.size, of_kept=True)
            elif head.elsewhere:
                told = f"another log of {head.size} records was signed than is stored: a fork"
                self._find("log_forked", told, head.size - 1)
            elif not self._lost:
                told = f"records {self.good} to {head.size - 1} do not have the root that was signed"
                self._find("root", told, self.good, head.size - 1)
                self._lost = True

    def _rest(self, size: int, of_kept: bool) -> None:
        for kind, name, first in self._tiles:
            if kind is of_kept:
                self._find("tile_changed", f"{name} is not that of its records", first)
        self._kept, self._differing, self._tiles = None, [], []
        self.good, self._lost = size, False

    def finish(self) -> None:
        """What is left at the end: differences that no checkpoint settles, and records that none covers."""
        self._changed("is not what its tile keeps", "are not what their tiles keep")
        if self.good < self.source.size and not self._lost:
            told = f"records {self.good} to {self.source.size - 1} stand under no checkpoint that holds"
            self._find("no_checkpoint", told, self.good, self.source.size - 1)

    def _changed(self, one: str, several: str) -> None:
        """Records that differ, in runs: each as changed, or as moved by so many places."""
        where = {kept: place for place, _, kept in self._differing}
        moves = [
            (place, where[leaf] - place if leaf in where else None)
            for place, leaf, _ in self._differing
            if leaf != GONE
        ]
        for (move, _), run in groupby(enumerate(moves), key=lambda pair: (pair[1][1], pair[1][0] - pair[0])):
            places = [place for _, (place, _) in run]
            first, last = places[0], places[-1]
            told = f"record {first} {one}" if first == last else f"records {first} to {last} {several}"
            if move is not None:
                told += f": what is there was signed {abs(move)} place(s) {'later' if move > 0 else 'earlier'}"
            self._find("record_changed", told, first, last)
        self._differing = []

    def _find(self, code: str, told: str, index: int, until: int | None = None) -> None:
        self.findings.append(Finding(code, told, index, until=None if until == index else until))
