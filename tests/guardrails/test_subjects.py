"""Bids, offers, data flows and plans: decided by every rule, sealed to their content, checked offline."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.inputs import read
from compiler.to_exact import Finding, Subject, Unusable, Value, Verdict, judge
from guardrails.guard import Ruling, Step
from guardrails.policy import load_policy
from guardrails.seal import Expired, Forged, NotAdmitted, Replayed, WrongContent
from guardrails.state import NANO
from proofs.checker.canonical_json import dumps, loads
from proofs.checker.certificate import Bad
from proofs.checker.decision import content, content_digest
from tests import packs
from tests.guardrails.made_up import BASE, Desk, core, policy, request

WHOLE_MW = {"fcr_offered": 1000}


def desk() -> Desk:
    return Desk(load_policy(packs.ROOT / "examples" / "policy.yaml"), packs.core())


MOVE = {"moves": WHOLE_MW}
MW_25 = {"fcr_offered": 25000}


def ask(at: Desk, subject: str, raw: Mapping[str, Any], **more: Any) -> Ruling:
    found = read(packs.core().declared(), raw)
    return at.guard.decide_subject(
        subject, "x_1", found.values, time.monotonic_ns() + 60 * NANO, rows=found.rows, **more
    )


OFFERS = [{"fcr_offered": "2 MW", "indivisible": True}, {"fcr_offered": "2 MW", "indivisible": False}]

# subject, inputs, what may be moved and how far, outcome, what was moved
TABLE: list[tuple[str, dict[str, Any], dict[str, Any], str, dict[str, int] | None]] = [
    ("bid", {"fcr_offered": "2 MW", "indivisible": True}, {}, "admitted", {}),
    ("bid", {"fcr_offered": "2 MW", "indivisible": True}, MOVE, "admitted", {"fcr_offered": 2000}),
    ("bid", {"fcr_offered": "1.5 MW", "indivisible": True}, {}, "refused", None),
    ("bid", {"fcr_offered": "1.6 MW", "indivisible": True}, MOVE, "repaired", {"fcr_offered": 2000}),
    ("bid", {"fcr_offered": "0.2 MW", "indivisible": False}, MOVE, "repaired", {"fcr_offered": 1000}),
    ("bid", {"fcr_offered": "30 MW", "indivisible": True}, MOVE, "repaired", MW_25),
    ("bid", {"fcr_offered": "30 MW", "indivisible": True}, MOVE | {"tolerance": 4999}, "refused", None),
    ("bid", {"fcr_offered": "30 MW", "indivisible": True}, MOVE | {"tolerance": 5000}, "repaired", MW_25),
    ("bid", {"fcr_offered": "1.5 MW", "indivisible": True}, {"moves": {"fcr_offered": 1}}, "refused", None),
    ("bid", {"indivisible": True}, MOVE, "refused", None),
    ("bid", {"fcr_offered": "2 MW"}, {}, "refused", None),
    ("portfolio", {"prequalified_power": "5 MW", "offers": OFFERS}, {}, "admitted", {}),
    ("portfolio", {"prequalified_power": "3 MW", "offers": OFFERS}, {}, "refused", None),
    ("portfolio", {"prequalified_power": "5 MW", "offers": [*OFFERS, {}]}, {}, "refused", None),
    ("data_flow", {"data_class": "personal", "subject_country": "GB", "storage_region": "UK"}, {}, "admitted", {}),
    ("data_flow", {"data_class": "personal", "subject_country": "GB", "storage_region": "US"}, {}, "refused", None),
    ("data_flow", {"data_class": "personal", "subject_country": "GB"}, {}, "refused", None),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "raw", "more", "outcome", "moved"), TABLE)
def test_what_becomes_of_a_subject(
    subject: str, raw: dict[str, Any], more: dict[str, Any], outcome: str, moved: dict[str, int] | None
) -> None:
    at = desk()
    found = ask(at, subject, raw, **more)
    assert (found.outcome, found.moved) == (outcome, moved), found.reason
    assert (found.admitted is None) == (moved is None)
    left = at.verify(at.last())
    assert left == found.interpreted
    assert [entry["rule"] for entry in at.last()["interpreted"]] == list(left)
    assert {f.rule.subject for f in found.findings} <= {subject}
    for name, change in LIES:
        told = copy.deepcopy(at.last())
        if change(told) is False or told == at.last():
            continue
        with pytest.raises((Bad, KeyError, TypeError, ValueError)):
            at.verify(told)
            pytest.fail(f"{name} went unnoticed")


def test_the_rules_that_facts_cannot_express_are_named_not_verified() -> None:
    at = desk()
    assert ask(at, "bid", OFFERS[0]).interpreted == ("entsoe/fcr_offer_whole",)
    document = loads(at.documents[at.last()["ruleset"]])
    assert [(r["id"], r["why"]) for r in document["interpreted"]] == [
        ("entsoe/fcr_offer_whole", "a whole multiple cannot be written as facts")
    ]
    assert ask(at, "portfolio", {"prequalified_power": "5 MW", "offers": OFFERS}).interpreted == (
        "entsoe/fcr_prequalified",
    )
    assert len(at.last()["rows"]) == 2


def _first(told: dict[str, Any], key: str, value: Any) -> bool | None:
    if not told["interpreted"]:
        return False
    told["interpreted"][0][key] = value
    return None


def _value(told: dict[str, Any]) -> bool | None:
    """Another value than was decided on: of what is content, or in a bid."""
    names = [n for n, v in told["state"].items() if v is not None]
    if not names:
        return False
    told["state"][names[0]] = 1 - told["state"][names[0]] if told["state"][names[0]] in (0, 1) else 1
    return None


LIES: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("other content", lambda t: t.update(content="sha256:" + "0" * 64)),
    ("no content", lambda t: t.update(content=None)),
    ("another value", _value),
    ("a row more", lambda t: t["rows"].append({"state": {}, "unusable": {}})),
    ("another name", lambda t: t.update(id="x_2")),
    ("another subject", lambda t: t.update(subject="unit")),
    ("an interpreted rule left out", lambda t: t["interpreted"].pop() if t["interpreted"] else False),
    ("an interpreted rule that fails", lambda t: _first(t, "sent", "violates")),
    ("an interpreted rule without a verdict", lambda t: _first(t, "verdict", "fine")),
    ("a tier that yields", lambda t: t.update(yielded=[{"tier": "market", "certificate": "BQ==", "findings": []}])),
    ("a frame", lambda t: t.update(frames={"x": "00"})),
    ("moved without its certificate", lambda t: t.update(certificate=None) if t["outcome"] == "repaired" else False),
    ("moved otherwise", lambda t: t["command"].update(fcr_offered=3000) if t["command"] else False),
    ("a finding left out", lambda t: t["findings"].pop() if t["findings"] else False),
    ("a fallback", lambda t: t.update(outcome="fallback")),
]


def test_what_may_be_moved_is_somebodys_to_choose() -> None:
    at = desk()
    for raw, more, message in (
        ({"prequalified_power": "5 MW"}, {"moves": {"prequalified_power": 1}}, "not anybody's to choose"),
        ({"prequalified_power": "5 MW"}, {"moves": {"nothing": 1}}, "nothing is called"),
        ({"prequalified_power": "5 MW"}, {"moves": {"fcr_offered": 0}}, "not a whole number above zero"),
    ):
        with pytest.raises(ValueError, match=message):
            ask(at, "portfolio", raw, **more)
    with pytest.raises(ValueError, match="no rule speaks of a moon"):
        ask(at, "moon", {})
    ask(at, "bid", {"fcr_offered": "2 MW", "indivisible": True})
    told = at.last()
    told["grid"] = {"indivisible": 1}
    told["requested"] = told["command"] = {"indivisible": told["state"].pop("indivisible")}
    # A bid's own choice may be said to be movable: it was not moved.
    at.verify({**told, "content": content_digest(content(told))})


def test_a_late_bid_is_refused_with_its_findings() -> None:
    at = desk()
    values = read(packs.core().declared(), {"fcr_offered": "30 MW", "indivisible": True}).values
    found = at.guard.decide_subject("bid", "x_1", values, time.monotonic_ns() - NANO, moves=WHOLE_MW)
    assert (found.outcome, found.admitted, found.reason) == (
        "refused",
        None,
        "the deadline had passed before the decision",
    )
    assert [f.rule.id for f in found.findings] == ["entsoe/fcr_offer_indivisible"]
    at.verify(at.last())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 60_000), st.booleans(), st.sampled_from([1, 100, 1000]), st.sampled_from([None, 500, 5000]))
def test_an_admitted_bid_complies_with_every_rule_and_lies_closest(
    steps: int, whole: bool, grid: int, tolerance: int | None
) -> None:
    at = desk()
    values: dict[str, Value] = {"fcr_offered": Fraction(steps * 1000), "indivisible": Fraction(int(whole))}
    found = at.guard.decide_subject(
        "bid", "x_1", values, time.monotonic_ns() + 60 * NANO, moves={"fcr_offered": grid}, tolerance=tolerance
    )
    at.verify(at.last())

    def complies(volume: int) -> bool:
        subject = Subject({**values, "fcr_offered": Fraction(volume * 1000)})
        return not any(failing(judge(r, subject)) for r in packs.core().rules if r.subject == "bid" and r.blocks)

    if found.moved is None:
        assert steps % grid or not complies(steps)
        return
    volume = found.moved["fcr_offered"]
    assert complies(volume)
    away = abs(volume - steps)
    assert tolerance is None or away <= tolerance
    if grid == 1000:
        near = range(-(-(steps - away + 1) // grid), (steps + away - 1) // grid + 1)
        assert not any(complies(k * grid) for k in near if k >= 0)


def failing(finding: Finding) -> bool:
    return finding.verdict in (Verdict.VIOLATES, Verdict.CANNOT_TELL)


# ── the seal ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_market_takes_nothing_but_what_was_admitted_as_it_was_and_once() -> None:
    at = desk()
    token = ask(at, "bid", {"fcr_offered": "30 MW", "indivisible": True}, moves=WHOLE_MW).admitted
    assert token is not None
    values = {"fcr_offered": 25000, "indivisible": 1}
    wanted = dumps({"subject": "bid", "id": "x_1", "values": values, "rows": []})
    other = dumps({"subject": "bid", "id": "x_1", "values": {**values, "fcr_offered": 30000}, "rows": []})
    redeem = at.sealer.redeem_content
    with pytest.raises(WrongContent):
        redeem(token, other)
    for change in ({"content": other}, {"id": "x_2"}, {"subject": "offer"}, {"deadline_ns": 2**62}, {"leaf_index": 7}):
        with pytest.raises(Forged):
            redeem(dataclasses.replace(token, **change), change.get("content", wanted))  # type: ignore[arg-type]
    with pytest.raises(Forged):
        desk().sealer.redeem_content(token, wanted)
    for thing in (None, wanted, at.guard.decide):
        with pytest.raises(NotAdmitted):
            redeem(thing, wanted)
    assert redeem(token, wanted) == wanted
    with pytest.raises(Replayed):
        redeem(token, wanted)
    again = ask(at, "bid", OFFERS[0]).admitted
    assert again is not None
    at.sealer._clock_ns = lambda: again.deadline_ns + 1
    with pytest.raises(Expired):
        redeem(again, again.content)


def test_a_seal_of_a_bid_is_no_seal_of_a_command() -> None:
    at = Desk(policy())
    command = at.guard.decide(request(500)).admitted[0]
    with pytest.raises(NotAdmitted):
        at.sealer.redeem_content(command, b"")
    bid = ask(desk(), "bid", OFFERS[0]).admitted
    with pytest.raises(NotAdmitted):
        at.sealer.redeem(bid, "unit_1")


# ── plans ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def plan(power: Sequence[int], **state: Value | int) -> list[Step]:
    values = {n: Fraction(v) if isinstance(v, int) else v for n, v in {**BASE, **state}.items()}
    return [Step(unit, {**values, "active_power": Fraction(w)}) for unit in ("unit_1", "unit_2") for w in power]


PLANS: list[tuple[Sequence[int], dict[str, Value | int], str, list[tuple[int, str]]]] = [
    ((0, 500, 1000), {}, "admitted", []),
    ((0, 1001), {"reference_power": 2000, "rated_power": 2000}, "refused", [(1, "safe/ceiling"), (3, "safe/ceiling")]),
    ((50, 100), {"fcr_reserved": 60}, "refused", [(0, "trade/least"), (2, "trade/least")]),
    ((50,), {"fcr_reserved": Unusable("lost")}, "refused", [(0, "trade/least"), (1, "trade/least")]),
    ((50,), {"fcr_reserved": Fraction(10**12)}, "refused", [(0, "trade/least"), (1, "trade/least")]),
]  # fmt: skip

PLAN_LIES: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("a row left out", lambda t: t["rows"].pop()),
    ("rows in another order", lambda t: t["rows"].reverse()),
    ("a row's unit", lambda t: t["rows"][0].update(of="unit_9")),
    ("a row's value", lambda t: t["rows"][0]["state"].update(active_power=999)),
    ("a value left out", lambda t: t["rows"][0]["state"].pop("active_power")),
    ("another row", lambda t: t["findings"][0].update(row=1) if t["findings"] else False),
    ("the findings", lambda t: t.update(findings=[]) if t["findings"] else False),
    ("admitted", lambda t: t.update(outcome="admitted", command={}) if t["command"] is None else False),
    ("refused", lambda t: t.update(outcome="refused", command=None) if t["command"] is not None else False),
    ("content", lambda t: t.update(content="sha256:00")),
    ("a frame", lambda t: t.update(frames={"unit_1": "00"})),
    ("state beside the rows", lambda t: t.update(state={"active_power": 1})),
]


@pytest.mark.parametrize(("power", "state", "outcome", "findings"), PLANS)
def test_every_step_of_a_plan_is_judged(
    power: Sequence[int], state: dict[str, Value | int], outcome: str, findings: list[tuple[int, str]]
) -> None:
    at = Desk(policy())
    found = at.guard.decide_plan("day", plan(power, **state), time.monotonic_ns() + 60 * NANO)
    assert found.outcome == outcome, found.reason
    assert [(f["row"], f["rule"]) for f in at.last()["findings"]] == findings
    assert len(at.last()["rows"]) == 2 * len(power)
    assert at.verify(at.last()) == ()
    for name, change in PLAN_LIES:
        told = copy.deepcopy(at.last())
        if change(told) is False or told == at.last():
            continue
        with pytest.raises((Bad, KeyError, TypeError, ValueError)):
            at.verify(told)
            pytest.fail(f"{name} went unnoticed")


def test_a_plan_of_a_pool_and_of_nothing() -> None:
    at = desk()
    homes = {u.id: packs.request(u.id, Fraction(0)).state for u in packs.fleet().pool("homes")}
    flat = {f"{home}.{n}": v for home, state in homes.items() for n, v in state.items()}
    even = {f"{home}.active_power": Fraction(0) for home in homes}
    deadline = time.monotonic_ns() + 60 * NANO
    assert at.guard.decide_plan("homes", [Step("homes", {**flat, **even})] * 2, deadline, homes).outcome == "admitted"
    at.verify(at.last())
    first = {**even, f"{next(iter(homes))}.active_power": Fraction(3000)}
    found = at.guard.decide_plan("homes", [Step("homes", {**flat, **first})], deadline, homes)
    assert found.outcome == "refused"
    assert "operator/phase_balance" in {f.rule.id for f in found.findings}
    at.verify(at.last())
    with pytest.raises(ValueError, match="no steps"):
        at.guard.decide_plan("homes", [], deadline, homes)
    assert core().digest != packs.core().digest
