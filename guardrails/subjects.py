"""Bids and offers, data flows, whatever else the vocabulary calls a subject, and plans: as cases and as record text.

Rules that facts cannot express (rows, windows, whole multiples, calendars) are judged by the interpreter alone; the
rule set document names them, so that a checker can say which verdicts it did not derive again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from compiler.core import Core, Declared
from compiler.document import document, document_digest
from compiler.inputs import in_range
from compiler.instance import of_one, of_pool
from compiler.lower import lower, lowerable
from compiler.to_exact import Finding, Unusable, Value
from guardrails.case import FAILING, Case, Rules, plain
from guardrails.recorder import Recorder, blocked, reason_of
from guardrails.seal import AdmittedContent
from guardrails.settle import Question, Settled
from proofs.checker.decision import MOVABLE, PLAN, content, content_digest
from proofs.record import statement


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a plan: whose it is, and every value that the rules may ask for, in base units."""

    of: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of a subject other than a command.

    `moved` holds what may be moved, in steps, as it was admitted (None: refused). `interpreted` are the rules that were
    judged by the interpreter alone: a checker of the record does not derive their verdicts again.
    """

    subject: str
    id: str
    outcome: str
    moved: Mapping[str, int] | None
    findings: tuple[Finding, ...]
    reason: str
    admitted: AdmittedContent | None
    index: int
    ruleset: str
    interpreted: tuple[str, ...]


class Subjects(Recorder):
    """Decides what is no command: bids and offers, data flows, plans."""

    def check_subject(
        self,
        subject: str,
        values: Mapping[str, Value],
        rows: Sequence[Mapping[str, Value]] = (),
        checked: str | None = None,
    ) -> tuple[Finding, ...]:
        """Findings of every rule of a subject, or those of one point of the way, as `decide_subject` judges; nothing is
        recorded or admitted. Raises `ValueError` for a subject or quantity that is unknown.
        """
        case = case_of(self._rules(subject, checked), values, rows, {})
        return (*case.findings({}), *case.beside({}))

    def _rules(self, subject: str, checked: str | None) -> Rules:
        return self._cached((subject, checked), lambda: rules_of(self.core, subject, checked))

    def decide_subject(
        self,
        subject: str,
        identity: str,
        values: Mapping[str, Value],
        deadline_ns: int,
        rows: Sequence[Mapping[str, Value]] = (),
        moves: Mapping[str, int] | None = None,
        tolerance: int | None = None,
        checked: str | None = None,
    ) -> Ruling:
        """The decision on a bid, an offer, a data flow or any other subject, by all of its rules or those of one point
        of the way. Values are in base units.

        `moves` names the quantities that may be moved to comply, each with its step in the vocabulary's steps;
        `tolerance` is in those too. No tier yields and nothing falls back: not to go on is always open. Raises
        `ValueError` for a subject or quantity that is unknown, and for one that may not be moved.
        """
        rules = self._rules(subject, checked)
        case = case_of(rules, values, rows, moves or {})
        asked = None if None in case.requested.values() else {n: v for n, v in case.requested.items() if v is not None}
        vocabulary = rules.instance.vocabulary
        base = self._base(identity, subject, case)
        beside = {n: v for n, v in case.values.items() if n not in base["state"] and n not in case.requested}
        more = told(vocabulary, beside)
        base["state"], base["unusable"] = base["state"] | more["state"], base["unusable"] | more["unusable"]
        base["rows"] = [told(vocabulary, row) for row in case.rows]
        findings = () if asked is None else case.failing(asked)
        apart = case.beside(asked or {})
        standing = (*findings, *(f for f in apart if f.verdict in FAILING))
        on_grid = all(steps % case.grid[n] == 0 for n, steps in (asked or {}).items())
        settled, reason = Settled(asked), reason_of(standing)
        if asked is None:
            name = next(n for n, steps in case.requested.items() if steps is None)
            value = case.values.get(name, Unusable("missing"))
            why = value.reason if isinstance(value, Unusable) else "not a whole number of steps"
            settled, reason = Settled(None), f"`{name}` is {why}"
        elif self._clock() > deadline_ns:
            settled, reason = Settled(None), "the deadline had passed before the decision"
        elif blocked(standing) or not on_grid:
            settled = Question(case, self.policy, base).settle(asked, standing, tolerance)
            reason += f"; {settled.why}" if settled.why else ""
        predicate = self._predicate(base, settled, findings, reason, None)
        predicate["certificate"] = self._certificate(case, predicate, settled)
        now = self._clock()
        if settled.command is not None and now > deadline_ns:
            settled = Settled(None)
            predicate = self._predicate(base, settled, findings, "the deadline passed while deciding", None)
        after = case.beside(settled.command) if settled.command is not None else [None] * len(apart)
        predicate["interpreted"] = [
            {**self.told(was), "sent": None if now_ is None else now_.verdict.value}
            for was, now_ in zip(apart, after, strict=True)
        ]
        return self._ruling(rules, predicate, (*findings, *apart), now, deadline_ns)

    def decide_plan(
        self,
        identity: str,
        steps: Sequence[Step],
        deadline_ns: int,
        members: Mapping[str, Mapping[str, Value]] | None = None,
    ) -> Ruling:
        """One decision on a plan: every row is judged by the rules for units that are checked at a schedule, or by a
        pool's where `members` give its members' registrations. It is admitted as it stands, or refused.

        Raises `ValueError` for a plan without steps, or naming a registration that the pool's rules need and lack.
        """
        if not steps:
            raise ValueError("the plan has no steps")
        if members is None:
            rules = self._cached("plan", lambda: of_one(self.core, "unit", "schedule"))
        else:
            phases = tuple((m, str(s.get("phase"))) for m, s in members.items())
            rules = self._cached(("plan", identity, phases), lambda: of_pool(self.core, "schedule", members))
        seen: dict[str, int] = {}
        rows, findings, shown = [], list[Finding](), list[dict[str, Any]]()
        for k, step in enumerate(steps):
            row, text = plan_row(rules, step, seen.get(step.of, 0))
            seen[step.of] = text["step"] + 1
            rows.append(text)
            found = row.failing({})
            findings += found
            shown += [{**self.told(f), "row": k} for f in found]
        now = self._clock()
        settled, reason = Settled(None if blocked(findings) else {}), reason_of(findings)
        if now > deadline_ns:
            settled, reason = Settled(None), "the deadline passed while deciding"
        base = {**self._base(identity, PLAN, Case(rules, {}, {}, {})), "state": {}, "unusable": {}, "rows": rows}
        predicate = {**self._predicate(base, settled, (), reason, None), "findings": shown}
        return self._ruling(rules, predicate, tuple(findings), now, deadline_ns)

    def _ruling(
        self, rules: Rules, predicate: dict[str, Any], findings: tuple[Finding, ...], now_ns: int, deadline_ns: int
    ) -> Ruling:
        predicate |= self._moments(now_ns, deadline_ns)
        data = content(predicate)
        predicate["content"] = content_digest(data)
        (entry,) = self._ledger.append([statement(predicate)])
        self._sequence += 1
        subject, identity = predicate["subject"], predicate["id"]
        # INVARIANT: the record is durable before there is content that an adapter takes.
        admitted = None
        if predicate["command"] is not None:
            admitted = self._sealer.seal_content(
                subject=subject,
                id=identity,
                content=data,
                leaf_index=entry.index,
                record_hash=entry.leaf_hash,
                deadline_ns=deadline_ns,
            )
        return Ruling(
            subject,
            identity,
            predicate["outcome"],
            predicate["command"],
            tuple(f for f in findings if f.verdict in FAILING),
            predicate["reason"],
            admitted,
            entry.index,
            rules.digest,
            tuple(r.id for r in rules.beside),
        )


def rules_of(core: Core, subject: str, checked: str | None) -> Rules:
    """The rules of a subject, checked at one point of the way or (None) at any.

    Raises `ValueError` for a subject that no rule speaks of.
    """
    whole = of_one(core, subject, checked)
    rules = whole.rules
    if not rules:
        raise ValueError(f"no rule speaks of a {subject}")
    kept, reasons = lowerable(whole)
    known = {r.id for r in kept.rules}
    beside = tuple(r for r in rules if r.id not in known)
    whys = [why.removeprefix(f"rule `{r.id}`: ") for r, why in zip(beside, reasons, strict=True)]
    facts = lower(kept)
    data = document(facts, list(zip(beside, whys, strict=True)))
    return Rules(kept, facts, data, document_digest(data), beside)


def case_of(
    rules: Rules, values: Mapping[str, Value], rows: Sequence[Mapping[str, Value]], moves: Mapping[str, int]
) -> Case:
    """The case of a subject. `moves` gives each quantity that may be moved with its step, in the vocabulary's steps.

    Raises `ValueError` naming a quantity that is unknown, that nobody chooses, or whose step is no step.
    """
    vocabulary = rules.instance.vocabulary
    for name in {*values, *moves, *(n for row in rows for n in row)}:
        if name not in vocabulary:
            raise ValueError(f"nothing is called `{name}`")
    for name, step in moves.items():
        if vocabulary[name].role not in MOVABLE:
            raise ValueError(f"`{name}` is not anybody's to choose")
        if type(step) is not int or step < 1:
            raise ValueError(f"the step of `{name}` is not a whole number above zero")
    spoken = {variable.name for variable in rules.facts.variables}
    grid = {name: step for name, step in moves.items() if name in spoken}
    found = {name: _in_range(vocabulary[name], value) for name, value in values.items()}
    requested = {name: _steps(vocabulary[name], found.get(name, Unusable("missing"))) for name in grid}
    inside = tuple({n: _in_range(vocabulary[n], v) for n, v in row.items()} for row in rows)
    return Case(rules, found, requested, grid, rows=inside)


def told(vocabulary: Mapping[str, Declared], values: Mapping[str, Value]) -> dict[str, Any]:
    """Values as a record has them: in steps, null with the reason where one cannot be used."""
    state: dict[str, int | str | None] = {}
    unusable: dict[str, str] = {}
    for name, value in sorted(values.items()):
        if isinstance(value, Unusable):
            state[name], unusable[name] = None, value.reason
        else:
            state[name] = plain(value / vocabulary[name].resolution)
    return {"state": state, "unusable": unusable}


def plan_row(rules: Rules, step: Step, number: int) -> tuple[Case, dict[str, Any]]:
    """A row of a plan as a case of its own, and as the record has it: a value or a reason for every variable."""
    vocabulary = rules.instance.vocabulary
    names = [variable.name for variable in rules.facts.variables]
    values = {n: _in_range(vocabulary[n], step.values.get(n, Unusable("missing"))) for n in names}
    return Case(rules, values, {}, {}), {"of": step.of, "step": number, **told(vocabulary, values)}


def _in_range(declared: Declared, value: Value) -> Value:
    return in_range(declared, value) if isinstance(value, Fraction) else value


def _steps(declared: Declared, value: Value) -> int | None:
    if isinstance(value, Unusable) or (value / declared.resolution).denominator != 1:
        return None
    return int(value / declared.resolution)
