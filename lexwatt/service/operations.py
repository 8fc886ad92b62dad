"""The way of one request: who asks, how often, in which form, whether it is allowed, the answer, the time."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lexwatt.service.auth import Caller, allow
from lexwatt.service.forms import MOST_MS
from lexwatt.service.measures import Stopwatch
from lexwatt.service.problems import Problem, filled
from lexwatt.service.reading import Unreadable, strict_json
from lexwatt.service.rulesets import Edition
from proofs.in_force import LONGEST_DEADLINE_MS

if TYPE_CHECKING:
    from lexwatt.service.house import House

JSON = "application/json"
NDJSON = "application/x-ndjson"
MSGPACK = "application/msgpack"
RUN = secrets.token_hex(6)
"""Tells one process's requests from another's."""
log = logging.getLogger("lexwatt.service")


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked. `form` gives the body's form under an edition; An empty `scope` lets all ask."""

    name: str
    method: str
    path: str
    scope: str
    answer: Callable[[Call], Awaitable[Response]]
    form: Callable[[Edition], type[BaseModel]] | None = None
    query: frozenset[str] = frozenset()
    streams: bool = False
    once: bool = False
    """Whether an idempotency key is heeded."""


@dataclass(slots=True)
class Call:
    """A request on its way. `arrived` is on the monotonic clock, `began` on the performance counter, both in ns."""

    house: House
    operation: Operation
    request: Request
    arrived: int
    began: int
    edition: Edition
    watch: Stopwatch = field(default_factory=Stopwatch)
    caller: Caller = Caller("", frozenset())  # noqa: RUF009 - it is frozen
    body: bytes = b""
    form: Any = None
    media: str = JSON
    number: int = field(default_factory=count().__next__)

    @property
    def instance(self) -> str:
        """The request's own number, which the log has too."""
        return f"urn:lexwatt:request:{RUN}-{self.number}"


class Straight(APIRoute):
    """A route that FastAPI documents and that answers without its parameter solving, which costs much."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = app


async def run(house: House, operation: Operation, request: Request) -> Response:
    """The answer to a request. Nothing of the inside is told, whatever happens."""
    call = Call(house, operation, request, time.monotonic_ns(), time.perf_counter_ns(), house.edition())
    try:
        response = await _answered(call)
    except Problem as problem:
        response = problem.response(call.instance)
    except ClientDisconnect:
        response = Problem(400, "gone", "the client went away").response(call.instance)
    except Exception:
        log.exception("%s %s failed", call.instance, operation.name)
        response = Problem(500, "internal-error", "the service failed; its log says more").response(call.instance)
    house.measures.answered(operation.name, response.status_code, call.began, call.watch.marks)
    if response.status_code >= 400 or operation.once:
        log.info("%s %s by %r: %d", call.instance, operation.name, call.caller.name, response.status_code)
    return response


async def _answered(call: Call) -> Response:
    house, operation, request = call.house, call.operation, call.request
    if operation.scope:
        call.caller = _known(call)
        house.rate.take(call.caller.name)
        allow(call.caller, operation.scope)
    if request.scope["query_string"]:
        _check_query(call)
    if operation.form is not None:
        call.media = _media(call)
        if call.media != JSON:
            allow(call.caller, "telemetry:stream")
            await house.permitted(call, None)
            return await operation.answer(call)
        call.body = await read_body(request, house.settings.body_bytes, house.settings.body_seconds)
        with call.watch.stage("parse"):
            try:
                value = strict_json(call.body)
            except Unreadable as error:
                raise Problem(400, "unreadable-body", str(error)) from None
            call.form = filled(operation.form(call.edition), value)
    if operation.scope:
        await house.permitted(call, call.form)
    key = request.headers.get("idempotency-key") if operation.once else None
    if key is None:
        return await operation.answer(call)
    # Answers are remembered in memory: of what was begun before, nobody here knows whether it was decided.
    begun_ns = call.arrived - (_head_ms(call, "Lexwatt-Begun", 0, MOST_MS) or 0) * 1_000_000
    who = (call.caller.name, operation.path, key)
    given = house.remembered.begin(*who, call.body, begun_ns / 1e9)
    if given is not None:
        return Response(given, 200, {"Idempotent-Replay": "true"}, JSON)
    kept: bytes | None = None
    try:
        response = await operation.answer(call)
        kept = bytes(response.body)
        return response
    finally:
        house.remembered.end(*who, kept)


def _known(call: Call) -> Caller:
    """The caller; whoever keeps coming without being known is slowed down too."""
    tls = call.request.scope.get("extensions", {}).get("lexwatt.tls", {})
    try:
        return call.house.door.caller(call.request.headers.get("authorization"), tls.get("peer"))
    except Problem:
        client = call.request.client
        call.house.strangers.take(client.host if client is not None else "")
        raise


def _check_query(call: Call) -> None:
    """Raises `Problem` 422 for a name that the operation does not know, or that stands twice."""
    query = call.request.query_params
    errors = [(f"query.{name[:40]}", "is not known here") for name in sorted(set(query) - call.operation.query)[:5]]
    if not errors and len(query.multi_items()) != len(query):
        errors = [("query", "a name stands twice")]
    if errors:
        raise Problem(422, "invalid-fields", "the query is not of its form", errors)


def _media(call: Call) -> str:
    """The body's media type; raises `Problem` 415."""
    head = call.request.headers.get("content-type", "")
    media, _, rest = (part.strip().lower() for part in head.partition(";"))
    charset = rest.partition("=")[2].strip('" ') if rest.startswith("charset") else ""
    takes = (JSON, NDJSON, MSGPACK) if call.operation.streams else (JSON,)
    if (
        media not in takes
        or charset not in ("", "utf-8")
        or call.request.headers.get("content-encoding", "identity") != "identity"
    ):
        detail = f"a body is {' or '.join(takes)}, in UTF-8, and not compressed"
        raise Problem(415, "unsupported-media-type", detail, headers={"Accept-Post": ", ".join(takes)})
    return media


async def parts(request: Request, most: int, seconds: float) -> AsyncIterator[bytes]:
    """The body as it comes. Raises `Problem`: 413 for too much, 408 where the next part takes too long."""
    told = request.headers.get("content-length", "0")
    if told.isascii() and told.isdigit() and (len(told) > 18 or int(told) > most):
        raise _too_large(most)
    size, more = 0, True
    while more:
        try:
            async with asyncio.timeout(seconds):
                message = await request.receive()
        except TimeoutError:
            raise _too_slow(seconds) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > most:
            raise _too_large(most)
        if part:
            yield part


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """The whole body, which may take so many seconds in all. Raises `Problem`."""
    found: list[bytes] = []
    ends = time.monotonic() + seconds
    async for part in parts(request, most, seconds):
        found.append(part)
        if time.monotonic() > ends:
            raise _too_slow(seconds)
    return b"".join(found)


def _too_slow(seconds: float) -> Problem:
    detail = f"the body came too slowly: {seconds:g} s are allowed"
    return Problem(408, "too-slow", detail, headers={"Connection": "close"})


def _too_large(most: int) -> Problem:
    return Problem(413, "too-large", f"a body has at most {most} bytes", headers={"Connection": "close"})


def millis(call: Call, stated: int | None, default: int) -> int:
    """The deadline in ms: the tighter of the field and the `Lexwatt-Deadline` header. Raises `Problem` 422."""
    head = _head_ms(call, "Lexwatt-Deadline", 1, LONGEST_DEADLINE_MS)
    if head is None:
        return default if stated is None else stated
    return head if stated is None else min(head, stated)


def waited_ns(call: Call) -> int:
    """How long before its arrival a request's ages were true: its `Lexwatt-Waited` header. Raises `Problem` 422."""
    return (_head_ms(call, "Lexwatt-Waited", 0, MOST_MS) or 0) * 1_000_000


def _head_ms(call: Call, name: str, least: int, most: int) -> int | None:
    text = call.request.headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise Problem(422, "invalid-fields", "no such time", [(f"header.{name}", f"is not {least} to {most} (ms)")])
    return int(text)
