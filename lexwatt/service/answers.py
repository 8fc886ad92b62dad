"""Forms of what the service gives and of what it takes beside the vocabulary's; OpenAPI is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, StringConstraints

from lexwatt.service.forms import INSTANT, Form, Identity

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Hex = Annotated[str, Strict(), StringConstraints(pattern=r"^([0-9a-f]{2})*$", max_length=4096)]
Whole = Annotated[int, Strict(), Field(ge=0, lt=2**63)]
Place = Annotated[int, Strict(), Field(ge=-1, lt=2**63)]
Day = Annotated[
    str, Strict(), StringConstraints(pattern=r"^(19[789][0-9]|20[0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$")
]
"""A day; the last days of long months are not needed for choosing law, and leaving them out makes every text a day."""
Moment = Annotated[str, Strict(), StringConstraints(pattern=INSTANT)]
Pack = Annotated[str, Strict(), StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    detail: str


class ProblemDetails(BaseModel):
    """An error as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem] = Field(default_factory=list)


class Finding(BaseModel):
    """The verdict of one rule. `margin` is negative where it is violated; `fields` says what could not be used."""

    rule: str
    clause: str
    verdict: Literal["complies", "not_applicable", "violates", "cannot_tell"]
    blocks: bool
    margin: str | None
    unit: str
    fields: dict[str, str] = Field(default_factory=dict)


Overall = Literal["complies", "violates", "cannot_tell", "not_applicable"]


class Checked(BaseModel):
    """Verdicts on one set point. `findings` lists every rule that it does not comply with."""

    unit: str
    verdict: Overall
    findings: list[Finding]
    ruleset: Digest
    fields: dict[str, str] = Field(default_factory=dict)


class Judged(BaseModel):
    """Verdicts on a bid, an offer, a schedule or a data flow: every rule that applies."""

    subject: str
    verdict: Overall
    findings: list[Finding]
    rules: Digest


class Sealed(BaseModel):
    """A command that may be sent once, before its deadline."""

    device: str
    frame: str
    command: dict[str, int]
    index: int
    hash: str
    deadline: str
    deadline_ns: int
    nonce: str
    seal: str


class Decided(BaseModel):
    """A decision, which is on record at `index`: -1 where its service class acts first and its place is not known yet.
    Where it came too late, `commands` is empty and `late` true."""

    outcome: Literal["admitted", "repaired", "fallback", "refused"]
    reason: str
    id: str
    requested: dict[str, int | None]
    command: dict[str, int] | None
    findings: list[Finding]
    index: int
    ruleset: Digest
    yielded: list[str]
    late: bool
    commands: list[Sealed]


class Redeemed(BaseModel):
    """Register writes to send now."""

    device: str
    writes: list[dict[str, Any]]


class SealedForm(Form):
    """A sealed command as `:admit` gave it."""

    device: Identity
    frame: Hex
    command: dict[Identity, Annotated[int, Strict(), Field(ge=-(2**53), le=2**53)]]
    index: Place
    hash: Hex
    deadline: Annotated[str, Strict(), StringConstraints(max_length=40)]
    deadline_ns: Whole
    nonce: Hex
    seal: Hex


class ProposalForm(Form):
    """Another rule set: packs, and the day whose law they are."""

    packs: Annotated[list[Pack], Field(min_length=1, max_length=32, examples=[["entsoe", "operator"]])]
    on: Day = Field(examples=["2026-11-24"])
    effective_at: Moment | None = Field(None, description="the instant from which; at once if absent")


class ApprovalForm(Form):
    """Which proposal is approved."""

    proposal: Whole = Field(examples=[1])


class RollbackForm(Form):
    """Back to the rule set before, at once."""

    reason: Annotated[str, Strict(), StringConstraints(pattern=r"^[ -~]{1,200}$")] = Field(
        examples=["refuses too much"]
    )


class RuleSet(BaseModel):
    """A rule set and how it came into force."""

    model_config = ConfigDict(extra="forbid")
    id: int
    state: Literal["proposed", "approved", "in_force", "replaced", "cancelled", "lapsed"]
    packs: list[str]
    on: str
    core: Digest
    document: Digest
    proposed_by: str
    proposed_at: str
    approved_by: str | None
    effective_at: str | None


class OnDay(BaseModel):
    """What the packs in force would give for a day."""

    on: str
    core: Digest
    document: Digest


class RuleSets(BaseModel):
    """What is in force, and every change so far."""

    in_force: RuleSet
    changes: list[RuleSet]
    on_day: OnDay | None = None


class Record(BaseModel):
    """A record at its place: an in-toto Statement."""

    index: int
    record: dict[str, Any]


class Page(BaseModel):
    """Some records in order; `next` is where the following page starts, null at the end."""

    records: list[Record]
    next: int | None
    size: int


class Health(BaseModel):
    """Whether the service is well."""

    status: Literal["ok"]
    records: int | None = None
