"""The server process: uvicorn with limits on slow and large heads, clients' certificates, and a log without secrets."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import ssl
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lexwatt.service.settings import Settings

KEEP_ALIVE_S = 15
GRACE_S = 10


def protocol(settings: Settings) -> type[HttpToolsProtocol]:
    """uvicorn's protocol, which by itself waits for a head without end and takes heads of any size."""

    class Guarded(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _head = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            tls = transport.get_extra_info("ssl_object")
            self._peer = None if tls is None else tls.getpeercert(binary_form=True)
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._calm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._timer is None and (self.cycle is None or self.cycle.response_complete):
                self._await_head()
            super().data_received(data)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._head = 0
            self.scope["extensions"] = {"lexwatt.tls": {"peer": self._peer}}

        def on_url(self, url: bytes) -> None:
            self._grow(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._grow(len(name) + len(value) + 32)
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._calm()
            super().on_headers_complete()

        def _grow(self, size: int) -> None:
            self._head += size
            if self._head > settings.head_bytes:
                self.transport.abort()

        def _await_head(self) -> None:
            self._timer = self.loop.call_later(settings.head_seconds, self._too_slow)

        def _calm(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _too_slow(self) -> None:
            self._timer = None
            if not self.transport.is_closing():
                self.transport.abort()

    return Guarded


_SECRETS = re.compile(
    r"(?i)(bearer\s+)[^\s'\",]+|eyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)?|((?:password|secret|token)[=:]\s*)[^\s'\",]+"
)


class Discreet(logging.Filter):
    """Keeps tokens and configured secrets out of the log, and other people's line breaks too."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        secrets = (settings.key_password, settings.opa_token)
        self._known = [s.get_secret_value() for s in secrets if s is not None and s.get_secret_value()]

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrites a record's message in place; every record passes."""
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        for secret in self._known:
            text = text.replace(secret, "***")
        text = _SECRETS.sub(lambda m: (m[1] or m[2] or "") + "***", text)
        record.msg = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        record.args = None
        return True


def quiet(settings: Settings, handler: logging.Handler) -> None:
    """Puts the service's and uvicorn's log on one discreet handler."""
    handler.addFilter(Discreet(settings))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in ("lexwatt.service", "uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING if name == "uvicorn.access" else logging.INFO)


def config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves the application."""
    password = settings.key_password.get_secret_value() if settings.key_password else None
    made = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=protocol(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.connections,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=settings.cert,
        ssl_keyfile=settings.key,
        ssl_keyfile_password=password,
        ssl_ca_certs=str(settings.client_ca) if settings.client_ca else None,
        ssl_cert_reqs=_wanted(settings),
    )
    made.load()
    if made.ssl is not None:
        made.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


def _wanted(settings: Settings) -> int:
    """A certificate is a must where nothing else tells who calls."""
    if not settings.mutual_tls:
        return ssl.CERT_NONE
    return ssl.CERT_OPTIONAL if settings.tokens else ssl.CERT_REQUIRED


def settle() -> None:
    """Keeps the collector from looking through all that was loaded at the start, which would hold up requests."""
    gc.collect()
    gc.freeze()


def serve(app: FastAPI, settings: Settings) -> None:
    """Serves until it is told to stop."""
    quiet(settings, logging.StreamHandler())
    settle()
    uvicorn.Server(config(app, settings)).run()
