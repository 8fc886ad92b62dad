"""Everything one running service holds: rules in force, fleet, ledger, guard, limits. It opens whole or not at all."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from itertools import islice
from typing import Any, TypeVar, cast

from opentelemetry.trace import Tracer
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from adapters.opa.client import OpaClient
from compiler.core import Core
from guardrails.fleet import load_site
from guardrails.guard import Decision, Guard
from guardrails.policy import UNGUIDED, load_policy
from guardrails.seal import Sealer
from lexwatt.remembered import PROVED, decide
from lexwatt.service.auth import Caller, Door, allow
from lexwatt.service.desk import Desk, Drafted, load_devices
from lexwatt.service.forms import stated
from lexwatt.service.limits import Rate, Remembered
from lexwatt.service.measures import Measures, Stopwatch, Timed, tracer
from lexwatt.service.operations import Call
from lexwatt.service.problems import SHOWN, Problem
from lexwatt.service.rulesets import (
    Book,
    Change,
    Choice,
    Edition,
    RulesChanged,
    activation,
    compile_edition,
    digests,
    facts,
)
from lexwatt.service.settings import Settings
from lexwatt.site import Folder, Rules, open_guard
from proofs.commit import Committer, Overloaded, Queued
from proofs.ledger import Entry, Ledger, LedgerStopped
from proofs.theorems import Answer

T = TypeVar("T")
log = logging.getLogger("lexwatt.service")
UNRECORDED = (SQLAlchemyError, OSError, LedgerStopped)
"""What a record that could not be kept is told by."""
ESTIMATE = "telemetry:estimate"
LOOK_AGAIN_S = 1.0
STRANGERS = 20
"""Unknown callers one address may send in a burst, and tenths of which each second."""


class House:
    """One site's service."""

    def __init__(
        self,
        settings: Settings,
        prove: Callable[[Core], tuple[Answer, ...]] | None = None,
        trace: Tracer | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`prove` gives the theorems that records name; by default they are proved, or remembered and checked again.

        Raises `UnsafeSettings`, `ValueError`, `FleetError`, `PolicyError`, `LedgerBusy`, `LedgerDamaged`,
        `RulesChanged` or `Problem`.
        """
        self.settings = settings.checked()
        self.now = now
        self._prove = prove or (lambda core: decide(core, PROVED))
        self.door = Door(settings)
        self.rate = Rate(settings.rate, settings.burst)
        self.strangers = Rate(STRANGERS / 10, STRANGERS)
        self.remembered = Remembered(settings.remembered, settings.remembered_seconds)
        self.measures = Measures(trace or tracer(settings.trace_exporter))
        token = settings.opa_token.get_secret_value() if settings.opa_token else None
        self.opa = OpaClient(settings.opa_url, token, settings.opa_timeout) if settings.opa_url else None
        self.fleet = load_site(settings.site)
        self.folder = Folder(settings.folder)
        self.folder.make()
        self._policy = UNGUIDED if settings.policy is None else load_policy(settings.policy)
        sealer = Sealer()
        self.desk = Desk(self.fleet, load_devices(settings.devices, self.fleet), sealer)
        self.ledger = Ledger.open(self.folder.ledger, self.folder.key())
        self.committer = Committer(self.ledger)
        self._queue = Queued(self.committer, len(self.ledger))
        self._timed_ledger = Timed(self._queue, {"append": "record"})
        self._timed_sealer = Timed(sealer, {"seal": "seal"})
        self.judging = ThreadPoolExecutor(1, "judge")
        self.compiling = ThreadPoolExecutor(1, "compile")
        self.reading = ThreadPoolExecutor(2, "read")
        self.streams = 0
        self._waiting = 0
        self._compiles = 0
        self._changing, self._looking = asyncio.Lock(), asyncio.Lock()
        self.clock, self._look_again, self._readable = time.monotonic, 0.0, False
        self._editions: dict[Choice, Edition] = {}
        self.book = Book(now)
        try:
            self._open_rules()
        except BaseException:
            self.close()
            raise
        self.remembered.forgotten = time.monotonic()

    def _open_rules(self) -> None:
        self.book.replay(self.ledger.records())
        if not self.book.stack or self.settings.reset_rules:
            on = date.fromisoformat(self.settings.on) if self.settings.on else self.now().date()
            made = self._compiled(Choice(self.settings.packs, on))
            more = {**facts(made), "effective_at": None}
            self.book.apply(*self._recorded("initial", "start", more))
        self.book.in_force()
        for change in [*self.book.stack[-2:], *self.book.scheduled]:
            made = self._compiled(change.choice)
            if made.core.digest != change.core:
                raise RulesChanged(
                    f"{', '.join(change.choice.packs)} on {change.choice.on} give {made.core.digest}, and the "
                    f"ledger has {change.core}: install the packs that were approved, or start with --reset-rules"
                )

    def _compiled(self, choice: Choice) -> Edition:
        if choice not in self._editions:
            made = compile_edition(choice, self.fleet, self._guard, self._prove, self.folder.keep_rules)
            self._editions[choice] = made
        return self._editions[choice]

    def _guard(self, rules: Rules) -> Guard:
        ledger, sealer = cast(Ledger, self._timed_ledger), cast(Sealer, self._timed_sealer)
        return open_guard(rules, self.folder, ledger, sealer, self._policy, self._queue.submit)

    def _recorded(self, act: str, by: str, more: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Records a step; for the thread that judges, or before there is one."""
        record = activation(act, len(self._queue), self.now(), by, more)
        (entry,) = self._queue.append([record])
        return entry.index, json.loads(record)["predicate"]

    def edition(self) -> Edition:
        """The rules in force now."""
        return self._editions[self.book.in_force().choice]

    async def permitted(self, call: Call, form: BaseModel | None) -> None:
        """Whether a caller may state what stands in a form, and ask that of its units by the organisation's policy,
        where there is one.

        Raises `Problem`: 403 for no, 503 for no answer.
        """
        if form is not None and ESTIMATE not in call.caller.scopes:
            fields = list(islice(stated(form, call.edition.estimates), SHOWN))
            if fields:
                allow(call.caller, ESTIMATE, fields)
        if self.opa is None:
            return
        decision = await self.opa.ask_async(
            self.settings.opa_path,
            {
                "subject": call.caller.name,
                "scopes": sorted(call.caller.scopes),
                "action": call.operation.name,
                "site": self.fleet.site,
                "country": self.fleet.country,
                "units": list(dict.fromkeys(_units(form))),
            },
        )
        if not decision.allow and decision.detail is None:
            log.warning("%s the organisation's policy gave no answer: %s", call.instance, decision.reason)
            raise Problem(503, "policy-unreachable", "the organisation's policy gave no answer, so the answer is no")
        if not decision.allow:
            raise Problem(403, "policy-refuses", decision.reason)

    async def decide(self, call: Call, stated_ns: int, deadline_ns: int) -> Decision:
        """The guard's decision, recorded, under the edition that was in force when the request arrived; the ages of
        its readings were true at `stated_ns`.

        Raises `Problem` as `Desk.requests`, and 503 where too many wait, or where the record cannot be kept: nothing
        is sealed then.
        """
        if self._waiting >= self.settings.waiting:
            raise Problem(503, "busy", "too many commands wait for a decision", headers={"Retry-After": "1"})
        self._waiting += 1
        self.measures.waiting.set(self._waiting)
        try:
            found = await self._in(self.judging, partial(self._decide, call, stated_ns, deadline_ns))
            decision = await self._sealed(call, found) if isinstance(found, Drafted) else found
        except Overloaded:
            raise Problem(503, "busy", "too many records wait for the disk", headers={"Retry-After": "1"}) from None
        except UNRECORDED as error:
            log.error("%s the ledger failed: %s", call.instance, type(error).__name__)
            raise Problem(
                503, "ledger-unavailable", "the decision could not be recorded, so nothing was admitted"
            ) from None
        finally:
            self._waiting -= 1
            self.measures.waiting.set(self._waiting)
        self.measures.decided(decision.outcome)
        self.measures.records.set(len(self.ledger))
        return decision

    async def _sealed(self, call: Call, drafted: Drafted) -> Decision:
        """The decision once its record is durable; meanwhile others are judged, and share the commit."""
        with call.watch.stage("record"):
            (entry,) = await asyncio.wrap_future(drafted.recorded)
        with call.watch.stage("seal"):
            return call.edition.quick.decided(drafted.ready, entry)

    def _decide(self, call: Call, stated_ns: int, deadline_ns: int) -> Decision | Drafted:
        watch = self._timed_ledger.watch = self._timed_sealer.watch = Stopwatch()
        began = time.perf_counter_ns()
        try:
            # Made only now: while the command waited its readings grew older.
            pool, requests = self.desk.requests(call.edition, call.form, stated_ns, call.arrived, deadline_ns)
            found = self.desk.decide(call.edition, pool, requests, self._queue.submit)
            if isinstance(found, Decision) and found.pending is not None:
                found.pending.add_done_callback(partial(_tell, call.instance))
            return found
        finally:
            # What the guard does before it records is judging; the rest names itself.
            ended = watch.marks[0][1] if watch.marks else time.perf_counter_ns()
            call.watch.marks += [("judge", began, ended), *watch.marks]

    async def compiled(self, choice: Choice) -> Edition:
        """The edition of a choice, compiled beside the service's work. Raises `Problem`, 503 where others wait."""
        if choice in self._editions:
            return self._editions[choice]
        if self._compiles >= 2:
            raise Problem(503, "busy", "other rules are being compiled", headers={"Retry-After": "10"})
        self._compiles += 1
        try:
            made = await self._in(self.compiling, partial(self._compiled, choice))
        finally:
            self._compiles -= 1
        needed = {c.choice for c in (*self.book.stack[-2:], *self.book.scheduled, *self.book.open())}
        for old in self._editions.keys() - needed - {choice}:
            del self._editions[old]
        return made

    async def on_day(self, day: date) -> dict[str, Any]:
        """What the packs in force would give for a day. Raises `Problem`."""
        choice = replace(self.book.in_force().choice, on=day)
        if choice in self._editions:
            return facts(self._editions[choice])
        if self._compiles >= 2:
            raise Problem(503, "busy", "other rules are being compiled", headers={"Retry-After": "10"})
        self._compiles += 1
        try:
            core, document = await self._in(self.compiling, partial(digests, choice))
        finally:
            self._compiles -= 1
        return {"packs": list(choice.packs), "on": day.isoformat(), "core": core, "document": document}

    async def propose(self, by: Caller, choice: Choice, effective_at: datetime | None) -> Change:
        """A change that waits for a second person. Raises `Problem`."""
        self.book.may_propose(effective_at)
        made = await self.compiled(choice)
        async with self._changing:
            self.book.may_propose(effective_at)
            at = None if effective_at is None else effective_at.astimezone(UTC).isoformat()
            return await self._step("proposed", by, {**facts(made), "effective_at": at})

    async def approve(self, by: Caller, proposal: int) -> Change:
        """The change approved by a second person. Raises `Problem`."""
        self.book.may_approve(proposal, by.name)
        made = await self.compiled(self.book.changes[proposal].choice)
        async with self._changing:
            at = self.book.may_approve(proposal, by.name)
            if made.core.digest != self.book.changes[proposal].core:
                raise Problem(409, "rules-changed", "the packs no longer give the rules that were proposed")
            told = facts(self.book.changes[proposal])
            return await self._step("approved", by, {"proposal": proposal, **told, "effective_at": at.isoformat()})

    async def roll_back(self, by: Caller, reason: str) -> Change:
        """The rule set before, in force again; what was scheduled is cancelled. Raises `Problem`."""
        async with self._changing:
            before = self.book.may_roll_back()
            await self.compiled(before.choice)
            return await self._step("rolled_back", by, {"proposal": before.id, **facts(before), "reason": reason})

    async def _step(self, act: str, by: Caller, more: dict[str, Any]) -> Change:
        try:
            index, step = await self._in(self.judging, partial(self._recorded, act, by.name, more))
        except Overloaded:
            raise Problem(503, "busy", "too many records wait for the disk", headers={"Retry-After": "1"}) from None
        except UNRECORDED:
            raise Problem(503, "ledger-unavailable", "the change could not be recorded, so nothing changed") from None
        change = self.book.apply(index, step)
        log.warning("rule set %d %s by %r", change.id, act, by.name)
        return change

    async def readable(self) -> bool:
        """Whether the last record can be read back, looked at once in `LOOK_AGAIN_S` however many ask: anybody may."""
        async with self._looking:
            if self.clock() >= self._look_again:
                self._readable = await self.read(self._reads_back)
                self._look_again = self.clock() + LOOK_AGAIN_S
        return self._readable

    def _reads_back(self) -> bool:
        try:
            size = len(self.ledger)
            if size:
                self.ledger.record(size - 1)
        except Exception:
            log.exception("the ledger cannot be read")
            return False
        return True

    async def read(self, work: Callable[[], T]) -> T:
        """The outcome of a look into the ledger, which may wait for the disk."""
        return await self._in(self.reading, work)

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def close(self) -> None:
        """Lets decisions under way end, and releases the ledger."""
        for pool in (self.judging, self.compiling, self.reading):
            pool.shutdown(wait=True)
        self.committer.close()
        self.ledger.close()


def _units(form: BaseModel | None) -> Iterator[str]:
    """Every unit that a form names, whatever stands in rows included; a seal names its unit as the device."""
    for name, value in form or ():
        if name in ("unit", "device"):
            yield value
        elif isinstance(value, list):
            for row in value:
                if isinstance(row, BaseModel):
                    yield from _units(row)


def _tell(instance: str, pending: Future[tuple[Entry, ...]]) -> None:
    """Says so where a command was given out first and its record could then not be kept."""
    error = pending.exception()
    if error is not None:
        log.error("%s acted, and its record was not kept: %s", instance, type(error).__name__)
