"""Reads a guard policy's document, strictly: the tier of each rule, what a tier asks for. Standard library alone.

{"type": "lexwatt/policy/v1", "name": text,
 "tiers": {pack or rule: tier},              a rule that nothing names is in the tier `safety`
 "actions": {tier: {"action": "repair" | "fall_back" | "refuse", "tolerance_w": whole | null,
                    "untold": "block" | "yield"}},      one for each tier
 "yields": [tier, ...],                      the first gives way first; never `safety`
 "fallback": [watts | "hold", ...],          in the order in which they are tried
 "unusable": "refuse" | "fall_back",         what becomes of a request that is missing or cannot be used
 "services": {name: {"record": "before" | "after", "latency": text | null}}}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from proofs.checker.canonical_json import NotCanonical, loads
from proofs.checker.certificate import Bad, whole

POLICY_TYPE = "lexwatt/policy/v1"
SAFETY = "safety"
TIERS = (SAFETY, "grid_code", "contract", "market")
REPAIR, FALL_BACK, REFUSE = "repair", "fall_back", "refuse"
ACTIONS = (REPAIR, FALL_BACK, REFUSE)
"""From the mildest to the strictest: where rules of several tiers are violated the strictest action holds."""
BEFORE, AFTER = "before", "after"
HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Action:
    """What a tier asks for when one of its rules is violated: the repair may move a command by `tolerance` watts at
    most (None: as far as it takes); `untold` says whether it may also yield where its rules cannot be judged."""

    action: str
    tolerance: int | None = None
    untold: str = "block"


@dataclass(frozen=True, slots=True)
class Service:
    """When the record of a service class is made, and the service whose latency budget the rules give."""

    record: str = BEFORE
    latency: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A guard policy. `digest` is None for the one that holds where none was given: everything is safety."""

    digest: str | None
    tiers: Mapping[str, str]
    actions: Mapping[str, Action]
    yields: tuple[str, ...] = ()
    fallback: tuple[int | str, ...] = ()
    unusable: str = REFUSE
    services: Mapping[str, Service] | None = None

    def tier(self, rule: str) -> str:
        """The tier of a rule: its own, else its pack's, else `safety`; a member's rule is in the tier of the rule."""
        plain = rule.partition("@")[0]
        return self.tiers.get(plain) or self.tiers.get(plain.partition("/")[0]) or SAFETY

    def action(self, tiers: Iterable[str]) -> str:
        """The strictest action of some tiers."""
        return max((self.actions[t].action for t in tiers), key=ACTIONS.index, default=REPAIR)

    def tolerance(self, tiers: Iterable[str]) -> int | None:
        """The least tolerance of some tiers, in watts; None where none has one."""
        return min((a for t in tiers if (a := self.actions[t].tolerance) is not None), default=None)

    def over(self, tier: str, yielded: Iterable[str]) -> frozenset[str]:
        """The tiers with which a yielding tier is shown to leave nothing: itself and those that stand over it."""
        below = set(self.yields[: self.yields.index(tier)])
        return frozenset(t for t in TIERS if t == tier or (t not in below and t not in set(yielded)))


NO_POLICY = Policy(None, {}, dict.fromkeys(TIERS, Action(REPAIR)))
"""Every rule is safety, a command is repaired where that is possible, everything is recorded before it is done."""


def parse_policy(data: bytes) -> Policy:
    """The policy of a document's canonical bytes; raises `Bad`, naming what is wrong, for any that breaks its form."""
    try:
        raw = loads(data)
        if type(raw) is not dict or raw.get("type") != POLICY_TYPE:
            raise Bad("the policy is of an unknown type")
        keys = {"type", "name", "tiers", "actions", "yields", "fallback", "unusable", "services"}
        _keys(raw, keys, "the policy")
        for key, form in (("tiers", dict), ("actions", dict), ("services", dict), ("yields", list), ("fallback", list)):
            if type(raw[key]) is not form:
                raise Bad(f"`{key}` of the policy is malformed")
        _keys(raw["actions"], set(TIERS), "`actions`")
        yields = tuple(_one(t, TIERS, "a tier in `yields`") for t in raw["yields"])
        if SAFETY in yields:
            raise Bad("`yields` lists `safety`, which never yields")
        if len(set(yields)) != len(yields):
            raise Bad("`yields` lists a tier twice")
        return Policy(
            "sha256:" + hashlib.sha256(data).hexdigest(),
            {str(name): _one(tier, TIERS, f"the tier of `{name}`") for name, tier in raw["tiers"].items()},
            {tier: _action(tier, told) for tier, told in raw["actions"].items()},
            yields,
            tuple(HOLD if x == HOLD else whole(x) for x in raw["fallback"]),
            _one(raw["unusable"], (REFUSE, FALL_BACK), "`unusable`"),
            {str(name): _service(name, told) for name, told in raw["services"].items()},
        )
    except (NotCanonical, KeyError, TypeError, ValueError) as error:
        raise Bad(f"the policy cannot be read: {error}") from error


def _action(tier: str, told: Any) -> Action:
    where = f"`actions` of `{tier}`"
    _keys(told, {"action", "tolerance_w", "untold"}, where)
    tolerance = None if told["tolerance_w"] is None else whole(told["tolerance_w"])
    untold = _one(told["untold"], ("block", "yield"), f"`untold` of `{tier}`")
    if tolerance is not None and tolerance < 0:
        raise Bad(f"the tolerance of `{tier}` is negative")
    if tier == SAFETY and untold != "block":
        raise Bad("`safety` never yields, not for missing data either")
    return Action(_one(told["action"], ACTIONS, f"`action` of `{tier}`"), tolerance, untold)


def _service(name: str, told: Any) -> Service:
    _keys(told, {"record", "latency"}, f"service `{name}`")
    if told["latency"] is not None and type(told["latency"]) is not str:
        raise Bad(f"`latency` of service `{name}` is no name")
    return Service(_one(told["record"], (BEFORE, AFTER), f"`record` of service `{name}`"), told["latency"])


def _keys(raw: Any, wanted: set[str], where: str) -> None:
    if type(raw) is not dict or set(raw) != wanted:
        raise Bad(f"{where} does not have exactly its fields")


def _one(value: Any, known: tuple[str, ...], what: str) -> str:
    if type(value) is not str or value not in known:
        raise Bad(f"{what} is not one of {', '.join(known)}")
    return value
