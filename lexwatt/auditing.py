"""`lexwatt audit`: a log, or a day of it, judged again by the independent checker."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from lexwatt.authoring import AsJson, err, out
from lexwatt.show import COLOURS
from proofs.checker.certificate import Bad
from proofs.checker.note import COSIGNATURE, ED25519, VerifierKey, parse_vkey

if TYPE_CHECKING:
    from guardrails.fleet import Fleet
    from proofs.audit import Report
    from proofs.rederive import Frames

SHOWN = 40
LogAt = Annotated[str, typer.Argument(help="A ledger's file, its postgresql+psycopg:// URL, or an export's folder.")]
Day = Annotated[str, typer.Option("--day", help="A day in UTC, as YYYY-MM-DD; everything if absent.")]


def audit(
    ledger: LogAt,
    day: Day = "",
    vkeys: Annotated[
        list[str] | None, typer.Option("--vkey", help="The log's public key or its file: that of the beginning first.")
    ] = None,
    documents: Annotated[
        Path | None,
        typer.Option("--documents", help="Folder of rule set and policy documents; that beside the ledger."),
    ] = None,
    witnesses: Annotated[
        list[str] | None, typer.Option("--witness", help="Public key, or its file, of a witness who should cosign.")
    ] = None,
    seen: Annotated[
        list[Path] | None, typer.Option("--seen", help="A checkpoint that somebody kept; the log has to extend it.")
    ] = None,
    rulesets: Annotated[
        list[str] | None, typer.Option("--ruleset", help="Digest of a rule set or core that may have been used.")
    ] = None,
    site: Annotated[
        Path | None, typer.Option("--site", help="The site file, whose devices' registers frames are decoded by.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes; one for each core if absent.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Judges every recorded decision again and says what does not hold; exit code 0 only when all was verified."""
    from proofs.audit import Scope
    from proofs.audit import audit as run
    from proofs.store import LedgerDamaged, LedgerTooNew, LedgerTooOld

    folder = Path(ledger) if Path(ledger).is_dir() else Path(ledger).parent
    beside = next((f / "rules" for f in (folder, folder.parent) if (f / "rules").is_dir()), None)
    if day and Path(ledger).is_dir():
        raise _bad("--day: an export is of its own day", 2)
    if not vkeys and not (folder / "log.vkey").is_file():
        raise _bad("--vkey: the log's public key is needed", 2)
    try:
        keys = [_key(k) for k in vkeys or [str(folder / "log.vkey")]]
        cosigners = [_key(k, COSIGNATURE) for k in witnesses or ()]
        notes = [path.read_text(encoding="utf-8") for path in seen or ()]
        frames = None if site is None else _frames(site)
    except (OSError, Bad) as error:
        raise _bad(str(error), 2) from None
    if documents is not None and not documents.is_dir():
        raise _bad(f"--documents: no folder `{documents}`", 2)
    scope = Scope(ledger, keys, documents or beside, span_of(day), cosigners, notes, frozenset(rulesets or ()), frames)
    try:
        report = run(scope, workers or len(os.sched_getaffinity(0)))
    except (LedgerDamaged, LedgerTooNew, LedgerTooOld, OSError, ValueError) as error:
        raise _bad(f"{type(error).__name__}: {error}", 2) from None
    if not report.size - report.first:
        raise _bad(f"no checkpoint was made on {day}" if day else "the log is empty", 2)
    if as_json:
        print(report.to_json())
    else:
        _show(report)
    raise typer.Exit(0 if report.verified else 1)


def span_of(day: str) -> tuple[int, int] | None:
    """A day in UTC as ms since 1970, None when the option is empty; ends the command for anything else."""
    if not day:
        return None
    try:
        start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise _bad(f"--day: `{day}` is no day of the form YYYY-MM-DD", 2) from None
    return int(start.timestamp() * 1000), int((start + timedelta(days=1)).timestamp() * 1000)


def _bad(message: str, code: int) -> typer.Exit:
    err.print(message, markup=False, soft_wrap=True)
    return typer.Exit(code)


def _key(text: str, kind: int = ED25519) -> VerifierKey:
    return parse_vkey(Path(text).read_text(encoding="utf-8") if Path(text).is_file() else text, kind)


def _frames(site: Path) -> Frames:
    from guardrails.fleet import FleetError, load_site

    try:
        return frames_of(load_site(site))
    except FleetError as error:
        raise _bad(f"--site: {error}", 2) from None


def frames_of(fleet: Fleet) -> Frames:
    """Decodes frames by the registers of a fleet's devices.

    Where model 704 begins and the time to revert are the device's own; they are taken from the frame, which then has to
    be, word for word, the one that gives the command.
    """
    from adapters.sunspec.codec import SunSpecCodec
    from adapters.sunspec.models import from_registers, layout
    from guardrails.seal import Frame

    points = layout(704)
    start, reverts = points["WSetMod"].offset, points["WSetRvrtTms"]

    def decode(device: str, data: bytes) -> tuple[Mapping[str, int], Mapping[str, int]]:
        unit = fleet.units.get(device)
        if unit is None or unit.protocol != "sunspec_modbus":
            raise LookupError(device)
        frame = Frame.from_bytes(device, data)
        if len(frame.writes) != 3:
            raise ValueError("a set point takes three writes")
        base = frame.writes[0].address - start
        seconds = frame.writes[1].values[base + reverts.offset - frame.writes[1].address :][: reverts.size]
        codec = SunSpecCodec(device, base, unit.wset_sf, from_registers(reverts, seconds))
        return codec.decode(frame), codec.grid

    return decode


def _show(report: Report) -> None:
    from proofs.audit import KINDS, short

    out.print(f"[bold]{escape(report.log)}[/]: records {report.first} to {report.size - 1}", soft_wrap=True)
    if report.checkpoint:
        root = report.checkpoint["root"][:16]
        out.print(f"checkpoint of {report.checkpoint['size']} records, root {root}…, signature verified")
        for name, at in report.checkpoint["cosigned"].items():
            when = datetime.fromtimestamp(at["at"], UTC).isoformat()
            out.print(f"cosigned by {name} at {at['size']} records, {when}", markup=False, soft_wrap=True)
    for key in report.keys[1:]:
        out.print(f"from {key['from']} records on signed by {key['vkey']}", markup=False, soft_wrap=True)
    decided = sum(report.outcomes.values())
    table = Table("decisions", "number", title="decisions by what became of them", title_justify="left")
    for outcome, count in sorted(report.outcomes.items()):
        table.add_row(f"[{COLOURS.get(outcome, 'white')}]{escape(outcome)}[/]", f"{count:,}")
    table.add_row("[bold]re-derived[/]", f"[bold]{report.rederived:,} of {decided:,}[/]")
    out.print(table)
    table = Table("rule set or policy", "decisions", "from", "until", "document", title="in use", title_justify="left")
    for use in (*report.rulesets, *report.policies):
        there = "there, hashes to it" if use["document"] else "[red]missing[/]"
        table.add_row(short(use["digest"]), f"{use['records']:,}", use["from"], use["until"], there)
    out.print(table)
    for line in _lines(report):
        out.print(line, markup=False, soft_wrap=True)
    for finding in report.findings[:SHOWN]:
        place = "" if finding.index is None else f"record {finding.index}"
        place += "" if finding.until is None else f" to {finding.until}"
        whose = "".join(f", {part}" for part in (finding.unit, finding.at) if part)
        clause = f" ({finding.clause})" if finding.clause else ""
        kind = KINDS[finding.code]
        out.print(f"[red]{kind}[/] {escape(f'{place}{whose}: {finding.message}{clause}')} ", soft_wrap=True)
    total = sum(report.counts.values())
    if len(report.findings) > SHOWN:
        out.print(f"and {len(report.findings) - SHOWN:,} more; --json gives up to 1,000 of each kind")
    for code, count in report.counts.items():
        out.print(f"{code}: {count:,}")
    rate = (report.size - report.first) / max(report.seconds, 0.1)
    out.print(f"{report.seconds:.1f} s, {rate:,.0f} records/s", highlight=False)
    out.print("[green]everything verified[/]" if report.verified else f"[red]NOT VERIFIED: {total:,} finding(s)[/]")


def _lines(report: Report) -> Sequence[str]:
    named = [f"{rule} ({count:,})" for rule, count in sorted(report.not_rederived.items())]
    lines = [f"not re-derived, the interpreter's word: {', '.join(named)}"] if named else []
    lines += [f"tier {tier} yielded in {count:,} decisions" for tier, count in sorted(report.yielded.items())]
    if report.outcomes.get("fallback"):
        lines.append(f"{report.outcomes['fallback']:,} fallbacks")
    frames = ", ".join(f"{count:,} {what}" for what, count in report.frames.items())
    lines.append(f"frames: {frames}" if frames else "frames were not decoded (--site says by which registers)")
    if report.deliveries is None:
        lines.append("the log holds no delivery outcomes: whether commands arrived is not audited")
    else:
        lines.append("deliveries: " + ", ".join(f"{count:,} {what}" for what, count in report.deliveries.items()))
    return lines
