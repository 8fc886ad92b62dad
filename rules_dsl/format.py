"""Syntax tree to rule text in its one layout; comments keep their places.

`write` prints a tree so that parsing it again gives the same tree. `format_text` lays out a whole file and loses no
comment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from rules_dsl import tree as t
from rules_dsl.parse import parse
from rules_dsl.units import Quantity, show

WIDTH = 118
_COMMENT = re.compile(r'"[^"\n]*"|(--[^\n]*)')
_ALONE = (t.Rule, t.Table, t.Curve, t.Running, t.Theorem, t.Instrument)
"""Statements with an empty line before each."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of output and the line of the source that it came from (0 when unknown)."""

    text: str
    source: int


def format_text(text: str, file: str = "") -> str:
    """The file in its one layout; raises `RulesError` for text that does not parse."""
    statements = parse(text, file)
    comments = _comments(text)
    out: list[str] = []
    source = text.splitlines()
    before: t.Statement | None = None
    for statement in statements:
        lines = statement_lines(statement)
        blank = before is not None and (
            isinstance(statement, _ALONE)
            or type(statement) is not type(before)
            or _gap(source, before.span.end_line, statement.span.line)
        )
        heads = [c for c in comments if c.alone and c.line < statement.span.line]
        inside = [c for c in comments if c not in heads and c.line <= statement.span.end_line]
        comments = [c for c in comments if c not in heads and c not in inside]
        if blank or (out and heads):
            out.append("")
        last = 0
        for comment in heads:
            if last and comment.line > last + 1:
                out.append("")
            out.append(comment.text)
            last = comment.line
        if last and statement.span.line > last + 1:
            out.append("")
        out += _merge(lines, inside)
        before = statement
    last = before.span.end_line if before is not None else 0
    for comment in comments:
        if out and comment.line > last + 1:
            out.append("")
        out.append(comment.text)
        last = comment.line
    return "\n".join(line.rstrip() for line in out) + "\n" if out else ""


@dataclass(frozen=True, slots=True)
class _Comment:
    line: int
    text: str
    alone: bool


def _comments(text: str) -> list[_Comment]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for match in _COMMENT.finditer(line):
            if match[1]:
                found.append(_Comment(number, match[1].rstrip(), not line[: match.start()].strip()))
    return found


def _gap(source: Sequence[str], end: int, start: int) -> bool:
    return any(not line.strip() for line in source[end : start - 1])


def _merge(lines: Sequence[Line], comments: Iterable[_Comment]) -> list[str]:
    """The lines with each comment at the end of the line it followed, or before the line it preceded."""
    texts = [line.text for line in lines]
    ahead: dict[int, list[str]] = {}
    for comment in comments:
        if not comment.alone:
            place = max((i for i, line in enumerate(lines) if line.source <= comment.line), default=0)
            if "--" not in _COMMENT.sub(lambda m: (m[1] and "--") or "", texts[place]):
                texts[place] += f"  {comment.text}"
                continue
        place = next((i for i, line in enumerate(lines) if line.source > comment.line), len(lines) - 1)
        ahead.setdefault(place, []).append(comment.text)
    out: list[str] = []
    for i, text in enumerate(texts):
        indent = text[: len(text) - len(text.lstrip())]
        out += [indent + comment for comment in ahead.get(i, ())]
        out.append(text)
    return out


# ── statements ──────────────────────────────────────────────────────────────────────────────────────────────────────


def write(statement: t.Statement) -> str:
    """The text of one statement."""
    return "\n".join(line.text for line in statement_lines(statement))


def statement_lines(statement: t.Statement) -> list[Line]:
    """The lines of one statement, each with the source line it came from."""
    lines: list[tuple[str, int]] = [*_STATEMENTS[type(statement)](statement)]
    out: list[Line] = []
    at = statement.span.line
    for text, source in lines:
        at = max(at, source)
        out.append(Line(text, at))
    return out


def _pack(s: t.Pack) -> Iterable[tuple[str, int]]:
    priority = f" priority {s.priority}" if s.priority else ""
    adopts = f" adopts {', '.join(s.adopts)}" if s.adopts else ""
    yield f'pack {s.name} "{s.title}"{priority}{adopts}', 0
    if s.period:
        yield f"  {_period(s.period)}", s.period.span.line


def _adoption(s: t.Adoption) -> Iterable[tuple[str, int]]:
    yield f"adopt {s.rule}", 0
    yield _source(s.source)


def _subject(s: t.Subject) -> Iterable[tuple[str, int]]:
    order = "" if s.order is None else " in order" + (f" of {s.order}" if s.order else "")
    rows = f" made of {s.rows} : {s.of}{order}" if s.rows else ""
    yield f'subject {s.name} "{s.text}"{rows}', 0


def _quantity(s: t.QuantityDecl) -> Iterable[tuple[str, int]]:
    yield f"quantity {s.name} : {s.role} per {s.subject}", 0
    parts = [f"unit {s.unit.text}", f"resolution {number(s.resolution)}", f"range {number(s.low)} .. {number(s.high)}"]
    parts += [f"stale after {number(s.stale)}"] if s.stale else []
    parts += [f"uncertain by {number(s.uncertain)}"] if s.uncertain else []
    parts += [f'positive means "{s.sign}"'] if s.sign else []
    yield "  " + "  ".join(parts), 0
    yield from _bindings(s.bindings)
    yield f'  "{s.text}"', 0


def _bindings(bindings: Sequence[tuple[str, str]]) -> Iterable[tuple[str, int]]:
    if bindings:
        yield "  " + "  ".join(f'{protocol} "{place}"' for protocol, place in bindings), 0


def _choice(s: t.ChoiceDecl) -> Iterable[tuple[str, int]]:
    stale = f" stale after {number(s.stale)}" if s.stale else ""
    head = f"flag {s.name}" if s.names == ("no", "yes") else f"choice {s.name} of {_set(s.names)}"
    yield f"{head} : {s.role} per {s.subject}{stale}", 0
    yield from _bindings(s.bindings)
    yield f'  "{s.text}"', 0


def _instant(s: t.InstantDecl) -> Iterable[tuple[str, int]]:
    stale = f" stale after {number(s.stale)}" if s.stale else ""
    yield f"instant {s.name} : {s.role} per {s.subject}{stale}", 0
    yield f'  "{s.text}"', 0


_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def _calendar(s: t.Calendar) -> Iterable[tuple[str, int]]:
    yield f'calendar {s.name} "{s.title}"', 0
    rests = ", ".join(_DAYS[d] for d in s.weekdays)
    yield f"  zone {s.zone}  rests on {rests}", 0
    for i in range(0, len(s.holidays), 8):
        days = ", ".join(str(d) for d in s.holidays[i : i + 8])
        yield ("    and " if i == 0 else "      ") + days + ("," if i + 8 < len(s.holidays) else ""), 0
    yield f'  known from {s.start} until {s.until}  cites {s.instrument} "{s.clause}"', 0


def _instrument(s: t.Instrument) -> Iterable[tuple[str, int]]:
    yield f'instrument {s.name} "{s.title}"', 0
    zone = f"  zone {s.zone}" if s.zone else ""
    yield f'  authority "{s.authority}"{zone}', 0
    for edition in s.editions:
        dates = (f" from {edition.start}" if edition.start else "") + (
            f" until {edition.until}" if edition.until else ""
        )
        yield f'  edition "{edition.title}"{dates}', edition.span.line
        yield f'    link "{edition.link}"', 0
    if s.replaces:
        yield f"  replaces {s.replaces}", 0


def _parameter(s: t.Parameter) -> Iterable[tuple[str, int]]:
    default = f" default {number(s.default)}" if s.default else ""
    yield f"parameter {s.name} : unit {s.unit.text} within {number(s.low)} .. {number(s.high)}{default}", 0
    yield _source(s.source)
    if s.text:
        yield f'  "{s.text}"', 0
    if s.legal:
        legal, illegal = ("; ".join(number(v) for v in values) for values in (s.legal, s.illegal))
        yield f"  allows {legal} refuses {illegal}", 0


def _setting(s: t.Setting) -> Iterable[tuple[str, int]]:
    places = " for " + ", ".join(f"{kind} {name}" for kind, name in s.places) if s.places else ""
    yield f"set {s.name} = {number(s.value)}{places}", 0
    yield _source(s.source)


def _definition(s: t.Definition) -> Iterable[tuple[str, int]]:
    yield f"define {s.name} = {_set(s.value) if isinstance(s.value, tuple) else expression(s.value)}", 0


def _running(s: t.Running) -> Iterable[tuple[str, int]]:
    kind = f"unit {s.unit.text}" if s.unit is not None else f"of {_set(s.names)}"
    yield f"running {s.name} : {kind} per {s.subject}", 0
    yield f"  starts {expression(s.starts)}", s.starts.span.line
    for i, case in enumerate(s.cases):
        when = f" when {condition(case.condition)}" if case.condition else ""
        end = ";" if i + 1 < len(s.cases) else ""
        yield f"  {'then' if i == 0 else '    '} {expression(case.value)}{when}{end}", case.span.line
    yield f'  "{s.text}"', 0


def _curve(s: t.Curve) -> Iterable[tuple[str, int]]:
    yield f"curve {s.name} from {s.argument.text} to {s.result.text}", 0
    yield _source(s.source)
    points = "  ".join(f"{_point(x)}: {_point(y)}" for x, y in s.points)
    yield f"  {points}", 0


def _point(point: Quantity | str) -> str:
    return point if isinstance(point, str) else number(point)


def _table(s: t.Table) -> Iterable[tuple[str, int]]:
    columns = ", ".join(c.name + (f" in {c.unit.text}" if c.unit is not None else "") for c in s.columns)
    gives = s.unit.text if s.unit is not None else _set(s.names)
    yield f"table {s.name} by {columns} gives {gives}", 0
    yield _source(s.source)
    rows = [
        [*(_cell(c) for c in row.cells), _result(row.result)] if row.cells else ["otherwise", _result(row.result)]
        for row in s.rows
    ]
    for text, row in zip(_aligned(rows), s.rows, strict=True):
        yield f"  {text}", row.span.line


def _cell(cell: t.Cell) -> str:
    if cell.names:
        return ", ".join(cell.names)
    if not cell.bounds:
        return "any"
    ops = tuple(op for op, _ in cell.bounds)
    if ops == (">=", "<"):
        return " .. ".join(number(v) for _, v in cell.bounds)
    if ops == ("=",):
        return number(cell.bounds[0][1])
    return ", ".join(f"{op} {number(v)}" for op, v in cell.bounds)


def _result(result: Quantity | str | None) -> str:
    return result if isinstance(result, str) else "unknown" if result is None else number(result)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells between bars, columns of one width; a shorter row stands as it is."""
    full = max(len(row) for row in rows)
    widths = [max(len(row[i]) for row in rows if len(row) == full) for i in range(full)]
    return [
        "| " + " | ".join(cell.ljust(widths[i]) if len(row) == full else cell for i, cell in enumerate(row)) + " |"
        for row in rows
    ]


def _rule(s: t.Rule) -> Iterable[tuple[str, int]]:
    yield f'rule {s.name} "{s.title}"', 0
    yield _source(s.source)
    if s.relation:
        yield f"  {s.relation.kind} {', '.join(s.relation.rules)}", s.relation.span.line
    yield f"  checked at {', '.join(s.checked)}{' ' + s.effect if s.effect else ''}", 0
    scope = f" with {condition(s.scope)}," if s.scope else ""
    yield f"  applies to each {s.subject}{scope}", s.scope.span.line if s.scope else 0
    if s.quantifier:
        yield f"  at {s.quantifier.position} {s.quantifier.rows},", s.quantifier.span.line
    if s.when:
        yield f"  {'whenever' if s.event else 'when'} {condition(s.when)},", s.when.span.line
    yield from _demand(s.demand)
    if s.timing:
        within = f"within {expression(s.timing.within)}" if s.timing.within else ""
        lasting = f"for at least {expression(s.timing.lasting)}" if s.timing.lasting else ""
        yield f"  {' and '.join(part for part in (within, lasting) if part)}", s.timing.span.line
    for exception in s.exceptions:
        yield f"  except when {condition(exception)}", exception.span.line
    for transition in s.transitions:
        yield f"  transition until {transition.until} when {condition(transition.condition)}", transition.span.line
    if s.note:
        yield f'  note "{s.note}"', 0
    for example in s.examples:
        yield from _example(example)


_MUST = {
    "at_most": "must be at most",
    "at_least": "must be at least",
    "below": "must be below",
    "above": "must be above",
    "between": "must be between",
    "equal": "must equal",
    "multiple": "must be a whole multiple of",
    "in": "must be in",
    "not_in": "must not be in",
    "flag": "must be",
    "never": "must never",
}


def _demand(d: t.Demand) -> Iterable[tuple[str, int]]:
    at = d.span.line
    if d.kind == "that":
        assert d.condition is not None
        yield f"  it must hold that {condition(d.condition)}", at
        return
    assert d.left is not None
    if d.kind in ("in", "not_in"):
        right = d.names if isinstance(d.names, str) else _set(d.names)
    elif d.kind in ("flag", "never"):
        right = d.names[0]
    else:
        right = " and ".join(expression(part) for part in d.right)
    left = expression(d.left)
    if len(f"  {left} {_MUST[d.kind]} {right}") <= WIDTH:
        yield f"  {left} {_MUST[d.kind]} {right}", at
    else:
        yield f"  {left}", at
        yield f"    {_MUST[d.kind]} {right}", d.right[0].span.line if d.right else at


def _example(e: t.Example) -> Iterable[tuple[str, int]]:
    yield f'  example "{e.title}"', e.span.line
    yield from _wrapped("    given ", [given(g) for g in e.given], e.given[0].span.line if e.given else 0)
    if e.rows:
        rows = [e.rows.head, *([_value(v) for v in row] for row in e.rows.rows)]
        for i, text in enumerate(_aligned(rows)):
            yield (
                f"    {e.rows.noun if i == 0 else ' ' * len(e.rows.noun)} {text}",
                e.rows.lines[i] if e.rows.lines else 0,
            )
    for x in e.expected:
        margin = f" by {number(x.margin)}" if x.margin else ""
        values = "; ".join(given(g) for g in x.given) if x.given else "it"
        yield f"    {x.verdict} {values}{margin}", x.span.line


def _wrapped(head: str, parts: Sequence[str], at: int) -> Iterable[tuple[str, int]]:
    line = head
    for i, part in enumerate(parts):
        piece = part + (";" if i + 1 < len(parts) else "")
        if line.strip() and len(line) + len(piece) > WIDTH and line != head:
            yield line.rstrip(), at
            line = " " * len(head)
        line += piece + " "
    if parts:
        yield line.rstrip(), at


def given(g: t.Given) -> str:
    """One input of an example."""
    if isinstance(g.value, tuple):
        return f"{g.row} {g.name} ({', '.join(given(part) for part in g.value)})"
    return f"{g.name} {_value(g.value)}"


def _value(value: Quantity | t.InstantLiteral | str | None) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, t.InstantLiteral):
        return value.text
    return value if isinstance(value, str) else number(value)


def _theorem(s: t.Theorem) -> Iterable[tuple[str, int]]:
    yield f'theorem {s.name} "{s.title}"', 0
    if isinstance(s.claim, t.NowhereAbove):
        between = f"between {expression(s.claim.start)} and {expression(s.claim.end)}"
        yield f"  {_scaled(s.claim.lower)} is nowhere above {_scaled(s.claim.upper)} {between}", s.claim.span.line
        return
    head = f"  for each {s.subject}"
    if s.given:
        head += f" with {condition(s.given)},"
    match s.claim:
        case t.AlwaysSome(effect):
            claim = f"some {effect} is always allowed"
        case t.Raising(kind, cause, effect):
            claim = f"raising {cause} never allows {kind} {effect}"
        case t.Leads(after, then, steps, off_by):
            yield head, s.given.span.line if s.given else 0
            text = condition(then)
            if after is None:
                yield f"  a command that complies keeps {text}", then.span.line
            else:
                yield f"  after {expression(after)} of a command that complies, {text}", then.span.line
            word = "becomes" if after is None else "changes at"
            for i, step in enumerate(steps):
                yield f"  {'and' if i else 'where'} {step.name} {word} {expression(step.value)}", step.span.line
            for i, off in enumerate(off_by):
                lead = "and" if i else "even with"
                yield f"  {lead} {off.name} off by at most {expression(off.half)}", off.span.line
            return
    if s.given:
        yield head, s.given.span.line
        yield f"  {claim}", s.claim.span.line
    else:
        yield f"{head} {claim}", 0


def _scaled(s: t.Scaled) -> str:
    return f"curve {s.curve}" + (f" times {expression(s.times)}" if s.times else "")


_STATEMENTS: dict[type[t.Node], Callable[[Any], Iterable[tuple[str, int]]]] = {
    t.Pack: _pack,
    t.Adoption: _adoption,
    t.Subject: _subject,
    t.QuantityDecl: _quantity,
    t.ChoiceDecl: _choice,
    t.InstantDecl: _instant,
    t.Calendar: _calendar,
    t.Instrument: _instrument,
    t.Parameter: _parameter,
    t.Setting: _setting,
    t.Definition: _definition,
    t.Running: _running,
    t.Curve: _curve,
    t.Table: _table,
    t.Rule: _rule,
    t.Theorem: _theorem,
}


def _source(s: t.Source) -> tuple[str, int]:
    return f'  cites {s.instrument} "{s.clause}"  evidence {s.evidence}  {_period(s.period)}', s.span.line


def _period(p: t.Period) -> str:
    def dates(start: date | None, until: date | None) -> str:
        return f"{start}" + (f" until {until}" if until else "")

    recorded = f" recorded {dates(p.recorded, p.withdrawn)}" if p.recorded else ""
    return f"in force from {dates(p.start, p.until)}{recorded}"


def _set(names: Sequence[str]) -> str:
    return "{" + ", ".join(names) + "}"


def number(value: Quantity) -> str:
    """A number in the unit it was written in."""
    return show(value.base, value.unit)


# ── expressions and conditions ──────────────────────────────────────────────────────────────────────────────────────


def expression(e: t.Expression) -> str:
    """An expression, with no more parentheses than it needs."""
    match e:
        case t.Literal(value):
            return number(value)
        case t.InstantLiteral(_, text):
            return text
        case t.Name(name):
            return name
        case t.Binary(_, _, right) if _negation(e):
            return f"-{_factor(right)}"
        case t.Binary(op, left, right) if op in "+-":
            inner = expression(right)
            if isinstance(right, t.Binary) and right.op in "+-":
                inner = f"({inner})"
            return f"{expression(left)} {op} {inner}"
        case t.Binary(op, left, right):
            first, second = expression(left), expression(right)
            if isinstance(left, t.Binary) and left.op in "+-":
                first = f"({first})"
            if isinstance(right, t.Binary) and not _negation(right):
                second = f"({second})"
            return f"{first} {op} {second}"
        case t.Call(function, arguments):
            return f"{function}({', '.join(expression(part) for part in arguments)})"
        case t.Aggregate(kind, value, over, where):
            inside = f" with ({condition(where)})" if where else ""
            if value is None:
                window = "" if over.kind == "all" else f" over {_over(over)}"
                return f"{kind} of {over.rows}{window}{inside}"
            return f"{kind} of {_counted(value)} over {_over(over)}{inside}"
        case t.AsOf(name, ago, rows, otherwise):
            back = f"previous {name}" if ago is None else f"{name} as of {_factor(ago)}{' ' + rows if rows else ''} ago"
            return back + (f" else {_factor(otherwise)}" if otherwise else "")
        case t.Local(kind, argument, zone, length):
            every = f" every {_factor(length)}" if length else ""
            return f"{kind} of {_factor(argument)} in {zone}{every}"
        case t.ClockOn(clock, zone, count, step, calendar, argument):
            time = f"{clock // 3600:02d}:{clock // 60 % 60:02d} {zone}"
            if not count:
                return f"{time} on the day of {_factor(argument)}"
            many = "s" if abs(count) > 1 else ""
            word = f"business day{many} of {calendar}" if calendar else step + many
            return f"{time} {abs(count)} {word} {'before' if count < 0 else 'after'} {_factor(argument)}"
        case _:
            raise TypeError(f"unknown expression {e!r}")


def _counted(value: t.Expression) -> str:
    """What an aggregate is of: a count at its end would take the aggregate's own `over`."""
    return expression(value) if isinstance(value, t.Binary) and not _counts(value) else _factor(value)


def _counts(e: t.Expression) -> bool:
    if isinstance(e, t.Binary):
        return _counts(e.left) or _counts(e.right)
    return not isinstance(e, t.Literal | t.Name | t.Call | t.InstantLiteral)


def _over(over: t.Over) -> str:
    match over.kind:
        case "all":
            return over.rows
        case "last" | "next":
            assert over.first is not None
            return f"the {over.kind} {_factor(over.first)}"
        case "rows":
            assert over.first is not None
            return f"the last {_factor(over.first)} {over.rows}"
        case "stretch":
            assert over.first is not None and over.second is not None
            return f"between {_factor(over.first)} and {_factor(over.second)} ago"
        case "same":
            return f"the same {over.unit} in {over.zone}" + (f" from {over.start}" if over.start else "")
        case kind:
            raise TypeError(f"unknown window {kind}")


def _is_minus(value: Quantity) -> bool:
    return value.base == -1 and not value.unit.text


def _negation(e: t.Expression) -> bool:
    """Whether an expression is written with a leading minus: `-1 * 5` is not, since `-5` is a number."""
    if not (isinstance(e, t.Binary) and e.op == "*" and isinstance(e.left, t.Literal) and _is_minus(e.left.value)):
        return False
    return not isinstance(e.right, t.Literal) or not e.right.value.base


def _factor(e: t.Expression) -> str:
    text = expression(e)
    return text if isinstance(e, t.Literal | t.Name | t.Call | t.InstantLiteral) else f"({text})"


def condition(c: t.Condition) -> str:
    """A condition, with no more brackets than it needs."""
    match c:
        case t.Junction(op, parts):
            return f" {op} ".join(_atom(part, op) for part in parts)
        case t.Not(part):
            inner = condition(part)
            return f"not [{inner}]" if isinstance(part, t.Junction | t.Throughout) else f"not {inner}"
        case t.Compare(op, left, right):
            return f"{expression(left)} {op} {expression(right)}"
        case t.OneOf(subject, names):
            return f"{expression(subject)} in {names if isinstance(names, str) else _set(names)}"
        case t.Holds(subject):
            return expression(subject)
        case t.Throughout(part, span_of_time):
            inner = condition(part)
            if isinstance(part, t.Junction | t.Not | t.Throughout):
                inner = f"[{inner}]"
            return f"{inner} throughout the last {_factor(span_of_time)}"
        case _:
            raise TypeError(f"unknown condition {c!r}")


def _atom(part: t.Condition, op: str) -> str:
    text = condition(part)
    needs = isinstance(part, t.Junction) and (part.op == "or" or part.op == op)
    return f"[{text}]" if needs else text
