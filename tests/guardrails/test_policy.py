"""The guard's policy: each tier's action, who yields to whom, and that every record verifies and no other does."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.instance import of_one
from compiler.to_exact import Subject, Unusable, Value, Verdict, judge
from guardrails.fallback import NO_ANSWER, check_fallback, proved_constants
from guardrails.guard import NOT_YET
from guardrails.policy import PolicyError, budget_s, load_policy
from guardrails.state import NANO
from lexwatt.site import Folder, load_rules, open_guard
from proofs.checker.canonical_json import dumps, loads
from proofs.checker.certificate import Bad
from proofs.checker.decision import check_decision
from proofs.checker.policy import TIERS, parse_policy
from proofs.checker.receipt import read_record
from proofs.theorems import Proved
from tests import packs
from tests.guardrails.made_up import BASE, Desk, action, core, policy, request

LOST = Unusable("lost")
EXAMPLE = packs.ROOT / "examples" / "policy.yaml"

# name, policy changes, state, power asked for, outcome, command, tiers that yielded
TABLE: list[tuple[str, dict[str, Any], dict[str, Value | int], Value | int, str, int | None, tuple[str, ...]]] = [
    ("all comply", {}, {}, 500, "admitted", 500, ()),
    ("a repair", {}, {"reference_power": 300}, 500, "repaired", 300, ()),
    (
        "refused by tier",
        {"actions": {"grid_code": action("refuse")}},
        {"reference_power": 300},
        500,
        "refused",
        None,
        (),
    ),
    ("falls back", {"actions": {"grid_code": action("fall_back")}}, {"reference_power": 300}, 500, "fallback", 0, ()),
    (
        "falls back to hold",
        {"actions": {"grid_code": action("fall_back")}},
        {"reference_power": 300, "setpoint_deadband": 100, "previous_setpoint": 205},
        500,
        "refused",
        None,
        (),
    ),
    (
        "holds where to stop is not allowed",
        {"actions": {"grid_code": action("fall_back")}},
        {"reference_power": 300, "setpoint_deadband": 100, "previous_setpoint": 200},
        500,
        "fallback",
        200,
        (),
    ),
    (
        "the strictest of two tiers",
        {"actions": {"market": action("refuse")}},
        {"reference_power": 300, "setpoint_deadband": 600},
        500,
        "refused",
        None,
        (),
    ),
    (
        "within the tolerance",
        {"actions": {"grid_code": action("repair", 200)}},
        {"reference_power": 300},
        500,
        "repaired",
        300,
        (),
    ),
    (
        "beyond the tolerance",
        {"actions": {"grid_code": action("repair", 199)}},
        {"reference_power": 300},
        500,
        "refused",
        None,
        (),
    ),
    ("the market yields", {}, {"fcr_reserved": 700, "reference_power": 600}, 650, "repaired", 600, ("market",)),
    (
        "as asked, the market yielding",
        {},
        {"fcr_reserved": 700, "reference_power": 600},
        500,
        "admitted",
        500,
        ("market",),
    ),
    (
        "both yield",
        {},
        {"fcr_reserved": 900, "previous_setpoint": 700, "reference_power": 600},
        800,
        "repaired",
        600,
        ("contract", "market"),
    ),
    (
        "a tier that is in nobody's way stands though one over it yields",
        {},
        {"fcr_reserved": 100, "previous_setpoint": 700, "reference_power": 600},
        50,
        "repaired",
        100,
        ("contract",),
    ),
    (
        "not declared to yield",
        {"yields": ["market"]},
        {"previous_setpoint": 700, "reference_power": 600},
        650,
        "refused",
        None,
        (),
    ),
    (
        "the grid code yields to safety",
        {},
        {"max_charge_power": 10, "reference_power": -100},
        0,
        "admitted",
        0,
        ("grid_code",),
    ),
    (
        "nothing is safe",
        {"tiers": {"code": "safety"}},
        {"max_charge_power": 10, "reference_power": -100},
        0,
        "refused",
        None,
        (),
    ),
    (
        "a rule in no tier is safety",
        {"tiers": {"code": "safety", "deal": "safety"}},
        {"previous_setpoint": 1500},
        9,
        "refused",
        None,
        (),
    ),
    (
        "one rule in another tier",
        {"tiers": {"trade/least": "safety"}},
        {"fcr_reserved": 700, "reference_power": 600},
        9,
        "repaired",
        700,
        ("grid_code",),
    ),
    ("missing data blocks", {}, {"fcr_reserved": LOST}, 500, "refused", None, ()),
    (
        "missing data yields",
        {"actions": {"market": action("repair", None, "yield")}},
        {"fcr_reserved": LOST},
        500,
        "admitted",
        500,
        ("market",),
    ),
    (
        "missing data of safety never yields",
        {"actions": {"market": action("repair", None, "yield")}},
        {"max_discharge_power": LOST},
        500,
        "refused",
        None,
        (),
    ),
    ("no answer, refused", {}, {}, NO_ANSWER, "refused", None, ()),
    ("no answer, the fallback", {"unusable": "fall_back"}, {}, NO_ANSWER, "fallback", 0, ()),
    (
        "no answer, the fallback over a tier that yields",
        {"unusable": "fall_back"},
        {"fcr_reserved": 700, "reference_power": 600},
        NO_ANSWER,
        "fallback",
        0,
        ("market",),
    ),
    (
        "no answer, no fallback complies",
        {"unusable": "fall_back"},
        {"fcr_reserved": 700},
        NO_ANSWER,
        "refused",
        None,
        (),
    ),
]


@pytest.mark.parametrize(
    ("name", "changes", "state", "power", "outcome", "command", "yielded"), TABLE, ids=[r[0] for r in TABLE]
)
def test_what_becomes_of_a_request(
    name: str,
    changes: dict[str, Any],
    state: dict[str, Value | int],
    power: Value | int,
    outcome: str,
    command: int | None,
    yielded: tuple[str, ...],
) -> None:
    desk = Desk(policy(**changes))
    found = desk.guard.decide(request(power, state))
    sent = None if found.command is None else found.command["unit_1"]
    assert (found.outcome, sent, found.yielded) == (outcome, command, yielded), found.reason
    assert len(found.admitted) == (command is not None)
    desk.verify(desk.last())


def test_what_yielded_stays_on_record_as_a_violation() -> None:
    desk = Desk(policy())
    desk.guard.decide(request(650, {"fcr_reserved": 700, "reference_power": 600}))
    (entry,) = desk.last()["yielded"]
    assert [(f["rule"], f["verdict"], f["margin"]) for f in entry["findings"]] == [("trade/least", "violates", "-100")]
    assert [(f["rule"], f["tier"]) for f in desk.last()["findings"]] == [
        ("code/most", "grid_code"),
        ("trade/least", "market"),
    ]


def test_a_pool_yields_as_one() -> None:
    guide = load_policy(EXAMPLE)
    desk = Desk(guide, packs.core())
    homes = [packs.request(u.id, Fraction(0), settled={"setpoint_deadband": LOST}) for u in packs.fleet().pool("homes")]
    found = desk.guard.decide_pool("homes", homes)
    assert found.yielded == ("market",), found.reason
    desk.verify(desk.last())


# ── lateness, service classes ───────────────────────────────────────────────────────────────────────────────────────


def test_a_late_refusal_keeps_its_findings() -> None:
    for power, rules in ((500, []), (1500, ["safe/ceiling", "code/most", "deal/rating"])):
        desk = Desk(policy())
        found = desk.guard.decide(request(power, deadline_s=Fraction(-1)))
        assert (found.outcome, found.admitted) == ("refused", ())
        assert sorted(f["rule"] for f in desk.last()["findings"]) == sorted(rules)
        desk.verify(desk.last())
        for key, value in (("deadline", "9999-01-01T00:00:00.000Z"), ("findings", [{"rule": "x"}])):
            if not rules or key == "findings":
                with pytest.raises((Bad, KeyError)):
                    desk.verify({**desk.last(), key: value})


def test_a_decision_that_outlasts_its_deadline_is_not_sent() -> None:
    desk = Desk(policy())
    times = iter([0, 10 * NANO, 10 * NANO])
    desk.guard._clock = lambda: next(times)
    found = desk.guard.decide(replace(request(500), deadline_ns=NANO))
    assert (found.outcome, found.admitted, found.reason) == ("refused", (), "the deadline passed while deciding")
    desk.verify(desk.last())


def test_latency_budgets_are_those_of_the_rules() -> None:
    assert budget_s(core(), "primary_response") == Fraction(1, 2)
    assert budget_s(core(), "synthetic_inertia") == Fraction(1, 5)
    desk = Desk(policy())
    now = desk.guard._clock()
    late = replace(request(500, service="fast"), asked_ns=now - NANO // 4)
    assert desk.guard.decide(late).outcome == "refused"
    assert desk.guard.decide(replace(late, asked_ns=None)).outcome == "admitted"
    assert desk.last()["service_class"] == "fast"
    admitted = desk.guard.decide(replace(late, asked_ns=None)).admitted[0]
    assert admitted.deadline_ns <= desk.guard._clock() + NANO // 5


def test_the_record_may_come_after_the_act_only_where_its_service_class_says_so() -> None:
    desk = Desk(policy(), later=True)
    before = desk.guard.decide(request(500, service="fast"))
    assert (before.index, desk.last()["recorded"], desk.waiting) == (0, "before", [])
    after = desk.guard.decide(request(500, service="act_first"))
    assert (after.index, len(after.admitted), len(desk.ledger.kept)) == (NOT_YET, 1, 1)
    (record,) = desk.waiting[0][0]
    told = read_record(record)
    assert told["recorded"] == "after"
    desk.verify(told)
    for change in (
        {"service_class": None},
        {"service_class": "fast"},
        {"service_class": "other"},
        {"recorded": "never"},
    ):
        with pytest.raises(Bad):
            desk.verify({**told, **change})
    desk = Desk(policy())
    desk.guard.decide(request(500, service="act_first"))
    assert desk.last()["recorded"] == "before", "without anybody to take it later the record comes first"
    with pytest.raises(ValueError, match="no service class `slow`"):
        desk.guard.decide(request(500, service="slow"))


# ── properties ──────────────────────────────────────────────────────────────────────────────────────────────────────

SMALL = st.integers(-30, 30).map(lambda k: 20 * k)
POSITIVE = st.integers(0, 30).map(lambda k: 20 * k)
NUMBERS: dict[str, st.SearchStrategy[int]] = {
    "max_discharge_power": POSITIVE,
    "max_charge_power": POSITIVE,
    "reference_power": SMALL,
    "previous_setpoint": SMALL,
    "rated_power": POSITIVE,
    "fcr_reserved": POSITIVE,
    "setpoint_deadband": POSITIVE,
}


@st.composite
def situations(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Value | int], Value | int]:
    state: dict[str, Value | int] = {name: draw(number) for name, number in NUMBERS.items()}
    for name in draw(st.sets(st.sampled_from(sorted(NUMBERS)), max_size=1)) if draw(st.integers(0, 3)) == 0 else ():
        state[name] = LOST
    order = draw(st.permutations(["market", "contract", "grid_code"]))
    rules = ["safe", "code", "deal", "trade", "deal/least", "trade/apart"]
    tiers = {r: draw(st.sampled_from(TIERS)) for r in draw(st.sets(st.sampled_from(rules)))}
    acts = {
        tier: action(
            draw(st.sampled_from(["repair", "repair", "repair", "fall_back", "refuse"])),
            draw(st.sampled_from([None, None, 400])),
            "block" if tier == "safety" else draw(st.sampled_from(["block", "yield"])),
        )
        for tier in TIERS
    }
    changes = {
        "tiers": {"deal": "contract", **tiers},
        "actions": acts,
        "yields": order[: draw(st.integers(0, 3))],
        "unusable": draw(st.sampled_from(["refuse", "fall_back"])),
    }
    power: Value | int = NO_ANSWER if draw(st.integers(0, 9)) == 0 else draw(SMALL)
    return changes, state, power


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(situations())
def test_safety_is_kept_and_a_tier_yields_only_where_nothing_satisfied_more(
    situation: tuple[dict[str, Any], dict[str, Value | int], Value | int],
) -> None:
    changes, state, power = situation
    guide = policy(**changes)
    desk = Desk(guide)
    found = desk.guard.decide(request(power, state))
    record = desk.last()
    desk.verify(record)
    rules = of_one(core(), "unit", "command").rules
    values = {n: Fraction(v) if isinstance(v, int) else v for n, v in {**BASE, **state}.items()}

    def broken(watts: int) -> set[str]:
        """The tiers that a command does not comply with, by the interpreter."""
        subject = Subject({**values, "active_power": Fraction(watts)})
        verdicts = [(guide.says.tier(r.id), judge(r, subject).verdict) for r in rules]
        return {tier for tier, v in verdicts if v in (Verdict.VIOLATES, Verdict.CANNOT_TELL)}

    if found.command is not None:
        sent = broken(found.command["unit_1"])
        assert "safety" not in sent
        assert sent <= set(found.yielded) <= set(guide.says.yields)
        stand = set(TIERS) - set(found.yielded)
        every = [broken(w) for w in range(-1000, 1010, 10)]
        for tier in found.yielded:
            assert not any(not lost & (stand | {tier}) for lost in every), f"{tier} could have stood"
    else:
        assert found.yielded == ()
        assert record["findings"] or record["requested"] is None
    for name, change in TAMPERINGS:
        told = copy.deepcopy(record)
        if change(told) is False or told == record:
            continue
        with pytest.raises((Bad, KeyError, TypeError, ValueError)):
            desk.verify(told)
            pytest.fail(f"{name} went unnoticed")


def _yield_something(told: dict[str, Any]) -> None:
    told["yielded"] = [{"tier": "safety", "certificate": "BQ==", "findings": []}, *told["yielded"]]


def _drop_yield(told: dict[str, Any]) -> bool:
    # A tier of which nothing is broken may be said to stand.
    if not any(entry["findings"] for entry in told["yielded"]):
        return False
    told["yielded"] = []
    return True


def _lose_certificate(told: dict[str, Any]) -> None:
    for entry in told["yielded"]:
        entry["certificate"] = "BQ=="


def _hide_broken(told: dict[str, Any]) -> None:
    for entry in told["yielded"]:
        entry["findings"] = []


def _other_tier(told: dict[str, Any]) -> None:
    for finding in told["findings"]:
        finding["tier"] = "market" if finding["tier"] != "market" else "contract"


def _shift(told: dict[str, Any]) -> bool | None:
    if told["command"] is None:
        return False
    told["command"]["active_power"] += 10
    return None


def _other_outcome(outcome: str) -> Callable[[dict[str, Any]], Any]:
    def change(told: dict[str, Any]) -> bool | None:
        # What a fallback or a late refusal would look like is not a lie where it would be true.
        if told["outcome"] == outcome:
            return False
        if outcome == "refused" and not (told["requested"] is None or told["findings"]):
            told["outcome"] = outcome
            return None
        if outcome == "refused":
            return False
        told["outcome"] = outcome
        return None

    return change


TAMPERINGS: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("safety yielding", _yield_something),
    ("what yielded left out", _drop_yield),
    ("a certificate of something else", _lose_certificate),
    ("what the command breaks left out", _hide_broken),
    ("another tier", _other_tier),
    ("another policy", lambda t: t.update(policy="sha256:" + "0" * 64)),
    ("no policy", lambda t: t.update(policy=None) if t["yielded"] or t["outcome"] == "fallback" else False),
    ("another rule set", lambda t: t.update(ruleset="sha256:" + "0" * 64)),
    ("another command", _shift),
    ("a finding left out", lambda t: t["findings"].pop() if t["findings"] else False),
    ("a service class", lambda t: t.update(service_class="unheard")),
    ("recorded after", lambda t: t.update(recorded="after")),
    ("content", lambda t: t.update(content="sha256:00")),
    ("an interpreted rule", lambda t: t.update(interpreted=[{"rule": "x", "clause": "", "tier": "market"}])),
    ("another subject", lambda t: t.update(subject="pool")),
    ("a moment that is none", lambda t: t.update(at="now")),
    ("sent after its deadline", lambda t: t.update(deadline="2000-01-01T00:00:00.000Z") if t["command"] else False),
    ("no frames", lambda t: t.update(frames={}) if t["command"] else False),
    ("no grid", lambda t: t.update(grid={})),
    ("no reason", lambda t: t.update(reason="")),
    ("an unknown outcome", lambda t: t.update(outcome="perhaps")),
    ("admitted", _other_outcome("admitted")),
    ("repaired", _other_outcome("repaired")),
    ("fallback", _other_outcome("fallback")),
    ("refused", _other_outcome("refused")),
]


def test_a_record_of_a_yield_is_held_to_the_policy_it_names() -> None:
    desk = Desk(policy())
    desk.guard.decide(request(800, {"fcr_reserved": 900, "previous_setpoint": 700, "reference_power": 600}))
    record, document = desk.last(), desk.documents[desk.last()["ruleset"]]
    assert [e["tier"] for e in record["yielded"]] == ["contract", "market"]
    swapped = {**record, "yielded": record["yielded"][::-1]}
    with pytest.raises(Bad, match="out of its order"):
        desk.verify(swapped)
    with pytest.raises(Bad, match="document is needed"):
        check_decision(document, record)
    with pytest.raises(Bad, match="another guard policy"):
        check_decision(document, record, policy(yields=["market"]).document)
    for changes in ({"yields": ["contract", "market"]}, {"yields": ["market"]}, {"yields": []}):
        other = policy(**changes)
        with pytest.raises(Bad):
            check_decision(document, {**record, "policy": other.says.digest}, other.document)


def test_a_record_of_the_first_type_still_verifies() -> None:
    guard, ledger, _, documents = packs.memory_guard()
    found = guard.decide(packs.request("MG11_BESS_02", Fraction(400_000), hz=Fraction("50.7"), reference=300_000))
    told = read_record(ledger.kept[-1])
    new = ("policy", "service_class", "recorded", "yielded", "rows", "interpreted", "content")
    old = {k: v for k, v in told.items() if k not in new}
    old["findings"] = [{k: v for k, v in f.items() if k != "tier"} for f in old["findings"]]
    assert found.outcome == "repaired"
    check_decision(documents[found.ruleset], old)
    late = {**old, "outcome": "refused", "command": None, "frames": {}, "certificate": None, "findings": []}
    check_decision(documents[found.ruleset], late)
    with pytest.raises(Bad):
        check_decision(documents[found.ruleset], {**old, "findings": []})
    as_new = dumps({**loads(ledger.kept[-1]), "predicateType": "lexwatt/decision/v1"})
    with pytest.raises(Bad, match="fields of its type"):
        read_record(as_new)


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD = EXAMPLE.read_text(encoding="utf-8")

DAMAGED = [
    ("yields: [market, contract]", "yields: [market, safety]", "`yields` lists `safety`, which never yields"),
    ("yields: [market, contract]", "yields: [market, market]", "lists a tier twice"),
    ("yields: [market, contract]", "yields: [marked]", "yields.0"),
    ("  safety: {action: repair}\n", "", "actions.safety: Field required"),
    ("  safety: {action: repair}", "  safety: {action: repair, untold: yield}", "not for missing data either"),
    ("  grid_code: {action: repair}", "  grid_code: {action: mend}", "actions.grid_code.action"),
    ('tolerance: "500 kW"', "tolerance: 500", "actions.contract.tolerance"),
    ('tolerance: "500 kW"', 'tolerance: "-5 kW"', "actions.contract.tolerance"),
    ('tolerance: "500 kW"', 'tolerance: "5 kWh"', "not a power in whole watts"),
    ("operator: safety", "operator: sacred", "tiers.operator"),
    ('fallback: ["0 W", hold]', 'fallback: ["0.5 W"]', "not a power in whole watts"),
    ("unusable: fall_back", "unusable: repair", "unusable"),
    ("record: after", "record: never", "services.synthetic_inertia.record"),
    ("entsoe: grid_code", "entsoe: grid_code\n  entsoe: market", "a key stands twice"),
    ("unusable: fall_back", "unusable: fall_back\nextra: 1", "extra"),
    ('name: "Example site"', "", "name: Field required"),
    (GOOD, "[1, 2", "flow sequence"),
    (GOOD, "just text", "the file"),
    (GOOD, "", "the file"),
]


@pytest.mark.parametrize(("old", "new", "message"), DAMAGED, ids=[m for _, _, m in DAMAGED])
def test_a_damaged_policy_is_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "policy.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(PolicyError, match=r"policy\.yaml") as error:
        load_policy(path)
    assert message in str(error.value)


UNKNOWN = [
    ("entsoe: grid_code", "entsoo: grid_code", "no pack is called `entsoo`"),
    (
        "entsoe/fcr_keep_up: contract",
        "entsoe/fcr_keeps_up: contract",
        "no rule in force is called `entsoe/fcr_keeps_up`",
    ),
    ("latency: primary_response", "latency: primary", "services.primary_response.latency: the rules know no service"),
]


@pytest.mark.parametrize(("old", "new", "message"), UNKNOWN)
def test_what_a_policy_names_must_be_known_to_the_rules(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(PolicyError, match=message):
        Desk(load_policy(path), packs.core())


def _put(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(told: dict[str, Any]) -> None:
        place: Any = told
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _put("type", value="lexwatt/policy/v9"),
        _put("yields", value=["safety"]),
        _put("yields", value="market"),
        _put("tiers", "deal", value="sacred"),
        _put("actions", "safety", value=None),
        _put("actions", "safety", "untold", value="yield"),
        _put("actions", "market", "tolerance_w", value=-1),
        _put("actions", "market", "tolerance_w", value=True),
        _put("fallback", value=["stop"]),
        _put("services", "fast", "record", value="later"),
        _put("services", "fast", "latency", value=1),
        _put("more", value=1),
    ],
)
def test_a_damaged_document_is_refused_by_the_checker(change: Callable[[dict[str, Any]], None]) -> None:
    told = loads(policy().document)
    change(told)
    with pytest.raises(Bad):
        parse_policy(dumps(told))
    with pytest.raises(Bad):
        parse_policy(policy().document + b" ")


# ── the fallback ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def proved() -> tuple[Any, list[Proved]]:
    rules = load_rules(["entsoe", "operator"], packs.DAY, packs.ROOT / "build" / "proved")
    return rules, [a for a in rules.answers if isinstance(a, Proved)]


def test_the_fallback_is_what_was_proved(proved: tuple[Any, list[Proved]], tmp_path: Path) -> None:
    rules, answers = proved
    some = next(a for a in answers if a.theorem.kind == "always_some")
    assert proved_constants(some, rules.core) == (0,)
    with pytest.raises(PolicyError, match="not about the constants 5"):
        proved_constants(replace(some, how="one of 5 W is always allowed"), rules.core)
    guide = load_policy(EXAMPLE)
    check_fallback(guide.says, answers, rules.core)
    with pytest.raises(PolicyError, match="0 W is proved and not listed"):
        check_fallback(replace(guide.says, fallback=("hold",)), answers, rules.core)
    with pytest.raises(PolicyError, match="no theorem"):
        check_fallback(guide.says, [], rules.core)
    folder = Folder(tmp_path)
    folder.make()
    ledger = packs.MemoryLedger()
    guard = open_guard(rules, folder, ledger, Desk(guide, packs.core()).sealer, guide)  # type: ignore[arg-type]
    found = guard.decide(
        packs.request("MG11_BESS_02", NO_ANSWER, hz=Fraction("51.4"), previous=300_000, reference=300_000)
    )
    assert (found.outcome, found.command) == ("fallback", {"MG11_BESS_02": 0})
    told = read_record(ledger.kept[-1])
    check_decision(folder.rules(told["ruleset"]).read_bytes(), told, folder.policy(told["policy"]))


def test_certificates_are_base64_and_small() -> None:
    desk = Desk(policy())
    desk.guard.decide(request(650, {"fcr_reserved": 700, "reference_power": 600}))
    assert len(base64.b64decode(desk.last()["yielded"][0]["certificate"], validate=True)) < 200
