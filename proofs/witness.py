"""A witness: remembers the newest tree head of each log it knows, and cosigns what extends it (C2SP tlog-witness).

It is a small server of its own, best run by somebody else than the log. What it remembers is flushed to the device
before it signs; a witness that lost its memory must not sign again under the same key, so it refuses to start.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from threading import BoundedSemaphore, Lock
from typing import Any

from proofs.checker.certificate import Bad
from proofs.checker.merkle import EMPTY_ROOT, verify_consistency
from proofs.checker.note import (
    Checkpoint,
    VerifierKey,
    decode64,
    number,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
)
from proofs.keys import SigningKey, load_or_create

MAX_BODY = 64_000
MAX_PROOF = 63
CONNECTIONS = 32
"""Connections that are served at once; further ones are closed."""
IDLE_S = 10.0
"""How long one read or write of a connection may take."""
TEXT = "text/plain; charset=utf-8"


class WitnessState(Exception):
    """The witness's memory is gone, damaged, or in use by another process."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: str
    kind: str = TEXT


class Witness:
    """The witness's key, what it remembers, and the logs it knows, each by the keys that may sign for it."""

    def __init__(
        self,
        folder: Path,
        name: str,
        logs: Iterable[VerifierKey],
        clock_s: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        """Opens the folder, or makes it with a new key; raises `WitnessState`."""
        self._folder, self._clock_s = folder, clock_s
        self._logs: dict[str, list[VerifierKey]] = {}
        for key in logs:
            self._logs.setdefault(key.name, []).append(key)
        self._mutex = Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new = not (folder / "witness.key").exists()
            self._seen = {} if new else self._remembered()
            if new:
                # The memory comes first: a key without one is a key whose memory was lost.
                self._remember()
            self._key: SigningKey = load_or_create(folder / "witness.key", name)
        except BlockingIOError:
            os.close(self._lock)
            raise WitnessState(f"another process uses {folder}") from None
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def vkey(self) -> str:
        """The public key, for those who rely on the witness."""
        return self._key.cosigner.text()

    def seen(self, origin: str) -> Checkpoint:
        """The newest tree head of a log that was cosigned; an empty tree before the first."""
        return self._seen.get(origin, Checkpoint(origin, 0, EMPTY_ROOT))

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answers an `add-checkpoint` request."""
        try:
            old, proof, text = _request(body)
            note = parse_note(text)
            head = parse_checkpoint(note.body)
        except Bad as error:
            return Answer(400, f"{error}\n")
        if head.origin not in self._logs:
            return Answer(404, "no log of this origin is known\n")
        if not any(_signed(text, key) for key in self._logs[head.origin]):
            return Answer(403, "no key that is trusted for this log signed the checkpoint\n")
        if old > head.size:
            return Answer(400, "the old size is above the checkpoint's\n")
        # INVARIANT: compared, remembered and signed under one lock, so that no answer rolls another back.
        with self._mutex:
            seen = self.seen(head.origin)
            if old != seen.size or (old == head.size and head.root != seen.root):
                return Answer(409, f"{seen.size}\n", "text/x.tlog.size")
            if old in (0, head.size):
                good = not proof and (head.size > 0 or head.root == EMPTY_ROOT)
            else:
                good = verify_consistency(old, head.size, seen.root, head.root, proof)
            if not good:
                return Answer(422, f"the tree of {head.size} records is not shown to extend that of {old}\n")
            if head != seen:
                self._seen[head.origin] = head
                try:
                    self._remember()
                except OSError as error:
                    self._seen[head.origin] = seen
                    return Answer(503, f"the checkpoint cannot be remembered: {error.strerror}\n")
            return Answer(200, self._key.cosign(note.body, self._clock_s()))

    def _remembered(self) -> dict[str, Checkpoint]:
        path = self._folder / "seen.json"
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return {o: Checkpoint(o, int(row["size"]), bytes.fromhex(row["root"])) for o, row in rows.items()}
        except FileNotFoundError:
            raise WitnessState(f"{path} is gone; a witness without memory must not sign: make a new key") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WitnessState(f"{path} is damaged: {error}") from error

    def _remember(self) -> None:
        rows = {origin: {"size": head.size, "root": head.root.hex()} for origin, head in self._seen.items()}
        path, part = self._folder / "seen.json", self._folder / "seen.part"
        with part.open("w", encoding="utf-8") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Gives the folder back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Witness:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _request(body: bytes) -> tuple[int, list[bytes], str]:
    try:
        head, gap, text = body.decode("utf-8").partition("\n\n")
    except UnicodeDecodeError as error:
        raise Bad("the request is not text") from error
    first, *lines = head.split("\n")
    if not gap or not first.startswith("old ") or len(lines) > MAX_PROOF:
        raise Bad("a request is an old size, at most 63 hashes, an empty line and a checkpoint")
    proof = [decode64(line) for line in lines]
    if any(len(h) != 32 for h in proof):
        raise Bad("a line of the proof is not a hash")
    return number(first[4:], "the old size"), proof, text


def _signed(text: str, key: VerifierKey) -> bool:
    try:
        open_checkpoint(text, key)
    except Bad:
        return False
    return True


class _Handler(BaseHTTPRequestHandler):
    """`POST /add-checkpoint`, and nothing else."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "lexwatt-witness", ""
    timeout = IDLE_S
    server: WitnessServer

    def do_POST(self) -> None:
        """Answers a request; the standard library's name."""
        length = self.headers.get("Content-Length", "")
        if self.path != "/add-checkpoint":
            answer = Answer(404, "only /add-checkpoint is served\n")
        elif not length.isascii() or not length.isdigit():
            answer = Answer(411, "the length is needed\n")
        elif len(length) > 9 or int(length) > MAX_BODY:
            answer = Answer(413, f"a request has at most {MAX_BODY} bytes\n")
        else:
            answer = self.server.witness.add_checkpoint(self.rfile.read(int(length)))
        if answer.status in (404, 411, 413):
            self.close_connection = True
        data = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Keeps quiet: what a request holds is nobody's to log."""


class WitnessServer(ThreadingHTTPServer):
    """Serves a witness on an address; `serve_forever` and `shutdown` as in the standard library."""

    daemon_threads = True

    def __init__(self, witness: Witness, host: str = "127.0.0.1", port: int = 0) -> None:
        self.witness = witness
        self._free = BoundedSemaphore(CONNECTIONS)
        super().__init__((host, port), _Handler)

    def process_request(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Starts a thread for a connection while one is free."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Serves one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is its owner's affair."""
