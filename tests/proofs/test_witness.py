"""A witness cosigns what extends what it has seen, remembers it first, and refuses forks and rollbacks."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from proofs.checker.certificate import Bad
from proofs.checker.note import (
    COSIGNATURE,
    cosignatures,
    open_checkpoint,
    parse_note,
    parse_vkey,
)
from proofs.checker.receipt import Trust, open_receipt, open_trusted
from proofs.cosigning import Cosigners, Endpoint, WitnessFailed
from proofs.keys import SigningKey, load_or_create
from proofs.ledger import Ledger, LedgerForked, LedgerRolledBack
from proofs.witness import Witness, WitnessServer, WitnessState

NAME = "test.example/guard"


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return load_or_create(tmp_path / "log.key", NAME)


@pytest.fixture
def log(tmp_path: Path, key: SigningKey) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", key) as ledger:
        yield ledger


@pytest.fixture
def witness(tmp_path: Path, key: SigningKey) -> Iterator[Witness]:
    with Witness(tmp_path / "w1", "witness.example/w1", [key.verifier], lambda: 1_700_000_000) as found:
        yield found


@contextmanager
def served(witness: Witness) -> Iterator[str]:
    with WitnessServer(witness) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def asked(log: Ledger, old: int, size: int | None = None, note: str = "") -> bytes:
    """The body of an honest request."""
    size = len(log) if size is None else size
    proof = log.tree.consistency(old, size) if 0 < old < size else []
    lines = "".join(base64.b64encode(h).decode() + "\n" for h in proof)
    return f"old {old}\n{lines}\n{note or log.checkpoint_of(size)}".encode()


def test_a_growing_log_is_cosigned_step_by_step(log: Ledger, witness: Witness) -> None:
    seen = 0
    for count in (1, 2, 5, 300, 1):
        log.append([b"%d" % i for i in range(count)])
        answer = witness.add_checkpoint(asked(log, seen))
        assert answer.status == 200
        note = parse_note(log.checkpoint() + answer.body)
        assert cosignatures(note, [parse_vkey(witness.vkey, COSIGNATURE)]) == {"witness.example/w1": 1_700_000_000}
        seen = len(log)
        assert witness.seen(NAME).size == seen
        assert witness.add_checkpoint(asked(log, seen)).status == 200


def test_what_is_refused_and_how(log: Ledger, witness: Witness, tmp_path: Path, key: SigningKey) -> None:
    log.append([b"a", b"b", b"c"])
    log.append([b"d"] * 5)
    first = asked(log, 0, 3)
    assert witness.add_checkpoint(first).status == 200
    other = load_or_create(tmp_path / "other.key", NAME)
    stranger = load_or_create(tmp_path / "stranger.key", "test.example/stranger")
    body = parse_note(log.checkpoint()).body
    empty = f"{NAME}\n0\n{base64.b64encode(bytes(32)).decode()}\n"
    cases = {
        400: [
            b"",
            b"old 3",
            b"\xff",
            b"old 03\n\n" + log.checkpoint().encode(),
            b"old 9\n\n" + log.checkpoint().encode(),
            b"old 3\nAAAA\n\n" + log.checkpoint().encode(),
            b"new 3\n\n" + log.checkpoint().encode(),
            asked(log, 3).replace(b"\n8\n", b"\n08\n"),
            b"old 3\n"
            + b"".join(base64.b64encode(bytes(32)) + b"\n" for _ in range(64))
            + b"\n"
            + log.checkpoint().encode(),
        ],
        404: [asked(log, 3, note=stranger.sign(body.replace(NAME, stranger.name)))],
        403: [asked(log, 3, note=other.sign(body)), asked(log, 3).replace(b"\n8\n", b"\n9\n")],
        409: [asked(log, 2), asked(log, 0), asked(log, 8)],
        422: [
            b"old 3\n\n" + log.checkpoint().encode(),
            asked(log, 3).replace(asked(log, 3).split(b"\n")[1], base64.b64encode(bytes(32))),
        ],
    }
    for status, bodies in cases.items():
        for sent in bodies:
            answer = witness.add_checkpoint(sent)
            assert (answer.status, sent) == (status, sent)
            if status == 409:
                assert (answer.body, answer.kind) == ("3\n", "text/x.tlog.size")
    assert witness.seen(NAME).size == 3
    assert witness.add_checkpoint(asked(log, 3, 3)).status == 200
    twin = key.sign(f"{NAME}\n3\n{base64.b64encode(bytes(32)).decode()}\n")
    assert witness.add_checkpoint(asked(log, 3, 3, note=twin)).status == 409
    assert witness.add_checkpoint(f"old 0\n\n{key.sign(empty)}".encode()).status == 409
    assert witness.add_checkpoint(asked(log, 3)).status == 200


def test_a_witness_remembers_and_does_not_sign_without_its_memory(log: Ledger, tmp_path: Path, key: SigningKey) -> None:
    folder = tmp_path / "w"
    log.append([b"a"])
    with Witness(folder, "witness.example/w", [key.verifier]) as first:
        assert first.add_checkpoint(asked(log, 0)).status == 200
        vkey = first.vkey
        with pytest.raises(WitnessState, match="another process"):
            Witness(folder, "witness.example/w", [key.verifier])
    with Witness(folder, "witness.example/w", [key.verifier]) as again:
        assert again.vkey == vkey
        assert again.seen(NAME).size == 1
    for text in ("{", "[]", '{"x": {"size": 1}}', '{"x": {"size": 1, "root": "zz"}}'):
        (folder / "seen.json").write_text(text)
        with pytest.raises(WitnessState, match="damaged"):
            Witness(folder, "witness.example/w", [key.verifier])
    (folder / "seen.json").unlink()
    with pytest.raises(WitnessState, match="is gone"):
        Witness(folder, "witness.example/w", [key.verifier])


def test_what_cannot_be_remembered_is_not_signed(
    log: Ledger, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append([b"a"])

    def broken(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("proofs.witness.os.fsync", broken)
        assert witness.add_checkpoint(asked(log, 0)).status == 503
    assert witness.seen(NAME).size == 0
    assert witness.add_checkpoint(asked(log, 0)).status == 200


def test_receipts_carry_cosignatures_that_the_checker_verifies(
    log: Ledger, tmp_path: Path, key: SigningKey, witness: Witness
) -> None:
    with (
        Witness(tmp_path / "w2", "witness.example/w2", [key.verifier]) as second,
        served(witness) as a,
        served(second) as b,
    ):
        ends = [Endpoint(a, parse_vkey(witness.vkey, COSIGNATURE)), Endpoint(b, parse_vkey(second.vkey, COSIGNATURE))]
        with Cosigners(log, ends, quorum=2) as cosigners:
            log.append([b"a", b"b", b"c"])
            assert cosigners.round().cosigned == ("witness.example/w1", "witness.example/w2")
            log.append([b"d"] * 300)
            done = cosigners.round()
            assert (done.size, done.failures, cosigners.witnessed) == (303, {}, 303)
            log.append([b"e"])
    receipt = log.receipt(1, cosigned=2).encode()
    vkey, keys = key.verifier.text(), [witness.vkey, second.vkey]
    record, index, head, found = open_trusted(receipt, Trust(vkey, witnesses=keys, quorum=2))
    assert (record, index, head.size, sorted(found)) == (b"b", 1, 303, ["witness.example/w1", "witness.example/w2"])
    # Who names no witnesses passes over their lines (signed-note, Signatures).
    assert open_receipt(receipt, vkey)[2].size == 303
    with pytest.raises(IndexError, match="cosigned by 3"):
        log.receipt(1, cosigned=3)
    with pytest.raises(IndexError, match="cosigned by 1"):
        log.receipt(303, cosigned=1)
    with pytest.raises(Bad, match="0 of 2 witnesses"):
        open_trusted(log.receipt(1).encode(), Trust(vkey, witnesses=keys, quorum=1))
    # One witness under two names is still one.
    twice = parse_vkey(witness.vkey, COSIGNATURE)
    with pytest.raises(Bad, match="1 of 1 witnesses"):
        open_trusted(receipt, Trust(vkey, witnesses=[twice.text()] * 2, quorum=2))
    text = receipt.decode()
    where = text.index("— witness.example/w1")
    for at in range(where, len(text) - 1, 5):
        bad = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(Bad):
            open_trusted(bad.encode(), Trust(vkey, witnesses=keys, quorum=2))


def test_a_rolled_back_log_is_noticed_before_it_goes_on(tmp_path: Path, key: SigningKey, witness: Witness) -> None:
    path, kept = tmp_path / "l.db", tmp_path / "kept.db"
    with served(witness) as url:
        end = parse_vkey(witness.vkey, COSIGNATURE)
        with Ledger.open(path, key) as log:
            log.append([b"a"] * 10)
        shutil.copy(path, kept)
        with Ledger.open(path, key) as log, Cosigners(log, [Endpoint(url, end)], 1) as cosigners:
            log.append([b"b"] * 10)
            cosigners.check()
            held = log.receipt(15).encode()
        shutil.copy(kept, path)
        with Ledger.open(path, key) as log:
            with (
                Cosigners(log, [Endpoint(url, end)], 1) as cosigners,
                pytest.raises(LedgerRolledBack, match="20 records"),
            ):
                cosigners.check()
            with pytest.raises(LedgerRolledBack):
                log.extends(open_receipt(held, key.verifier.text())[2])
            # It goes on all the same, and becomes a fork.
            log.append([b"c"] * 10)
            with Cosigners(log, [Endpoint(url, end)], 1) as cosigners, pytest.raises(LedgerForked, match="another log"):
                cosigners.check()
            log.append([b"d"] * 10)
            with Cosigners(log, [Endpoint(url, end)], 1) as cosigners:
                with pytest.raises(LedgerForked, match="does not begin with"):
                    cosigners.check()
                assert isinstance(cosigners.alarm, LedgerForked)
            with pytest.raises(LedgerForked):
                log.extends(open_receipt(held, key.verifier.text())[2])
            assert witness.seen(NAME).size == 20


def test_a_change_of_key_needs_the_witness_to_know_the_new_one(tmp_path: Path, log: Ledger, key: SigningKey) -> None:
    new = load_or_create(tmp_path / "new.key", NAME)
    log.append([b"a"])
    with Witness(tmp_path / "w", "w.example/1", [key.verifier]) as witness:
        log.rotate(new)
        assert witness.add_checkpoint(asked(log, 0)).status == 200, "the old key signed this checkpoint too"
        log.append([b"b"])
        assert witness.add_checkpoint(asked(log, 2)).status == 403
    with Witness(tmp_path / "w", "w.example/1", [key.verifier, new.verifier]) as witness:
        assert witness.add_checkpoint(asked(log, 2)).status == 200


def test_a_witness_that_cannot_be_had_is_a_failure_and_no_more(log: Ledger, witness: Witness, tmp_path: Path) -> None:
    log.append([b"a"])
    known = parse_vkey(witness.vkey, COSIGNATURE)
    silent = socket.create_server(("127.0.0.1", 0))
    closed = socket.create_server(("127.0.0.1", 0))
    dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
    closed.close()
    other = load_or_create(tmp_path / "x", "w.example/x").cosigner
    with served(witness) as url:
        ends = {
            "dead": Endpoint(dead, known),
            "silent": Endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}", known),
            "elsewhere": Endpoint(url + "/nothing", known),
            "another key": Endpoint(url, other),
        }
        for what, end in ends.items():
            with Cosigners(log, [end], 1, timeout_s=0.3) as cosigners:
                done = cosigners.round()
                assert [type(e) for e in done.failures.values()] == [WitnessFailed], what
                assert (done.cosigned, cosigners.witnessed, cosigners.alarm) == ((), 0, None)
        with Cosigners(log, [Endpoint(url, known), Endpoint(dead, other)], 1, timeout_s=5) as both:
            done = both.round()
            assert (done.cosigned, list(done.failures)) == (("witness.example/w1",), ["w.example/x"])
    silent.close()
    with pytest.raises(IndexError):
        log.receipt(0, cosigned=2)


@pytest.mark.parametrize("url", ["ftp://x/", "127.0.0.1:1", "http://", "http://x/?q"])
def test_a_witness_url_is_checked(url: str, key: SigningKey) -> None:
    with pytest.raises(ValueError, match="witness's URL"):
        Endpoint(url, key.cosigner)


def test_a_quorum_that_cannot_be_met_is_refused(log: Ledger, key: SigningKey, tmp_path: Path) -> None:
    end = Endpoint("http://127.0.0.1:1", key.cosigner)
    with pytest.raises(ValueError, match="quorum"):
        Cosigners(log, [end], 2)
    with pytest.raises(ValueError, match="same key"):
        Cosigners(log, [end, end], 1)


def test_the_server_speaks_http_and_bounds_what_it_reads(log: Ledger, witness: Witness) -> None:
    log.append([b"a"])
    with served(witness) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        for status, method, path, body, headers in (
            (409, "POST", "/add-checkpoint", asked(log, 1), {}),
            (200, "POST", "/add-checkpoint", asked(log, 0), {}),
            (404, "POST", "/other", b"", {}),
            (413, "POST", "/add-checkpoint", b"x" * 70_000, {}),
            (413, "POST", "/add-checkpoint", b"", {"Content-Length": "99999999999"}),
            (411, "POST", "/add-checkpoint", b"", {"Content-Length": "-1"}),
            (501, "GET", "/add-checkpoint", None, {}),
        ):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
            if status == 409:
                assert answer.headers["Content-Type"] == "text/x.tlog.size"
            if answer.will_close:
                connection.close()
        connection.close()


def test_two_who_ask_at_once_do_not_roll_each_other_back(log: Ledger, witness: Witness) -> None:
    for i in range(60):
        log.append([b"%d" % i])
    requests = [asked(log, old, old + 1) for old in range(59)]
    answers: list[int] = []

    def ask(which: list[bytes]) -> None:
        answers.extend(witness.add_checkpoint(body).status for body in which)

    threads = [Thread(target=ask, args=(requests,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(200) == 59
    assert set(answers) == {200, 409}
    assert json.loads((witness._folder / "seen.json").read_text())[NAME]["size"] == 59


def test_cosigning_goes_on_by_itself(log: Ledger, witness: Witness) -> None:
    with served(witness) as url, Cosigners(log, [Endpoint(url, parse_vkey(witness.vkey, 4))], 1) as cosigners:
        cosigners.start(0.01)
        for i in range(5):
            log.append([b"%d" % i])
            until = time.monotonic() + 20
            while cosigners.witnessed < i + 1 and time.monotonic() < until:
                time.sleep(0.005)
        assert cosigners.witnessed == 5
    head = open_checkpoint(log.checkpoint_of(5), log._key.verifier)
    assert head.size == 5
