"""Asks witnesses to cosign the ledger's checkpoints, and notices when they know another log under its name."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event, Thread
from urllib.parse import urlsplit

from proofs.checker.certificate import Bad
from proofs.checker.note import VerifierKey, cosignatures, number, parse_note, parse_signatures
from proofs.ledger import Ledger, LedgerForked, LedgerRolledBack

MAX_ANSWER = 16_000


class WitnessFailed(Exception):
    """A witness that cannot be reached, or whose answer is none."""


@dataclass
class Endpoint:
    """A witness as the ledger knows it: where it is, its public key, and the size it last cosigned."""

    url: str
    key: VerifierKey
    size: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"a witness's URL is http(s)://host[:port][/path], not {self.url}")

    def cosign(self, log: Ledger, size: int, timeout_s: float) -> str:
        """The witness's signature line under the log's checkpoint of a size.

        Raises `WitnessFailed`, and `LedgerRolledBack` or `LedgerForked` when it has seen what this log is not.
        """
        until = time.monotonic() + timeout_s
        note = log.checkpoint_of(size)
        for _ in range(3):
            # A witness that never cosigned, or whose state is not known, answers with the size it has.
            old = min(self.size, size)
            proof = log.tree.consistency(old, size) if 0 < old < size else []
            lines = "".join(base64.b64encode(h).decode() + "\n" for h in proof)
            status, text = self._post(f"old {old}\n{lines}\n{note}", until)
            if status == 200:
                self.size = size
                return self._checked(note, text)
            if status == 409:
                known = self._number(text)
                if known > size:
                    if known > len(log):
                        raise LedgerRolledBack(f"{self.key.name} has cosigned {known} records, {len(log)} are stored")
                    self.size = known
                    raise WitnessFailed(f"{self.key.name} has cosigned a later checkpoint already")
                if known == old == size:
                    raise LedgerForked(f"{self.key.name} has cosigned another log of {known} records")
                self.size = known
            elif status == 422:
                raise LedgerForked(f"{self.key.name} has cosigned {old} records that this log does not begin with")
            else:
                raise WitnessFailed(f"{self.key.name} answers {status}: {text[:200]!r}")
        raise WitnessFailed(f"{self.key.name} changes its mind about the size it has seen")

    def _number(self, text: str) -> int:
        try:
            return number(text.removesuffix("\n"), "the witness's size")
        except Bad as error:
            raise WitnessFailed(f"{self.key.name}: {error}") from error

    def _checked(self, note: str, text: str) -> str:
        try:
            lines = parse_signatures(text)
            own = (self.key.name, self.key.key_id)
            found = [i for i, (name, key_id, _) in enumerate(lines) if (name, key_id) == own]
            line = text.split("\n")[found[0]] + "\n" if found else ""
            body = parse_note(note).body
            if not cosignatures(parse_note(f"{body}\n{line}"), [self.key]):
                raise Bad("it did not sign")
        except Bad as error:
            raise WitnessFailed(f"{self.key.name}: {error}") from error
        return line

    def _post(self, body: str, until: float) -> tuple[int, str]:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        left = until - time.monotonic()
        if left <= 0:
            raise WitnessFailed(f"{self.key.name} took too long")
        connection = kind(str(parts.hostname), parts.port, timeout=left)
        try:
            connection.request(
                "POST", parts.path.rstrip("/") + "/add-checkpoint", body.encode(), {"Connection": "close"}
            )
            answer = connection.getresponse()
            data = answer.read(MAX_ANSWER + 1)
            if len(data) > MAX_ANSWER:
                raise WitnessFailed(f"{self.key.name} answers at too great length")
            return answer.status, data.decode("utf-8")
        except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
            raise WitnessFailed(f"{self.key.name} cannot be asked: {error!r}") from error
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Round:
    """What came of asking every witness once: under which size, who cosigned, and why others did not."""

    size: int
    cosigned: tuple[str, ...]
    failures: dict[str, Exception]


class Cosigners:
    """The witnesses of one ledger, and how many of them make a checkpoint witnessed."""

    def __init__(self, log: Ledger, witnesses: Sequence[Endpoint], quorum: int, timeout_s: float = 5.0) -> None:
        if len({w.key.public for w in witnesses}) != len(witnesses):
            raise ValueError("two witnesses have the same key")
        if not 0 < quorum <= len(witnesses):
            raise ValueError(f"the quorum must be from 1 to {len(witnesses)}, the number of witnesses")
        self.quorum, self.witnessed = quorum, 0
        self.alarm: LedgerRolledBack | LedgerForked | None = None
        """What a witness knows better; it stays, since only people can say what happened."""
        self._log, self._witnesses, self._timeout_s = log, list(witnesses), timeout_s
        self._pool = ThreadPoolExecutor(len(witnesses), "witness")
        self._busy: dict[str, Future[str]] = {}
        self._stop = Event()
        self._thread: Thread | None = None

    def round(self) -> Round:
        """Asks every witness to cosign the latest checkpoint, all at once, and keeps what they sign.

        Waits no longer than the timeout; a witness that still owes an answer is not asked again before it gave it.
        """
        size = len(self._log)
        failures: dict[str, Exception] = {}
        if size == 0:
            return Round(0, (), {})
        asked: dict[str, Future[str]] = {}
        for witness in self._witnesses:
            name = witness.key.name
            if name in self._busy and not self._busy[name].done():
                failures[name] = WitnessFailed(f"{name} still owes an answer")
                continue
            asked[name] = self._busy[name] = self._pool.submit(witness.cosign, self._log, size, self._timeout_s)
        wait(asked.values(), self._timeout_s + 0.5)
        lines: dict[str, str] = {}
        for name, future in asked.items():
            if not future.done():
                failures[name] = WitnessFailed(f"{name} took too long")
                continue
            error = future.exception()
            if error is None:
                lines[name] = future.result()
            elif isinstance(error, Exception):
                failures[name] = error
                if isinstance(error, LedgerRolledBack | LedgerForked):
                    self.alarm = error
        if lines:
            self._log.keep_cosignatures(size, lines)
        if len(lines) >= self.quorum:
            self.witnessed = size
        return Round(size, tuple(lines), failures)

    def check(self) -> None:
        """Asks once, before anything is appended; raises `LedgerRolledBack` or `LedgerForked`."""
        self.round()
        if self.alarm is not None:
            raise self.alarm

    def start(self, every_s: float) -> None:
        """Goes on asking in a thread while the log grows."""
        self._thread = Thread(target=self._run, args=(every_s,), name="witnesses", daemon=True)
        self._thread.start()

    def _run(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            if len(self._log) > self.witnessed:
                self.round()

    def close(self) -> None:
        """Asks no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Cosigners:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
