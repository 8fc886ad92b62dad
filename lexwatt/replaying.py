"""`lexwatt replay`: what other rules would have said of the decisions that a ledger records."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from compiler.core import Core, CoreRule
from compiler.document import document
from compiler.from_syntax import to_core
from compiler.inputs import in_range
from compiler.instance import Instance, of_one, of_pool
from compiler.lower import lower, lowerable
from compiler.to_exact import Subject, Unusable, Value, judge
from lexwatt.auditing import Day, LogAt, span_of
from lexwatt.authoring import AsJson, For, Known, On, day, err, known_on, out, places, read_packs
from proofs.checker.certificate import Bad
from proofs.checker.receipt import read_statement
from proofs.checker.ruleset import CANNOT_TELL, FAILING, findings, parse_document, rational
from rules_dsl.units import show

if TYPE_CHECKING:
    from compiler.facts import FactSet
    from dispatch.prices import Prices
    from proofs.checker.ruleset import Document
    from proofs.rederive import Documents

POWER, DURATION = "active_power", "command_duration"
NOT_RECORDED = "not_recorded"
WATT_SECONDS = 3_600_000_000
"""Of one MWh."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The new rules of one subject: as facts, and beside them those that facts cannot express."""

    instance: Instance
    facts: FactSet
    document: Document
    beside: tuple[CoreRule, ...]

    @classmethod
    def of(cls, instance: Instance) -> Ruling:
        """The rules of an instance, lowered as far as they can be."""
        kept, _ = lowerable(instance)
        facts = lower(kept)
        beside = tuple(r for r in instance.rules if r not in kept.rules)
        return cls(instance, facts, parse_document(document(facts)), beside)

    def steps(self, values: Mapping[str, Value]) -> dict[int, Fraction]:
        """The usable values in the new vocabulary's steps."""
        found = {}
        for i, variable in enumerate(self.facts.variables):
            value = values.get(variable.name)
            if isinstance(value, Fraction) and variable.low <= value / variable.resolution <= variable.high:
                found[i] = value / variable.resolution
        return found

    def failing(self, values: Mapping[str, Value], unknown: Counter[str]) -> dict[str, str]:
        """Verdicts of the rules that do not comply; `not_recorded` where what one needs is not in the record at all.

        Counts such quantities in `unknown`.
        """
        steps = self.steps(values)
        known = sum(1 << i for i in steps)
        told: dict[str, str] = {}
        for rule, verdict in findings(self.document, steps):
            told[rule.id] = verdict
            if verdict == CANNOT_TELL:
                needs = (rule.scope_needs | rule.body_needs) & ~known
                lacking = [n for i, n in enumerate(self.document.names) if needs >> i & 1 and n not in values]
                unknown.update(lacking)
                told[rule.id] = NOT_RECORDED if lacking else verdict
        for core_rule in self.beside:
            finding = judge(core_rule, Subject(values))
            lacking = [name for name, _ in finding.unusable if name not in values]
            unknown.update(lacking)
            if finding.verdict.value in FAILING:
                told[core_rule.id] = NOT_RECORDED if lacking else finding.verdict.value
        return told


@dataclass(slots=True)
class Changed:
    """A command that would be refused now, or a request that would be allowed: what was sent and would be, in W."""

    index: int
    unit: str
    at: str
    rule: str
    clause: str
    margin: str
    sent: int | None
    instead: int | None
    mwh: str | None
    eur: str | None


@dataclass(slots=True)
class Replay:
    """What the new rules say of a period. `rules` counts for each how often it is stricter, looser, or not told."""

    decisions: int = 0
    rules: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    clauses: dict[str, str] = field(default_factory=dict)
    refused: int = 0
    allowed: int = 0
    undecided: int = 0
    not_recorded: Counter[str] = field(default_factory=Counter)
    not_judged: Counter[str] = field(default_factory=Counter)
    newly_refused: list[Changed] = field(default_factory=list)
    newly_allowed: list[Changed] = field(default_factory=list)
    mwh: Fraction = Fraction(0)
    eur: Fraction = Fraction(0)
    unmeasured: int = 0
    unpriced: int = 0

    def to_json(self) -> str:
        """The result for machines; energies and sums as decimal text."""
        told: dict[str, Any] = {"type": "lexwatt/replay/v1"} | {f.name: getattr(self, f.name) for f in fields(self)}
        told |= {"mwh": _decimal(self.mwh), "eur": _decimal(self.eur)}
        told |= {name: [asdict(c) for c in told[name]] for name in ("newly_refused", "newly_allowed")}
        return json.dumps(told, ensure_ascii=False)


class Replayer:
    """Judges recorded decisions by other rules. `kept` is how many changes are told one by one."""

    def __init__(self, core: Core, documents: Documents, prices: Prices | None = None, kept: int = 10) -> None:
        self._core, self._documents, self._prices, self._kept = core, documents, prices, kept
        self._rulings: dict[object, Ruling] = {}
        self._old: dict[str, tuple[Document, dict[str, Fraction]]] = {}
        self.found = Replay()

    def take(self, index: int, predicate: Mapping[str, Any]) -> None:
        """One recorded decision."""
        found = self.found
        if predicate["subject"] not in ("unit", "pool"):
            found.not_judged[f"{predicate['subject']}: no command"] += 1
            return
        if predicate["ruleset"] not in self._documents.found:
            found.not_judged["the rule set document is not there"] += 1
            return
        old, sizes = self._document(str(predicate["ruleset"]))
        state: dict[str, Value] = {}
        for name, steps in predicate["state"].items():
            missing = Unusable(str(predicate["unusable"].get(name)))
            state[name] = missing if steps is None else Fraction(rational(steps)) * sizes[name]
        try:
            ruling = self._ruling(predicate, state)
        except ValueError as error:
            found.not_judged[f"not recorded: {error}"] += 1
            return
        found.decisions += 1
        requested, command = predicate["requested"], predicate["command"]
        was = {f["rule"]: str(f["clause"]) for f in predicate["findings"]}
        was |= {f["rule"]: str(f["clause"]) for f in predicate.get("interpreted", ()) if f["verdict"] in FAILING}
        unknown: Counter[str] = Counter()
        now: dict[str, str] = {}
        if requested is not None:
            now = ruling.failing(self._with(ruling, state, requested, sizes), unknown)
            self._compare(ruling, was, now)
        sent = now if command == requested or command is None else {}
        if command is not None and command != requested:
            sent = ruling.failing(self._with(ruling, state, command, sizes), unknown)
        found.not_recorded.update(unknown)
        blocks = {r.id for r in ruling.instance.rules if r.blocks}
        yielded = {f["rule"] for entry in predicate.get("yielded", ()) for f in entry["findings"]}
        broken = [r for r, v in sent.items() if v in FAILING and r in blocks and r not in yielded]
        if command is not None and broken:
            found.refused += 1
            self._change(found.newly_refused, index, predicate, ruling, state, sizes, broken, command)
            return
        old_blocks = {r.id for r in old.rules if r.blocks} | {r for r, _, b in old.interpreted if b}
        bent = requested is not None and command != requested and any(r in old_blocks for r in was)
        standing = [r for r, v in now.items() if r in blocks]
        if bent and not standing:
            found.allowed += 1
            freed = [r for r in was if r in old_blocks]
            self._change(found.newly_allowed, index, predicate, ruling, state, sizes, freed, requested)
        elif any(now[r] == NOT_RECORDED for r in standing) and all(now[r] == NOT_RECORDED for r in standing):
            found.undecided += 1

    def _document(self, digest: str) -> tuple[Document, dict[str, Fraction]]:
        if digest not in self._old:
            data = self._documents.found[digest]
            sizes = {v["name"]: Fraction(v["resolution"]) for v in json.loads(data)["variables"]}
            self._old[digest] = parse_document(data), sizes
        return self._old[digest]

    def _ruling(self, predicate: Mapping[str, Any], state: Mapping[str, Value]) -> Ruling:
        if predicate["subject"] == "unit":
            key: object = "unit"
            members = None
        else:
            members = {m: dict[str, Value]() for m in (n.rpartition(".")[0] for n in predicate["grid"])}
            for name, value in state.items():
                member, _, quantity = name.rpartition(".")
                if member in members:
                    members[member][quantity] = value
            key = tuple((m, str(v.get("phase"))) for m, v in sorted(members.items()))
        if key not in self._rulings:
            one = of_one(self._core, "unit", "command") if members is None else of_pool(self._core, "command", members)
            self._rulings[key] = Ruling.of(one)
        return self._rulings[key]

    def _with(
        self, ruling: Ruling, state: Mapping[str, Value], command: Mapping[str, int], sizes: Mapping[str, Fraction]
    ) -> dict[str, Value]:
        vocabulary = ruling.instance.vocabulary
        moved = {n: Fraction(steps) * sizes.get(n, Fraction(1)) for n, steps in command.items()}
        return {**state, **{n: in_range(vocabulary[n], v) if n in vocabulary else v for n, v in moved.items()}}

    def _compare(self, ruling: Ruling, was: Mapping[str, str], now: Mapping[str, str]) -> None:
        clauses = {r.id: r.clause for r in ruling.instance.rules}
        for rule in was.keys() | now.keys():
            self.found.clauses[rule] = clauses.get(rule) or was.get(rule, "")
            verdict = now.get(rule)
            if verdict == NOT_RECORDED:
                self.found.rules[rule][NOT_RECORDED] += 1
            elif verdict in FAILING and rule not in was:
                self.found.rules[rule]["stricter"] += 1
            elif verdict is None and rule in was:
                self.found.rules[rule]["looser"] += 1

    def _change(
        self,
        told: list[Changed],
        index: int,
        predicate: Mapping[str, Any],
        ruling: Ruling,
        state: Mapping[str, Value],
        sizes: Mapping[str, Fraction],
        rules: list[str],
        judged: Mapping[str, int],
    ) -> None:
        """Energy and money between what was sent and what would be: the request where that is allowed now, else the
        closest command that the new rules allow, or nothing."""
        allowed = told is self.found.newly_allowed
        now = dict(judged) if allowed else self._closest(ruling, state, predicate)
        before = predicate["command"]
        mwh, eur = self._effect(predicate, state, sizes, before or {}, now or {})
        if len(told) >= self._kept:
            return
        margin = ""
        core_rule = next((r for r in ruling.instance.rules if r.id == rules[0]), None)
        if core_rule is not None:
            finding = judge(core_rule, Subject(self._with(ruling, state, judged, sizes)))
            margin = "" if finding.margin is None else show(finding.margin, core_rule.unit)
        told.append(
            Changed(
                index,
                str(predicate["id"]),
                str(predicate["at"]),
                rules[0],
                self.found.clauses.get(rules[0]) or (core_rule.clause if core_rule else ""),
                margin,
                None if before is None else sum(before.values()),
                None if now is None else sum(now.values()),
                None if mwh is None else _decimal(mwh),
                None if eur is None else _decimal(eur),
            )
        )

    def _closest(
        self, ruling: Ruling, state: Mapping[str, Value], predicate: Mapping[str, Any]
    ) -> dict[str, int] | None:
        from guardrails.repair import closest_command

        places, grid = ruling.facts.index(), predicate["grid"]
        wanted = predicate["requested"] or predicate["command"]
        if any(name not in places for name in wanted):
            return None
        steps = ruling.steps({n: v for n, v in state.items() if n not in wanted})
        found = closest_command(
            ruling.facts, steps, {places[n]: v for n, v in wanted.items()}, {places[n]: grid[n] for n in wanted}
        )
        return None if found is None else {n: found[places[n]] for n in wanted}

    def _effect(
        self,
        predicate: Mapping[str, Any],
        state: Mapping[str, Value],
        sizes: Mapping[str, Fraction],
        before: Mapping[str, int],
        now: Mapping[str, int],
    ) -> tuple[Fraction | None, Fraction | None]:
        mwh = Fraction(0)
        for name in before.keys() | now.keys():
            prefix = name.removesuffix(POWER)
            duration = state.get(prefix + DURATION)
            if not name.endswith(POWER) or not isinstance(duration, Fraction):
                self.found.unmeasured += 1
                return None, None
            watts = (now.get(name, 0) - before.get(name, 0)) * sizes.get(name, Fraction(1))
            mwh += watts * duration / WATT_SECONDS
        self.found.mwh += mwh
        price = self._price(str(predicate["at"]))
        if price is None:
            self.found.unpriced += 1
            return mwh, None
        self.found.eur += mwh * price
        return mwh, mwh * price

    def _price(self, at: str) -> Fraction | None:
        from dispatch.prices import QUARTER

        if self._prices is None:
            return None
        place = (datetime.fromisoformat(at) - self._prices.start) // QUARTER
        return self._prices.values[place] if 0 <= place < len(self._prices.values) else None


def decisions(where: str, span: tuple[int, int] | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Places and predicates of the decisions of a log, or of a day of it, as they are stored; nothing is verified."""
    from proofs.recorded import open_recorded
    from proofs.rederive import DECISIONS

    with closing(open_recorded(where, span)) as source:
        for place, data in source.rows(source.first, source.size):
            kind, _, predicate = read_statement(data)
            if kind in DECISIONS:
                yield place, predicate


def replay(
    ledger: LogAt,
    packs: Annotated[str, typer.Option("--with", help="The other rules: packs by name or path, with commas.")],
    day_: Day = "",
    on: On = "",
    where: For = "",
    known: Known = "",
    documents: Annotated[
        Path | None, typer.Option("--documents", help="Folder of rule set documents; that beside the ledger if absent.")
    ] = None,
    prices: Annotated[Path | None, typer.Option("--prices", help="Prices, to say what changes in EUR.")] = None,
    first: Annotated[int, typer.Option("--first", min=0, help="How many changes are told one by one.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Says what other rules would have made of a recorded period. Audit it first: the record is taken as it is."""
    from dispatch.prices import PriceError, load_prices
    from proofs.rederive import Documents
    from proofs.store import LedgerDamaged, LedgerTooNew, LedgerTooOld

    core = to_core(read_packs(packs.split(",")), day(on), places=places(where), known=known_on(known))
    folder = Path(ledger) if Path(ledger).is_dir() else Path(ledger).parent
    beside = next((f / "rules" for f in (folder, folder.parent) if (f / "rules").is_dir()), None)
    try:
        series = None if prices is None else load_prices(prices)
        replayer = Replayer(core, Documents(documents or beside), series, first)
        for index, predicate in decisions(ledger, span_of(day_)):
            replayer.take(index, predicate)
    except (LedgerDamaged, LedgerTooNew, LedgerTooOld, OSError, ValueError, Bad, KeyError, PriceError) as error:
        err.print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    if as_json:
        print(replayer.found.to_json())
    else:
        _show(replayer.found)


def _show(found: Replay) -> None:
    out.print(f"{found.decisions:,} recorded commands judged by the other rules")
    table = Table("rule", "clause", "stricter", "looser", "not recorded")
    for rule, counts in sorted(found.rules.items()):
        table.add_row(rule, found.clauses[rule], *(f"{counts[k]:,}" for k in ("stricter", "looser", NOT_RECORDED)))
    if table.row_count:
        out.print(table)
    for what, total, told in (
        ("commands that were sent would be refused", found.refused, found.newly_refused),
        ("requests that were not would be allowed", found.allowed, found.newly_allowed),
    ):
        out.print(f"{total:,} {what}")
        for c in told:
            line = f"  record {c.index}, {c.unit}, {c.at}: {c.rule} ({c.clause})"
            line += f", margin {c.margin}" if c.margin else ""
            line += f": {_watts(c.sent)} sent, {_watts(c.instead)} instead"
            line += f", {c.mwh} MWh" if c.mwh is not None else ""
            line += f", {c.eur} EUR" if c.eur is not None else ""
            out.print(line, markup=False, soft_wrap=True)
    for name, count in sorted(found.not_recorded.items()):
        out.print(f"not recorded: {name}, needed {count:,} times; nothing is assumed in its place", markup=False)
    if found.undecided:
        out.print(f"{found.undecided:,} decisions cannot be judged for what is not recorded")
    for reason, count in sorted(found.not_judged.items()):
        out.print(f"{count:,} decisions not judged: {reason}", markup=False, soft_wrap=True)
    if found.refused + found.allowed:
        out.print(f"energy: {_decimal(found.mwh)} MWh more would have been discharged")
        if found.unmeasured:
            out.print(f"  without {found.unmeasured:,} commands whose duration is not recorded")
        if found.refused + found.allowed > found.unpriced + found.unmeasured:
            out.print(f"money: {_decimal(found.eur)} EUR more, {found.unpriced:,} commands without a price left out")


def _watts(value: int | None) -> str:
    return "nothing" if value is None else f"{value:,} W"


def _decimal(value: Fraction) -> str:
    """A value for people, to a millionth."""
    return f"{float(value):.6f}".rstrip("0").rstrip(".") or "0"
