"""A service of the example site as tests need it: settings, tokens of a server of ours, clients in process."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx
import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from fastapi import FastAPI

from compiler.core import Declared
from lexwatt.service.app import create_app
from lexwatt.service.house import House
from lexwatt.service.server import config
from lexwatt.service.settings import SCOPES, Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

DAY = "2026-11-23"
ISSUER, AUDIENCE = "https://auth.example", "lexwatt"
UNIT = "MG11_BESS_02"
STATE = {
    "frequency": "50.02 Hz",
    "reference_power": "0 W",
    "previous_setpoint": "0 W",
    "state_of_charge": "50 %",
    "command_duration": "900 s",
    "since_previous": "900 s",
}
HOMES = tuple(f"HOME_{n}" for n in range(1, 7))


def command(power: str = "100 kW", unit: str = UNIT, **more: Any) -> dict[str, Any]:
    """A command that complies, with some of it changed; a value of None in `state` leaves that out."""
    state = {n: v for n, v in {**STATE, **more.pop("state", {})}.items() if v is not None}
    return {"unit": unit, "active_power": power, "state": state, "age_ms": 0, **more}


@cache
def key(name: str) -> Any:
    """A private key of the token server, by name."""
    match name:
        case "rsa" | "other-rsa":
            return rsa.generate_private_key(65537, 2048)
        case "ec" | "other-ec":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


ALGORITHMS = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}


def jwk(name: str) -> dict[str, Any]:
    """The public half as a JSON Web Key."""
    algorithm = ALGORITHMS[name]
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key(name).public_key(), as_dict=True)
    return {**made, "kid": name, "use": "sig", "alg": algorithm}


def token(scopes: Sequence[str] = tuple(SCOPES), by: str = "ann", signed: str = "ed", **claims: Any) -> str:
    """A token that is good for a day, longer than any run of the tests; claims of None are left out."""
    now = int(time.time())
    told = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": by,
        "iat": now,
        "nbf": now,
        "exp": now + 86_400,
        "scope": " ".join(scopes),
    }
    told = {n: v for n, v in {**told, **claims}.items() if v is not None}
    kid = signed.removeprefix("other-")
    return jwt.encode(told, key(signed), ALGORITHMS[kid], headers={"kid": kid})


def bearer(*scopes: str, by: str = "ann") -> dict[str, str]:
    """The header of a good token; with no scope named, of one with all."""
    return {"Authorization": f"Bearer {token(scopes or tuple(SCOPES), by)}"}


def settings(folder: Path, **more: Any) -> Settings:
    """Settings of a service that knows callers by token."""
    folder.mkdir(parents=True, exist_ok=True)
    keys, devices = folder / "jwks.json", folder / "devices.json"
    keys.write_text(json.dumps({"keys": [jwk(n) for n in ALGORITHMS]}))
    places = {unit: {"model_704": 40296, "reversion_s": 1800} for unit in (UNIT, *HOMES)}
    devices.write_text(json.dumps(places))
    usual: dict[str, Any] = {
        "folder": folder / "run",
        "on": DAY,
        "devices": devices,
        "jwks": keys,
        "issuer": ISSUER,
        "audience": AUDIENCE,
    }
    return Settings(**{**usual, **more})


class Clock:
    """A wall clock that tests move."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 23, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


def app(folder: Path, clock: Clock | None = None, trace: Any = None, **more: Any) -> FastAPI:
    """The application of the example site, without theorems."""
    return create_app(settings(folder, **more), lambda core: (), trace, clock)


@contextmanager
def service(folder: Path, clock: Clock | None = None, **more: Any) -> Iterator[TestClient]:
    """A client in process."""
    made = app(folder, clock, **more)
    with TestClient(made, raise_server_exceptions=False) as client:
        yield client


def house(client: TestClient) -> House:
    """What a client's service holds."""
    found = client.app.state.house  # type: ignore[attr-defined]
    assert isinstance(found, House)
    return found


def unhurried(inside: House) -> None:
    """Lets readings be used for a minute, in tests of what is not their age: else no deadline outlives their 5 s."""
    edition = inside.edition()
    vocabulary, fresh = cast(dict[str, Declared], edition.vocabulary), cast(dict[str, int], edition.fresh_ms)
    for name in ("frequency", "state_of_charge"):
        vocabulary[name], fresh[name] = replace(vocabulary[name], stale=Fraction(60)), 60_000


@contextmanager
def running(made: FastAPI, told: Settings) -> Iterator[int]:
    """A real uvicorn on a free port of 127.0.0.1; the port."""
    server = uvicorn.Server(config(made, told))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        ends = time.monotonic() + 30
        while not server.started and time.monotonic() < ends:
            time.sleep(0.02)
        assert server.started
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


async def together(made: FastAPI, work: Any) -> Any:
    """Runs a coroutine function with an asynchronous client in process."""
    transport = httpx.ASGITransport(made, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://in-process") as client:
        return await asyncio.wait_for(work(client), 60)


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any], signature: bytes = b"") -> str:
    """A token of any header, with any signature."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in parts)


def pem(name: str) -> bytes:
    """The public half as PEM, which some libraries would take for a shared secret."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key(name).public_key().public_bytes(serialization.Encoding.PEM, form))
