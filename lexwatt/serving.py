"""The command that starts the HTTP service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lexwatt.authoring import On, err


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 if absent.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 8008 if absent.")] = None,
    site: Annotated[Path | None, typer.Option(help="The site file.")] = None,
    devices: Annotated[Path | None, typer.Option(help="JSON file: where each device has its registers.")] = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Where ledger, key and rule sets are kept.")] = None,
    policy: Annotated[Path | None, typer.Option(help="The guard policy (YAML).")] = None,
    packs: Annotated[str | None, typer.Option("--packs", help="Packs by name, for the first start.")] = None,
    on: On = "",
    issuer: Annotated[str | None, typer.Option(help="Who issues tokens (`iss`).")] = None,
    audience: Annotated[str | None, typer.Option(help="Whom tokens are for (`aud`).")] = None,
    jwks: Annotated[Path | None, typer.Option(help="File with the token server's public keys.")] = None,
    cert: Annotated[Path | None, typer.Option(help="Our own certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    client_ca: Annotated[Path | None, typer.Option("--client-ca", help="Who signs clients' ones (PEM).")] = None,
    opa_url: Annotated[str | None, typer.Option("--opa-url", help="The organisation's policy server.")] = None,
    insecure_loopback: Annotated[
        bool, typer.Option("--insecure-loopback", help="Let everybody on this machine in, to try it.")
    ] = False,
    reset_rules: Annotated[
        bool, typer.Option("--reset-rules", help="Begin with --packs anew, whatever the ledger has in force.")
    ] = False,
) -> None:
    """Serves the guard over HTTP. Every setting can also stand in the environment as LEXWATT_SERVICE_NAME."""
    from pydantic import ValidationError

    from guardrails.fleet import FleetError
    from guardrails.policy import PolicyError
    from lexwatt.service.app import create_app
    from lexwatt.service.problems import Problem
    from lexwatt.service.rulesets import RulesChanged
    from lexwatt.service.server import serve as run
    from lexwatt.service.settings import Settings
    from proofs.ledger import LedgerBusy, LedgerDamaged

    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "site": site,
        "devices": devices,
        "folder": folder,
        "policy": policy,
        "packs": packs,
        "on": on or None,
        "issuer": issuer,
        "audience": audience,
        "jwks": jwks,
        "cert": cert,
        "key": key,
        "client_ca": client_ca,
        "opa_url": opa_url,
        "insecure_loopback": insecure_loopback or None,
        "reset_rules": reset_rules or None,
    }
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
        app = create_app(settings)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        err.print(f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except (FleetError, PolicyError, LedgerBusy, LedgerDamaged, RulesChanged, Problem, ValueError, OSError) as error:
        err.print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    run(app, settings)
