"""What can be asked, and how each is answered."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from datetime import date, datetime
from functools import partial
from typing import Any

import msgpack
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from lexwatt.service import answers
from lexwatt.service.desk import MILLI, answer, to_json
from lexwatt.service.operations import JSON, MSGPACK, NDJSON, Call, Operation, millis, parts, waited_ns
from lexwatt.service.problems import Problem, filled
from lexwatt.service.reading import Messages, Unreadable, strict_json
from lexwatt.service.rulesets import Choice, Edition, shown

MOST_RECORDS = 100
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")


def _json(value: Any) -> Response:
    return Response(to_json(value), media_type=JSON)


async def check(call: Call) -> Response:
    """Verdicts on one command, or on each of a stream."""
    if call.media != JSON:
        return _stream(call)
    with call.watch.stage("judge"):
        found = call.house.desk.check(call.edition, call.form, waited_ns(call))
    return _json(found)


def _stream(call: Call) -> Response:
    """Answers each command of a stream in order; what is wrong with one is told in its place."""
    if call.house.streams >= call.house.settings.streams:
        raise Problem(503, "busy", "too many streams are open", headers={"Retry-After": "1"})
    waited = waited_ns(call)
    values = _lines(call) if call.media == NDJSON else _messages(call)
    return Stream(call, _answers(call, values, waited))


class Stream(Response):
    """An answer that is sent as it comes. Starlette's own would read the request's body while it waits for its end."""

    def __init__(self, call: Call, parts: AsyncGenerator[bytes]) -> None:
        self.house, self.parts, self.status_code, self.background = call.house, parts, 200, None
        self.raw_headers = [(b"content-type", call.media.encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends head and parts; a client that goes away ends it."""
        # INVARIANT: taken and given back here alone, so that no way of failing keeps a stream's place. Nothing else
        # runs between the look whether there is one and this.
        self.house.streams += 1
        try:
            async with aclosing(self.parts) as parts:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                with suppress(ClientDisconnect):
                    async for part in parts:
                        await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.house.streams -= 1


async def _answers(call: Call, values: AsyncIterator[tuple[int, Any]], waited: int) -> AsyncGenerator[bytes]:
    """The answers to values that come with the moment of their arrival; each counts as one request of its caller."""
    house, form = call.house, call.edition.forms.command

    def packed(value: Any) -> bytes:
        return bytes(msgpack.packb(value)) if call.media == MSGPACK else to_json(value) + b"\n"

    try:
        async for came, value in values:
            # A long stream may not keep the others waiting, and is read no faster than its caller may ask.
            await asyncio.sleep(0)
            while (wait := house.rate.missing(call.caller.name)) > 0:
                await asyncio.sleep(wait)
            try:
                if isinstance(value, Problem):
                    raise value
                asked = filled(form, value)
                await house.permitted(call, asked)
                yield packed(house.desk.check(call.edition, asked, waited + time.monotonic_ns() - came))
            except Problem as problem:
                yield packed(problem.body(call.instance))
    except Problem as problem:
        yield packed(problem.body(call.instance))


async def _lines(call: Call) -> AsyncIterator[tuple[int, Any]]:
    settings = call.house.settings
    rest, began = b"", 0
    async for part in parts(call.request, settings.stream_bytes, settings.body_seconds):
        now = time.monotonic_ns()
        began = began if rest else now
        *lines, rest = (rest + part).split(b"\n")
        if len(rest) > settings.body_bytes:
            raise Problem(413, "too-large", f"a line has at most {settings.body_bytes} bytes")
        for line in lines:
            if line.strip():
                yield began, _line(line)
            began = now
    if rest.strip():
        yield began, _line(rest)


def _line(line: bytes) -> Any:
    try:
        return strict_json(line)
    except Unreadable as error:
        return Problem(400, "unreadable-body", str(error))


async def _messages(call: Call) -> AsyncIterator[tuple[int, Any]]:
    settings = call.house.settings
    messages, began = Messages(settings.body_bytes), 0
    try:
        async for part in parts(call.request, settings.stream_bytes, settings.body_seconds):
            now = time.monotonic_ns()
            began = now if messages.whole() else began
            for value in messages.feed(part):
                yield began, value
                began = now
    except Unreadable as error:
        raise Problem(400, "unreadable-body", str(error)) from None
    if not messages.whole():
        raise Problem(400, "unreadable-body", "the last message is cut off")


async def admit(call: Call) -> Response:
    """A decision on record, and sealed commands where it allows them."""
    house = call.house
    ms = millis(call, call.form.deadline_ms, house.settings.deadline_ms)
    stated_ns = call.arrived - waited_ns(call)
    found = answer(await house.decide(call, stated_ns, call.arrived + ms * MILLI), time.monotonic_ns())
    if found["late"]:
        house.measures.late.inc()
    return _json(found)


async def redeem(call: Call) -> Response:
    """The register writes of a sealed command, once and in time."""
    frame = call.house.desk.redeem(call.form)
    writes = [{"address": w.address, "values": list(w.values)} for w in frame.writes]
    return _json({"device": frame.device, "writes": writes})


def judged(point: str) -> Callable[[Call], Any]:
    """The answer to bids, schedules or data flows."""

    async def answer_of(call: Call) -> Response:
        with call.watch.stage("judge"):
            found = call.house.desk.judged(call.edition, point, call.form)
        return _json(found)

    return answer_of


async def rulesets(call: Call) -> Response:
    """What is in force and every change so far; with `on`, what the same packs would give for that day."""
    house = call.house
    found: dict[str, Any] = {"in_force": shown(house.book.in_force())}
    house.book.open()
    found["changes"] = [shown(change) for change in house.book.changes.values()]
    day = call.request.query_params.get("on")
    if day is not None:
        told = await house.on_day(_day(day, "query.on"))
        found["on_day"] = {name: told[name] for name in ("on", "core", "document")}
    return _json(found)


async def ruleset(call: Call) -> Response:
    """The document of a rule set that was in use."""
    digest = call.request.path_params["digest"]
    path = call.house.folder.rules(digest) if _DIGEST.fullmatch(digest) else None
    if path is None or not path.is_file():
        raise Problem(404, "not-found", "no rule set of that digest was in use here")
    return Response(await call.house.read(path.read_bytes), media_type=JSON)


async def propose(call: Call) -> Response:
    """A change that waits for a second person."""
    choice = Choice(tuple(call.form.packs), _day(call.form.on, "on"))
    told = call.form.effective_at
    effective = None if told is None else datetime.fromisoformat(told)
    return _json(shown(await call.house.propose(call.caller, choice, effective)))


async def approve(call: Call) -> Response:
    """A change approved by somebody else."""
    return _json(shown(await call.house.approve(call.caller, call.form.proposal)))


async def roll_back(call: Call) -> Response:
    """The rule set before, in force again."""
    return _json(shown(await call.house.roll_back(call.caller, call.form.reason)))


async def records(call: Call) -> Response:
    """A page of the ledger."""
    ledger, query = call.house.ledger, call.request.query_params
    start = _number(query.get("start", "0"), "query.start")
    limit = _number(query.get("limit", "20"), "query.limit")
    if not 1 <= limit <= MOST_RECORDS:
        raise Problem(422, "invalid-fields", "no such page", [("query.limit", f"is not 1 to {MOST_RECORDS}")])
    size = len(ledger)
    end = min(start + limit, size)
    found = await call.house.read(lambda: [ledger.record(i) for i in range(start, end)])
    # Records are canonical JSON: they are passed on byte for byte.
    shown_records = b",".join(b'{"index":%d,"record":%s}' % (start + i, r) for i, r in enumerate(found))
    following = b"%d" % end if end < size and found else b"null"
    return Response(b'{"records":[%s],"next":%s,"size":%d}' % (shown_records, following, size), media_type=JSON)


async def checkpoint(call: Call) -> Response:
    """The latest signed checkpoint."""
    return PlainTextResponse(call.house.ledger.checkpoint())


async def receipt(call: Call) -> Response:
    """A receipt, which `lexwatt verify` checks without this service."""
    text = call.request.path_params["id"]
    ledger = call.house.ledger
    if not _INDEX.fullmatch(text) or int(text) >= len(ledger):
        raise Problem(404, "not-found", "there is no record of that number")
    return PlainTextResponse(await call.house.read(partial(ledger.receipt, int(text))))


async def alive(call: Call) -> Response:
    """That the process answers."""
    return _json({"status": "ok"})


async def ready(call: Call) -> Response:
    """That rules are in force and the ledger takes records."""
    house = call.house
    if house.committer.error is not None:
        raise Problem(503, "not-ready", "a record could not be kept; nothing is admitted until the service starts anew")
    if not await house.readable():
        raise Problem(503, "not-ready", "the ledger cannot be read")
    return _json({"status": "ok", "records": len(house.ledger)})


async def metrics(call: Call) -> Response:
    """Figures in Prometheus' form."""
    data, media = call.house.measures.exposition()
    return Response(data, headers={"Content-Type": media})


def _number(text: str, field: str) -> int:
    if not _INDEX.fullmatch(text):
        raise Problem(422, "invalid-fields", "the query is not of its form", [(field, "is no whole number")])
    return int(text)


def _day(text: str, field: str) -> date:
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise Problem(422, "invalid-fields", "no such day", [(field, "is no day such as 2026-11-23")]) from None


def _fixed(form: type[BaseModel]) -> Callable[[Edition], type[BaseModel]]:
    return lambda edition: form


def operations() -> tuple[Operation, ...]:
    """Everything that can be asked."""
    write, see = "dispatch:write", "asset:read"
    return (
        Operation("commands:check", "POST", "/v1/commands:check", see, check, lambda e: e.forms.command, streams=True),
        Operation("commands:admit", "POST", "/v1/commands:admit", write, admit, lambda e: e.forms.admission, once=True),
        Operation("commands:redeem", "POST", "/v1/commands:redeem", write, redeem, _fixed(answers.SealedForm)),
        Operation("bids:check", "POST", "/v1/bids:check", see, judged("bid"), lambda e: e.forms.judged["bid"]),
        Operation(
            "schedules:check",
            "POST",
            "/v1/schedules:check",
            see,
            judged("schedule"),
            lambda e: e.forms.judged["schedule"],
        ),
        Operation(
            "dataflows:check",
            "POST",
            "/v1/dataflows:check",
            see,
            judged("data_flow"),
            lambda e: e.forms.judged["data_flow"],
        ),
        Operation("rulesets", "GET", "/v1/rulesets", see, rulesets, query=frozenset(("on",))),
        Operation("ruleset", "GET", "/v1/rulesets/{digest}", see, ruleset),
        Operation(
            "rulesets:propose",
            "POST",
            "/v1/rulesets:propose",
            "rulesets:propose",
            propose,
            _fixed(answers.ProposalForm),
            once=True,
        ),
        Operation(
            "rulesets:approve",
            "POST",
            "/v1/rulesets:approve",
            "rulesets:approve",
            approve,
            _fixed(answers.ApprovalForm),
            once=True,
        ),
        Operation(
            "rulesets:rollback",
            "POST",
            "/v1/rulesets:rollback",
            "rulesets:approve",
            roll_back,
            _fixed(answers.RollbackForm),
            once=True,
        ),
        Operation("records", "GET", "/v1/records", see, records, query=frozenset(("start", "limit"))),
        Operation("checkpoint", "GET", "/v1/checkpoint", see, checkpoint),
        Operation("receipt", "GET", "/v1/receipts/{id}", see, receipt),
        Operation("healthz", "GET", "/healthz", "", alive),
        Operation("readyz", "GET", "/readyz", "", ready),
        Operation("metrics", "GET", "/metrics", "metrics:read", metrics),
    )
