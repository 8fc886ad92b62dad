"""Names, kinds, ranges, dates and sources: from syntax trees to a `Program` that means something.

Every finding of a run is reported, not the first alone.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from rules_dsl import tree as t
from rules_dsl.diagnostics import Diagnostic, RulesError
from rules_dsl.evidence import WARNS_ONLY, rests_on, too_weak
from rules_dsl.kinds import INSTANT, SECONDS, TIME, UNCERTAINTY, Kind, Typing, kind_of, mentioned, parts_of, words
from rules_dsl.program import PackRule, PackSetting, Program, declare
from rules_dsl.tables import faults
from rules_dsl.units import Dimension, Quantity, Unit, show

__all__ = ["UNCERTAINTY", "PackRule", "Program", "check", "check_all", "clause", "dimension_of"]

MAX_NODES, MAX_LEVELS = 20_000, 150
"""What a statement may come to with its definitions written out."""
_BINDINGS = {
    "sunspec": (re.compile(r"\d+\.[A-Za-z0-9_.]+"), "a model and a point, such as `701.Hz`"),
    "iec61850": (re.compile(r"[A-Z]{4}\d*(\.[A-Za-z][A-Za-z0-9]*)+"), "a node and data, such as `MMXU.Hz.mag`"),
    "dnp3": (re.compile(r"(AI|AO|BI|BO|CTR)\d+"), "a point, such as `AO12`"),
}


def check(files: Iterable[Sequence[t.Statement]]) -> Program:
    """The program that the files make together.

    Raises `RulesError` with every finding: a name unknown or declared twice, kinds that do not fit, a value outside its
    legal range, choices that clash, dates out of order, a source without its instrument, tables with gaps or
    overlaps, a rule without examples.
    """
    program, findings = check_all(files)
    if findings:
        raise RulesError(findings)
    return program


def check_all(files: Iterable[Sequence[t.Statement]]) -> tuple[Program, list[Diagnostic]]:
    """The program as far as it goes, and every finding."""
    program, findings = declare(list(files))
    checker = _Checker(program)
    checker.run()
    return program, findings + checker.findings


class _Checker(Typing):
    def __init__(self, program: Program) -> None:
        super().__init__(program)

    def run(self) -> None:
        p = self.program
        for pack in p.packs.values():
            self._period(pack.period)
        for subject in p.subjects.values():
            self._subject(subject)
        for quantity in p.quantities.values():
            self._quantity(quantity)
        for choice in p.choices.values():
            self._owner(choice.subject, choice)
            self._stale(choice.stale, choice)
            self._bindings(choice.bindings, choice)
            if len(set(choice.names)) != len(choice.names):
                self.say("twice", f"`{choice.name}` names an alternative twice", choice)
        for instant in p.instants.values():
            self._owner(instant.subject, instant)
            self._stale(instant.stale, instant)
        for instrument in p.instruments.values():
            self._instrument(instrument)
        for calendar in p.calendars.values():
            self._calendar(calendar)
        for parameter in p.parameters.values():
            self._parameter(parameter)
        for entry in p.settings:
            self._setting(entry.setting)
        self._clashes()
        for curve in p.curves.values():
            self._curve(curve)
        for table in p.tables.values():
            self._table(table)
        if not self._fit():
            return
        for definition in p.definitions.values():
            if not isinstance(definition.value, tuple):
                self.open = [definition.name]
                self.kind(definition.value)
        self.open = []
        for running in p.running.values():
            self._running_state(running)
        self._running_circles()
        for adoption in p.adoptions:
            self._adoption(adoption)
        for rule in p.rules:
            self._rule(rule)
        named: dict[str, t.Theorem] = {}
        for home, theorem in p.theorems:
            first = named.setdefault(f"{home}/{theorem.name}", theorem)
            if first is not theorem:
                where = f"the first is at {first.span.file}:{first.span.line}"
                self.say("twice", f"`{theorem.name}` is declared twice", theorem, where)
            self._theorem(theorem)

    # declarations

    def _same(self, dimension: Dimension, value: Quantity, node: t.Node, what: str) -> None:
        if value.dimension != dimension:
            found, wanted = words(kind_of(value.unit)), words(Kind(dimension))
            self.say("dimension", f"{what} is {found} where {wanted} is needed", node)

    def _fits(self, in_unit: Unit, value: Quantity, node: t.Node, what: str) -> bool:
        """Says so when a number does not suit a unit, the way it is written included."""
        wanted, found = kind_of(in_unit), kind_of(value.unit)
        if wanted == found:
            return True
        code = "share" if wanted.dimension == found.dimension else "dimension"
        hint = "write a share with its unit, `5 %` or `0.05 pu`, and a count without" if code == "share" else ""
        self.say(code, f"{what} is {words(found)} where {words(wanted)} is needed", node, hint)
        return False

    def _owner(self, subject: str, node: t.Node) -> None:
        if subject not in self.program.subjects:
            self.unknown("subject", subject, node, [*self.program.subjects])

    def _stale(self, stale: Quantity | None, node: t.Node) -> None:
        if stale is not None:
            self._same(SECONDS.dimension, stale, node, "the greatest age")

    def _bindings(self, bindings: Sequence[tuple[str, str]], node: t.Node) -> None:
        for protocol, place in bindings:
            shape = _BINDINGS.get(protocol)
            if shape is not None and not shape[0].fullmatch(place):
                self.say("binding", f"`{place}` is no place in {protocol}", node, f"write {shape[1]}")

    def _subject(self, subject: t.Subject) -> None:
        if not subject.rows:
            return
        if subject.of not in self.program.subjects:
            self.unknown("subject", subject.of, subject, [*self.program.subjects])
        if subject.order:
            known = self.value_of(subject.order)
            if known is None or known[1] != subject.of or known[0].names:
                self.say("unknown", f"`{subject.order}` is not a quantity or an instant of each {subject.of}", subject)

    def _quantity(self, decl: t.QuantityDecl) -> None:
        self._owner(decl.subject, decl)
        self._stale(decl.stale, decl)
        self._bindings(decl.bindings, decl)
        for what, value in (
            ("the resolution", decl.resolution),
            ("the lower end", decl.low),
            ("the upper end", decl.high),
            *((("the uncertainty", decl.uncertain),) if decl.uncertain is not None else ()),
        ):
            if not self._fits(decl.unit, value, decl, what):
                return
        if decl.low.base > decl.high.base or decl.resolution.base <= 0:
            self.say("range", f"`{decl.name}` needs a positive resolution and a range that ends after it begins", decl)
        elif any((end.base / decl.resolution.base).denominator != 1 for end in (decl.low, decl.high)):
            self.say("range", f"the range of `{decl.name}` does not end on a step of its resolution", decl)

    def _instrument(self, instrument: t.Instrument) -> None:
        if not instrument.zone:
            hint = "add `zone Europe/Brussels`, or where its dates are days"
            self.say("zone", f"the dates of `{instrument.name}` are in no time zone", instrument, hint)
        if instrument.replaces:
            if instrument.replaces not in self.program.instruments or instrument.replaces == instrument.name:
                self.unknown("other instrument", instrument.replaces, instrument, [*self.program.instruments])
            elif instrument.editions[0].start is None:
                hint = "write `from` and a day after its first edition"
                self.say("dates", f"`{instrument.name}` replaces another from no day", instrument, hint)
        dated = [e for e in instrument.editions if e.start is not None]
        if len(instrument.editions) > 1 and len(dated) < len(instrument.editions):
            self.say("dates", f"each of several editions of `{instrument.name}` needs its first day", instrument)
        for edition in dated:
            assert edition.start is not None
            if edition.until is not None and edition.until <= edition.start:
                self.say("dates", f"the edition until {edition.until} ends before it begins", edition)
        for a, b in itertools.pairwise(sorted(dated, key=lambda e: str(e.start))):
            if a.until is None or b.start is None or b.start < a.until:
                hint = f"end the earlier one with `until {b.start}`"
                self.say("overlap", f"two editions of `{instrument.name}` are in force on {b.start}", b, hint)

    def _calendar(self, calendar: t.Calendar) -> None:
        if calendar.instrument not in self.program.instruments:
            self.unknown("instrument", calendar.instrument, calendar, [*self.program.instruments])
        if calendar.until <= calendar.start:
            self.say("dates", f"known until {calendar.until} ends before it begins", calendar)
        for day in calendar.holidays:
            if not calendar.start <= day < calendar.until:
                self.say("dates", f"{day} lies outside the years for which the holidays are known", calendar)
        if len(set(calendar.weekdays)) == 7:
            self.say("dates", f"calendar `{calendar.name}` leaves no day for business", calendar)

    def _period(self, period: t.Period | None) -> None:
        if period is None:
            return
        if period.until is not None and period.until <= period.start:
            self.say("dates", f"in force until {period.until} ends before it begins", period)
        if period.withdrawn is not None and period.recorded is not None and period.withdrawn <= period.recorded:
            self.say("dates", f"recorded until {period.withdrawn} ends before it begins", period)

    def _source(self, source: t.Source) -> None:
        self._period(source.period)
        instrument = self.program.instruments.get(source.instrument)
        if instrument is None:
            self.unknown("instrument", source.instrument, source, [*self.program.instruments])
            return
        if source.evidence == "given" and instrument.authority != "Operator":
            hint = "law is read, corroborated, reported or recalled"
            self.say("evidence", "`given` evidence is for the operator's own texts", source, hint)
        first = instrument.editions[0].start
        if first is not None and source.period.start < first:
            self.say(
                "dates", f"in force from {source.period.start}, before the first edition of `{instrument.name}`", source
            )

    def _parameter(self, parameter: t.Parameter) -> None:
        self.clause = clause(self.program, parameter.source)
        self._source(parameter.source)
        ends = [
            self._fits(parameter.unit, end, parameter, what)
            for end, what in ((parameter.low, "the lower end"), (parameter.high, "the upper end"))
        ]
        if all(ends) and parameter.low.base > parameter.high.base:
            self.say("range", f"the range of `{parameter.name}` ends before it begins", parameter)
        elif all(ends):
            if parameter.default is not None:
                self._legal(parameter, parameter.default, parameter, "the default of ")
            for value in parameter.legal:
                self._legal(parameter, value, parameter)
            for value in parameter.illegal:
                if self._fits(parameter.unit, value, parameter, "a refused value") and (
                    parameter.low.base <= value.base <= parameter.high.base
                ):
                    shown = show(value.base, value.unit)
                    self.say("range", f"{shown} should be refused and is inside the range", parameter)
        self.clause = ""

    def _legal(self, parameter: t.Parameter, value: Quantity, node: t.Node, what: str = "") -> None:
        if not self._fits(parameter.unit, value, node, f"{what}`{parameter.name}`"):
            return
        if not parameter.low.base <= value.base <= parameter.high.base:
            low, high = show(parameter.low.base, parameter.unit), show(parameter.high.base, parameter.unit)
            shown = show(value.base, parameter.unit)
            hint = f"choose a value from {low} to {high}"
            self.say("range", f"{shown} is outside the legal range of `{parameter.name}`", node, hint)

    def _setting(self, setting: t.Setting) -> None:
        self._source(setting.source)
        parameter = self.program.parameters.get(setting.name)
        if parameter is None:
            self.unknown("parameter", setting.name, setting, [*self.program.parameters])
            return
        self.clause = clause(self.program, parameter.source)
        self._legal(parameter, setting.value, setting)
        self.clause = ""

    def _clashes(self) -> None:
        """Two choices of one value, both in force for some place on some day, and nothing says which wins."""
        by_name: dict[str, list[PackSetting]] = {}
        for entry in self.program.settings:
            by_name.setdefault(entry.setting.name, []).append(entry)
        for name, entries in by_name.items():
            for a, b in itertools.combinations(entries, 2):
                here, there = dict(a.setting.places), dict(b.setting.places)
                apart = any(here[kind] != there[kind] for kind in here.keys() & there.keys())
                narrower = here.items() < there.items() or there.items() < here.items()
                day = a.setting.source.period.overlap(b.setting.source.period)
                if apart or narrower or day is None:
                    continue
                if self.program.priority(a.pack) != self.program.priority(b.pack):
                    continue
                both = ", ".join(f"{kind} {place}" for kind, place in sorted({**here, **there}.items()))
                where = f"the other is at {a.setting.span.file}:{a.setting.span.line}; give one pack a higher priority"
                self.clause = clause(self.program, b.setting.source)
                self.say(
                    "clash",
                    f"`{name}` is set twice for {both or 'everybody'} on {day} and nothing says which wins",
                    b.setting,
                    where,
                )
                self.clause = ""

    def _curve(self, curve: t.Curve) -> None:
        self.clause = clause(self.program, curve.source)
        self._source(curve.source)
        fit = True
        for point in curve.points:
            for value, in_unit, what in zip(
                point, (curve.argument, curve.result), ("a point of", "a value of"), strict=True
            ):
                if isinstance(value, Quantity):
                    fit &= self._fits(in_unit, value, curve, f"{what} `{curve.name}`")
                elif value not in self.program.parameters:
                    self.unknown("parameter", value, curve, [*self.program.parameters])
                else:
                    self.alike(kind_of(in_unit), kind_of(self.program.parameters[value].unit), curve)
        xs = [x.base for x, _ in curve.points if isinstance(x, Quantity)]
        if fit and (len(curve.points) < 2 or any(a >= b for a, b in itertools.pairwise(xs))):
            self.say("curve", f"the points of `{curve.name}` do not ascend, or there are fewer than two", curve)
        self.clause = ""

    def _table(self, table: t.Table) -> None:
        self.clause = clause(self.program, table.source)
        self._source(table.source)
        before = len(self.findings)
        kinds = [self.column(column) for column in table.columns]
        for column, kind in zip(table.columns, kinds, strict=True):
            if column.unit is None and not kind.names:
                self.unknown("choice", column.name, column, [*self.program.choices])
        for row in table.rows:
            if row.cells and len(row.cells) != len(table.columns):
                wanted = f"{len(table.columns)} cell(s) and a result"
                self.say("table", f"a row of `{table.name}` has {wanted}, not {len(row.cells)} and one", row)
                continue
            for cell, column, kind in zip(row.cells, table.columns, kinds, strict=False):
                self._cell(cell, column, kind)
            if isinstance(row.result, str):
                if row.result not in table.names:
                    self.say("unknown", f"`{row.result}` is not a result of `{table.name}`", row)
            elif table.unit is None:
                self.say("kind", "a number stands where an alternative is needed", row)
            else:
                self._fits(table.unit, row.result, row, f"a result of `{table.name}`")
        if len(self.findings) == before:
            for code, message, node in faults(table, [kind.names for kind in kinds]):
                self.say(code, message, node)
        self.clause = ""

    def _cell(self, cell: t.Cell, column: t.Column, kind: Kind) -> None:
        if cell.names:
            if column.unit is not None:
                self.say("kind", f"`{cell.names[0]}` stands where a number is needed", cell)
            elif kind.names:
                self.alternatives(kind, cell.names, cell)
        for _, bound in cell.bounds:
            if column.unit is None:
                self.say("kind", f"a number stands where an alternative of `{column.name}` is needed", cell)
            else:
                self._fits(column.unit, bound, cell, f"an end of `{column.name}`")

    def _running_state(self, running: t.Running) -> None:
        subject = self.program.subjects.get(running.subject)
        if subject is None:
            self.unknown("subject", running.subject, running, [*self.program.subjects])
            return
        if subject.order is None:
            self.say("rows", f"a {subject.name} has no rows in order to run along", running)
            return
        wanted = Kind(names=running.names) if running.unit is None else kind_of(running.unit)
        self.subject, self.rows = subject, True
        self.gives(running.starts, wanted)
        for case in running.cases:
            if case.condition is not None:
                self.condition(case.condition)
            self.gives(case.value, wanted)
        for case in running.cases[:-1]:
            if case.condition is None:
                self.say("running", "a case without a condition takes all: the cases after it are never met", case)
        self.subject, self.rows = None, False

    def _running_circles(self) -> None:
        """A running state may depend on the present of others, and of its own past alone."""
        present: dict[str, set[str]] = {}
        for name, running in self.program.running.items():
            present[name] = {
                part.name
                for piece in (running.starts, *running.cases)
                for part in parts_of(piece)
                if isinstance(part, t.Name) and part.name in self.program.running
            }
        for name in present:
            seen: set[str] = set()
            open_ = list(present[name])
            while open_:
                other = open_.pop()
                if other not in seen:
                    seen.add(other)
                    open_ += present[other]
            if name in seen:
                hint = f"write `previous {name}` for its past"
                self.say("circle", f"`{name}` depends on its own present", self.program.running[name], hint)

    def _adoption(self, adoption: t.Adoption) -> None:
        self._source(adoption.source)
        rule = next((r.rule for r in self.program.rules if r.id == adoption.rule), None)
        if rule is None:
            self.unknown("rule", adoption.rule, adoption, [r.id for r in self.program.rules])
        elif rule.source.evidence == "recalled":
            hint = "find the text, and say `reported`, `corroborated` or `read`"
            self.say("recalled", "a recalled rule may warn, never block, so it cannot be adopted", adoption, hint)
        elif rule.source.evidence != "reported" and not self._chosen_on_report(rule):
            self.say("adopted", f"`{adoption.rule}` blocks without being adopted", adoption)

    def _chosen_on_report(self, rule: t.Rule) -> bool:
        """Whether somebody chooses on reported evidence a value that the rule reads: there it only warns."""
        read = {d.name for d in rests_on(self.program, rule)}
        settings = (entry.setting for entry in self.program.settings)
        return any(s.name in read and s.source.evidence == "reported" for s in settings)

    def _fit(self) -> bool:
        """Whether definitions can be written out: none in a circle, and no statement too large or too deep with them.

        INVARIANT: the passes that write definitions out, which recurse, run only where this holds.
        """
        p = self.program
        uses = {name: mentioned(d) & p.definitions.keys() for name, d in p.definitions.items()}
        size: dict[str, tuple[int, int]] = {}
        while ready := [name for name in uses if name not in size and uses[name] <= size.keys()]:
            for name in ready:
                size[name] = _written_out(p.definitions[name], size)
        fits = True
        for name in (name for name in uses if name not in size):
            if name in _reachable(name, uses):
                fits = False
                self.say("circle", f"`{name}` is defined by itself", p.definitions[name])
        statements: list[tuple[str, t.Node]] = [*p.definitions.items(), *p.running.items()]
        statements += [(e.rule.name, e.rule) for e in p.rules] + [(x.name, x) for _, x in p.theorems]
        for name, statement in statements if fits else ():
            inside = all(_small(size[other]) for other in mentioned(statement) & size.keys())
            if not _small(_written_out(statement, size)):
                fits = False
                if inside:
                    self.say("too-deep", f"`{name}` is too large with its definitions written out", statement)
        return fits

    # rules

    def _rule(self, entry: PackRule) -> None:
        rule = entry.rule
        self.clause = clause(self.program, rule.source)
        self._source(rule.source)
        self._effect(rule)
        self._foundation(rule)
        subject = self.program.subjects.get(rule.subject)
        if subject is None:
            self.unknown("subject", rule.subject, rule, [*self.program.subjects])
            self.clause = ""
            return
        self.subject, self.rows = subject, False
        if rule.scope is not None:
            self.condition(rule.scope)
        if rule.quantifier is not None:
            self.noun(rule.quantifier.rows, rule.quantifier)
            if rule.quantifier.position != "every":
                self.ordered(rule.quantifier)
            self.rows = bool(subject.rows)
        for condition in (rule.when, *rule.exceptions, *(x.condition for x in rule.transitions)):
            if condition is not None:
                self.condition(condition)
        self._demand(rule)
        self._timing(rule)
        self._relation(entry)
        self._examples(rule, subject)
        self.subject, self.rows, self.clause = None, False, ""

    def _effect(self, rule: t.Rule) -> None:
        if rule.source.evidence not in WARNS_ONLY:
            return
        if rule.effect == "blocks":
            self.say("recalled", f"a {rule.source.evidence} rule may warn, never block", rule.source)
        if rule.relation is not None and rule.relation.kind != "tightens":
            self.say("recalled", f"a {rule.source.evidence} rule cannot set another aside", rule.relation)

    def _foundation(self, rule: t.Rule) -> None:
        weak = too_weak(self.program, rule)
        if weak is None:
            return
        what, evidence = type(weak).__name__.lower(), weak.source.evidence
        then = "which then warns until an operator adopts it" if evidence == "reported" else "which then warns"
        hint = f"say `evidence {evidence}` of the rule, {then}, or take what is {evidence} out of it"
        self.say("rests", f"`{rule.name}` rests on {what} `{weak.name}`, which is only {evidence}", rule.source, hint)

    def _demand(self, rule: t.Rule) -> None:
        demand = rule.demand
        if demand.condition is not None:
            self.condition(demand.condition)
            return
        assert demand.left is not None
        if demand.kind == "never":
            if rule.quantifier is not None:
                self.say("rows", "an order of rows is about all of them, not about one", rule.quantifier)
            self.ordered(demand)
            if not (self.subject and self.subject.rows):
                self.say("rows", f"a {rule.subject} is not made of rows", demand)
            self.rows = True
        left = self.kind(demand.left)
        if demand.kind == "never":
            self.rows = False
        if demand.kind in ("in", "not_in"):
            self.alternatives(left, demand.names, demand)
            return
        if demand.kind == "flag":
            if left is not None and left.names != ("no", "yes"):
                self.say("kind", f"{words(left)} is not a yes-or-no value", demand)
            return
        if left is not None and left.names:
            hint = "write `must be in {...}`"
            self.say("kind", f"{words(left)} has no size", demand, hint)
            return
        for right in demand.right:
            self.alike(left, self.kind(right), right)
        if demand.kind == "multiple":
            step = demand.right[0]
            if not self.constant(step) or (isinstance(step, t.Literal) and step.value.base <= 0):
                self.say("number", "the step of a multiple is a positive number or a parameter", step)

    def _timing(self, rule: t.Rule) -> None:
        if rule.event and rule.quantifier is None:
            self.say("rows", "`whenever` is asked at rows", rule.when or rule, "say at which: `at every ...,`")
        if rule.timing is None:
            return
        if rule.quantifier is None:
            self.say("rows", "a response is measured along rows", rule.timing, "say from which: `at every ...,`")
            return
        self.ordered(rule.timing, [TIME, INSTANT])
        for part in (rule.timing.within, rule.timing.lasting):
            if part is not None:
                self.needs(part, TIME, "a duration")

    def _relation(self, entry: PackRule) -> None:
        relation = entry.rule.relation
        if relation is None:
            return
        for target in relation.rules:
            others = [r for r in self.program.rules if r.id == target]
            if target == entry.id or not others:
                self.unknown("other rule", target, relation, [r.id for r in self.program.rules if r.id != entry.id])
                continue
            if any(o.rule.subject != entry.rule.subject for o in others):
                self.say("subject", f"`{target}` is about each {others[0].rule.subject}", relation)
            back = [o.rule.relation for o in others if o.rule.relation and entry.id in o.rule.relation.rules]
            if any(r.kind != "tightens" for r in back) and relation.kind != "tightens":
                self.say("circle", f"`{target}` sets this rule aside, and this rule sets it aside", relation)
            pack = others[0].pack
            if (
                relation.kind != "tightens"
                and pack != entry.pack
                and self.program.priority(entry.pack) <= self.program.priority(pack)
            ):
                hint = f"give pack `{entry.pack}` a priority above {self.program.priority(pack)}"
                self.say("priority", f"pack `{entry.pack}` has no priority over `{pack}`", relation, hint)

    # examples

    def _examples(self, rule: t.Rule, subject: t.Subject) -> None:
        verdicts = {e.verdict for x in rule.examples for e in x.expected}
        if not {"allows", "refuses"} <= verdicts:
            self.say("example", f"rule `{rule.name}` needs an example that is allowed and one that is refused", rule)
        for example in rule.examples:
            for given in (*example.given, *(g for e in example.expected for g in e.given)):
                self._given(given, subject, inner=False)
            for expectation in example.expected:
                self._margin(rule, expectation)
            if example.rows is not None:
                self.noun(example.rows.noun, example.rows)
                for row in example.rows.rows:
                    for name, value in zip(example.rows.head, row, strict=True):
                        at = t.Given(name, value, span=example.rows.span)
                        self._given(at, subject, inner=True)

    def _margin(self, rule: t.Rule, expectation: t.Expectation) -> None:
        left = rule.demand.left
        if expectation.margin is None or left is None:
            return
        probe = _Checker(self.program)
        probe.subject, probe.rows = self.subject, True
        kind = probe.kind(left)
        if kind is not None and not kind.names:
            wanted = TIME if kind.dimension == INSTANT else kind.dimension
            self._same(wanted, expectation.margin, expectation, "the margin")

    def _given(self, given: t.Given, subject: t.Subject, inner: bool) -> None:
        if isinstance(given.value, tuple):
            self.noun(given.row, given)
            for part in given.value:
                self._given(part, subject, inner=True)
            return
        known = self.value_of(given.name)
        if known is None:
            names = [*self.program.quantities, *self.program.choices, *self.program.parameters, *self.program.instants]
            near = next(iter(get_close_matches(given.name, names, 1)), "")
            hint = f"did you mean `{near}`?" if near else ""
            self.say("unknown", f"nothing is called `{given.name}`", given, hint)
            return
        kind, owner = known
        wanted = subject.of if inner else subject.name
        if owner and owner != wanted:
            self.say("subject", f"`{given.name}` belongs to each {owner}, not to each {wanted}", given)
        if given.value is None:
            return
        if kind.names:
            if given.value not in kind.names:
                shown = given.value if isinstance(given.value, str) else "this"
                self.say(
                    "unknown",
                    f"`{shown}` is not an alternative of `{given.name}`",
                    given,
                    f"one of {', '.join(kind.names)}",
                )
        elif isinstance(given.value, t.InstantLiteral):
            if kind.dimension != INSTANT:
                self.say("dimension", f"`{given.name}` is {words(kind)}, not a moment in time", given)
        elif isinstance(given.value, str):
            self.say("dimension", f"`{given.name}` needs {words(kind)}", given)
        else:
            self.alike(kind, kind_of(given.value.unit), given)

    def _theorem(self, theorem: t.Theorem) -> None:
        claim = theorem.claim
        if isinstance(claim, t.NowhereAbove):
            self._curves(claim)
            return
        subject = self.program.subjects.get(theorem.subject)
        if subject is None:
            self._owner(theorem.subject, theorem)
            return
        self.subject = subject
        if theorem.given is not None:
            self.condition(theorem.given)
        match claim:
            case t.AlwaysSome(effect):
                self._number(effect, claim)
            case t.Raising(_, cause, effect):
                for name in (cause, effect):
                    self._number(name, claim)
            case t.Leads():
                self._leads(claim)
        self.subject = None

    def _leads(self, claim: t.Leads) -> None:
        self.divides = True
        self.condition(claim.condition)
        before = len(self.findings)
        if claim.after is not None:
            self.needs(claim.after, TIME, "a duration")
        if len(self.findings) > before:
            self.divides = False
            return
        for parts in (claim.steps, claim.off_by):
            seen: set[str] = set()
            for part in parts:
                kind = self._number(part.name, part)
                if part.name in seen:
                    self.say("twice", f"`{part.name}` stands twice", part)
                seen.add(part.name)
                value = part.value if isinstance(part, t.Step) else part.half
                if isinstance(part, t.Step) and claim.after is not None:
                    value = t.Binary("*", value, claim.after, span=value.span)
                self.alike(kind, self.kind(value), value)
        self.divides = False

    def _curves(self, claim: t.NowhereAbove) -> None:
        """Both curves at both ends, as if they were called there: what does not fit there fits nowhere."""
        found: list[Kind | None] = []
        for scaled in (claim.lower, claim.upper):
            if scaled.curve not in self.program.curves:
                self.unknown("curve", scaled.curve, scaled, [*self.program.curves])
                continue
            call: t.Expression = t.Call(scaled.curve, (claim.start,), span=scaled.span)
            if scaled.times is not None:
                call = t.Binary("*", call, scaled.times, span=scaled.span)
            found.append(self.kind(call))
        if len(found) == 2:
            self.alike(found[1], found[0], claim.lower)
            self.alike(kind_of(self.program.curves[claim.lower.curve].argument), self.kind(claim.end), claim.end)
        for number in (claim.start, claim.end, claim.lower.times, claim.upper.times):
            if number is not None and not self.constant(number):
                self.say("number", "curves are compared at numbers and parameters alone", number)

    def _number(self, name: str, node: t.Node) -> Kind | None:
        """The kind of a quantity that a theorem names; None after a finding."""
        known = self.value_of(name)
        if known is not None and known[0].names:
            self.say("kind", f"{words(known[0])} is not a number", node)
            return None
        if known is None or not known[1]:
            self.unknown("quantity", name, node, [*self.program.quantities])
            return None
        self._reach(name, known[1], node)
        return known[0]


def _written_out(node: t.Node, known: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """(nodes, levels) of a statement, definitions written out whose own sizes are known."""
    nodes = deepest = 0
    waiting: list[tuple[object, int]] = [(node, 0)]
    while waiting:
        part, level = waiting.pop()
        if isinstance(part, tuple):
            waiting += [(item, level) for item in part if isinstance(item, t.Node | tuple)]
            continue
        assert isinstance(part, t.Node)
        name = part.name if isinstance(part, t.Name | t.AsOf) else ""
        inner = known.get(name, (0, 0))
        nodes, deepest = nodes + 1 + inner[0], max(deepest, level + inner[1])
        for field in part.__dataclass_fields__:
            value = getattr(part, field)
            if field not in ("span", "examples") and isinstance(value, t.Node | tuple):
                waiting.append((value, level + 1))
    return nodes, deepest


def _small(size: tuple[int, int]) -> bool:
    return size[0] <= MAX_NODES and size[1] <= MAX_LEVELS


def _reachable(name: str, uses: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(uses[name])
    while waiting:
        other = waiting.pop()
        if other not in seen:
            seen.add(other)
            waiting += uses[other]
    return seen


def clause(program: Program, source: t.Source) -> str:
    """The clause as people cite it: the instrument's title and the place in it."""
    instrument = program.instruments.get(source.instrument)
    return f"{instrument.title if instrument else source.instrument}, {source.clause}"


def dimension_of(program: Program, expr: t.Expression) -> Dimension:
    """Dimension of an expression of a checked program."""
    kind = Typing(program).kind(expr)
    return kind.dimension if kind is not None else ()
