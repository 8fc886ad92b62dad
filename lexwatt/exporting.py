"""For engines made elsewhere: rules as policies for the Open Policy Agent, claims for checkers of programmes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compiler.from_syntax import to_core
from compiler.instance import of_one
from compiler.lower import lower, lowerable
from compiler.to_rego import CannotExport, bundle
from lexwatt.authoring import For, Known, On, Paths, day, err, known_on, out, places, read_packs
from proofs import to_vipr
from proofs.checker.certificate import Bad
from proofs.checker.claim import claim_from_bytes, claim_from_json

PUSH_S = 10.0
"""What a server may take to store a policy, where `LEXWATT_OPA_TIMEOUT` does not say."""


def rego(
    path: Paths,
    subject: Annotated[str, typer.Option("--subject", help="Whose rules.")] = "unit",
    checked: Annotated[str, typer.Option("--checked", help="Where they are asked.")] = "command",
    folder: Annotated[Path | None, typer.Option("--out", help="Write the bundle here, as files and as one.")] = None,
    push: Annotated[str, typer.Option("--push", help="Store it at this server, or at LEXWATT_OPA_URL: `env`.")] = "",
    partial: Annotated[bool, typer.Option("--partial", help="Export the others where a rule cannot be.")] = False,
    on: On = "",
    where: For = "",
    known: Known = "",
) -> None:
    """Exports rules as a policy in Rego. It judges for others; what Lexwatt itself sends it judges itself."""
    if folder is None and not push:
        err.print("say where to: --out FOLDER, --push URL, or both", markup=False)
        raise typer.Exit(2)
    core = to_core(read_packs(path), day(on), places=places(where), known=known_on(known))
    instance, left_out = lowerable(of_one(core, subject, checked))
    for reason in left_out:
        err.print(f"left out: {reason}", markup=False, soft_wrap=True)
    if left_out and not partial:
        err.print("nothing is exported: `allow` would not ask these rules; --partial exports the others", markup=False)
        raise typer.Exit(1)
    if not instance.rules:
        err.print(f"no rule about a {subject} is asked at a {checked}", markup=False)
        raise typer.Exit(2)
    try:
        files = bundle(lower(instance), left_out)
    except CannotExport as error:
        err.print(f"cannot export: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    if folder is not None:
        _write(folder, subject, files)
        where_to = f"{folder / subject} and {folder / subject}.tar.gz"
        out.print(f"wrote {len(instance.rules)} rules about a {subject} to {where_to}", markup=False, soft_wrap=True)
    if push:
        _push("" if push == "env" else push, files)


def _write(folder: Path, subject: str, files: dict[str, bytes]) -> None:
    from adapters.opa.archive import archive

    for name, data in {f"{subject}.tar.gz": archive(files), **{f"{subject}/{n}": d for n, d in files.items()}}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _push(url: str, files: dict[str, bytes]) -> None:
    from adapters.opa.client import OpaClient
    from adapters.opa.wire import NoAnswer

    try:
        client = OpaClient.from_settings(url, timeout=PUSH_S)
        if client is None:
            raise ValueError("url: LEXWATT_OPA_URL is not set")
        for path in client.push(files):
            out.print(f"stored {path} at {client.url}", markup=False, soft_wrap=True)
    except ValueError as error:
        err.print(f"--push: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except NoAnswer as error:
        err.print(f"not pushed: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def vipr(
    claim: Annotated[Path, typer.Argument(help="A claim that `prove --out` stored (.claim or .json).")],
    file: Annotated[Path, typer.Option("--out", help="The file to write.")],
) -> None:
    """Checks a claim and writes it as a VIPR 1.0 file, for checkers of integer programmes made elsewhere."""
    try:
        data = claim.read_bytes()
        text = to_vipr.to_vipr(*(claim_from_bytes(data) if claim.suffix == ".claim" else claim_from_json(data)))
        file.write_text(text, encoding="ascii")
    except Bad as error:
        err.print(f"NOT VERIFIED: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except to_vipr.CannotExport as error:
        err.print(f"VIPR cannot express {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except OSError as error:
        err.print(f"cannot read or write: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    out.print(f"{file}: {len(text)} bytes", markup=False, soft_wrap=True)
