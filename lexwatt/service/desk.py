"""Puts requests to the guard: from form to request, from decision to answer. Decisions are made one after another."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from adapters.sunspec.codec import SunSpecCodec
from compiler.instance import of_one
from compiler.to_exact import Finding, Unusable, Value, Verdict
from guardrails.fleet import Fleet, Unit
from guardrails.guard import COMMANDED, Decision, Later, Request
from guardrails.seal import Admitted, Frame, Sealer, SealError
from guardrails.state import NANO, Reading, snapshot, usable_until
from guardrails.writing import Ready
from lexwatt.evaluate import as_shown
from lexwatt.service.forms import POINTS, Form, Subject
from lexwatt.service.problems import Problem
from lexwatt.service.rulesets import Edition
from proofs.ledger import Entry
from rules_dsl.check import UNCERTAINTY

MILLI = NANO // 1000
"""ns in a millisecond."""
BLOCKING = (Verdict.VIOLATES, Verdict.CANNOT_TELL)


class Device(BaseModel):
    """Where one device has its SunSpec model 704, and its own dead-man time in s."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model_704: Annotated[int, Field(ge=0, le=65535)]
    reversion_s: Annotated[int, Field(ge=1, le=86_400)]


class Devices(RootModel[dict[str, Device]]):
    """The file form of devices, by unit."""


def load_devices(path: Path | None, fleet: Fleet) -> dict[str, SunSpecCodec]:
    """How the devices of a file write set points. Raises `ValueError` naming what is wrong with the file."""
    if path is None:
        return {}
    try:
        found = Devices.model_validate_json(path.read_bytes(), strict=True).root
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path.name}: {where or 'the file'}: {first['msg']}") from None
    for unit in found:
        if unit not in fleet.units:
            raise ValueError(f"{path.name}: {unit}: is no unit of the site")
    return {
        unit: SunSpecCodec(unit, device.model_704, fleet.units[unit].wset_sf, device.reversion_s)
        for unit, device in found.items()
    }


class Drafted(NamedTuple):
    """A decision whose record is on its way to the disk: nothing is sealed before `recorded` has a result."""

    ready: Ready
    recorded: Future[tuple[Entry, ...]]


@dataclass(frozen=True, slots=True)
class Desk:
    """The guard's own clerk. It holds no state of its own."""

    fleet: Fleet
    codecs: Mapping[str, SunSpecCodec]
    sealer: Sealer

    def unit(self, name: str, field: str = "unit") -> Unit:
        """The unit of a name; raises `Problem` where there is none."""
        found = self.fleet.units.get(name)
        if found is None:
            raise Problem(
                422, "invalid-fields", "there is no such unit", [(field, f"`{name}` is no unit of this site")]
            )
        return found

    def request(
        self,
        edition: Edition,
        form: Any,
        stated_ns: int,
        now_ns: int,
        deadline_ns: int,
        field: str = "",
        asked_ns: int | None = None,
    ) -> Request:
        """The guard's request of a filled form, whose ages were true at `stated_ns`, with its readings as old as they
        are now. One that is to be sent was asked for at `asked_ns`, and is due before a reading that the rules speak of
        grows stale.

        Raises `Problem` for a unit that is unknown, or whose registers are.
        """
        unit = self.unit(form.unit, f"{field}unit")
        codec = self.codecs.get(unit.id)
        if codec is None:
            if asked_ns is not None:
                raise Problem(
                    409, "no-device", f"where the registers of {unit.id} are is not configured: it can be checked only"
                )
            codec = SunSpecCodec(unit.id, 0, unit.wset_sf, 1)
        ages = form.ages_ms
        settled: dict[str, Value] = {}
        readings: dict[str, Reading] = {}
        unusable: dict[str, Value] = {}
        old = False
        stated: dict[str, Value] = {n: getattr(form.state, n) for n in form.state.model_fields_set}
        for name, value in stated.items():
            if value is None:
                unusable[name] = Unusable("null")
            elif isinstance(value, Unusable):
                unusable[name] = value
            elif name in edition.fresh_ms:
                own = getattr(ages, name, None) if ages is not None else None
                at_ns = stated_ns - (form.age_ms if own is None else own) * MILLI
                half = stated.get(name + UNCERTAINTY)
                half = half if isinstance(half, Fraction) else None
                readings[name] = Reading(value, at_ns, half)
                old = old or now_ns - at_ns > edition.fresh_ms[name] * MILLI
            else:
                settled[name] = value
        if old:
            state = snapshot(edition.vocabulary, settled, readings, now_ns)
        else:
            # Of fresh readings that the form has found in range a snapshot is what they are.
            state = settled
            for name, reading in readings.items():
                assert reading.value is not None
                state[name] = reading.value
                usual = edition.vocabulary[name].uncertain
                if usual is not None:
                    state[name + UNCERTAINTY] = usual if reading.uncertainty is None else reading.uncertainty
        state |= unusable
        tolerance = form.tolerance
        if isinstance(tolerance, Unusable) or (tolerance is not None and tolerance < 0):
            raise Problem(
                422, "invalid-fields", "no tolerance", [(f"{field}tolerance", "is not at least 0 W and in range")]
            )
        within = None if tolerance is None else int(tolerance)
        service = form.service
        if service is not None and service not in (edition.guard.policy.services or {}):
            what = f"the policy has no service class `{service}`"
            raise Problem(422, "invalid-fields", "there is no such service class", [(f"{field}service", what)])
        if asked_ns is not None:
            rests_on = {n: r for n, r in readings.items() if n in edition.spoken}
            ends_ns = usable_until(edition.vocabulary, rests_on, now_ns)
            deadline_ns = deadline_ns if ends_ns is None else min(deadline_ns, ends_ns)
        values = {**edition.registered[unit.id], **state}
        return Request(unit.id, form.active_power, values, codec, deadline_ns, within, service, asked_ns)

    def check(self, edition: Edition, form: Any, waited_ns: int) -> dict[str, Any]:
        """Verdicts on one set point, whose ages were true so long ago; nothing is recorded or admitted."""
        now_ns = time.monotonic_ns()
        request = self.request(edition, form, now_ns - waited_ns, now_ns, now_ns + NANO)
        findings = _glance(edition, request)
        out: dict[str, Any] = {"unit": request.unit, "verdict": _overall(findings)}
        if isinstance(request.active_power, Unusable):
            out["verdict"] = Verdict.CANNOT_TELL.value
            out["fields"] = {COMMANDED: request.active_power.reason}
        out["findings"] = [as_shown(f) for f in findings]
        out["ruleset"] = edition.document
        return out

    def requests(
        self, edition: Edition, form: Any, stated_ns: int, asked_ns: int, deadline_ns: int
    ) -> tuple[str | None, list[Request]]:
        """The pool, if it is one, and the requests to decide on together, with their readings as old as they are now.

        Raises `Problem`, also for a member alone of a pool that rules speak of: they would not be asked.
        """
        now_ns = time.monotonic_ns()
        if not hasattr(form, "pool"):
            pool = self.unit(form.unit).pool
            if pool is not None and of_one(edition.core, "pool", "command").rules:
                what = f"{form.unit} is decided on with its pool, {pool}"
                raise Problem(422, "invalid-fields", "a pool is decided on as a whole", [("unit", what)])
            return None, [self.request(edition, form, stated_ns, now_ns, deadline_ns, asked_ns=asked_ns)]
        members = {u.id for u in self.fleet.pool(form.pool)}
        if not members:
            raise Problem(
                422, "invalid-fields", "there is no such pool", [("pool", f"`{form.pool}` is no pool of this site")]
            )
        named = [c.unit for c in form.commands]
        if len(named) != len(set(named)) or set(named) != members:
            wrong = sorted(set(named) ^ members) or [n for n in named if named.count(n) > 1]
            what = f"every member of {form.pool} stands here once; wrong: {', '.join(wrong[:5])}"
            raise Problem(422, "invalid-fields", "a pool is decided on as a whole", [("commands", what)])
        return form.pool, [
            self.request(edition, c, stated_ns, now_ns, deadline_ns, f"commands.{i}.", asked_ns)
            for i, c in enumerate(form.commands)
        ]

    def decide(
        self, edition: Edition, pool: str | None, requests: Sequence[Request], submit: Later
    ) -> Decision | Drafted:
        """The guard's decision: recorded, or of a command that the fast path takes, drafted and submitted.

        Raises `Problem` where the command does not fit the device's registers.
        """
        # Another edition's guard may have recorded since this one last did.
        edition.guard.resume()
        try:
            if pool is not None:
                return edition.guard.decide_pool(pool, requests)
            ready = edition.quick.prepare(requests[0])
            if ready is None:
                return edition.guard.decide(requests[0])
            recorded = submit([ready.record])
            return edition.quick.acted(ready, recorded) if ready.after else Drafted(ready, recorded)
        except ValueError as error:
            raise Problem(422, "does-not-fit", str(error)) from None

    def judged(self, edition: Edition, point: str, form: Any) -> dict[str, Any]:
        """The guard's verdicts on a bid, an offer, a schedule, a data flow: whatever subject the form is of."""
        told: Subject = edition.forms.subjects[point][form.subject]
        values = _values(form.inputs)
        if told.registered:
            values = {**edition.registered[self.unit(form.unit).id], **values}
        rows: list[Mapping[str, Value]] = []
        for i, row in enumerate(getattr(form, told.rows) if told.rows else ()):
            inside = _values(row)
            if told.rows_registered:
                inside = {**edition.registered[self.unit(row.unit, f"{told.rows}.{i}.unit").id], **inside}
            rows.append(inside)
        for values_of in (values, *rows):
            _complete(edition, values_of)
        findings = edition.watcher.check_subject(told.name, values, rows, POINTS[point])
        shown = [f for f in findings if f.verdict is not Verdict.NOT_APPLICABLE]
        return {
            "subject": told.name,
            "verdict": _overall(shown) if shown else Verdict.NOT_APPLICABLE.value,
            "findings": [as_shown(f) for f in shown],
            "rules": edition.core.digest,
        }

    def redeem(self, form: Any) -> Frame:
        """The frame of a sealed command, once. Raises `Problem` 409 for a seal that is not good (any more)."""
        try:
            command = tuple(sorted((name, value) for name, value in form.command.items()))
            frame = Frame.from_bytes(form.device, bytes.fromhex(form.frame))
            admitted = Admitted(
                form.device,
                frame,
                command,
                form.index,
                bytes.fromhex(form.hash),
                form.deadline_ns,
                bytes.fromhex(form.nonce),
                bytes.fromhex(form.seal),
            )
            return self.sealer.redeem(admitted, form.device)
        except ValueError as error:
            raise Problem(422, "invalid-fields", "not a sealed command", [("frame", str(error))]) from None
        except SealError as error:
            raise Problem(409, "not-redeemable", str(error)) from None


def _glance(edition: Edition, request: Request) -> tuple[Finding, ...]:
    """What the request does not comply with, by the fast path where it serves."""
    found = edition.glance.check(request)
    return edition.watcher.check(request) if found is None else found


def answer(decision: Decision, now_ns: int) -> dict[str, Any]:
    """A decision as the service gives it back. Sealed commands past their deadline are withheld."""
    late = any(a.deadline_ns < now_ns for a in decision.admitted)
    wall = datetime.now(UTC)
    return {
        "outcome": decision.outcome,
        "reason": decision.reason,
        "id": decision.id,
        "requested": dict(decision.requested),
        "command": None if decision.command is None else dict(decision.command),
        "findings": [as_shown(f) for f in decision.findings],
        "index": decision.index,
        "ruleset": decision.ruleset,
        "yielded": list(decision.yielded),
        "late": late,
        "commands": [] if late else [_sealed(a, wall, now_ns) for a in decision.admitted],
    }


def _sealed(admitted: Admitted, wall: datetime, now_ns: int) -> dict[str, Any]:
    ends = wall + timedelta(microseconds=(admitted.deadline_ns - now_ns) // 1000)
    return {
        "device": admitted.device,
        "frame": admitted.frame.to_bytes().hex(),
        "command": dict(admitted.command),
        "index": admitted.leaf_index,
        "hash": admitted.record_hash.hex(),
        "deadline": ends.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "deadline_ns": admitted.deadline_ns,
        "nonce": admitted.nonce.hex(),
        "seal": admitted.tag.hex(),
    }


def _values(form: Form) -> dict[str, Value]:
    names = [n for n in form.model_fields_set if n != "unit"]
    stated = {n: getattr(form, n) for n in names}
    return {n: Unusable("null") if v is None else v for n, v in stated.items()}


def _complete(edition: Edition, values: Any) -> None:
    """Gives an uncertain quantity without a stated uncertainty the vocabulary's, as everywhere."""
    for name in list(values):
        declared = edition.vocabulary[name]
        if declared.uncertain is not None:
            values.setdefault(name + UNCERTAINTY, declared.uncertain)


def _overall(findings: Sequence[Finding]) -> str:
    blocking = {f.verdict for f in findings if f.rule.blocks}
    return next((v.value for v in BLOCKING if v in blocking), Verdict.COMPLIES.value)


def to_json(value: Any) -> bytes:
    """An answer as bytes."""
    return _ENCODER.encode(value).encode("utf-8", "replace")


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
