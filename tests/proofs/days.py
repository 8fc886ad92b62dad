"""A day of decisions as the guard makes them, stamped into a log, and ways of lying about it."""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from adapters.sunspec.codec import SunSpecCodec
from compiler.to_exact import Unusable
from guardrails.fleet import Fleet
from lexwatt.auditing import frames_of
from proofs.checker.canonical_json import dumps
from proofs.checker.delivery import DELIVERY, FIELDS
from proofs.checker.merkle import leaf_hash
from proofs.checker.receipt import STATEMENT_TYPE, read_record
from proofs.events import event
from proofs.keys import SigningKey
from proofs.ledger import Ledger
from proofs.record import statement
from proofs.rederive import ACTIVATION_TYPE
from tests.guardrails import made_up
from tests.guardrails.made_up import Desk

START = datetime(2026, 11, 23, tzinfo=UTC)
APART = timedelta(milliseconds=250)
ALLOWED = timedelta(seconds=2)
SENT = ("admitted", "repaired", "fallback")
CODEC = SunSpecCodec("unit_1", 40296, 1, 1800)
FRAMES = frames_of(
    cast(Fleet, SimpleNamespace(units={"unit_1": SimpleNamespace(protocol="sunspec_modbus", wset_sf=1)}))
)

Predicate = dict[str, Any]


@lru_cache(maxsize=2)
def genuine(count: int, seed: int = 5) -> tuple[tuple[Predicate, ...], Mapping[str, bytes]]:
    """Predicates of decisions that the guard made in random states, and the documents they name."""
    pick = random.Random(seed)
    desk = Desk(made_up.policy(unusable="fall_back"))
    found = []
    for _ in range(count):
        state: dict[str, Any] = {
            "max_discharge_power": pick.choice([1000, 600]),
            "reference_power": pick.choice([1000, 600, 400]),
            "previous_setpoint": pick.choice([-1000, -200, 300]),
            "rated_power": pick.choice([1000, 700]),
            "fcr_reserved": pick.choice([0, 0, 0, 700]),
            "setpoint_deadband": pick.choice([0, 0, 20]),
        }
        if pick.random() < 0.05:
            state["reference_power"] = Unusable("stale: 31 s old, limit 10 s")
        power: Any = Unusable("not a number") if pick.random() < 0.05 else pick.randrange(-1000, 1000, 10)
        desk.guard.decide(made_up.request(power, state))
        found.append(desk.last())
    return tuple(found), desk.documents


def moment(k: float) -> str:
    """When the k-th decision was made, or would have been."""
    return (START + k * APART).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamped(predicate: Mapping[str, Any], k: int) -> Predicate:
    """A decision as the k-th of the day."""
    found = copy.deepcopy(dict(predicate))
    late = found["outcome"] == "refused" and not found["findings"] and found["requested"] is not None
    found |= {"sequence": k, "at": moment(k), "deadline": moment(k - 1 if late else k + ALLOWED / APART)}
    return found


def other(kind: str, name: str, predicate: Mapping[str, Any]) -> bytes:
    """A record that is no decision."""
    digest = hashlib.sha256(dumps(dict(predicate))).hexdigest()
    subject = [{"name": name, "digest": {"sha256": digest}}]
    told = {"_type": STATEMENT_TYPE, "subject": subject, "predicateType": kind, "predicate": dict(predicate)}
    return dumps(told)


def delivery(record: bytes) -> bytes:
    """The outcome of a command."""
    ((device, frame),) = read_record(record)["frames"].items()
    said = dict.fromkeys(FIELDS[DELIVERY]) | {"device": device, "record": leaf_hash(record).hex(), "tier": "command"}
    said |= {"frame": hashlib.sha256(bytes.fromhex(frame)).hexdigest(), "outcome": "acknowledged"}
    return event(DELIVERY, said)


def activation(act: str, k: int, **more: Any) -> bytes:
    """A step of a change of the rules in force, at the moment of the k-th decision."""
    return other(ACTIVATION_TYPE, f"rulesets/{k}", {"act": act, "at": moment(k), "by": "ops", "sequence": k, **more})


def records(predicates: Sequence[Predicate], delivered: bool = True) -> Iterator[bytes]:
    """The records of a day, each command followed by its delivery."""
    for predicate in predicates:
        record = statement(predicate)
        yield record
        if delivered and predicate["outcome"] in SENT:
            yield delivery(record)


def write(
    folder: Path, key: SigningKey, lines: Sequence[bytes], documents: Mapping[str, bytes], batch: int = 100
) -> Path:
    """A ledger of these records, and the documents beside it."""
    (folder / "rules").mkdir(parents=True)
    for digest, data in documents.items():
        (folder / "rules" / (digest.replace(":", "-") + ".json")).write_bytes(data)
    with Ledger.open(folder / "ledger.db", key, clock_ms=lambda: int(START.timestamp() * 1000)) as ledger:
        for i in range(0, len(lines), batch):
            ledger.append(lines[i : i + batch])
    return folder / "ledger.db"


# ── lies of whoever writes the log ──────────────────────────────────────────────────────────────────────────────────


def frames(watts: int) -> dict[str, str]:
    """The frame of a command."""
    return {"unit_1": CODEC.encode({"active_power": watts}).to_bytes().hex()}


def forbidden(p: Predicate) -> None:
    """What a rule forbids is admitted as it was asked for."""
    p |= {"outcome": "admitted", "command": p["requested"], "certificate": None, "gap": 0}
    p["frames"] = frames(p["requested"]["active_power"])


def further(p: Predicate) -> None:
    """A step further from the request than needed."""
    away = 10 if p["command"]["active_power"] > p["requested"]["active_power"] else -10
    p["command"] = {"active_power": p["command"]["active_power"] + away}
    p["frames"] = frames(p["command"]["active_power"])


def expired(p: Predicate) -> None:
    """Admitted after its deadline."""
    p["deadline"] = (START - timedelta(days=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def off_grid(p: Predicate) -> None:
    """Not a multiple of the device's step."""
    p["requested"] = p["command"] = {"active_power": p["command"]["active_power"] + 5}


def uncertified(p: Predicate) -> None:
    """A tier yields without its certificate."""
    p["yielded"][0]["certificate"] = ""


def left_out(p: Predicate) -> None:
    """A finding left out."""
    p["findings"] = p["findings"][1:]


def wrong_clause(p: Predicate) -> None:
    """A finding under another clause."""
    p["findings"][0]["clause"] = "The Act of nobody, nothing"


def other_frame(p: Predicate) -> None:
    """A frame that decodes to another command."""
    p["frames"] = frames(p["command"]["active_power"] + 10)


LIES: dict[str, tuple[str, Callable[[Predicate], None], str]] = {
    "forbidden": ("repaired", forbidden, "a rule does not allow the command"),
    "further": ("repaired", further, "the certificate does not show what the record says"),
    "expired": ("admitted", expired, "a command was admitted after its deadline"),
    "off grid": ("admitted", off_grid, "not a multiple of the device's step"),
    "uncertified": ("yielded", uncertified, "the claim ends too soon"),
    "left out": ("repaired", left_out, "the findings are not those of the request"),
    "wrong clause": ("repaired", wrong_clause, "the findings are not those of the request"),
    "other frame": ("admitted", other_frame, "the frames decode to another command than was decided"),
}
"""What a lie needs (an outcome, or that a tier yielded), the lie, and what an audit says of it."""


def suits(predicate: Predicate, need: str) -> bool:
    """Whether a decision is one that a lie can be told of."""
    if need == "yielded":
        return bool(predicate["yielded"])
    moved = predicate["outcome"] == need and not predicate["yielded"]
    return moved and (need != "repaired" or len(predicate["findings"]) > 0)
