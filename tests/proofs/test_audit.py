"""Audits: a genuine day verifies; every planted violation and every tampering is found, by name and place."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from compiler.document import document
from compiler.instance import of_one
from compiler.lower import lower
from lexwatt.cli import app
from proofs.audit import Report, Scope, audit
from proofs.checker.canonical_json import NotCanonical, dumps, loads
from proofs.checker.certificate import Bad
from proofs.checker.decision import check_decision
from proofs.checker.ruleset import Document, findings, parse_document
from proofs.in_force import InForce
from proofs.keys import SigningKey, load_or_create
from proofs.ledger import Ledger
from proofs.record import statement
from proofs.rederive import Documents, Finding, ms
from proofs.tiles import export
from tests import packs
from tests.proofs.days import (
    FRAMES,
    LIES,
    Predicate,
    activation,
    delivery,
    genuine,
    moment,
    records,
    stamped,
    suits,
    write,
)

NAME = "test.example/guard"
COUNT = 400


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return load_or_create(tmp_path_factory.mktemp("key") / "log.key", NAME)


@pytest.fixture(scope="module")
def day() -> list[Predicate]:
    return [stamped(p, k) for k, p in enumerate(genuine(COUNT)[0])]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, key: SigningKey, day: list[Predicate]) -> Path:
    """A ledger of the genuine day, to be copied before it is changed."""
    return write(tmp_path_factory.mktemp("day") / "log", key, list(records(day)), genuine(COUNT)[1])


@pytest.fixture
def copy(kept: Path, tmp_path: Path) -> Path:
    with sqlite3.connect(kept) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(kept.parent, tmp_path / "log")
    return tmp_path / "log" / "ledger.db"


def scope_of(path: Path, key: SigningKey, **more: object) -> Scope:
    folder = path if path.is_dir() else path.parent
    scope = Scope(str(path), [key.verifier], folder / "rules", frames=FRAMES)
    return replace(scope, **more)  # type: ignore[arg-type]


def found(report: Report, code: str) -> list[Finding]:
    return [f for f in report.findings if f.code == code]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_genuine_day_verifies(kept: Path, key: SigningKey, day: list[Predicate], workers: int) -> None:
    report = audit(scope_of(kept, key), workers)
    assert report.verified, report.findings
    assert report.rederived == COUNT
    for outcome in ("admitted", "repaired", "refused", "fallback"):
        assert report.outcomes[outcome] == sum(p["outcome"] == outcome for p in day)
    assert sum(report.yielded.values()) == sum(len(p["yielded"]) for p in day)
    sent = sum(p["command"] is not None for p in day)
    assert report.frames == {"decoded": sent}
    assert report.deliveries == {"commands": sent, "missing": 0, "pending": 0, "acknowledged": sent}
    assert [use["document"] for use in (*report.rulesets, *report.policies)] == [True, True]
    assert report.rulesets[0]["from"], report.rulesets[0]["until"] == (moment(0), moment(COUNT - 1))


def test_static_tiles_of_a_day_are_audited_like_the_ledger(kept: Path, key: SigningKey, tmp_path: Path) -> None:
    with Ledger.open(kept, key) as ledger:
        size, head = len(ledger), ledger.checkpoint()
        export(ledger, 300, size, tmp_path)
    report = audit(scope_of(tmp_path, key, documents=kept.parent / "rules", seen=[head]))
    # Deliveries of what was sent before the stretch stand in it; they are not held against it.
    assert report.verified, report.findings
    assert (report.first, report.size) == (300, size)
    tile = next((tmp_path / "tile" / "entries").rglob("001"))
    data = bytearray(tile.read_bytes())
    data[500] ^= 1
    tile.write_bytes(data)
    (bad,) = found(audit(scope_of(tmp_path, key, documents=kept.parent / "rules")), "record_changed")
    assert bad.index is not None
    assert 256 <= bad.index < 512


# ── lies of whoever writes the log ──────────────────────────────────────────────────────────────────────────────────


def test_every_planted_violation_is_found(tmp_path: Path, key: SigningKey, day: list[Predicate]) -> None:
    """All in one log: what does not hold is named with its place, unit, instant and clause, and nothing else is."""
    predicates = [dict(p) for p in day]
    pick, wanted = random.Random(3), dict[str, int]()
    for name, (need, lie, _) in LIES.items():
        k = pick.choice([i for i, p in enumerate(predicates) if suits(p, need) and i not in wanted.values()])
        predicates[k] = stamped(day[k], k)
        lie(predicates[k])
        wanted[name] = k
    lines = list(records(predicates))
    undelivered = next(i for i, p in enumerate(predicates) if p["outcome"] == "admitted" and i not in wanted.values())
    lines.remove(delivery(statement(predicates[undelivered])))
    report = audit(scope_of(write(tmp_path / "log", key, lines, genuine(COUNT)[1]), key))
    places = {lines.index(statement(predicates[k])): name for name, k in wanted.items()}
    refuted = {f.index: f for f in found(report, "decision_refuted")}
    assert {places[i] for i in refuted if i in places} == set(LIES)
    assert set(refuted) == set(places)
    for place, name in places.items():
        finding, predicate = refuted[place], predicates[wanted[name]]
        assert LIES[name][2] in finding.message, name
        assert (finding.unit, finding.at) == (predicate["id"], predicate["at"])
        assert finding.clause or name in ("further", "expired", "off grid", "uncertified", "other frame"), name
    (missing,) = found(report, "undelivered")
    assert missing.index == lines.index(statement(predicates[undelivered]))
    assert report.counts == {"decision_refuted": len(LIES), "undelivered": 1}
    assert report.rederived == COUNT - len(LIES)


def test_a_rule_set_that_is_not_in_force_is_found(tmp_path: Path, key: SigningKey, day: list[Predicate]) -> None:
    documents, readable = genuine(COUNT)[1], Documents(None)
    readable.found.update(documents)
    lines = [statement(p) for p in day]
    # The others come into force at the 120th decision, and are rolled back at the 380th. A decision is due 2 s after it
    # is made, and so was asked for within the 58 s before it: those that had begun are at most 232 decisions.
    lines.insert(380, activation("rolled_back", 380, core=readable.core(day[0]["ruleset"])))
    lines.insert(110, activation("approved", 110, proposal=100, effective_at=moment(120)))
    lines.insert(100, activation("proposed", 100, core="sha256:" + "0" * 64))
    lines.insert(0, activation("initial", 0, core=readable.core(day[0]["ruleset"])))
    lines[112] = activation("approved", 110, proposal=101, effective_at=moment(120))
    report = audit(scope_of(write(tmp_path / "log", key, lines, documents), key))
    wanted = [lines.index(statement(p)) for p in day[352:380]]
    assert [f.index for f in found(report, "not_in_force")] == wanted
    assert found(report, "not_in_force")[0].at == moment(352)
    assert report.counts == {"not_in_force": 28}
    report = audit(scope_of(tmp_path / "log" / "ledger.db", key, allowed=frozenset({"sha256:" + "1" * 64})))
    assert report.counts["not_in_force"] >= len(day)


def test_after_a_return_to_earlier_rules_a_roll_back_leads_to_what_was_before_that() -> None:
    told = InForce()
    steps = [("initial", "a", {}), ("proposed", "b", {}), ("approved", "b", {"proposal": 1})]
    steps += [("proposed", "a", {}), ("approved", "a", {"proposal": 3}), ("rolled_back", "b", {"proposal": 1})]
    for k, (act, core, more) in enumerate(steps):
        told.apply(k, {"act": act, "at": moment(k), "effective_at": moment(k), "core": core, **more})
    assert [told.at(ms(moment(k))) for k in range(6)] == ["a", "a", "b", "b", "a", "b"]


ALLOWED_UNDER: list[tuple[int, int, set[str]]] = [
    (90_000, 91_000, {"a"}),
    (100_000, 100_500, {"a", "b"}),
    (110_000, 111_000, {"a", "b", "c"}),
    (158_999, 159_999, {"a", "b", "c"}),
    (159_000, 160_000, {"b", "c"}),
    (159_000, 219_000, {"c"}),
    (169_000, 170_001, {"c"}),
    (400_000, 150_000, {"a", "b", "c"}),
]
"""When a decision was made and when it was due, in ms, and the rules that it may have been asked for under."""


@pytest.mark.parametrize(("at", "deadline", "cores"), ALLOWED_UNDER)
def test_a_decision_may_be_under_rules_that_its_deadline_could_still_reach(
    at: int, deadline: int, cores: set[str]
) -> None:
    told = InForce([(0, "a"), (100_000, "b"), (110_000, "c")])
    assert {core for core in "abcd" if told.allows(core, at, deadline)} == cores


def test_gaps_in_numbers_and_time_are_found(tmp_path: Path, key: SigningKey, day: list[Predicate]) -> None:
    predicates = [dict(p) for p in day[:60]]
    predicates[20]["at"] = moment(2)
    del predicates[30]
    predicates[40] = dict(predicates[10])
    swapped = predicates[50:52]
    predicates[50:52] = swapped[::-1]
    lines = [statement(p) for p in predicates]
    report = audit(scope_of(write(tmp_path / "log", key, lines, genuine(COUNT)[1]), key))
    assert [(f.code, f.index) for f in report.findings] == [
        ("clock_backwards", 20),
        ("sequence_gap", 30),
        ("clock_backwards", 40),
        ("sequence_twice", 40),
        ("sequence_gap", 41),
    ]
    (first, _) = found(report, "sequence_gap")
    assert "number 30 is missing" in first.message
    assert report.deliveries is None


def test_documents_that_are_missing_or_misnamed_are_found(copy: Path, key: SigningKey, day: list[Predicate]) -> None:
    path = copy.parent / "rules" / (day[0]["ruleset"].replace(":", "-") + ".json")
    path.write_bytes(path.read_bytes().replace(b"1000000", b"1000001") + b" ")
    report = audit(scope_of(copy, key))
    assert report.counts["document_missing"] == COUNT
    assert report.rederived == 0
    assert path.name in found(report, "document_bad")[0].message
    assert [use["document"] for use in (*report.rulesets, *report.policies)] == [False, True]


# ── whoever gets at the store ───────────────────────────────────────────────────────────────────────────────────────

Db = sqlite3.Connection


def data_of(db: Db, index: int) -> bytes:
    return bytes(db.execute('SELECT data FROM record WHERE "index" = ?', (index,)).fetchone()[0])


def put(db: Db, index: int, data: bytes) -> None:
    db.execute('UPDATE record SET data = ? WHERE "index" = ?', (data, index))


def rotate(db: Db, places: Sequence[int]) -> None:
    rows = [data_of(db, i) for i in places]
    for i, row in zip(places, [*rows[1:], rows[0]], strict=True):
        put(db, i, row)


def insert(db: Db, at: int) -> None:
    # Negative first: a primary key is looked at row by row.
    db.execute('UPDATE record SET "index" = -1 - "index" WHERE "index" >= ?', (at,))
    db.execute('UPDATE record SET "index" = -"index" WHERE "index" < 0')
    db.execute("INSERT INTO record VALUES (?, ?)", (at, b'{"inserted":true}'))


def duplicate(db: Db, index: int) -> None:
    db.execute("CREATE TABLE again AS SELECT * FROM record")
    db.execute("DROP TABLE record")
    db.execute("ALTER TABLE again RENAME TO record")
    db.execute("INSERT INTO record VALUES (?, ?)", (index, data_of(db, index).replace(b'"gap":0', b'"gap":1')))


def note_of(db: Db, size: int) -> str:
    return str(db.execute("SELECT note FROM checkpoint WHERE size = ?", (size,)).fetchone()[0])


def forge(db: Db, size: int) -> None:
    """Another root under the old signature."""
    lines = note_of(db, size).split("\n")
    lines[2] = note_of(db, 200).split("\n")[2]
    db.execute("UPDATE checkpoint SET note = ? WHERE size = ?", ("\n".join(lines), size))


def flip(db: Db, level: int, index: int) -> None:
    (data,) = db.execute('SELECT hashes FROM tile WHERE level = ? AND "index" = ?', (level, index)).fetchone()
    changed = bytes([data[0] ^ 1]) + bytes(data[1:])
    db.execute('UPDATE tile SET hashes = ? WHERE level = ? AND "index" = ?', (changed, level, index))


def cut(db: Db, size: int) -> None:
    db.execute('DELETE FROM record WHERE "index" >= ?', (size,))
    db.execute("DELETE FROM checkpoint WHERE size > ?", (size,))
    db.execute('DELETE FROM tile WHERE ("index" + 1) * 256 > ?', (size,))


TAMPERED: dict[str, tuple[Callable[[Db], None], list[tuple[str, int]]]] = {
    "bytes changed": (
        lambda db: put(db, 17, data_of(db, 17).replace(b"sha256", b"sha265", 1)),
        [("record_changed", 17)],
    ),
    "swapped": (lambda db: rotate(db, [40, 41]), [("record_changed", 40), ("record_changed", 41)]),
    "deleted": (lambda db: db.execute('DELETE FROM record WHERE "index" = 77') and None, [("record_missing", 77)]),
    "inserted": (lambda db: insert(db, 100), [("record_changed", 100), ("record_changed", 101), ("no_checkpoint", -1)]),
    "forged checkpoint": (lambda db: forge(db, 300), [("checkpoint_bad", 299)]),
    "tile changed": (lambda db: flip(db, 0, 1), [("tile_changed", 256)]),
    "reordered": (lambda db: rotate(db, range(200, 210)), [("record_changed", 200), ("record_changed", 209)]),
    "duplicate index": (lambda db: duplicate(db, 33), [("record_twice", 33)]),
    "tail cut off": (
        lambda db: db.execute('DELETE FROM record WHERE "index" >= 500') and None,
        [("record_missing", 500)],
    ),
    "checkpoint gone": (
        lambda db: db.execute("DELETE FROM checkpoint WHERE size > 500") and None,
        [("no_checkpoint", 500)],
    ),
    "record and tile changed alike": (lambda db: alike(db, 17), [("root", 0)]),
}


def alike(db: Db, index: int) -> None:
    """A record, the tile that holds its hash, and the root over it: only the signature tells."""
    from proofs.checker.merkle import leaf_hash
    from proofs.tree import fold

    data = data_of(db, index).replace(b"sha256", b"sha265", 1)
    put(db, index, data)
    (hashes,) = db.execute('SELECT hashes FROM tile WHERE level = 0 AND "index" = 0').fetchone()
    changed = hashes[: index * 32] + leaf_hash(data) + hashes[index * 32 + 32 :]
    db.execute('UPDATE tile SET hashes = ?, root = ? WHERE level = 0 AND "index" = 0', (changed, fold(changed)))


def tamper(path: Path, change: Callable[[Db], object]) -> None:
    with sqlite3.connect(path) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        change(db)
        db.commit()


@pytest.mark.parametrize("name", TAMPERED)
def test_every_tampering_is_found(copy: Path, key: SigningKey, name: str) -> None:
    change, wanted = TAMPERED[name]
    with sqlite3.connect(copy) as db:
        (size,) = db.execute("SELECT max(size) FROM checkpoint").fetchone()
    tamper(copy, change)
    report = audit(scope_of(copy, key))
    assert not report.verified
    there = {(f.code, f.index) for f in report.findings}
    assert {(code, size if index < 0 else index) for code, index in wanted} <= there, report.findings
    # What was not touched still verifies.
    assert report.rederived >= COUNT - 300


def test_all_tampering_at_once_is_found(copy: Path, key: SigningKey) -> None:
    names = ("bytes changed", "swapped", "deleted", "forged checkpoint", "reordered")
    for name in names:
        tamper(copy, TAMPERED[name][0])
    there = {(f.code, f.index) for f in audit(scope_of(copy, key)).findings}
    assert {place for name in names for place in TAMPERED[name][1]} <= there


def test_a_log_that_was_cut_short_is_found_by_whoever_kept_a_checkpoint(copy: Path, key: SigningKey) -> None:
    with sqlite3.connect(copy) as db:
        (size,) = db.execute("SELECT max(size) FROM checkpoint").fetchone()
        newest = note_of(db, size)
    tamper(copy, lambda db: cut(db, 500))
    assert audit(scope_of(copy, key)).verified  # the log alone does not show it
    report = audit(scope_of(copy, key, seen=[newest]))
    (bad,) = report.findings
    assert (bad.code, bad.index, bad.until) == ("log_truncated", 500, size - 1)


def test_a_fork_is_found_by_whoever_kept_a_checkpoint(copy: Path, key: SigningKey, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "fork.db", key) as fork:
        fork.append([b"another history %d" % i for i in range(300)])
        note = fork.checkpoint()
    (bad,) = audit(scope_of(copy, key, seen=[note])).findings
    assert (bad.code, bad.index) == ("log_forked", 299)


def test_a_checkpoint_by_another_key_is_found(copy: Path, key: SigningKey, tmp_path: Path) -> None:
    other = load_or_create(tmp_path / "other.key", NAME)

    def change(db: Db) -> None:
        body = note_of(db, 400).partition("\n\n")[0] + "\n"
        db.execute("UPDATE checkpoint SET note = ? WHERE size = 400", (other.sign(body),))

    tamper(copy, change)
    (bad,) = audit(scope_of(copy, key)).findings
    assert (bad.code, bad.index) == ("checkpoint_bad", 399)
    assert "signed by another key" in bad.message


def test_a_change_of_key_is_followed(copy: Path, key: SigningKey, tmp_path: Path) -> None:
    new = load_or_create(tmp_path / "new.key", NAME)
    with Ledger.open(copy, key) as ledger:
        place = ledger.rotate(new).index
    with Ledger.open(copy, new) as ledger:
        ledger.append([b"{}"])
    report = audit(scope_of(copy, key))
    assert [(k["from"], k["vkey"]) for k in report.keys] == [
        (0, key.verifier.text()),
        (place + 1, new.verifier.text()),
    ]
    assert [(f.code, f.index) for f in report.findings] == [("record_unreadable", place + 1)]
    assert audit(scope_of(copy, new)).counts["checkpoint_bad"] > 1


def test_what_a_witness_cosigned_is_told(copy: Path, key: SigningKey, tmp_path: Path) -> None:
    witness = load_or_create(tmp_path / "witness.key", "witness.example/w1")
    report = audit(scope_of(copy, key, witnesses=[witness.cosigner]))
    assert report.counts == {"cosignature_missing": 1}
    with Ledger.open(copy, key) as ledger:
        size = len(ledger)
        body = ledger.checkpoint().partition("\n\n")[0] + "\n"
        ledger.keep_cosignatures(size, {witness.name: witness.cosign(body, 1_795_000_000)})
    report = audit(scope_of(copy, key, witnesses=[witness.cosigner]))
    assert report.verified
    assert report.checkpoint["cosigned"] == {"witness.example/w1": {"size": size, "at": 1_795_000_000}}


# ── the command ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_ends_well_only_when_all_was_verified(copy: Path, key: SigningKey) -> None:
    (copy.parent / "log.vkey").write_text(key.verifier.text())
    good = CliRunner().invoke(app, ["audit", str(copy), "--workers", "1", "--day", "2026-11-23"])
    assert good.exit_code == 0, good.output
    assert f"{COUNT} of {COUNT}" in good.output
    assert "everything verified" in good.output
    assert CliRunner().invoke(app, ["audit", str(copy), "--day", "2026-11-24"]).exit_code == 2
    assert CliRunner().invoke(app, ["audit", str(copy), "--day", "24.11."]).exit_code == 2
    tamper(copy, TAMPERED["bytes changed"][0])
    bad = CliRunner().invoke(app, ["audit", str(copy), "--workers", "1", "--json"])
    assert bad.exit_code == 1
    told = json.loads(bad.stdout)
    assert told["verified"] is False
    assert ("damage", "record_changed", 17) in [(f["kind"], f["code"], f["index"]) for f in told["findings"]]


# ── the checker is as strict as before ──────────────────────────────────────────────────────────────────────────────


def long_way(data: bytes) -> bool:
    """Whether a text is canonical, by the definition alone."""
    try:
        return dumps(json.loads(data.decode(), object_pairs_hook=_once, parse_int=_double)) == data
    except (ValueError, RecursionError):
        return False


def _double(text: str) -> int | float:
    return int(text) if abs(int(text)) < 2**53 else float(text)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


def test_the_short_way_of_reading_takes_what_the_definition_takes(day: list[Predicate]) -> None:
    pick = random.Random(11)
    texts = [b"{}", b'{"a":1.5}', b'{"a":1e2}', b'{"a":-0}', b'{"a":9007199254740991}', b'{"a":9007199254740992}']
    texts += [
        '{"\U0001f600":1,"\ue000":2}'.encode(),
        '{"\ue000":2,"\U0001f600":1}'.encode(),
        b'{"a":1,"a":1}',
        b'"\\ud800"',
    ]
    texts += [statement(p) for p in day[:60]]
    for text in list(texts) * 20:
        at = pick.randrange(len(text))
        texts.append(
            text[:at]
            + pick.choice([b"", b" ", b"0", b'"', b"1.0", b"-", b"e", b"\\u0041", text[at : at + 9]])
            + text[at + 1 :]
        )
    taken = 0
    for text in texts:
        try:
            loads(text)
            short = True
        except NotCanonical:
            short = False
        assert short is long_way(text), text
        taken += short
    assert 60 < taken < len(texts)


def slowly(document: Document, values: Mapping[int, Fraction]) -> list[tuple[str, str]]:
    """What the rules say of a state, read from the facts one by one."""
    whole = {i: Fraction(v) for i, v in values.items()}
    for w, x, y in document.products:
        if x in values and y in values:
            whole[w] = whole[x] * whole[y]

    def needs(fact: Any) -> set[int]:
        return {i for i, _ in fact[1]} if fact[0] == "L" else set().union(*map(needs, fact[1]))

    def holds(fact: Any) -> bool:
        if fact[0] != "L":
            return (all if fact[0] == "A" else any)([holds(part) for part in fact[1]])
        total = sum((a * whole[i] for i, a in fact[1]), Fraction(0))
        return bool(total < fact[2] if fact[3] else total <= fact[2])

    found = []
    for rule in document.rules:
        if not needs(rule.scope) <= whole.keys() or (holds(rule.scope) and not needs(rule.body) <= whole.keys()):
            found.append((rule.id, "cannot_tell"))
        elif holds(rule.scope) and not holds(rule.body):
            found.append((rule.id, "violates"))
    return found


def test_compiled_rules_say_what_their_facts_say() -> None:
    pick = random.Random(7)
    seen: Counter[str] = Counter()
    shipped = [document(lower(of_one(packs.core(), "unit", "command"))), next(iter(genuine(COUNT)[1].values()))]
    for data in shipped:
        if b"lexwatt/ruleset" not in data:
            continue
        parsed = parse_document(data)
        for _ in range(700):
            values: dict[int, Fraction] = {}
            for i, (low, high) in enumerate(parsed.ranges):
                near = [
                    low,
                    high,
                    0,
                    1,
                    pick.randint(low, high),
                    pick.randint(max(low, -1000), min(high, 60_000) if low <= 60_000 else high),
                ]
                if pick.random() < 0.97:
                    values[i] = Fraction(pick.choice(near), pick.choice([1, 1, 1, 3]))
            found = [(rule.id, verdict) for rule, verdict in findings(parsed, values)]
            assert found == slowly(parsed, values)
            seen.update(verdict for _, verdict in found)
    assert min(seen["violates"], seen["cannot_tell"]) > 300


def test_no_change_of_a_record_passes(day: list[Predicate]) -> None:
    """Thousands of records with one field changed: what passes still says the same of what was decided."""
    documents, pick, refused, passed = genuine(COUNT)[1], random.Random(13), 0, set[str]()
    free = ("at", "deadline", "reason", "sequence", "id", "theorems", "frames", "service_class")
    for _ in range(3000):
        p = stamped(pick.choice(day), 7)
        name = pick.choice([n for n in p if n not in free])
        if name in ("state", "requested", "command", "grid") and p[name]:
            inner = pick.choice(list(p[name]))
            if name == "state":
                continue  # another state may well allow the same
            p[name] = {**p[name], inner: pick.choice([p[name][inner] + pick.choice([-10, 10, 5]), None, "1", True])}
        else:
            p[name] = pick.choice([v for v in (None, [], {}, 1, "x", "repaired", "refused") if v != p[name]])
        try:
            check_decision(documents[str(p["ruleset"])], p, documents[str(p["policy"])])
        except (Bad, KeyError, TypeError, ValueError, AttributeError):
            refused += 1
            continue
        passed.add(name)
    # A refused request may be any that the same rules refuse, a certificate need not stand beside a refusal, and a step
    # may be finer where the command is on it.
    assert passed <= {"requested", "certificate", "gap", "grid"}
    assert refused > 1500


@pytest.mark.slow
def test_a_day_of_many_decisions_in_bounded_memory(tmp_path: Path, key: SigningKey, day: list[Predicate]) -> None:
    """A hundred times the day, with lies and tampering spread over it: all are found, and nothing else."""
    pick, wanted, lines = random.Random(21), dict[int, str](), list[bytes]()
    for k in range(100 * COUNT):
        predicate = stamped(genuine(COUNT)[0][k % COUNT], k)
        name = pick.choice(list(LIES))
        if pick.random() < 0.002 and suits(predicate, LIES[name][0]):
            LIES[name][1](predicate)
            wanted[k] = name
        lines.append(statement(predicate))
    path = write(tmp_path / "log", key, lines, genuine(COUNT)[1], batch=1000)
    changed = sorted(pick.sample([k for k in range(100 * COUNT) if k not in wanted], 10))

    def change(db: Db) -> None:
        for k in changed:
            put(db, k, data_of(db, k).replace(b"sha256", b"sha265", 1))

    tamper(path, change)
    report = audit(scope_of(path, key), 2)
    assert {f.index for f in found(report, "decision_refuted")} == set(wanted)
    assert [f.index for f in found(report, "record_changed")] == changed
    assert report.rederived == 100 * COUNT - len(wanted) - len(changed)
