"""Commands about ledgers: a witness, a day as static files, checks, a change of key."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

from lexwatt.authoring import err, out
from proofs.checker.certificate import Bad
from proofs.checker.note import VerifierKey, parse_vkey

LedgerAt = Annotated[str, typer.Argument(help="The ledger: a file, or a postgresql+psycopg:// URL.")]
Key = Annotated[Path, typer.Option("--key", help="File with the log's public key.")]


def _vkey(path: Path) -> VerifierKey:
    try:
        return parse_vkey(path.read_text(encoding="utf-8"))
    except (OSError, Bad) as error:
        raise _bad(f"--key: {error}", 2) from None


def _bad(message: str, code: int = 1) -> typer.Exit:
    err.print(message, markup=False, soft_wrap=True)
    return typer.Exit(code)


def witness(
    folder: Annotated[Path, typer.Argument(help="Where the witness keeps its key and what it has seen.")],
    name: Annotated[str, typer.Option("--name", help="The witness's name, such as witness.example/w1.")],
    logs: Annotated[list[Path], typer.Option("--log", help="File with the public key of a log to witness.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
) -> None:
    """Runs a witness (C2SP tlog-witness): cosigns checkpoints that extend what it has seen, and no others."""
    from proofs.witness import Witness, WitnessServer, WitnessState

    try:
        keys = [_vkey(path) for path in logs]
        with Witness(folder, name, keys) as kept, WitnessServer(kept, port=port) as server:
            (folder / "witness.vkey").write_text(kept.vkey + "\n", encoding="utf-8")
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: Thread(target=server.shutdown).start())
            out.print(f"{kept.vkey}", markup=False, soft_wrap=True)
            out.print(f"http://127.0.0.1:{server.server_address[1]}", markup=False, soft_wrap=True)
            server.serve_forever()
    except (WitnessState, ValueError, OSError) as error:
        raise _bad(f"{type(error).__name__}: {error}") from None


def export_log(
    ledger: LedgerAt,
    folder: Annotated[Path, typer.Argument(help="Where the files go; an earlier export there is added to.")],
    key: Key,
    day: Annotated[str, typer.Option("--day", help="A day in UTC, as YYYY-MM-DD; the whole log if absent.")] = "",
) -> None:
    """Writes a day of the log as static tiles (C2SP tlog-tiles) that anyone can check offline."""
    from proofs.ledger import LedgerDamaged, LedgerTooNew, LedgerTooOld, Reader
    from proofs.tiles import export

    try:
        start = datetime.strptime(day or "1970-01-01", "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise _bad(f"--day: `{day}` is no day of the form YYYY-MM-DD", 2) from None
    try:
        with Reader.read(ledger, _vkey(key)) as log:
            end = start + timedelta(days=1)
            first, size = log.span(int(start.timestamp() * 1000), int(end.timestamp() * 1000)) if day else (0, len(log))
            if size == 0:
                raise _bad(f"no checkpoint was made on {day}" if day else "the log is empty")
            files = export(log, first, size, folder)
    except (LedgerDamaged, LedgerTooNew, LedgerTooOld, Bad, OSError) as error:
        raise _bad(f"{type(error).__name__}: {error}") from None
    out.print(f"records {first} to {size - 1} in {folder}, {files} files written", markup=False, soft_wrap=True)


def check_log(
    where: Annotated[str, typer.Argument(help="An export's folder, a ledger's file, or its URL.")],
    key: Key,
    key_before: Annotated[
        Path | None, typer.Option("--key-before", help="File with the key of an export's first day, if it changed.")
    ] = None,
) -> None:
    """Checks every record of an export or of a ledger against its signed checkpoint."""
    from proofs.ledger import LedgerDamaged, LedgerTooNew, LedgerTooOld, Reader
    from proofs.tiles import Export

    try:
        if (Path(where) / "checkpoint").is_file():
            found = Export(Path(where), _vkey(key), _vkey(key_before) if key_before else None)
            count, size = sum(1 for _ in found.records()), found.size
        else:
            with Reader.read(where, _vkey(key), verify=True) as log:
                count = size = len(log)
    except (LedgerDamaged, LedgerTooNew, LedgerTooOld, Bad, OSError) as error:
        raise _bad(f"NOT GOOD: {error}") from None
    out.print(f"good: {count} records checked, the log signed {size}", markup=False, soft_wrap=True)


def rotate_key(
    ledger: LedgerAt,
    old: Annotated[Path, typer.Option("--old", help="File with the present signing key.")],
    new: Annotated[Path, typer.Option("--new", help="File of the new signing key; made if it is not there.")],
    origin: Annotated[str, typer.Option("--name", help="The log's name.")] = "",
    receipts: Annotated[Path, typer.Option("--out", help="Where the receipts of the hand-overs go.")] = Path("."),
) -> None:
    """Hands the log over to a new key; readers who hold the first key can follow offline."""
    from lexwatt.site import LOG_NAME
    from proofs.keys import load_or_create
    from proofs.ledger import Ledger, LedgerBusy, LedgerDamaged, LedgerTooNew

    name = origin or LOG_NAME
    if not old.is_file():
        raise _bad(f"--old: no file `{old}`", 2)
    try:
        successor = load_or_create(new, name)
        with Ledger.open(ledger, load_or_create(old, name)) as log:
            entry = log.rotate(successor)
            receipts.mkdir(parents=True, exist_ok=True)
            for i, receipt in enumerate(log.handovers(), 1):
                (receipts / f"handover-{i}.tlog-proof").write_text(receipt, encoding="utf-8")
    except (LedgerBusy, LedgerDamaged, LedgerTooNew, ValueError, OSError) as error:
        raise _bad(f"{type(error).__name__}: {error}") from None
    new.with_suffix(".vkey").write_text(successor.verifier.text() + "\n", encoding="utf-8")
    out.print(f"record {entry.index} hands the log over to {successor.verifier.text()}", markup=False, soft_wrap=True)
