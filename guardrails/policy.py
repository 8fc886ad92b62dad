"""An operator's guard policy: what becomes of a violation, tier by tier, and which tier gives way to which.

The file is YAML (`examples/policy.yaml`, `docs/guard.md`). What is kept, hashed and given to the checker is its
document in canonical JSON, as `proofs.checker.policy` reads it; the guard goes by that reading too.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from compiler.core import Core
from compiler.instance import of_one
from compiler.intervals import Interval, admissible
from compiler.lower import conjunction, lower
from jurisdictions.loader import packs
from proofs.checker.canonical_json import dumps
from proofs.checker.certificate import Bad
from proofs.checker.policy import HOLD, NO_POLICY, POLICY_TYPE, Policy, parse_policy
from rules_dsl.units import UnitError, quantity

Tier = Literal["safety", "grid_code", "contract", "market"]
MAX_BYTES = 100_000
DELIVERY, DECIDED, SERVICE = "delivery", "decided_after", "delivery_service"
"""The subject and quantities in which rules say how soon a command for a service must be on the wire."""


class PolicyError(Exception):
    """A guard policy that cannot be used; the message names file and field."""


def _watts(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError('a power was expected, such as "50 kW"')
    try:
        found = quantity(value)
    except UnitError as error:
        raise ValueError(str(error)) from error
    if found.dimension != quantity("1 W").dimension or found.base.denominator != 1 or abs(found.base) > 10**12:
        raise ValueError(f"`{value}` is not a power in whole watts")
    return int(found.base)


Watts = Annotated[int, BeforeValidator(_watts)]
Candidate = Annotated[int | str, BeforeValidator(lambda value: HOLD if value == HOLD else _watts(value))]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TierForm(_Form):
    """What a tier asks for when one of its rules is violated."""

    action: Literal["repair", "fall_back", "refuse"]
    tolerance: Annotated[Watts, Field(ge=0)] | None = None
    untold: Literal["block", "yield"] = "block"


class TiersForm(_Form):
    """One entry for each tier."""

    safety: TierForm
    grid_code: TierForm
    contract: TierForm
    market: TierForm


class ServiceForm(_Form):
    """When a service class's record is made, and the service whose latency budget in the rules it has to keep."""

    record: Literal["before", "after"] = "before"
    latency: str | None = None


class PolicyForm(_Form):
    """The file form of a guard policy."""

    name: Annotated[str, Field(min_length=1)]
    tiers: dict[str, Tier]
    actions: TiersForm
    yields: list[Tier] = []
    fallback: list[Candidate] = []
    unusable: Literal["refuse", "fall_back"] = "refuse"
    services: dict[str, ServiceForm] = {}


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """A policy as the checker reads it, and its document's canonical bytes (empty where no policy was given)."""

    says: Policy
    document: bytes


UNGUIDED = GuardPolicy(NO_POLICY, b"")
"""Where no policy was given: every rule is safety, commands are repaired, nothing yields."""


def load_policy(path: Path) -> GuardPolicy:
    """The guard policy of a YAML file; raises `PolicyError` naming file and field for anything amiss."""
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > MAX_BYTES:
            raise ValueError("the file is too long")
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506  # nosec B506  # the base loader makes texts, lists and maps only
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise PolicyError(f"{path.name}: {error}") from error
    try:
        form = PolicyForm.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PolicyError(f"{path.name}: {where or 'the file'}: {first['msg']}") from error
    try:
        return policy_of(_document(form))
    except Bad as error:
        raise PolicyError(f"{path.name}: {error}") from error


def policy_of(document: bytes) -> GuardPolicy:
    """The policy of a document's canonical bytes; raises `Bad` as the checker does."""
    return GuardPolicy(parse_policy(document), document)


def _document(form: PolicyForm) -> bytes:
    actions = {
        tier: {"action": told.action, "tolerance_w": told.tolerance, "untold": told.untold}
        for tier, told in ((t, getattr(form.actions, t)) for t in TiersForm.model_fields)
    }
    return dumps(
        {
            "type": POLICY_TYPE,
            "name": form.name,
            "tiers": form.tiers,
            "actions": actions,
            "yields": form.yields,
            "fallback": form.fallback,
            "unusable": form.unusable,
            "services": {n: {"record": s.record, "latency": s.latency} for n, s in form.services.items()},
        }
    )


def check_names(policy: Policy, core: Core) -> None:
    """Raises `PolicyError` naming a pack, rule or service of the policy that nothing is known of: a slip there would
    leave a rule in a tier nobody meant."""
    known = {r.id for r in core.rules}
    loaded = {rule.partition("/")[0] for rule in known}
    for name in policy.tiers:
        pack, _, rule = name.partition("/")
        if pack not in loaded and pack not in packs():
            raise PolicyError(f"tiers: no pack is called `{pack}`")
        if rule and pack in loaded and name not in known:
            raise PolicyError(f"tiers: no rule in force is called `{name}`")
    for name, service in (policy.services or {}).items():
        if service.latency is not None:
            try:
                budget_s(core, service.latency)
            except PolicyError as error:
                raise PolicyError(f"services.{name}.latency: {error}") from error


def budget_s(core: Core, service: str) -> Fraction:
    """How long (s) a command for a service may take until it is on the wire, by the rules in force.

    Raises `PolicyError` where the rules know no such service, or give it no greatest time.
    """
    declared = core.declared()
    choice = declared.get(SERVICE)
    if choice is None or service not in choice.names:
        raise PolicyError(f"the rules know no service `{service}`")
    facts = lower(of_one(core, DELIVERY, "command"), {SERVICE: Fraction(choice.names.index(service))})
    at = facts.index().get(DECIDED)
    alone = [r.body for r in facts.rules if r.blocks and facts.plain(r.body) | facts.plain(r.scope) == {at}]
    if at is None or not alone:
        raise PolicyError(f"no rule in force limits the latency of `{service}`")
    variable = facts.variables[at]
    found = admissible(conjunction(alone), at, Interval(Fraction(variable.low), Fraction(variable.high)))
    if not found:
        raise PolicyError(f"the rules in force leave no time for `{service}`")
    return found[-1].high * declared[DECIDED].resolution


class _Loader(yaml.BaseLoader):
    """Texts, lists and maps; a key that stands twice is refused."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        if len(found) != len(node.value):
            line = node.start_mark.line + 1
            raise yaml.YAMLError(f"a key stands twice in the mapping of line {line}")
        return found


__all__ = ["HOLD", "UNGUIDED", "GuardPolicy", "PolicyError", "budget_s", "check_names", "load_policy", "policy_of"]
