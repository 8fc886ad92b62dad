"""Four packs nobody wrote, one for each tier, that clash as often as one likes, and a guard under them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from fractions import Fraction
from functools import lru_cache
from typing import Any

from adapters.sunspec.codec import SunSpecCodec
from compiler.core import Core
from compiler.from_syntax import to_core
from compiler.to_exact import Value
from guardrails.guard import Guard, Request
from guardrails.policy import GuardPolicy, policy_of
from guardrails.seal import Sealer
from guardrails.state import NANO
from jurisdictions.loader import VOCABULARY, load_texts, sources_of
from proofs.checker.canonical_json import dumps
from proofs.checker.decision import check_decision
from proofs.checker.policy import POLICY_TYPE, TIERS
from proofs.checker.receipt import read_record
from proofs.ledger import Entry
from tests.packs import DAY, MemoryLedger

PACK = """pack {name} "Rules of the pack {name}"

instrument {name}_act "The Act of {name}"
  authority "Nobody"  zone UTC
  edition "as passed"
    link "nowhere"

"""
RULE = """rule {name} "{title}"
  cites {pack}_act "{name}"  evidence corroborated  in force from 2026-01-01
  checked at command, schedule
  applies to each unit
  {demand}
  example "plain"
    {example}

"""
RULES = {
    "safe": (
        ("ceiling", "active_power must be at most max_discharge_power", "max_discharge_power 10 W", "10 W", "11 W"),
        ("floor", "-active_power must be at most max_charge_power", "max_charge_power 10 W", "-10 W", "-11 W"),
    ),
    "code": (("most", "active_power must be at most reference_power", "reference_power 10 W", "10 W", "11 W"),),
    "deal": (
        (
            "least",
            "active_power must be at least previous_setpoint",
            "previous_setpoint 10 W; rated_power 90 W",
            "10 W",
            "9 W",
        ),
        (
            "rating",
            "active_power must be at most rated_power",
            "rated_power 10 W; previous_setpoint 0 W",
            "10 W",
            "11 W",
        ),
    ),
    "trade": (
        ("least", "active_power must be at least fcr_reserved", "fcr_reserved 10 W", "10 W", "9 W"),
        ("apart", "abs(active_power) must be at least setpoint_deadband", "setpoint_deadband 10 W", "-10 W", "9 W"),
    ),
}


def _text(pack: str) -> str:
    out = PACK.format(name=pack)
    for name, demand, given, good, bad in RULES[pack]:
        example = f"given {given}\n    allows active_power {good}\n    refuses active_power {bad}"
        out += RULE.format(pack=pack, name=name, title=f"{pack} {name}", demand=demand, example=example)
    return out


@lru_cache(maxsize=1)
def core() -> Core:
    """The four packs in force, and the operator's `delivery` rules for latency budgets."""
    texts = {str(VOCABULARY): VOCABULARY.read_text(encoding="utf-8")}
    delivery = {n: t for n, t in sources_of(["operator"]).items() if "operator" in n}
    program = load_texts(texts | delivery | {f"{pack}.rules": _text(pack) for pack in RULES})
    whole = to_core(program, DAY)
    kept = tuple(r for r in whole.rules if not r.id.startswith("operator/") or r.subject == "delivery")
    return Core(whole.vocabulary, kept, ())


def policy(**changes: Any) -> GuardPolicy:
    """A policy with each made-up pack in its tier, repairing, yielding from the market up, with some parts changed."""
    told: dict[str, Any] = {
        "type": POLICY_TYPE,
        "name": "made up",
        "tiers": {"safe": "safety", "code": "grid_code", "deal": "contract", "trade": "market"},
        "actions": {t: {"action": "repair", "tolerance_w": None, "untold": "block"} for t in TIERS},
        "yields": ["market", "contract", "grid_code"],
        "fallback": [0, "hold"],
        "unusable": "refuse",
        "services": {
            "fast": {"record": "before", "latency": "synthetic_inertia"},
            "act_first": {"record": "after", "latency": "primary_response"},
        },
    }
    for key, value in changes.items():
        told[key] = {**told[key], **value} if isinstance(value, dict) else value
    return policy_of(dumps(told))


def action(kind: str, tolerance_w: int | None = None, untold: str = "block") -> dict[str, Any]:
    """What a tier asks for, as a document says it."""
    return {"action": kind, "tolerance_w": tolerance_w, "untold": untold}


class Desk:
    """A guard that records to memory, its records, documents and sealer."""

    def __init__(self, guide: GuardPolicy, rules: Core | None = None, later: bool = False) -> None:
        self.ledger, self.documents, self.sealer, self.guide = MemoryLedger(), dict[str, bytes](), Sealer(), guide
        self.waiting: list[tuple[list[bytes], Future[tuple[Entry, ...]]]] = []
        self.guard = Guard(
            rules or core(),
            self.ledger,  # type: ignore[arg-type]
            self.sealer,
            time.monotonic_ns,
            keep=self.documents.__setitem__,
            policy=guide,
            later=self._later if later else None,
        )

    def _later(self, records: Any) -> Future[tuple[Entry, ...]]:
        future: Future[tuple[Entry, ...]] = Future()
        self.waiting.append((list(records), future))
        return future

    def last(self) -> dict[str, Any]:
        """The last record."""
        return read_record(self.ledger.kept[-1])

    def verify(self, predicate: Mapping[str, Any]) -> tuple[str, ...]:
        """What the checker says of a record."""
        document = self.documents[str(predicate["ruleset"])]
        return check_decision(document, predicate, self.guide.document or None)


BASE: dict[str, int] = {
    "max_discharge_power": 1000,
    "max_charge_power": 1000,
    "reference_power": 1000,
    "previous_setpoint": -1000,
    "rated_power": 1000,
    "fcr_reserved": 0,
    "setpoint_deadband": 0,
}


def request(
    power: Value | int, state: Mapping[str, Value | int] | None = None, deadline_s: Fraction = Fraction(60), **more: Any
) -> Request:
    """A request for a made-up unit with a register step of 10 W."""
    values = {n: Fraction(v) if isinstance(v, int) else v for n, v in {**BASE, **(state or {})}.items()}
    asked = Fraction(power) if isinstance(power, int) else power
    codec = SunSpecCodec("unit_1", 40296, 1, 1800)
    return Request("unit_1", asked, values, codec, time.monotonic_ns() + int(deadline_s * NANO), **more)
