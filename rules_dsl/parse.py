"""Rule text to syntax tree, with the grammar in `grammar.lark`.

A file is cut into statements, each of which begins at the left margin; they are parsed one by one and remembered, so
that one slip costs one statement and an editor pays for what was typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError
from lark.tree import Meta

from rules_dsl import tree as t
from rules_dsl.diagnostics import Diagnostic, RulesError
from rules_dsl.instants import InstantError, instant, zone
from rules_dsl.units import Quantity, UnitError, quantity, unit

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 60
"""Nesting beyond this is refused before the recursive passes meet it."""
MAX_TERMS = 120
"""A sum or a chain of `not` longer than this is refused: it makes a tree as deep as it is long."""

STATEMENTS = (
    "pack|adopt|subject|quantity|choice|flag|instant|calendar|instrument|parameter|set|define|running|curve|table|rule"
    "|theorem"
)
_START = re.compile(rf"^(?:{STATEMENTS})(?![A-Za-z0-9_])", re.MULTILINE)
_CHAINS = re.compile(r"[-+*/]|\bnot\b")
_STRIP = re.compile(r'"[^"\n]*"|--[^\n]*')

_WORDS = {
    "QUANTITY": "a number with its unit, such as `50.2 Hz`",
    "NAME": "a name",
    "TEXT": 'a text in double quotes, such as `"..."`',
    "DATE": "a date such as `2019-04-27`",
    "INSTANT": "a moment such as `2026-03-29T14:00 Europe/London`",
    "ZONE": "a time zone such as `Europe/London`",
    "CLOCK": "a time of day such as `14:00`",
    "MONTH_DAY": "a month and day such as `04-01`",
    "UNIT": "a unit such as `kW`",
    "RULE_ID": "a rule such as `entsoe/lfsm_o`",
    "EVIDENCE": "`read`, `corroborated`, `given`, `reported` or `recalled`",
    "CHECKPOINT": "`command`, `schedule`, `bid`, `registration`, `telemetry` or `settlement`",
    "ROLE": "a role such as `measured`",
    "POSITION": "`every`, `every later`, `the first` or `the last`",
    "RELATION": "`overrides`, `notwithstanding` or `tightens`",
    "DIRECTION": "`fall` or `rise`",
    "PLACE": "`country`, `operator`, `site` or `contract`",
    "PROTOCOL": "a protocol such as `sunspec`",
    "CALENDAR_UNIT": "`day`, `month` or `year`",
    "SIDE": "`before` or `after`",
    "WEEKDAY": "a day of the week",
    "AGGREGATE": "`sum of` or another aggregate",
    "COUNTING": "`count of` or `share of`",
    "FUNCTION": "`max`, `min` or `abs`",
    "REFUSES": "`refuses`",
    "COUNT": "a whole number",
    "EFFECT": "`blocks` or `warns`",
    "ANY": "`any`",
    "BOOLEAN": "`yes` or `no`",
    "COMPARE": "a comparison such as `<=`",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "MUL": "`*` or `/`",
    "$END": "the end of the statement",
}


@lru_cache(maxsize=1)
def grammar() -> str:
    """The text of the grammar."""
    return (files("rules_dsl") / "grammar.lark").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def parser() -> Lark:
    """The parser that the grammar makes."""
    return Lark(grammar(), parser="lalr", propagate_positions=True, maybe_placeholders=True)


def parse(text: str, file: str) -> tuple[t.Statement, ...]:
    """The statements of a rule file, in order.

    Raises `RulesError` with a finding for each statement that does not follow the grammar or holds an unreadable
    number, unit, date or moment.
    """
    statements, findings = parse_all(text, file)
    if findings:
        raise RulesError(findings)
    return statements


def parse_all(text: str, file: str) -> tuple[tuple[t.Statement, ...], list[Diagnostic]]:
    """The statements that can be read, and a finding for each that cannot."""
    if len(text) > MAX_CHARACTERS:
        return (), [Diagnostic("too-long", "the file is longer than a rule file may be", _at(file, 1, 1))]
    found: list[t.Statement] = []
    findings: list[Diagnostic] = []
    for line, chunk in _chunks(text):
        try:
            found += _statements(chunk, file, line)
        except RulesError as error:
            findings += error.diagnostics
    return tuple(found), findings


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """(number of the lines before it, text) of each statement; what stands before the first belongs to it."""
    starts = [match.start() for match in _START.finditer(text)][1:]
    before = line = 0
    for end in (*starts, len(text)):
        chunk = text[before:end]
        yield line, chunk
        line += chunk.count("\n")
        before = end


@lru_cache(maxsize=8192)
def _statements(chunk: str, file: str, line: int) -> tuple[t.Statement, ...]:
    bare = _STRIP.sub("", chunk)
    depth = deepest = 0
    for character in bare:
        depth += (character in "({[") - (character in ")}]")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH or len(_CHAINS.findall(bare)) > MAX_TERMS:
        raise RulesError(
            [Diagnostic("too-deep", "the statement nests too deep or is too long", _at(file, line + 1, 1))]
        )
    try:
        return tuple(_Build(file, line).transform(parser().parse(chunk)))
    except UnexpectedInput as error:
        raise RulesError([_unexpected(error, file, line, chunk)]) from None
    except VisitError as error:
        if isinstance(error.orig_exc, RulesError):
            raise error.orig_exc from None
        raise


def _at(file: str, line: int, column: int, width: int = 1) -> t.Span:
    return t.Span(file, line, column, line, column + width)


def _unexpected(error: UnexpectedInput, file: str, before: int, chunk: str) -> Diagnostic:
    expected: set[str] = set()
    last = chunk.rstrip().splitlines() or [""]
    if isinstance(error, UnexpectedToken):
        expected = set(error.accepts or error.expected)
        token = error.token
        width = max(1, len(str(token)))
        ended = token.type == "$END"
        found = "the end of the statement" if ended else f"`{token}`"
        line, column = (len(last), len(last[-1]) + 1) if ended else (token.line or 1, token.column or 1)
    elif isinstance(error, UnexpectedCharacters):
        expected, width, found = set(error.allowed or ()), 1, f"`{error.char}`"
        line, column = error.line, error.column
    else:
        width, found, line, column = 1, "the end of the statement", len(last), len(last[-1]) + 1
    words = sorted(_WORDS.get(name, f"`{_literal(name)}`") for name in expected)
    shown = ", ".join(words[:6]) + (" or another word" if len(words) > 6 else "")
    hint = f"expected {shown}"
    if expected == {"CITES"}:
        hint += ": every statement of law says where it stands and since when"
    return Diagnostic("syntax", f"found {found} here", _at(file, before + max(1, line), max(1, column), width), hint)


def _literal(terminal: str) -> str:
    for definition in parser().terminals:
        if definition.name == terminal:
            return str(definition.pattern.value)
    return terminal.lower()


@v_args(meta=True)
class _Build(Transformer[Token, Any]):
    """One method per grammar rule; lark calls them from the leaves up."""

    def __init__(self, file: str, before: int) -> None:
        super().__init__(visit_tokens=True)
        self.file, self.before = file, before

    def _span(self, meta: Meta) -> t.Span:
        if meta.empty:
            return _at(self.file, self.before + 1, 1)
        return t.Span(self.file, self.before + meta.line, meta.column, self.before + meta.end_line, meta.end_column)

    def _fail(self, token: Token, code: str, message: str, hint: str = "") -> RulesError:
        span = _at(self.file, self.before + (token.line or 1), token.column or 1, len(token))
        return RulesError([Diagnostic(code, message, span, hint)])

    # terminals

    def QUANTITY(self, token: Token) -> Quantity:
        try:
            return quantity(str(token))
        except UnitError as error:
            raise self._fail(token, "unit", str(error)) from error

    def UNIT(self, token: Token) -> Any:
        try:
            return unit(str(token))
        except UnitError as error:
            raise self._fail(token, "unit", str(error)) from error

    def DATE(self, token: Token) -> date:
        try:
            return date.fromisoformat(str(token))
        except ValueError as error:
            raise self._fail(token, "date", f"`{token}` is not a day of the calendar") from error

    def INSTANT(self, token: Token) -> t.InstantLiteral:
        span = _at(self.file, self.before + (token.line or 1), token.column or 1, len(token))
        try:
            return t.InstantLiteral(instant(str(token)), str(token), span=span)
        except InstantError as error:
            raise self._fail(token, error.code, str(error), error.hint) from error

    def ZONE(self, token: Token) -> str:
        try:
            return zone(str(token)).key
        except InstantError as error:
            raise self._fail(token, error.code, str(error), error.hint) from error

    def CLOCK(self, token: Token) -> int:
        hours, minutes = int(token[:2]), int(token[3:])
        if hours > 23 or minutes > 59:
            raise self._fail(token, "date", f"`{token}` is not a time of day")
        return hours * 3600 + minutes * 60

    def MONTH_DAY(self, token: Token) -> str:
        try:
            date.fromisoformat(f"2023-{token}")
        except ValueError as error:
            raise self._fail(token, "date", f"`{token}` is not a day of every year") from error
        return str(token)

    def TEXT(self, token: Token) -> str:
        return str(token)[1:-1]

    def NAME(self, token: Token) -> str:
        return str(token)

    COUNT = RULE_ID = NAME
    ROLE = EFFECT = EVIDENCE = CHECKPOINT = FUNCTION = AGGREGATE = COUNTING = CALENDAR_UNIT = POSITION = NAME
    DIRECTION = RELATION = PLACE = PROTOCOL = SIDE = WEEKDAY = BOOLEAN = COMPARE = PLUS = MINUS = MUL = NAME

    # parts

    def start(self, meta: Meta, parts: list[Any]) -> list[Any]:
        return parts

    def unit_part(self, meta: Meta, parts: list[Any]) -> Any:
        return parts[0]

    resolution = stale = uncertain = sign = margin = exception = unit_part

    def note(self, meta: Meta, parts: list[Any]) -> tuple[str, str]:
        return "note", parts[0]

    def range_part(self, meta: Meta, parts: list[Any]) -> tuple[Any, ...]:
        return tuple(parts)

    binding = name_set = pack_names = range_part

    def applies(self, meta: Meta, parts: list[Any]) -> tuple[str, Any]:
        return parts[0], parts[1] if len(parts) > 1 else None

    def checked(self, meta: Meta, parts: list[Any]) -> tuple[tuple[str, ...], str]:
        return tuple(parts[:-1]), parts[-1] or ""

    def ordered(self, meta: Meta, parts: list[Any]) -> str:
        return parts[0] or ""

    def places(self, meta: Meta, parts: list[Any]) -> tuple[tuple[str, str], ...]:
        return tuple(zip(parts[::2], parts[1::2], strict=True))

    def recorded(self, meta: Meta, parts: list[Any]) -> tuple[Any, Any]:
        return parts[0], parts[1]

    def in_force(self, meta: Meta, parts: list[Any]) -> t.Period:
        recorded = parts[2] or (None, None)
        return t.Period(parts[0], parts[1], *recorded, span=self._span(meta))

    def basis(self, meta: Meta, parts: list[Any]) -> t.Source:
        return t.Source(*parts, span=self._span(meta))

    def edition(self, meta: Meta, parts: list[Any]) -> t.Edition:
        return t.Edition(*parts, span=self._span(meta))

    def tries(self, meta: Meta, parts: list[Any]) -> tuple[tuple[Quantity, ...], tuple[Quantity, ...]]:
        middle = next(i for i, part in enumerate(parts) if isinstance(part, Token))
        return tuple(parts[:middle]), tuple(parts[middle + 1 :])

    # statements

    def _whole(self, meta: Meta, value: Quantity, what: str) -> int:
        if value.unit.text or value.base.denominator != 1 or value.base > 1_000_000:
            raise RulesError([Diagnostic("number", f"{what} is a whole number without a unit", self._span(meta))])
        return int(value.base)

    def pack(self, meta: Meta, parts: list[Any]) -> t.Pack:
        name, title, priority, adopts, period = parts
        rank = self._whole(meta, priority, "a priority") if priority else 0
        return t.Pack(name, title, rank, adopts or (), period, span=self._span(meta))

    def adoption(self, meta: Meta, parts: list[Any]) -> t.Adoption:
        return t.Adoption(*parts, span=self._span(meta))

    def subject(self, meta: Meta, parts: list[Any]) -> t.Subject:
        name, text, rows, of, order = parts
        return t.Subject(name, text, rows or "", of or "", order, span=self._span(meta))

    def quantity(self, meta: Meta, parts: list[Any]) -> t.QuantityDecl:
        name, role, subject, in_unit, resolution, (low, high), stale, uncertain, sign, *bindings, text = parts
        return t.QuantityDecl(
            name,
            role,
            subject,
            in_unit,
            resolution,
            low,
            high,
            stale,
            uncertain,
            sign or "",
            tuple(bindings),
            text,
            span=self._span(meta),
        )

    def choice(self, meta: Meta, parts: list[Any]) -> t.ChoiceDecl:
        name, names, role, subject, stale, *bindings, text = parts
        return t.ChoiceDecl(name, names, role, subject, stale, tuple(bindings), text, span=self._span(meta))

    def flag(self, meta: Meta, parts: list[Any]) -> t.ChoiceDecl:
        name, role, subject, stale, *bindings, text = parts
        return t.ChoiceDecl(name, ("no", "yes"), role, subject, stale, tuple(bindings), text, span=self._span(meta))

    def instant(self, meta: Meta, parts: list[Any]) -> t.InstantDecl:
        return t.InstantDecl(*parts, span=self._span(meta))

    def calendar(self, meta: Meta, parts: list[Any]) -> t.Calendar:
        name, title, in_zone, *days = parts
        *days, start, until, instrument, clause = [d for d in days if d is not None]
        order = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
        weekdays = tuple(order.index(d) for d in days if isinstance(d, str))
        holidays = tuple(d for d in days if isinstance(d, date))
        return t.Calendar(
            name, title, in_zone, weekdays, holidays, start, until, instrument, clause, span=self._span(meta)
        )

    def instrument(self, meta: Meta, parts: list[Any]) -> t.Instrument:
        name, title, authority, in_zone, *editions, replaces = parts
        return t.Instrument(
            name, title, authority, in_zone or "", tuple(editions), replaces or "", span=self._span(meta)
        )

    def parameter(self, meta: Meta, parts: list[Any]) -> t.Parameter:
        name, in_unit, low, high, default, source, text, tried = parts
        legal, illegal = tried or ((), ())
        return t.Parameter(name, in_unit, low, high, default, source, text or "", legal, illegal, span=self._span(meta))

    def setting(self, meta: Meta, parts: list[Any]) -> t.Setting:
        name, value, places, source = parts
        return t.Setting(name, value, places or (), source, span=self._span(meta))

    def definition(self, meta: Meta, parts: list[Any]) -> t.Definition:
        return t.Definition(parts[0], parts[1], span=self._span(meta))

    def running(self, meta: Meta, parts: list[Any]) -> t.Running:
        name, kind, subject, starts, *cases, text = parts
        in_unit, names = (None, kind) if isinstance(kind, tuple) else (kind, ())
        return t.Running(name, in_unit, names, subject, starts, tuple(cases), text, span=self._span(meta))

    def case(self, meta: Meta, parts: list[Any]) -> t.Case:
        return t.Case(parts[0], parts[1], span=self._span(meta))

    def curve(self, meta: Meta, parts: list[Any]) -> t.Curve:
        name, argument, result, source, *points = parts
        return t.Curve(name, argument, result, tuple(points), source, span=self._span(meta))

    def curve_point(self, meta: Meta, parts: list[Any]) -> tuple[Any, Any]:
        return parts[0], parts[1]

    def point_name(self, meta: Meta, parts: list[Any]) -> str:
        return str(parts[0])

    set_name = name_cell = point_name

    def table(self, meta: Meta, parts: list[Any]) -> t.Table:
        columns = tuple(p for p in parts if isinstance(p, t.Column))
        rows = tuple(p for p in parts if isinstance(p, t.TableRow))
        result, source = parts[1 + len(columns) : 3 + len(columns)]
        in_unit, names = (None, result) if isinstance(result, tuple) else (result, ())
        return t.Table(parts[0], columns, in_unit, names, rows, source, span=self._span(meta))

    def column(self, meta: Meta, parts: list[Any]) -> t.Column:
        return t.Column(parts[0], parts[1], span=self._span(meta))

    def row(self, meta: Meta, parts: list[Any]) -> t.TableRow:
        *cells, result = parts
        if isinstance(result, t.Cell):
            raise RulesError([Diagnostic("table", "the last cell of a row is its result", self._span(meta))])
        return t.TableRow(tuple(self._cell(meta, cell) for cell in cells), result, span=self._span(meta))

    def _cell(self, meta: Meta, cell: Any) -> t.Cell:
        if isinstance(cell, t.Cell):
            return cell
        if isinstance(cell, str):
            return t.Cell(names=(cell,), span=self._span(meta))
        return t.Cell(bounds=(("=", cell),), span=self._span(meta))

    def otherwise(self, meta: Meta, parts: list[Any]) -> t.TableRow:
        return t.TableRow((), parts[0], span=self._span(meta))

    def any_cell(self, meta: Meta, parts: list[Any]) -> t.Cell:
        return t.Cell(span=self._span(meta))

    def from_to(self, meta: Meta, parts: list[Any]) -> t.Cell:
        return t.Cell(bounds=((">=", parts[0]), ("<", parts[1])), span=self._span(meta))

    def bounds(self, meta: Meta, parts: list[Any]) -> t.Cell:
        return t.Cell(bounds=tuple(p for p in parts if p is not None), span=self._span(meta))

    def bound(self, meta: Meta, parts: list[Any]) -> tuple[str, Quantity]:
        return parts[0], parts[1]

    def names_cell(self, meta: Meta, parts: list[Any]) -> t.Cell:
        return t.Cell(names=tuple(parts), span=self._span(meta))

    def rule(self, meta: Meta, parts: list[Any]) -> t.Rule:
        name, title, source, relation, checked, (subject, scope), quantifier, when, demand, timing, *rest = parts
        rest = [part for part in rest if part is not None]
        examples = tuple(part for part in rest if isinstance(part, t.Example))
        transitions = tuple(part for part in rest if isinstance(part, t.Transition))
        notes = [part[1] for part in rest if isinstance(part, tuple)]
        exceptions = tuple(part for part in rest if not isinstance(part, (t.Example, t.Transition, tuple)))
        event, condition = when or (False, None)
        stages, effect = checked
        return t.Rule(
            name,
            title,
            source,
            relation,
            stages,
            effect,
            subject,
            scope,
            quantifier,
            condition,
            event,
            demand,
            timing,
            exceptions,
            transitions,
            notes[0] if notes else "",
            examples,
            span=self._span(meta),
        )

    def relation(self, meta: Meta, parts: list[Any]) -> t.Relation:
        return t.Relation(parts[0], tuple(parts[1:]), span=self._span(meta))

    def quantifier(self, meta: Meta, parts: list[Any]) -> t.Quantifier:
        return t.Quantifier(parts[0], parts[1], span=self._span(meta))

    def when(self, meta: Meta, parts: list[Any]) -> tuple[bool, Any]:
        return False, parts[0]

    def whenever(self, meta: Meta, parts: list[Any]) -> tuple[bool, Any]:
        return True, parts[0]

    def transition(self, meta: Meta, parts: list[Any]) -> t.Transition:
        return t.Transition(parts[0], parts[1], span=self._span(meta))

    def within(self, meta: Meta, parts: list[Any]) -> t.Timing:
        return t.Timing(parts[0], parts[1], span=self._span(meta))

    def lasting(self, meta: Meta, parts: list[Any]) -> t.Timing:
        return t.Timing(None, parts[0], span=self._span(meta))

    def _demand(kind: str) -> Any:  # type: ignore[misc]
        def build(self: _Build, meta: Meta, parts: list[Any]) -> t.Demand:
            return t.Demand(kind, parts[0], tuple(parts[1:]), span=self._span(meta))

        return build

    at_most = _demand("at_most")
    at_least = _demand("at_least")
    below = _demand("below")
    above = _demand("above")
    between = _demand("between")
    equal = _demand("equal")
    multiple = _demand("multiple")

    def _names(kind: str) -> Any:  # type: ignore[misc]
        def build(self: _Build, meta: Meta, parts: list[Any]) -> t.Demand:
            names = (parts[1],) if kind in ("flag", "never") else parts[1]
            return t.Demand(kind, parts[0], names=names, span=self._span(meta))

        return build

    member_of = _names("in")
    not_member_of = _names("not_in")
    be_flag = _names("flag")
    never = _names("never")

    def that(self, meta: Meta, parts: list[Any]) -> t.Demand:
        return t.Demand("that", None, condition=parts[0], span=self._span(meta))

    def example(self, meta: Meta, parts: list[Any]) -> t.Example:
        given = tuple(part for part in parts[1:] if isinstance(part, t.Given))
        rows = next((part for part in parts[1:] if isinstance(part, t.RowTable)), None)
        expected = tuple(part for part in parts[1:] if isinstance(part, t.Expectation))
        return t.Example(parts[0], given, rows, expected, span=self._span(meta))

    def value(self, meta: Meta, parts: list[Any]) -> Any:
        return parts[0]

    def given(self, meta: Meta, parts: list[Any]) -> t.Given:
        return t.Given(parts[0], parts[1], span=self._span(meta))

    def unknown(self, meta: Meta, parts: list[Any]) -> t.Given:
        return t.Given(parts[0], None, span=self._span(meta))

    def inner(self, meta: Meta, parts: list[Any]) -> t.Given:
        return t.Given(parts[1], tuple(parts[2:]), parts[0], span=self._span(meta))

    def rows(self, meta: Meta, parts: list[Any]) -> t.RowTable:
        noun, (head, _), *numbered = parts
        body, lines = [row for row, _ in numbered], tuple(line for _, line in parts[1:])
        if not all(isinstance(cell, str) for cell in head):
            raise RulesError([Diagnostic("table", "the first row of a table names its columns", self._span(meta))])
        if not body or any(len(row) != len(head) for row in body):
            raise RulesError([Diagnostic("table", "each row needs as many cells as the head", self._span(meta))])
        return t.RowTable(noun, head, tuple(body), lines, span=self._span(meta))

    def example_row(self, meta: Meta, parts: list[Any]) -> tuple[tuple[Any, ...], int]:
        return tuple(parts), self.before + meta.line

    def unknown_cell(self, meta: Meta, parts: list[Any]) -> None:
        return None

    def as_given(self, meta: Meta, parts: list[Any]) -> tuple[Any, ...]:
        return ()

    def trial(self, meta: Meta, parts: list[Any]) -> tuple[Any, ...]:
        return tuple(parts)

    def allows(self, meta: Meta, parts: list[Any]) -> t.Expectation:
        return t.Expectation("allows", parts[0], parts[1], span=self._span(meta))

    def refuses(self, meta: Meta, parts: list[Any]) -> t.Expectation:
        return t.Expectation("refuses", parts[1], parts[2], span=self._span(meta))

    def cannot_tell(self, meta: Meta, parts: list[Any]) -> t.Expectation:
        return t.Expectation("cannot tell", parts[0], None, span=self._span(meta))

    def theorem(self, meta: Meta, parts: list[Any]) -> t.Theorem:
        name, title, *about, claim = parts
        subject, given = about or ("", None)
        return t.Theorem(name, title, subject, given, claim, span=self._span(meta))

    def always_some(self, meta: Meta, parts: list[Any]) -> t.AlwaysSome:
        return t.AlwaysSome(parts[0], span=self._span(meta))

    def never_more(self, meta: Meta, parts: list[Any]) -> t.Raising:
        return t.Raising("more", *parts, span=self._span(meta))

    def never_less(self, meta: Meta, parts: list[Any]) -> t.Raising:
        return t.Raising("less", *parts, span=self._span(meta))

    def keeps(self, meta: Meta, parts: list[Any]) -> t.Leads:
        condition, *steps, off_by = parts
        return t.Leads(None, condition, tuple(steps), off_by or (), span=self._span(meta))

    def afterwards(self, meta: Meta, parts: list[Any]) -> t.Leads:
        after, condition, *steps, off_by = parts
        return t.Leads(after, condition, tuple(steps), off_by or (), span=self._span(meta))

    def becomes(self, meta: Meta, parts: list[Any]) -> t.Step:
        return t.Step(*parts, span=self._span(meta))

    changes = becomes

    def band(self, meta: Meta, parts: list[Any]) -> tuple[t.OffBy, ...]:
        return tuple(parts)

    def off_by(self, meta: Meta, parts: list[Any]) -> t.OffBy:
        return t.OffBy(*parts, span=self._span(meta))

    def nowhere_above(self, meta: Meta, parts: list[Any]) -> t.NowhereAbove:
        return t.NowhereAbove(*parts, span=self._span(meta))

    def scaled(self, meta: Meta, parts: list[Any]) -> t.Scaled:
        return t.Scaled(*parts, span=self._span(meta))

    # conditions and expressions

    def any_of(self, meta: Meta, parts: list[Any]) -> t.Junction:
        return t.Junction("or", tuple(parts), span=self._span(meta))

    def all_of(self, meta: Meta, parts: list[Any]) -> t.Junction:
        return t.Junction("and", tuple(parts), span=self._span(meta))

    def compare(self, meta: Meta, parts: list[Any]) -> t.Compare:
        return t.Compare(parts[1], parts[0], parts[2], span=self._span(meta))

    def one_of(self, meta: Meta, parts: list[Any]) -> t.OneOf:
        return t.OneOf(parts[0], parts[1], span=self._span(meta))

    def negation(self, meta: Meta, parts: list[Any]) -> t.Not:
        return t.Not(parts[0], span=self._span(meta))

    def throughout(self, meta: Meta, parts: list[Any]) -> t.Throughout:
        return t.Throughout(parts[0], parts[1], span=self._span(meta))

    def holds(self, meta: Meta, parts: list[Any]) -> t.Holds:
        return t.Holds(parts[0], span=self._span(meta))

    def sum(self, meta: Meta, parts: list[Any]) -> t.Expression:
        left: t.Expression = parts[0]
        for op, right in zip(parts[1::2], parts[2::2], strict=True):
            left = t.Binary(op, left, right, span=self._span(meta))
        return left

    product = sum

    def literal(self, meta: Meta, parts: list[Any]) -> t.Literal:
        return t.Literal(parts[0], span=self._span(meta))

    def instant_literal(self, meta: Meta, parts: list[Any]) -> t.InstantLiteral:
        return parts[0]  # type: ignore[no-any-return]

    def name(self, meta: Meta, parts: list[Any]) -> t.Name:
        return t.Name(parts[0], span=self._span(meta))

    def minus(self, meta: Meta, parts: list[Any]) -> t.Expression:
        if isinstance(parts[-1], t.Literal) and parts[-1].value.base > 0:
            return t.Literal(_negated(parts[-1].value), span=self._span(meta))
        return t.Binary("*", t.Literal(quantity("-1"), span=self._span(meta)), parts[-1], span=self._span(meta))

    def negative(self, meta: Meta, parts: list[Any]) -> Quantity:
        return _negated(parts[-1])

    def call(self, meta: Meta, parts: list[Any]) -> t.Call:
        return t.Call(parts[0], tuple(parts[1:]), span=self._span(meta))

    named_call = call

    def aggregate(self, meta: Meta, parts: list[Any]) -> t.Expression:
        if len(parts) == 1:
            return parts[0]  # type: ignore[no-any-return]
        return t.Aggregate(*parts, span=self._span(meta))

    def counting(self, meta: Meta, parts: list[Any]) -> t.Aggregate:
        kind, rows, over, condition = parts
        window = replace(over, rows=rows) if over else t.Over("all", rows, span=self._span(meta))
        return t.Aggregate(kind, None, window, condition, span=self._span(meta))

    def all_rows(self, meta: Meta, parts: list[Any]) -> t.Over:
        return t.Over("all", parts[0], span=self._span(meta))

    def last(self, meta: Meta, parts: list[Any]) -> t.Over:
        return t.Over("rows" if parts[1] else "last", parts[1] or "", parts[0], span=self._span(meta))

    def next(self, meta: Meta, parts: list[Any]) -> t.Over:
        return t.Over("next", first=parts[0], span=self._span(meta))

    def stretch(self, meta: Meta, parts: list[Any]) -> t.Over:
        return t.Over("stretch", first=parts[0], second=parts[1], span=self._span(meta))

    def same(self, meta: Meta, parts: list[Any]) -> t.Over:
        return t.Over("same", unit=parts[0], zone=parts[1], start=parts[2] or "", span=self._span(meta))

    def previous(self, meta: Meta, parts: list[Any]) -> t.AsOf:
        return t.AsOf(parts[0], None, "", parts[1], span=self._span(meta))

    def as_of(self, meta: Meta, parts: list[Any]) -> t.AsOf:
        return t.AsOf(parts[0], parts[1], parts[2] or "", parts[3], span=self._span(meta))

    def earlier(self, meta: Meta, parts: list[Any]) -> t.Expression:
        return parts[0]  # type: ignore[no-any-return]

    def _local(kind: str) -> Any:  # type: ignore[misc]
        def build(self: _Build, meta: Meta, parts: list[Any]) -> t.Local:
            argument, in_zone, *length = parts
            return t.Local(kind, argument, in_zone, length[0] if length else None, span=self._span(meta))

        return build

    clock = _local("clock")
    local_day = _local("day")
    weekday = _local("weekday")
    period = _local("period")

    def local(self, meta: Meta, parts: list[Any]) -> t.Expression:
        return parts[0]  # type: ignore[no-any-return]

    def same_day(self, meta: Meta, parts: list[Any]) -> t.ClockOn:
        return t.ClockOn(parts[0], parts[1], 0, "day", "", parts[2], span=self._span(meta))

    def plain_days(self, meta: Meta, parts: list[Any]) -> tuple[str, str]:
        return "day", ""

    def months(self, meta: Meta, parts: list[Any]) -> tuple[str, str]:
        return "month", ""

    def years(self, meta: Meta, parts: list[Any]) -> tuple[str, str]:
        return "year", ""

    def business_days(self, meta: Meta, parts: list[Any]) -> tuple[str, str]:
        return "business", parts[-1]

    def days_away(self, meta: Meta, parts: list[Any]) -> t.ClockOn:
        clock, in_zone, days, (step, calendar), side, argument = parts
        count = int(days) * (-1 if side == "before" else 1)
        return t.ClockOn(clock, in_zone, count, step, calendar, argument, span=self._span(meta))


def _negated(value: Quantity) -> Quantity:
    return Quantity(-value.base, value.unit)
