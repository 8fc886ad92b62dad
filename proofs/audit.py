"""An audit of a log, or of a day of it: every decision re-derived, every record under its checkpoint, every gap named.

Stretches are judged side by side (`proofs/rederive.py`) and put together here in order, in memory that does not grow
with the day but for 20 bytes a command that was sent.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from proofs.audited_tree import Growth, Signed, read_signed
from proofs.checker.certificate import Bad
from proofs.checker.delivery import DELIVERY
from proofs.checker.note import VerifierKey, parse_checkpoint, parse_note
from proofs.checker.receipt import HANDOVER_TYPE, read_statement
from proofs.in_force import InForce
from proofs.recorded import Recorded, open_recorded
from proofs.rederive import (
    DECISIONS,
    MOST,
    SKEW_MS,
    Documents,
    Finding,
    Frames,
    Judge,
    Part,
    Use,
    clock,
    ms,
)
from proofs.tree import WIDTH

AT_ONCE = 8 * WIDTH
"""Records of one stretch."""
PENDING_MS = 10_000
"""How long after its deadline a command's outcome may still be on its way."""

KINDS = {
    "record_changed": "damage",
    "record_missing": "damage",
    "record_twice": "damage",
    "record_unreadable": "damage",
    "root": "damage",
    "tile_changed": "damage",
    "checkpoint_bad": "damage",
    "no_checkpoint": "damage",
    "log_truncated": "damage",
    "log_forked": "damage",
    "seen_bad": "damage",
    "document_bad": "damage",
    "decision_refuted": "violation",
    "not_in_force": "violation",
    "document_missing": "unknown",
    "cosignature_missing": "unknown",
    "sequence_gap": "gap",
    "sequence_twice": "gap",
    "clock_backwards": "gap",
    "undelivered": "gap",
    "delivered_undecided": "gap",
    "delivered_twice": "gap",
}
"""What each finding is: damage to the log, a decision that does not hold, something unknown, a gap to be explained."""


@dataclass(slots=True)
class Report:
    """What an audit found. `verified` says that there is nothing to explain."""

    log: str
    first: int
    size: int
    checkpoint: dict[str, Any] = field(default_factory=dict)
    rederived: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    not_rederived: dict[str, int] = field(default_factory=dict)
    yielded: dict[str, int] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    deliveries: dict[str, int] | None = None
    rulesets: list[dict[str, Any]] = field(default_factory=list)
    policies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[dict[str, Any]] = field(default_factory=list)
    earliest: str = ""
    latest: str = ""
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def verified(self) -> bool:
        """Whether everything was verified and nothing is left to explain."""
        return not self.counts

    def to_json(self) -> str:
        """The report for machines; `kind` of a finding is damage, violation, unknown or gap."""
        told = asdict(self)
        told["findings"] = [{"kind": KINDS[f["code"]], **f} for f in told["findings"]]
        return json.dumps({"type": "lexwatt/audit/v1", "verified": self.verified, **told}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Scope:
    """What to audit, and by what: the log's keys from the first on, witnesses, checkpoints that others kept, documents,
    digests of the rule sets that may have been used (any when empty), and how frames are decoded."""

    where: str
    keys: Sequence[VerifierKey]
    documents: Path | None = None
    day: tuple[int, int] | None = None
    witnesses: Sequence[VerifierKey] = ()
    seen: Sequence[str] = ()
    allowed: frozenset[str] = frozenset()
    frames: Frames | None = None

    def judge(self) -> Judge:
        """A reader of its own with what it judges by."""
        source = open_recorded(self.where, self.day)
        return Judge(source, Documents(self.documents), source.first, self.frames)


def audit(scope: Scope, workers: int = 1) -> Report:
    """Audits a log with so many processes.

    Raises `FileNotFoundError` where there is none, and `proofs.store`'s errors for tables that cannot be read at all.
    """
    began = time.monotonic()
    judge = scope.judge()
    with closing(judge.source):
        signed = read_signed(judge.source, scope.keys, scope.witnesses, scope.seen)
        growth = Growth(judge.source, signed)
        together = Together(scope, judge)
        size = judge.source.size
        spans = [(start, min(start + AT_ONCE, size)) for start in range(growth.start, size, AT_ONCE)]
        for part in _parts(scope, judge, spans, workers):
            growth.take(part)
            together.take(part)
        growth.finish()
        together.finish()
        for finding in (*signed.findings, *growth.findings):
            together.find(finding)
        together.name_changed()
        return _report(scope, judge, signed, together, time.monotonic() - began)


def _parts(scope: Scope, judge: Judge, spans: list[tuple[int, int]], workers: int) -> Iterator[Part]:
    if workers < 2 or len(spans) < 2:
        yield from (judge.stretch(*span) for span in spans)
        return
    # Forked, so that whatever decodes frames need not be sent; each process opens the log for itself.
    with multiprocessing.get_context("fork").Pool(workers, _begin, (scope,)) as pool:
        yield from pool.imap(_stretch, spans)


_judge: list[Judge] = []


def _begin(scope: Scope) -> None:
    _judge[:] = [scope.judge()]


def _stretch(span: tuple[int, int]) -> Part:
    return _judge[0].stretch(*span)


class Together:
    """What only the order of the whole shows."""

    def __init__(self, scope: Scope, judge: Judge) -> None:
        self.scope, self.judge = scope, judge
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self.sums: dict[str, Counter[str]] = {
            name: Counter() for name in ("outcomes", "kinds", "not_rederived", "yielded", "frames", "ended")
        }
        self.rederived = 0
        self.rulesets: dict[str, Use] = {}
        self.policies: dict[str, Use] = {}
        self.in_force = InForce()
        self._numbers: dict[str, _Numbers] = {}
        self._last = ""
        self.earliest = ""
        self._sent, self._at = array("Q"), array("Q")
        self._delivered, self._told = array("Q"), array("Q")
        self.deliveries: dict[str, int] | None = None

    def find(self, finding: Finding, count: int = 1) -> None:
        """Counts a finding, and keeps it unless there are very many of its kind."""
        self.counts[finding.code] += count
        if count and self.counts[finding.code] <= MOST:
            self.findings.append(finding)

    def take(self, part: Part) -> None:
        """The next stretch."""
        for finding in part.findings:
            self.find(finding)
        for code, count in part.counts.items():
            kept = sum(f.code == code for f in part.findings)
            if code == "rederived":
                self.rederived += count
            elif count > kept:
                self.counts[code] += count - kept
        for name, total in self.sums.items():
            total.update(getattr(part, name))
        for mine, theirs in ((self.rulesets, part.rulesets), (self.policies, part.policies)):
            for digest, use in theirs.items():
                if digest in mine:
                    mine[digest].add(use)
                else:
                    mine[digest] = Use(use.count, use.first, use.last, use.earliest, use.latest)
        if part.moments is not None:
            first, last, place = part.moments
            if self._last and ms(first) < ms(self._last) - SKEW_MS:
                self.find(clock(self._predicate(place), place, self._last))
            self._last, self.earliest = last, self.earliest or first
        for digest, sequence, first_place, last_place, count in part.runs:
            numbers = self._numbers.setdefault(self.judge.documents.core(digest) or digest, _Numbers())
            numbers.take(self, sequence, first_place, last_place, count)
        self._force(part)
        for places, keys, pairs in ((self._at, self._sent, part.sent), (self._told, self._delivered, part.delivered)):
            places.extend(place for place, _ in pairs)
            keys.extend(key for _, key in pairs)

    def _force(self, part: Part) -> None:
        for index, kind, step in part.other:
            if kind != HANDOVER_TYPE:
                try:
                    self.in_force.apply(index, step)
                except (KeyError, TypeError, ValueError) as error:
                    self.find(Finding("record_unreadable", f"the activation cannot be read: {error}", index))
        for digest, use in part.rulesets.items():
            core = self.judge.documents.core(digest)
            if self.scope.allowed and not self.scope.allowed & {digest, core}:
                told = f"rule set {short(digest)} was used, which is none of those allowed"
                self.find(self._finding("not_in_force", told, use.first), use.count)
            if core is None:
                continue
            early, late = ms(use.earliest), ms(use.latest)
            if self.in_force.settled(core, early, late):
                continue
            for place in self._places(digest, use):
                predicate = self._predicate(place)
                at, deadline = (ms(str(predicate[name])) for name in ("at", "deadline"))
                if not self.in_force.allows(core, at, deadline):
                    told = f"rule set {short(digest)} was not in force"
                    self.find(self._finding("not_in_force", told, place))

    def _places(self, digest: str, use: Use) -> Iterable[int]:
        mark = f'"ruleset":"{digest}"'.encode()
        for place, data in self.judge.source.rows(use.first, use.last + 1):
            if mark in data:
                yield place

    def _predicate(self, place: int) -> dict[str, Any]:
        """The predicate of a decision at a place, as far as it can be read."""
        data = next((data for _, data in self.judge.source.rows(place, place + 1)), b"")
        try:
            kind, _, predicate = read_statement(data)
            return predicate if kind in DECISIONS else {}
        except Bad:
            return {}

    def _finding(self, code: str, told: str, place: int) -> Finding:
        predicate = self._predicate(place)
        unit, at = predicate.get("id"), predicate.get("at")
        return Finding(code, told, place, None if unit is None else str(unit), None if at is None else str(at))

    def numbers(self, code: str, told: str, place: int) -> None:
        """A finding about the guards' numbers."""
        self.find(self._finding(code, told, place))

    def finish(self) -> None:
        """What the end shows: numbers that never came, commands without an outcome, records that nothing covers."""
        for numbers in self._numbers.values():
            numbers.finish(self)
        beyond = self.judge.source.beyond()
        if beyond is not None:
            self.find(
                self._finding("no_checkpoint", f"record {beyond} and what follows stand under no checkpoint", beyond)
            )
        for name in self.judge.documents.misnamed:
            self.find(Finding("document_bad", f"{name} does not hash to its name"))
        if self.sums["kinds"][DELIVERY]:
            self._deliveries()

    def _deliveries(self) -> None:
        sent, delivered = np.asarray(self._sent), np.asarray(self._delivered)
        missing = np.flatnonzero(~np.isin(sent, delivered))
        unknown = np.flatnonzero(~np.isin(delivered, sent))
        pending = 0
        for k in missing:
            place = self._at[k]
            deadline = str(self._predicate(place).get("deadline", ""))
            if deadline and self._last and ms(deadline) + PENDING_MS > ms(self._last):
                pending += 1
                continue
            self.find(self._finding("undelivered", "the command's record has no outcome of its delivery", place))
        # The outcome of what was sent before the stretch may well stand in it.
        for k in unknown if self.judge.source.first == 0 else ():
            self.find(Finding("delivered_undecided", "a delivery that no decision stands behind", self._told[k]))
        _, firsts = np.unique(delivered, return_index=True)
        for k in np.setdiff1d(np.arange(len(delivered)), firsts):
            self.find(Finding("delivered_twice", "a second outcome of one command", self._told[k]))
        self.deliveries = {"commands": len(sent), "missing": len(missing) - pending, "pending": pending}
        self.deliveries |= self.sums["ended"]

    def name_changed(self) -> None:
        """Adds what can still be read to findings about a place, and puts all in the order of the log."""
        for finding in self.findings:
            if finding.index is not None and finding.unit is None and finding.code.startswith("record"):
                named = self._finding(finding.code, "", finding.index)
                finding.unit, finding.at = named.unit, named.at
        self.findings.sort(key=lambda f: (f.index is None, f.index or 0))


@dataclass(slots=True)
class _Numbers:
    """One guard's numbers: the next one, and those that were passed over and may still come."""

    next: int | None = None
    place: int = -1
    missing: dict[int, tuple[int, int]] = field(default_factory=dict)

    def take(self, whole: Together, sequence: int, first: int, last: int, count: int) -> None:
        """So many numbers from one on, at places from `first` to `last`."""
        if self.next is None or sequence == self.next:
            pass
        elif sequence > self.next:
            # A guard that is opened again counts on from the number of records there were.
            if not self.place < sequence <= first:
                self.missing[self.next] = (sequence, first)
        else:
            gap = next((g for g, (end, _) in self.missing.items() if g <= sequence and sequence + count <= end), None)
            if gap is None:
                whole.numbers("sequence_twice", f"number {sequence} stands there a second time", first)
            else:
                end, place = self.missing.pop(gap)
                if gap < sequence:
                    self.missing[gap] = (sequence, place)
                if sequence + count < end:
                    self.missing[sequence + count] = (end, place)
        self.next, self.place = max(self.next or 0, sequence + count), last

    def finish(self, whole: Together) -> None:
        """The numbers that never came."""
        for start, (end, place) in self.missing.items():
            told = f"number {start} is missing" if end == start + 1 else f"numbers {start} to {end - 1} are missing"
            whole.numbers("sequence_gap", f"{told} before this record", place)


def short(digest: str) -> str:
    """A digest as people read it."""
    return re.sub(r"^(sha256:.{12}).*", r"\1…", digest)


def _report(scope: Scope, judge: Judge, signed: Signed, found: Together, seconds: float) -> Report:
    source: Recorded = judge.source
    report = Report(scope.keys[0].name, source.first, source.size)
    if signed.latest:
        head = parse_checkpoint(parse_note(signed.latest).body)
        cosigned = {name: {"size": size, "at": at} for name, (size, at) in signed.cosigned.items()}
        report.checkpoint = {"size": head.size, "root": head.root.hex(), "cosigned": cosigned}
    report.rederived = found.rederived
    report.outcomes = dict(found.sums["outcomes"])
    report.records = dict(found.sums["kinds"])
    report.not_rederived = dict(found.sums["not_rederived"])
    report.yielded = dict(found.sums["yielded"])
    report.frames = dict(found.sums["frames"])
    report.deliveries = found.deliveries
    report.rulesets = _uses(found.rulesets, judge.documents)
    report.policies = _uses(found.policies, judge.documents)
    for use in (*report.rulesets, *report.policies):
        if not use["document"]:
            told = f"{use['records']} decisions name {use['digest']}, whose document is not there"
            found.findings.append(Finding("document_missing", told, use["first"]))
    report.keys = [{"from": size, "vkey": vkey} for size, vkey in signed.keys]
    report.earliest, report.latest = found.earliest, max((u["until"] for u in report.rulesets), default="")
    report.seconds = round(seconds, 1)
    report.counts, report.findings = {k: n for k, n in found.counts.items() if n}, found.findings
    return report


def _uses(uses: Mapping[str, Use], documents: Documents) -> list[dict[str, Any]]:
    return [
        {
            "digest": digest,
            "records": use.count,
            "first": use.first,
            "last": use.last,
            "from": use.earliest,
            "until": use.latest,
            "document": digest in documents.found,
            "core": documents.core(digest),
        }
        for digest, use in sorted(uses.items(), key=lambda item: item[1].first)
    ]
