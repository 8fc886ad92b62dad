"""Rule text to syntax tree, with the grammar in `grammar.lark`."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError
from lark.tree import Meta

from rules_dsl import tree as t
from rules_dsl.diagnostics import Diagnostic, RulesError
from rules_dsl.units import Quantity, UnitError, quantity, unit

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 200
"""Nesting beyond this is refused before the recursive passes meet it."""

_WORDS = {
    "QUANTITY": "a number with its unit, such as `50.2 Hz`",
    "NAME": "a name",
    "TEXT": 'a text in double quotes, such as `"..."`',
    "DATE": "a date such as `2019-04-27`",
    "UNIT": "a unit such as `kW`",
    "EVIDENCE": "`read`, `corroborated`, `given` or `recalled`",
    "SUBJECT": "`unit`, `pool` or `bid`",
    "CHECKPOINT": "`command`, `schedule` or `bid`",
    "ROLE": "`nameplate`, `measured`, `estimated`, `commanded`, `scheduled` or `bid`",
    "COMPARE": "a comparison such as `<=`",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "MUL": "`*` or `/`",
    "$END": "the end of the file",
}


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = (files("rules_dsl") / "grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def parse(text: str, file: str) -> tuple[t.Statement, ...]:
    """The statements of a rule file, in order.

    Raises `RulesError` with one finding for text that does not follow the grammar or holds an unreadable unit or date.
    """
    if len(text) > MAX_CHARACTERS:
        raise RulesError([Diagnostic("too-long", "the file is longer than a rule file may be", _at(file, 1, 1))])
    depth = deepest = 0
    for character in text:
        depth += (character in "({") - (character in ")}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise RulesError([Diagnostic("too-deep", "parentheses nest too deep", _at(file, 1, 1))])
    try:
        return tuple(_Build(file).transform(_parser().parse(text)))
    except UnexpectedInput as error:
        raise RulesError([_unexpected(error, file)]) from error
    except VisitError as error:
        if isinstance(error.orig_exc, RulesError):
            raise error.orig_exc from error
        raise


def _at(file: str, line: int, column: int, width: int = 1) -> t.Span:
    return t.Span(file, line, column, line, column + width)


def _unexpected(error: UnexpectedInput, file: str) -> Diagnostic:
    expected: set[str] = set()
    if isinstance(error, UnexpectedToken):
        expected = set(error.accepts or error.expected)
        token = error.token
        width = max(1, len(str(token)))
        found = "the end of the file" if token.type == "$END" else f"`{token}`"
        line, column = (token.line or 1, token.column or 1) if token.type != "$END" else (error.line, error.column)
    elif isinstance(error, UnexpectedCharacters):
        expected, width, found = set(error.allowed or ()), 1, f"`{error.char}`"
        line, column = error.line, error.column
    else:
        width, found, line, column = 1, "the end of the file", 1, 1
    words = sorted(_WORDS.get(name, f"`{_literal(name)}`") for name in expected)
    shown = ", ".join(words[:6]) + (" or another word" if len(words) > 6 else "")
    return Diagnostic(
        "syntax", f"found {found} here", _at(file, max(1, line), max(1, column), width), f"expected {shown}"
    )


def _literal(terminal: str) -> str:
    for definition in _parser().terminals:
        if definition.name == terminal:
            return str(definition.pattern.value)
    return terminal.lower()


@v_args(meta=True)
class _Build(Transformer[Token, Any]):
    """One method per grammar rule; lark calls them from the leaves up."""

    def __init__(self, file: str) -> None:
        super().__init__(visit_tokens=True)
        self.file = file

    def _span(self, meta: Meta) -> t.Span:
        if meta.empty:
            return _at(self.file, 1, 1)
        return t.Span(self.file, meta.line, meta.column, meta.end_line, meta.end_column)

    def _fail(self, token: Token, code: str, message: str) -> RulesError:
        span = _at(self.file, token.line or 1, token.column or 1, len(token))
        return RulesError([Diagnostic(code, message, span)])

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

    def TEXT(self, token: Token) -> str:
        return str(token)[1:-1]

    def NAME(self, token: Token) -> str:
        return str(token)

    # parts

    def start(self, meta: Meta, parts: list[Any]) -> list[Any]:
        return parts

    def role(self, meta: Meta, parts: list[Any]) -> str:
        return str(parts[0])

    def unit_part(self, meta: Meta, parts: list[Any]) -> Any:
        return parts[0]

    resolution = stale = uncertain = margin = evidence = exception = note = when = unit_part

    def range_part(self, meta: Meta, parts: list[Any]) -> tuple[Any, Any]:
        return parts[0], parts[1]

    def name_set(self, meta: Meta, parts: list[Any]) -> tuple[str, ...]:
        return tuple(parts)

    def source(self, meta: Meta, parts: list[Any]) -> tuple[str, str, t.Span]:
        return parts[0], parts[1], self._span(meta)

    def in_force(self, meta: Meta, parts: list[Any]) -> tuple[date, date | None]:
        return parts[0], parts[1]

    def checked(self, meta: Meta, parts: list[Any]) -> tuple[str, ...]:
        return tuple(str(part) for part in parts)

    def applies(self, meta: Meta, parts: list[Any]) -> tuple[str, Any]:
        return str(parts[0]), parts[1]

    def value(self, meta: Meta, parts: list[Any]) -> Any:
        return parts[0] if isinstance(parts[0], Quantity) else str(parts[0])

    # statements

    def _source(self, source: tuple[str, str, t.Span], evidence: Any, force: Any) -> t.Source:
        return t.Source(source[0], source[1], str(evidence), force[0], force[1], span=source[2])

    def pack(self, meta: Meta, parts: list[Any]) -> t.Pack:
        return t.Pack(parts[0], parts[1], span=self._span(meta))

    def quantity(self, meta: Meta, parts: list[Any]) -> t.QuantityDecl:
        name, role, subject, in_unit, resolution, (low, high), stale, uncertain, text = parts
        return t.QuantityDecl(
            name,
            role,
            str(subject),
            in_unit,
            resolution,
            low,
            high,
            stale,
            uncertain,
            text,
            span=self._span(meta),
        )

    def choice(self, meta: Meta, parts: list[Any]) -> t.ChoiceDecl:
        name, names, role, subject, stale, text = parts
        return t.ChoiceDecl(name, names, role, str(subject), stale, text, span=self._span(meta))

    def flag(self, meta: Meta, parts: list[Any]) -> t.ChoiceDecl:
        name, role, subject, stale, text = parts
        return t.ChoiceDecl(name, ("no", "yes"), role, str(subject), stale, text, span=self._span(meta))

    def instrument(self, meta: Meta, parts: list[Any]) -> t.Instrument:
        return t.Instrument(*parts, span=self._span(meta))

    def parameter(self, meta: Meta, parts: list[Any]) -> t.Parameter:
        name, in_unit, low, high, source, evidence, force, text = parts
        return t.Parameter(
            name,
            in_unit,
            low,
            high,
            self._source(source, evidence, force),
            text or "",
            span=self._span(meta),
        )

    def setting(self, meta: Meta, parts: list[Any]) -> t.Setting:
        name, value, source, evidence, force = parts
        return t.Setting(name, value, self._source(source, evidence, force), span=self._span(meta))

    def definition(self, meta: Meta, parts: list[Any]) -> t.Definition:
        return t.Definition(parts[0], parts[1], span=self._span(meta))

    def curve(self, meta: Meta, parts: list[Any]) -> t.Curve:
        name, argument, result, source, evidence, force, *points = parts
        return t.Curve(
            name,
            argument,
            result,
            tuple(points),
            self._source(source, evidence, force),
            span=self._span(meta),
        )

    def curve_point(self, meta: Meta, parts: list[Any]) -> tuple[Any, Any]:
        return parts[0], parts[1]

    def rule(self, meta: Meta, parts: list[Any]) -> t.Rule:
        name, title, source, evidence, force, checked, (subject, scope), when, must, *rest = parts
        examples = tuple(part for part in rest if isinstance(part, t.Example))
        notes = [part for part in rest if isinstance(part, str)]
        exceptions = tuple(part for part in rest if part is not None and not isinstance(part, (t.Example, str)))
        return t.Rule(
            name,
            title,
            self._source(source, evidence, force),
            checked,
            subject,
            scope,
            when,
            must,
            exceptions,
            notes[0] if notes else "",
            examples,
            span=self._span(meta),
        )

    def _must(kind: str) -> Any:  # type: ignore[misc]
        def build(self: _Build, meta: Meta, parts: list[Any]) -> t.Must:
            right = tuple(
                t.Literal(part, span=self._span(meta)) if isinstance(part, Quantity) else part for part in parts[1:]
            )
            return t.Must(kind, parts[0], right, span=self._span(meta))

        return build

    at_most, at_least, between, multiple = (
        _must("at_most"),
        _must("at_least"),
        _must("between"),
        _must("multiple"),
    )

    def example(self, meta: Meta, parts: list[Any]) -> t.Example:
        given = tuple(part for part in parts[1:] if isinstance(part, t.Given))
        expected = tuple(part for part in parts[1:] if isinstance(part, t.Expectation))
        return t.Example(parts[0], given, expected, span=self._span(meta))

    def given(self, meta: Meta, parts: list[Any]) -> t.Given:
        return t.Given(parts[0], parts[1], span=self._span(meta))

    def unknown(self, meta: Meta, parts: list[Any]) -> t.Given:
        return t.Given(parts[0], None, span=self._span(meta))

    def member(self, meta: Meta, parts: list[Any]) -> t.Given:
        return t.Given(parts[0], tuple(parts[1:]), span=self._span(meta))

    def allows(self, meta: Meta, parts: list[Any]) -> t.Expectation:
        return t.Expectation(True, parts[0], parts[1], span=self._span(meta))

    def refuses(self, meta: Meta, parts: list[Any]) -> t.Expectation:
        return t.Expectation(False, parts[0], parts[1], span=self._span(meta))

    def theorem(self, meta: Meta, parts: list[Any]) -> t.Theorem:
        name, title, subject, (kind, cause, effect) = parts
        return t.Theorem(name, title, str(subject), kind, cause, effect, span=self._span(meta))

    def always_some(self, meta: Meta, parts: list[Any]) -> tuple[str, str, str]:
        return "always_some", "", parts[0]

    def never_more(self, meta: Meta, parts: list[Any]) -> tuple[str, str, str]:
        return "never_more", parts[0], parts[1]

    # conditions and expressions

    def any_of(self, meta: Meta, parts: list[Any]) -> t.Junction:
        return t.Junction("or", tuple(parts), span=self._span(meta))

    def all_of(self, meta: Meta, parts: list[Any]) -> t.Junction:
        return t.Junction("and", tuple(parts), span=self._span(meta))

    def compare(self, meta: Meta, parts: list[Any]) -> t.Compare:
        return t.Compare(str(parts[1]), parts[0], parts[2], span=self._span(meta))

    def one_of(self, meta: Meta, parts: list[Any]) -> t.OneOf:
        return t.OneOf(parts[0], parts[1], span=self._span(meta))

    def negation(self, meta: Meta, parts: list[Any]) -> t.Not:
        return t.Not(parts[0], span=self._span(meta))

    def holds(self, meta: Meta, parts: list[Any]) -> t.Holds:
        return t.Holds(parts[0], span=self._span(meta))

    def sum(self, meta: Meta, parts: list[Any]) -> t.Expression:
        left: t.Expression = parts[0]
        for op, right in zip(parts[1::2], parts[2::2], strict=True):
            left = t.Binary(str(op), left, right, span=self._span(meta))
        return left

    product = sum

    def literal(self, meta: Meta, parts: list[Any]) -> t.Literal:
        return t.Literal(parts[0], span=self._span(meta))

    def name(self, meta: Meta, parts: list[Any]) -> t.Name:
        return t.Name(parts[0], span=self._span(meta))

    def minus(self, meta: Meta, parts: list[Any]) -> t.Expression:
        zero = t.Literal(quantity("-1"), span=self._span(meta))
        return t.Binary("*", zero, parts[-1], span=self._span(meta))

    def negative(self, meta: Meta, parts: list[Any]) -> Quantity:
        return Quantity(-parts[-1].base, parts[-1].unit)

    def call(self, meta: Meta, parts: list[Any]) -> t.Call:
        return t.Call(str(parts[0]), tuple(parts[1:]), span=self._span(meta))

    curve_call = call

    def total(self, meta: Meta, parts: list[Any]) -> t.Total:
        return t.Total(parts[0], parts[1], span=self._span(meta))
