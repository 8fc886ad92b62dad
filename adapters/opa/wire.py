"""The calls of opa-python-client over a transport of our own: one request, one deadline, nothing followed, little read.

The library's own transport retries, follows redirects to other hosts, reads answers of any size, takes the last of two
equal keys of a JSON object, and in its asynchronous form leaves a given CA file unused.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
from opa_client.opa_async import AsyncOpaClient

MOST = 1 << 20
"""Bytes of an answer; a longer one is refused unread."""

SHOWN = 300
"""Characters of a server's own words that a reason repeats."""


class NoAnswer(Exception):
    """There is no answer that can be used; the message says why, never with a token in it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer of status 200, as the library's calls take it."""

    body: bytes
    status: int = 200

    async def json(self) -> Any:
        """The body's value. Raises `NoAnswer`."""
        return strict_json(self.body)

    def raise_for_status(self) -> None:
        """Does nothing: other answers have been refused before."""


class Wire(AsyncOpaClient):  # type: ignore[misc]
    """One exchange with a server; use it as an asynchronous context."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, token: str | None) -> None:
        headers = {"Accept-Encoding": "identity", "User-Agent": "lexwatt"}
        super().__init__(host, port, ssl=tls is not None, headers=headers, token=token, retries=0)
        self._tls = tls
        self._opened: list[socket.socket] = []

    async def _init_session(self) -> None:
        self._session = aiohttp.ClientSession(
            headers=self.headers,
            connector=aiohttp.TCPConnector(
                ssl=self._tls or True, force_close=True, use_dns_cache=False, socket_factory=self._open
            ),
            timeout=aiohttp.ClientTimeout(),
            cookie_jar=aiohttp.DummyCookieJar(),
            json_serialize=_dump,
            auto_decompress=False,
            trust_env=False,
        )

    def _open(self, info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = info
        self._opened.append(socket.socket(family, kind, protocol))
        return self._opened[-1]

    async def close_connection(self) -> None:
        """Ends the exchange, also with a peer that does not read what was sent, for which closing would wait."""
        await super().close_connection()
        for opened in self._opened:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    @asynccontextmanager
    async def _request(self, method: str, url: str, **options: Any) -> AsyncIterator[Reply]:
        body = bytearray()
        async with self._session.request(method, url, allow_redirects=False, **options) as response:
            async for part in response.content.iter_any():
                body += part
                if len(body) > MOST:
                    raise NoAnswer(f"an answer of more than {MOST} bytes")
        if 300 <= response.status < 400:
            raise NoAnswer(f"a redirect (status {response.status}), which is not followed")
        if response.status != 200:
            raise NoAnswer(f"status {response.status}{_said(bytes(body))}")
        yield Reply(bytes(body))


def strict_json(body: bytes) -> Any:
    """The value of a JSON text where no object has a key twice and no number is NaN or infinite. Raises `NoAnswer`."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise NoAnswer("an answer that is no JSON") from None


def plain(text: str) -> str:
    """A server's words fit to be shown: one line, printable, not long."""
    return "".join(c if c.isprintable() else " " for c in text[:SHOWN])


def _dump(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise NoAnswer(f"the input is no JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _said(body: bytes) -> str:
    """What OPA's own form of an error says: its message and those of the places it names."""
    try:
        told = strict_json(body)
    except NoAnswer:
        return ""
    if not isinstance(told, dict):
        return ""
    errors = told.get("errors")
    places = [e.get("message") for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    words = [word for word in (told.get("message"), *places) if isinstance(word, str)]
    return plain(": " + "; ".join(words)) if words else ""
