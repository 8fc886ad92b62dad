"""Which rules are in force: proposed by one person, approved by another, in force from an instant, and back at once.

Every step is a record in the ledger, and after a restart the ledger says what is in force. An edition is chosen when a
request arrives; what is under way when another comes into force finishes under the one it began with.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, cast

from compiler.core import Core, Declared
from compiler.document import document, document_digest
from compiler.from_syntax import to_core
from compiler.inputs import read
from compiler.instance import of_one
from compiler.lower import CannotLower, lower
from compiler.to_exact import Value
from guardrails.fleet import Fleet
from guardrails.guard import COMMANDED, Guard
from guardrails.quick import Quick
from guardrails.seal import Sealer
from jurisdictions.loader import load, packs
from lexwatt.service.forms import POINTS, Forms, estimates, forms
from lexwatt.service.problems import Problem
from lexwatt.site import Rules
from proofs.checker.canonical_json import dumps
from proofs.checker.receipt import STATEMENT_TYPE
from proofs.ledger import Entry, Ledger
from proofs.theorems import Answer
from rules_dsl.diagnostics import RulesError
from rules_dsl.program import Program

ACTIVATION_TYPE = "lexwatt/activation/v1"
MARK = b'"predicateType":"lexwatt/activation/v1"'
OPEN = 16
READINGS = ("measured", "estimated")
FOREVER_MS = 2**62
LAPSE = timedelta(days=1)
FURTHEST = timedelta(days=366)


class RulesChanged(Exception):
    """The packs on disk no longer give the rules that the ledger says are in force."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What makes a rule set: packs and the day whose law they are."""

    packs: tuple[str, ...]
    on: date


@dataclass(frozen=True)
class Edition:
    """A rule set ready to judge by. `document` is the digest that records of single commands name, `fresh_ms` each
    reading's greatest usable age, `spoken` what the rules for commands speak of, `estimates` what not every caller may
    state. `guard` and `quick` decide, in the one thread that records; `watcher` and `glance` judge what is only asked.
    """

    choice: Choice
    core: Core
    vocabulary: Mapping[str, Declared]
    document: str
    forms: Forms
    registered: Mapping[str, Mapping[str, Value]]
    fresh_ms: Mapping[str, int]
    spoken: frozenset[str]
    estimates: frozenset[str]
    guard: Guard
    quick: Quick
    watcher: Guard
    glance: Quick


class Unwritten:
    """The ledger of a guard that is only asked: empty, and it takes nothing."""

    def __len__(self) -> int:
        return 0

    def append(self, records: object) -> tuple[Entry, ...]:
        """Raises `RuntimeError`."""
        raise RuntimeError("what is only checked is not recorded")


@dataclass(slots=True)
class Change:
    """A proposed change and how far it has come: proposed, approved, in_force, replaced, cancelled or lapsed."""

    id: int
    choice: Choice
    core: str
    document: str
    proposed_by: str
    proposed_at: datetime
    effective_at: datetime | None
    approved_by: str | None = None
    state: str = "proposed"


def compile_edition(
    choice: Choice,
    fleet: Fleet,
    guard: Callable[[Rules], Guard],
    prove: Callable[[Core], tuple[Answer, ...]],
    keep: Callable[[str, bytes], None],
) -> Edition:
    """The edition of a choice; `keep` stores its document.

    Raises `Problem` for packs that do not exist, do not compile for that day or say nothing of commanded power.
    """
    program, core, data = _read(choice)
    vocabulary = core.declared()
    registered = {u.id: read(vocabulary, u.inputs()).values for u in fleet.units.values()}
    if COMMANDED not in of_one(core, "unit", "command").names():
        # A command that no rule looks at is not one that complies.
        raise Problem(422, "rules-do-not-compile", f"no rule for commands speaks of {COMMANDED}")
    made = forms(core, program, fleet)
    read_of = {n: d for n, d in vocabulary.items() if d.role in READINGS}
    fresh = {n: FOREVER_MS if d.stale is None else int(d.stale * 1000) for n, d in read_of.items()}
    spoken = frozenset(n for subject in ("unit", "pool") for n in of_one(core, subject, "command").names())
    decides = guard(Rules(core, choice.on, prove(core)))
    asked = Guard(core, cast(Ledger, Unwritten()), Sealer(), time.monotonic_ns)
    for what, subjects in made.subjects.items():
        # What is only asked is judged where nothing else may wait: its rules are made ready here.
        for subject in subjects:
            asked.check_subject(subject, {}, (), POINTS[what])
    judges = (decides, Quick(decides), asked, Quick(asked))
    keep(document_digest(data), data)
    return Edition(
        choice, core, vocabulary, document_digest(data), made, registered, fresh, spoken, estimates(vocabulary), *judges
    )


def digests(choice: Choice) -> tuple[str, str]:
    """The digests of core and of single commands' rule set document. Raises as `compile_edition`."""
    _, core, data = _read(choice)
    return core.digest, document_digest(data)


@lru_cache(maxsize=4)
def _read(choice: Choice) -> tuple[Program, Core, bytes]:
    unknown = [name for name in choice.packs if name not in packs()]
    if unknown or not choice.packs:
        errors = [(f"packs.{choice.packs.index(n)}", f"not one of {', '.join(packs())}") for n in unknown[:1]]
        raise Problem(422, "invalid-fields", "there is no such pack", errors)
    try:
        program = load(choice.packs)
        core = to_core(program, choice.on)
        return program, core, document(lower(of_one(core, "unit", "command")))
    except (RulesError, CannotLower) as error:
        found = [d.message for d in error.diagnostics[:3]] if isinstance(error, RulesError) else [str(error)]
        raise Problem(422, "rules-do-not-compile", "; ".join(found)) from None


def activation(act: str, sequence: int, at: datetime, by: str, more: Mapping[str, Any]) -> bytes:
    """The record of one step of a change, an in-toto Statement like every record of the ledger."""
    predicate = {"act": act, "at": _text(at), "by": by, "sequence": sequence, **more}
    digest = hashlib.sha256(dumps(predicate)).hexdigest()
    return dumps(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": f"rulesets/{sequence}", "digest": {"sha256": digest}}],
            "predicateType": ACTIVATION_TYPE,
            "predicate": predicate,
        }
    )


@dataclass
class Book:
    """The changes and what is in force, as the ledger's records tell it; `apply` is the only way anything changes."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    changes: dict[int, Change] = field(default_factory=dict)
    stack: list[Change] = field(default_factory=list)
    scheduled: list[Change] = field(default_factory=list)

    def replay(self, records: Iterable[bytes]) -> None:
        """Takes in what a ledger holds."""
        for index, record in enumerate(records):
            if MARK in record[-200:] or MARK in record:
                statement = json.loads(record)
                if statement.get("predicateType") == ACTIVATION_TYPE:
                    self.apply(index, statement["predicate"])

    def apply(self, index: int, step: Mapping[str, Any]) -> Change:
        """Takes in one recorded step; `index` is its place in the ledger, which numbers proposals."""
        at = datetime.fromisoformat(step["at"])
        self.settle(at)
        match step["act"]:
            case "initial":
                change = self._change(index, step, at, "in_force")
                self.stack, self.scheduled = [change], []
            case "proposed":
                change = self._change(index, step, at, "proposed")
            case "approved":
                change = self.changes[step["proposal"]]
                change.approved_by, change.state = step["by"], "approved"
                change.effective_at = datetime.fromisoformat(step["effective_at"])
                self.scheduled = sorted([*self.scheduled, change], key=lambda c: (c.effective_at, c.id))
                self.settle(at)
            case "rolled_back":
                if step["proposal"] not in {c.id for c in self.stack}:
                    raise RulesChanged(f"the ledger goes back to proposal {step['proposal']}, which was not in force")
                # What came into force while the step was being recorded goes, too: the record says what is in force.
                while self.stack[-1].id != step["proposal"]:
                    self.stack.pop().state = "replaced"
                for waiting in self.scheduled:
                    waiting.state = "cancelled"
                self.scheduled = []
                change = self.stack[-1]
                change.state = "in_force"
            case other:
                raise RulesChanged(f"the ledger records a step `{other}` that is not known here")
        return change

    def _change(self, index: int, step: Mapping[str, Any], at: datetime, state: str) -> Change:
        choice = Choice(tuple(step["packs"]), date.fromisoformat(step["on"]))
        told = step.get("effective_at")
        effective = None if told is None else datetime.fromisoformat(told)
        change = Change(index, choice, step["core"], step["document"], step["by"], at, effective, None, state)
        self.changes[index] = change
        return change

    def settle(self, now: datetime) -> None:
        """Lets what is due come into force. What has come into force stays so, whatever the clock does."""
        while self.scheduled and self.scheduled[0].effective_at is not None and self.scheduled[0].effective_at <= now:
            self.stack[-1].state = "replaced"
            change = self.scheduled.pop(0)
            change.state = "in_force"
            self.stack.append(change)

    def in_force(self) -> Change:
        """What is in force now."""
        if self.scheduled:
            self.settle(self.now())
        return self.stack[-1]

    def open(self) -> list[Change]:
        """Proposals that wait for a second person; those that nobody approved in a day lapse."""
        for change in self.changes.values():
            if change.state == "proposed" and self.now() - change.proposed_at > LAPSE:
                change.state = "lapsed"
        return [c for c in self.changes.values() if c.state == "proposed"]

    def may_propose(self, effective_at: datetime | None) -> None:
        """Raises `Problem` where another proposal is not taken."""
        if len(self.open()) >= OPEN:
            raise Problem(409, "too-many-proposals", f"{OPEN} proposals wait for approval")
        if effective_at is not None and effective_at > self.now() + FURTHEST:
            raise Problem(422, "invalid-fields", "too far away", [("effective_at", "is more than 366 days away")])

    def may_approve(self, proposal: int, by: str) -> datetime:
        """The instant from which it would be in force; raises `Problem` where this person cannot approve it."""
        waiting = {c.id: c for c in self.open()}
        if proposal not in self.changes:
            raise Problem(404, "not-found", f"there is no proposal {proposal}")
        if proposal not in waiting:
            raise Problem(409, "not-open", f"proposal {proposal} is {self.changes[proposal].state}")
        if waiting[proposal].proposed_by == by:
            raise Problem(403, "second-person-needed", "who proposed a rule set cannot approve it")
        now = self.now()
        return max(now, waiting[proposal].effective_at or now)

    def may_roll_back(self) -> Change:
        """What would be in force again; raises `Problem` where there is nothing to go back to."""
        self.in_force()
        if len(self.stack) < 2:
            raise Problem(409, "nothing-before", "there is no rule set to go back to")
        return self.stack[-2]


def facts(change: Change | Edition) -> dict[str, Any]:
    """What a record says of a rule set."""
    core = change.core if isinstance(change, Change) else change.core.digest
    return {
        "packs": list(change.choice.packs),
        "on": change.choice.on.isoformat(),
        "core": core,
        "document": change.document,
    }


def shown(change: Change) -> dict[str, Any]:
    """A change as the service shows it."""
    return {
        "id": change.id,
        "state": change.state,
        **facts(change),
        "proposed_by": change.proposed_by,
        "proposed_at": _text(change.proposed_at),
        "approved_by": change.approved_by,
        "effective_at": None if change.effective_at is None else _text(change.effective_at),
    }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


__all__ = ["Book", "Change", "Choice", "Edition", "RulesChanged", "activation", "compile_edition", "shown"]
