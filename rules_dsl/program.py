"""All that a set of rule files declares, by name, and what of it is in force on a day, for a place, as known on a
day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from rules_dsl import tree as t
from rules_dsl.diagnostics import Diagnostic
from rules_dsl.instants import zone

Places = Mapping[str, str]
"""For whom: `country`, `operator`, `site` and `contract` by name, as far as they are known."""


@dataclass(frozen=True, slots=True)
class PackRule:
    """A rule with the pack it stands in."""

    pack: str
    rule: t.Rule

    @property
    def id(self) -> str:
        """`pack/rule`; several rules bear one only where they are never in force together."""
        return f"{self.pack}/{self.rule.name}"


@dataclass(frozen=True, slots=True)
class PackSetting:
    """A choice of value with the pack it stands in."""

    pack: str
    setting: t.Setting


Day = date | datetime
"""A day, or a moment with its zone: a moment is the day that it falls on where the instrument's clocks are."""


@dataclass(slots=True)
class Program:
    """Declarations by name; rules and settings in the order of their files."""

    packs: dict[str, t.Pack] = field(default_factory=dict)
    subjects: dict[str, t.Subject] = field(default_factory=dict)
    quantities: dict[str, t.QuantityDecl] = field(default_factory=dict)
    choices: dict[str, t.ChoiceDecl] = field(default_factory=dict)
    instants: dict[str, t.InstantDecl] = field(default_factory=dict)
    calendars: dict[str, t.Calendar] = field(default_factory=dict)
    instruments: dict[str, t.Instrument] = field(default_factory=dict)
    parameters: dict[str, t.Parameter] = field(default_factory=dict)
    settings: list[PackSetting] = field(default_factory=list)
    definitions: dict[str, t.Definition] = field(default_factory=dict)
    curves: dict[str, t.Curve] = field(default_factory=dict)
    tables: dict[str, t.Table] = field(default_factory=dict)
    running: dict[str, t.Running] = field(default_factory=dict)
    rules: list[PackRule] = field(default_factory=list)
    adoptions: list[t.Adoption] = field(default_factory=list)
    theorems: list[tuple[str, t.Theorem]] = field(default_factory=list)

    def named(self) -> Iterator[Mapping[str, t.Node]]:
        """The tables of everything that shares one space of names."""
        yield self.quantities
        yield self.choices
        yield self.instants
        yield self.parameters
        yield self.definitions
        yield self.curves
        yield self.tables
        yield self.running
        yield self.instruments
        yield self.calendars

    def declared(self, name: str) -> t.Node | None:
        """The declaration of a name, whatever its kind."""
        return next((table[name] for table in self.named() if name in table), None)

    def rows_of(self, subject: str) -> t.Subject | None:
        """The subject, where it is made of rows."""
        found = self.subjects.get(subject)
        return found if found is not None and found.rows else None

    def priority(self, pack: str) -> int:
        """The stated priority of a pack, 0 where none is stated."""
        return self.packs[pack].priority if pack in self.packs else 0

    def in_force(self, pack: str, source: t.Source, on: Day, known: date | None = None) -> bool:
        """Whether a statement of a pack is in force on a day, as known on another (None: as known now).

        The pack's own period bounds it, and so does the first day of an instrument that replaces the one it cites.
        """
        day = self.day(source.instrument, on)
        period = self.packs[pack].period if pack in self.packs else None
        if period is not None and not period.holds(day, known):
            return False
        return source.period.holds(day, known) and not self._replaced(source.instrument, day)

    def day(self, instrument: str, on: Day) -> date:
        """The day on which a moment falls for an instrument."""
        if isinstance(on, datetime):
            return on.astimezone(zone(self.instruments[instrument].zone)).date()
        return on

    def _replaced(self, instrument: str, on: date) -> bool:
        for other in self.instruments.values():
            start = other.editions[0].start
            if other.replaces == instrument and start is not None and start <= on:
                return True
        return False

    def chosen(self, name: str, on: Day, places: Places, known: date | None = None) -> t.Setting | None:
        """The choice of a parameter in force for a place: of the pack with the highest priority, then the narrowest.

        `check` has made sure that there is one such choice at most.
        """
        fit = [
            s
            for s in self.settings
            if s.setting.name == name
            and self.in_force(s.pack, s.setting.source, on, known)
            and all(places.get(kind) == place for kind, place in s.setting.places)
        ]
        best = max(fit, key=lambda s: (self.priority(s.pack), len(s.setting.places)), default=None)
        return best.setting if best else None

    def adopted(self, rule: str, on: Day, known: date | None = None) -> t.Adoption | None:
        """The adoption in force of a rule, where there is one."""
        fit = (a for a in self.adoptions if a.rule == rule and self.in_force("", a.source, on, known))
        return next(fit, None)


def declare(files: Sequence[Sequence[t.Statement]]) -> tuple[Program, list[Diagnostic]]:
    """The program of some files, and a finding for each name declared twice and each rule outside a pack."""
    program = Program()
    findings: list[Diagnostic] = []
    for statements in files:
        pack = ""
        for statement in statements:
            if isinstance(statement, t.Pack):
                pack = statement.name
                findings += _pack(program, statement)
            else:
                findings += _declare(program, pack, statement)
    return program, findings


def _pack(program: Program, pack: t.Pack) -> Iterator[Diagnostic]:
    known = program.packs.get(pack.name)
    if known is None:
        program.packs[pack.name] = pack
    elif (known.title, known.priority, known.adopts, known.period) != (
        pack.title,
        pack.priority,
        pack.adopts,
        pack.period,
    ):
        where = f"{known.span.file}:{known.span.line}"
        yield Diagnostic(
            "pack", f"pack `{pack.name}` is described differently elsewhere", pack.span, f"the first is at {where}"
        )


def _declare(program: Program, pack: str, statement: t.Statement) -> Iterator[Diagnostic]:
    match statement:
        case t.Setting():
            program.settings.append(PackSetting(pack, statement))
            return
        case t.Adoption():
            program.adoptions.append(statement)
            return
    if isinstance(statement, t.Rule | t.Theorem) and not pack:
        yield Diagnostic(
            "no-pack", "rules and theorems stand in a pack", statement.span, 'begin with `pack NAME "..."`'
        )
    match statement:
        case t.Theorem():
            program.theorems.append((pack, statement))
        case t.Rule():
            yield from _twice(program, pack, statement)
            program.rules.append(PackRule(pack, statement))
        case t.Subject():
            yield from _once(program.subjects, statement.name, statement)
        case _:
            earlier = program.declared(statement.name)
            tables: dict[type[t.Node], dict[str, t.Node]] = {
                t.QuantityDecl: program.quantities,  # type: ignore[dict-item]
                t.ChoiceDecl: program.choices,  # type: ignore[dict-item]
                t.InstantDecl: program.instants,  # type: ignore[dict-item]
                t.Calendar: program.calendars,  # type: ignore[dict-item]
                t.Instrument: program.instruments,  # type: ignore[dict-item]
                t.Parameter: program.parameters,  # type: ignore[dict-item]
                t.Definition: program.definitions,  # type: ignore[dict-item]
                t.Curve: program.curves,  # type: ignore[dict-item]
                t.Table: program.tables,  # type: ignore[dict-item]
                t.Running: program.running,  # type: ignore[dict-item]
            }
            table = tables[type(statement)]
            yield from _once({} if earlier is None else {statement.name: earlier}, statement.name, statement)
            table.setdefault(statement.name, statement)


def _once(table: dict[str, t.Node] | dict[str, t.Subject], name: str, node: t.Node) -> Iterator[Diagnostic]:
    earlier = table.get(name)
    if earlier is not None:
        where = f"{earlier.span.file}:{earlier.span.line}"
        yield Diagnostic("twice", f"`{name}` is declared twice", node.span, f"the first is at {where}")
    else:
        table[name] = node  # type: ignore[assignment]


def _twice(program: Program, pack: str, rule: t.Rule) -> Iterator[Diagnostic]:
    for other in program.rules:
        if other.id == f"{pack}/{rule.name}":
            both = rule.source.period.overlap(other.rule.source.period)
            if both is not None:
                where = f"{other.rule.span.file}:{other.rule.span.line}"
                yield Diagnostic(
                    "overlap",
                    f"two editions of rule `{rule.name}` are in force on {both}",
                    rule.span,
                    f"the other is at {where}; end one where the other begins",
                )
