"""Replays: the same rules change nothing; other rules change what the reference interpreter says they change."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compiler.core import Core
from compiler.from_syntax import to_core
from compiler.to_exact import Subject, Value, Verdict, judge
from dispatch.prices import Prices
from jurisdictions.loader import VOCABULARY, load_texts
from lexwatt.cli import app
from lexwatt.replaying import NOT_RECORDED, Replayer
from proofs.keys import load_or_create
from proofs.record import statement
from proofs.rederive import Documents
from tests.guardrails import made_up
from tests.packs import DAY
from tests.proofs.days import START, genuine, stamped, write

COUNT = 120
FAILING = (Verdict.VIOLATES, Verdict.CANNOT_TELL)


def rules(old: str = "", new: str = "") -> dict[str, str]:
    """The made-up packs with one piece of text replaced; examples that no longer hold are not what is replayed."""
    texts = {f"{pack}.rules": made_up._text(pack) for pack in made_up.RULES}
    if old:
        changed = {n: t.replace(old, new) for n, t in texts.items()}
        assert changed != texts
        return changed
    return texts


def core(old: str = "", new: str = "") -> Core:
    return to_core(load_texts({str(VOCABULARY): VOCABULARY.read_text(encoding="utf-8"), **rules(old, new)}), DAY)


@pytest.fixture(scope="module")
def documents() -> Documents:
    found = Documents(None)
    found.found.update(genuine(COUNT)[1])
    return found


def run(other: Core, documents: Documents, prices: Prices | None = None) -> Replayer:
    replayer = Replayer(other, documents, prices, kept=COUNT)
    for k, predicate in enumerate(genuine(COUNT)[0]):
        replayer.take(k, stamped(predicate, k))
    return replayer


def test_the_same_rules_change_nothing(documents: Documents) -> None:
    found = run(core(), documents).found
    assert found.decisions == COUNT
    assert (found.refused, found.allowed, found.undecided) == (0, 0, 0)
    assert not found.rules
    assert not found.not_recorded


CHANGES = [
    ("active_power must be at most reference_power", "active_power must be at most reference_power - 100 W"),
    ("active_power must be at most reference_power", "active_power must be at most reference_power + 500 W"),
    ("active_power must be at least fcr_reserved", "active_power must be at least -1000 W"),
    ("active_power must be at most rated_power", "active_power must be at most 2 * rated_power - 900 W"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_changes_are_those_that_the_interpreter_tells(documents: Documents, old: str, new: str) -> None:
    other = core(old, new)
    found = run(other, documents).found
    wanted: dict[str, Counter[str]] = {}
    refused = allowed = 0
    for k, predicate in enumerate(genuine(COUNT)[0]):
        p = stamped(predicate, k)
        state: dict[str, Value] = {n: Fraction(v) for n, v in p["state"].items() if v is not None}
        was = {f["rule"] for f in p["findings"]}

        def failing(command: dict[str, int], state: dict[str, Value] = state) -> set[str]:
            values = {**state, **{n: Fraction(v) for n, v in command.items()}}
            return {r.id for r in other.rules if judge(r, Subject(values)).verdict in FAILING}

        if p["requested"] is not None:
            now = failing(p["requested"])
            for rule in now ^ was:
                wanted.setdefault(rule, Counter())["stricter" if rule in now else "looser"] += 1
        yielded = {f["rule"] for e in p["yielded"] for f in e["findings"]}
        if p["command"] is not None and failing(p["command"]) - yielded:
            refused += 1
        elif p["requested"] is not None and p["command"] != p["requested"] and was and not failing(p["requested"]):
            allowed += 1
    assert dict(found.rules) == wanted
    assert (found.refused, found.allowed) == (refused, allowed)
    assert found.refused + found.allowed + sum(map(len, wanted.values())) > 0
    for change in found.newly_refused:
        assert change.instead is None or change.instead != change.sent
        assert change.clause


def test_what_is_not_recorded_is_told_and_not_assumed(documents: Documents) -> None:
    old, new = "active_power must be at most rated_power", "active_power must be at most usable_energy / 1 h"
    other = core(old, new)
    found = run(other, documents).found
    assert found.not_recorded["usable_energy"] > 0
    assert found.rules["deal/rating"][NOT_RECORDED] > 0
    assert found.rules["deal/rating"]["stricter"] == 0
    assert found.refused == 0
    assert found.undecided > 0


def test_energy_and_money_are_those_of_the_difference(documents: Documents) -> None:
    prices = Prices(START, (Fraction(100),) * 96)
    other = core(*CHANGES[1])
    found = run(other, documents, prices).found
    # The made-up rules speak of no duration, so no energy can be told.
    assert found.unmeasured == found.refused + found.allowed
    assert (found.mwh, found.eur) == (0, 0)
    replayer = Replayer(other, documents, prices, kept=COUNT)
    extra = Replayer(other, documents, None, kept=COUNT)
    total = Fraction(0)
    for k, predicate in enumerate(genuine(COUNT)[0]):
        p = stamped(predicate, k)
        effect = replayer._effect(p, {"command_duration": Fraction(900)}, {}, {"active_power": 0}, {"active_power": k})
        assert effect == (Fraction(k, 4_000_000), Fraction(k, 40_000))
        assert extra._effect(p, {"command_duration": Fraction(900)}, {}, {}, {"active_power": k})[1] is None
        total += Fraction(k, 4_000_000)
    assert replayer.found.mwh == total
    assert replayer.found.eur == total * 100
    assert extra.found.unpriced == COUNT


def test_the_command_tells_it_for_machines_and_people(tmp_path: Path) -> None:
    key = load_or_create(tmp_path / "log.key", "test.example/guard")
    lines = [statement(stamped(p, k)) for k, p in enumerate(genuine(COUNT)[0])]
    ledger = write(tmp_path / "log", key, lines, genuine(COUNT)[1])
    packs = tmp_path / "packs"
    packs.mkdir()
    for name, text in rules(*CHANGES[0]).items():
        (packs / name).write_text(text, encoding="utf-8")
    arguments = ["replay", str(ledger), "--with", str(packs), "--on", DAY.isoformat(), "--first", "3"]
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert told["refused"] > 3
    assert len(told["newly_refused"]) == 3
    assert told["newly_refused"][0]["rule"] == "code/most"
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0
    assert f"{told['refused']:,} commands that were sent would be refused" in shown.output
