"""The reference meaning: a small interpreter of core over exact numbers. Everything else agrees with it.

Rows: a value stands from its row until the next one. Windows are cut where the rows begin; a window that reaches beyond
the last row cannot be told.
"""

from __future__ import annotations

import enum
import itertools
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction

from compiler import core as c
from rules_dsl import instants


class Verdict(enum.Enum):
    """What a rule says of a subject; only the first two let it pass."""

    COMPLIES = "complies"
    NOT_APPLICABLE = "not_applicable"
    VIOLATES = "violates"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True)
class Unusable:
    """A value that may not be used, and why: missing, stale, out of range, not a number, of the wrong unit."""

    reason: str


Value = Fraction | Unusable


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged: its values in base units, and those of its rows. `at` is the row that is being looked at, `times`
    are the rows' places in time, `carried` the running states' values row by row."""

    values: Mapping[str, Value]
    rows: Sequence[Mapping[str, Value]] = ()
    at: int | None = None
    times: tuple[Fraction, ...] = ()
    carried: Mapping[str, Sequence[Fraction]] = field(default_factory=dict)

    def row(self, at: int) -> Subject:
        """The same, looked at from a row."""
        return Subject(self.values, self.rows, at, self.times, self.carried)


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict of one rule.

    `margin`, in base units, is how far the demand is from its limit, negative when violated; None where the rule asks
    nothing or cannot tell. `unusable` names each field that stood in the way and why.
    """

    rule: c.CoreRule
    verdict: Verdict
    margin: Fraction | None
    unusable: tuple[tuple[str, str], ...] = ()


class Untold(Exception):
    """Something that the rows or the calendar do not say; names the field."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}")
        self.name, self.reason = name, reason


def judge(rule: c.CoreRule, subject: Subject) -> Finding:
    """The verdict of a rule on a subject.

    A quantity that the scope needs and that cannot be used, or that the rest needs once the scope holds, gives
    `CANNOT_TELL`, whatever the other quantities say.
    """
    missing = _unusable((rule.scope,), rule, subject, asked=False)
    if missing:
        return Finding(rule, Verdict.CANNOT_TELL, None, missing)
    try:
        if not holds(rule.scope, subject):
            return Finding(rule, Verdict.NOT_APPLICABLE, None)
        missing = _unusable(rule.nodes(), rule, subject, asked=bool(rule.quantifier))
        if missing:
            return Finding(rule, Verdict.CANNOT_TELL, None, missing)
        told = list(_answers(rule, along(rule, subject)))
    except Untold as reason:
        return Finding(rule, Verdict.CANNOT_TELL, None, ((reason.name, reason.reason),))
    except ZeroDivisionError:
        return Finding(rule, Verdict.CANNOT_TELL, None, (("divisor", "zero"),))
    except (instants.InstantError, ValueError, OverflowError) as reason:
        return Finding(rule, Verdict.CANNOT_TELL, None, (("date", str(reason)),))
    answers = [answer for answer in told if not isinstance(answer, Untold)]
    margins = [margin for _, margin in answers if margin is not None]
    met = all(ok for ok, _ in answers)
    untold = tuple((answer.name, answer.reason) for answer in told if isinstance(answer, Untold))
    if met and untold:
        return Finding(rule, Verdict.CANNOT_TELL, None, tuple(dict.fromkeys(untold)))
    return Finding(rule, Verdict.COMPLIES if met else Verdict.VIOLATES, min(margins, default=None))


Answer = tuple[bool, Fraction | None]
"""Whether a demand is met, and by how much where that can be said."""


def _answers(rule: c.CoreRule, subject: Subject) -> Iterator[Answer | Untold]:
    """The answer of the subject, or of each row that is asked.

    A row of which it cannot be told gives the reason, so that another that violates is still found.
    """
    if not rule.quantifier:
        if holds(rule.when, subject):
            yield _demand(rule, subject)
        return
    count = len(subject.rows)
    asked = {"every": range(count), "every later": range(1, count), "the first": range(min(1, count))}.get(
        rule.quantifier, range(max(0, count - 1), count)
    )
    for i in asked:
        try:
            if not holds(rule.when, subject.row(i)):
                continue
            if rule.event and i > 0 and holds(rule.when, subject.row(i - 1)):
                continue
            if rule.within is None and rule.lasting is None:
                yield _demand(rule, subject.row(i))
            else:
                yield _response(rule, subject, i)
        except Untold as reason:
            yield reason


def _demand(rule: c.CoreRule, subject: Subject) -> Answer:
    """Whether the demand holds here, and its margin."""
    met = holds(rule.demand, subject)
    if rule.whole is not None:
        count = value(rule.whole, subject)
        gap = abs(count - round(count)) * rule.step
        return met and not gap, -gap
    if not rule.margins:
        return met, None
    margin = min(value(expr, subject) for expr in rule.margins)
    return met and (margin > 0 if rule.strict else margin >= 0), margin


def _response(rule: c.CoreRule, subject: Subject, event: int) -> Answer:
    """Met at some moment within the time allowed, and from then on for as long as asked.

    Raises `Untold` when it was not met before the rows end and may still be met after.
    """
    times = subject.times
    here = subject.row(event)
    latest = times[event] + (value(rule.within, here) if rule.within else 0)
    lasting = value(rule.lasting, here) if rule.lasting else Fraction(0)
    best: Answer | None = None
    open_ended = times[-1] < latest
    for start in range(event, len(times)):
        if times[start] > latest:
            break
        until = times[start] + lasting
        stretch = [_demand(rule, subject.row(k)) for k in range(start, len(times)) if times[k] <= until]
        margins = [m for _, m in stretch if m is not None]
        met, margin = all(ok for ok, _ in stretch), min(margins, default=None)
        if met and times[-1] < until:
            open_ended = True
            continue
        if best is None or (met, margin or 0) > (best[0], best[1] or 0):
            best = met, margin
    if best is not None and best[0]:
        return best
    if open_ended or best is None:
        assert rule.rows is not None
        raise Untold(f"{rule.rows.nouns}", "end before the response can be told")
    return best


def along(rule: c.CoreRule, subject: Subject) -> Subject:
    """The subject with its rows' times and running states worked out; raises `Untold` for rows out of order."""
    if rule.rows is None or not subject.rows:
        return subject
    if rule.rows.order:
        places = tuple(_known(row, rule.rows.order) for row in subject.rows)
        for i, (a, b) in enumerate(itertools.pairwise(places)):
            if a >= b:
                raise Untold(f"{rule.rows.nouns}[{i + 1}].{rule.rows.order}", "not after the row before")
        subject = replace(subject, times=places if rule.rows.timed else ())
    if rule.rows.carried:
        carried: dict[str, list[Fraction]] = {state.name: [] for state in rule.rows.carried}
        subject = replace(subject, carried=carried)
        for i in range(len(subject.rows)):
            here = subject.row(i)
            for state in rule.rows.carried:
                past = carried[state.name]
                past.append(value(state.starts, here) if i == 0 else _carry(state, here, past[-1]))
    return subject


def _known(row: Mapping[str, Value], name: str) -> Fraction:
    found = row.get(name)
    assert isinstance(found, Fraction)
    return found


def _carry(state: c.Carried, here: Subject, before: Fraction) -> Fraction:
    for condition, expr in state.cases:
        if holds(condition, here):
            return value(expr, here)
    return before


def _unusable(
    nodes: Sequence[c.Expr | c.Cond], rule: c.CoreRule, subject: Subject, asked: bool
) -> tuple[tuple[str, str], ...]:
    """What the nodes need and cannot be used, and why; a rule that is asked at rows needs some."""
    found: dict[str, str] = {}
    rows = rule.rows
    inside = set(rows.names) if rows else set()
    computed = {state.name for state in rows.carried} if rows else set()
    named = {name for node in nodes for name in c.names(node)}
    for node in nodes:
        for param in c.params(node):
            if param.value is None:
                found[param.name] = "nobody has chosen this parameter"
    for name in named - inside - computed:
        reading = subject.values.get(name, Unusable("missing"))
        if isinstance(reading, Unusable):
            found[name] = reading.reason
    if rows and (asked or named & inside or any(c.needs_rows(node) for node in nodes)):
        wanted = named & inside | ({rows.order} if rows.order else set())
        for position, row in enumerate(subject.rows):
            for name in wanted:
                reading = row.get(name, Unusable("missing"))
                if isinstance(reading, Unusable):
                    found[f"{rows.nouns}[{position}].{name}"] = reading.reason
        if not subject.rows:
            found[f"{rows.nouns}"] = "missing"
    return tuple(sorted(found.items()))


def holds(condition: c.Cond, subject: Subject) -> bool:
    """Whether a condition holds of a subject all of whose named quantities can be used."""
    match condition:
        case c.Le(expr, strict):
            found = value(expr, subject)
            return found < 0 if strict else found <= 0
        case c.All(parts):
            return all(holds(part, subject) for part in parts)
        case c.Any_(parts):
            return any(holds(part, subject) for part in parts)
        case c.Throughout(part, span_of_time):
            assert subject.at is not None
            since = subject.times[subject.at] - value(span_of_time, subject)
            for i in range(subject.at, -1, -1):
                if not holds(part, subject.row(i)):
                    return False
                if subject.times[i] <= since:
                    return True
            return False
        case _:
            raise TypeError(f"unknown condition {condition!r}")


def value(expr: c.Expr, subject: Subject) -> Fraction:
    """The exact value of an expression, in base units, of a subject all of whose named quantities can be used.

    Raises `Untold` where the rows or a calendar do not say.
    """
    match expr:
        case c.Const(constant):
            return constant
        case c.Var(name):
            return _look_up(name, subject)
        case c.Param(_, _, _, chosen):
            assert chosen is not None
            return chosen
        case c.Add(parts):
            return sum((value(part, subject) for part in parts), Fraction(0))
        case c.Mul(left, right):
            return value(left, subject) * value(right, subject)
        case c.Div(left, right):
            return value(left, subject) / value(right, subject)
        case c.Extreme(kind, parts):
            return (max if kind == "max" else min)(value(part, subject) for part in parts)
        case c.Piecewise(points, argument):
            return curve(points, value(argument, subject))
        case c.Case(cases, otherwise):
            for condition, part in cases:
                if holds(condition, subject):
                    return value(part, subject)
            if otherwise is None:
                raise Untold("table", "has no row for this")
            return value(otherwise, subject)
        case c.Over():
            return _aggregate(expr, subject)
        case c.AsOf(body, ago, rows, otherwise):
            earlier = _earlier(value(ago, subject), rows, subject)
            if earlier is not None:
                return value(body, subject.row(earlier))
            if otherwise is None:
                raise Untold("rows", "begin too late to look back")
            return value(otherwise, subject)
        case c.Local():
            return _local(expr, subject)
        case c.ClockOn():
            return _clock_on(expr, value(expr.argument, subject))
        case _:
            raise TypeError(f"unknown expression {expr!r}")


def _look_up(name: str, subject: Subject) -> Fraction:
    if subject.at is not None:
        if name in subject.carried:
            return subject.carried[name][subject.at]
        row = subject.rows[subject.at]
        if name in row:
            return _known(row, name)
    return _known(subject.values, name)


def _earlier(ago: Fraction, rows: bool, subject: Subject) -> int | None:
    """The row so many rows or so long ago; None where the rows begin later."""
    assert subject.at is not None
    if ago < 0:
        raise Untold("rows", "are asked for ahead of time")
    if rows:
        place = subject.at - int(ago)
    else:
        place = bisect_right(subject.times, subject.times[subject.at] - ago, 0, subject.at + 1) - 1
    return place if place >= 0 else None


def _aggregate(over: c.Over, subject: Subject) -> Fraction:
    inside, before = _window(over.window, subject)
    if before is not None and over.kind in ("greatest", "least", "integral", "change", "spread"):
        inside = [before, *inside]
    kept = [i for i in inside if holds(over.condition, subject.row(i))]
    if over.kind == "count":
        return Fraction(len(kept))
    if over.kind == "sum":
        return sum((value(over.body, subject.row(i)) for i in kept), Fraction(0))
    if over.kind == "integral":
        return _integral(over, subject, inside, set(kept))
    if not (inside if over.kind == "share" else kept):
        raise Untold("rows", f"has none to take the {over.kind} of")
    if over.kind == "share":
        return Fraction(len(kept), len(inside))
    values = [value(over.body, subject.row(i)) for i in kept]
    match over.kind:
        case "greatest":
            return max(values)
        case "least":
            return min(values)
        case "mean":
            return sum(values, Fraction(0)) / len(values)
        case "change":
            return values[-1] - values[0]
        case "spread":
            return max(values) - min(values)
        case kind:
            raise TypeError(f"unknown aggregate {kind}")


def _integral(over: c.Over, subject: Subject, inside: Sequence[int], kept: set[int]) -> Fraction:
    """Each value times how long it stood inside the window; the last row of all has not stood yet."""
    if not inside:
        return Fraction(0)
    begin, end = _ends(over.window, subject)
    total = Fraction(0)
    for i in inside:
        start = max(subject.times[i], begin) if begin is not None else subject.times[i]
        until = subject.times[i + 1] if i + 1 < len(subject.times) else subject.times[i]
        stop = until if end is None else min(until, end)
        if i in kept and stop > start:
            total += value(over.body, subject.row(i)) * (stop - start)
    return total


def _ends(window: c.Window, subject: Subject) -> tuple[Fraction | None, Fraction | None]:
    """From when until when a window reaches; None for no end."""
    if window.kind == "all" or subject.at is None:
        return None, None
    now = subject.times[subject.at] if subject.times else Fraction(0)
    first = value(window.first, subject) if window.first is not None else Fraction(0)
    match window.kind:
        case "last":
            return now - first, now
        case "next":
            return now, now + first
        case "stretch":
            assert window.second is not None
            second = value(window.second, subject)
            return now - max(first, second), now - min(first, second)
        case "same":
            return _period_start(window, now), now
        case _:
            return None, now


def _window(window: c.Window, subject: Subject) -> tuple[list[int], int | None]:
    """The rows inside a window, and the row whose value stood when it began."""
    if window.kind == "all":
        return list(range(len(subject.rows))), None
    assert subject.at is not None
    if window.kind == "rows":
        assert window.first is not None
        return list(range(max(0, subject.at + 1 - int(value(window.first, subject))), subject.at + 1)), None
    begin, end = _ends(window, subject)
    assert begin is not None and end is not None
    times = subject.times
    if window.kind == "next" and times[-1] < end:
        raise Untold("rows", "end before the window does")
    if window.kind == "same":
        return [i for i in range(subject.at + 1) if times[i] >= begin], None
    inside = list(range(bisect_right(times, begin), bisect_right(times, end)))
    before = bisect_right(times, begin) - 1
    return inside, before if before >= 0 else None


def _period_start(window: c.Window, now: Fraction) -> Fraction:
    today = instants.local(now, window.zone).date()
    match window.unit:
        case "day":
            start = today
        case "month":
            start = today.replace(day=1)
        case _:
            month, day = (int(part) for part in (window.start or "01-01").split("-"))
            start = date(today.year, month, day)
            if start > today:
                start = date(today.year - 1, month, day)
    return instants.midnight(start, window.zone)


def _local(expr: c.Local, subject: Subject) -> Fraction:
    moment = value(expr.argument, subject)
    day = instants.local(moment, expr.zone).date()
    match expr.kind:
        case "clock":
            return instants.clock(moment, expr.zone)
        case "day":
            return instants.midnight(day, expr.zone)
        case "weekday":
            return Fraction(day.isoweekday())
        case _:
            assert expr.length is not None
            return Fraction((moment - instants.midnight(day, expr.zone)) // value(expr.length, subject) + 1)


def _clock_on(expr: c.ClockOn, moment: Fraction) -> Fraction:
    day = instants.local(moment, expr.zone).date()
    if expr.unit in ("month", "year"):
        months = day.year * 12 + day.month - 1 + expr.count * (12 if expr.unit == "year" else 1)
        year, month = divmod(months, 12)
        day = date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
    elif expr.rests is None:
        day += timedelta(days=expr.count)
    left = abs(expr.count) if expr.rests else 0
    while left:
        assert expr.rests is not None
        day += timedelta(days=1 if expr.count > 0 else -1)
        left -= _business(day, expr.rests)
    return instants.at_clock(day, expr.clock, expr.zone)


def _business(day: date, rests: tuple[tuple[int, ...], tuple[str, ...], str, str]) -> bool:
    weekdays, holidays, start, until = rests
    if not start <= day.isoformat() < until:
        raise Untold("calendar", f"does not know {day}")
    return day.weekday() not in weekdays and day.isoformat() not in holidays


def curve(points: Sequence[tuple[Fraction, Fraction]], at: Fraction) -> Fraction:
    """The value of a curve: straight between its points, flat beyond its ends."""
    if at <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if at <= x1:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return points[-1][1]
