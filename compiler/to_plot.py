"""Curves, tables and rules as pictures: what an officer would draw on a whiteboard.

A picture of a rule shows where it lets a subject pass, worked out by the interpreter point by point, with the rule's
own examples upon it. Pictures decide nothing.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from compiler import core as c
from compiler.examples import Judge, subject_of
from compiler.from_syntax import in_core
from compiler.to_exact import Subject, Untold, Value, Verdict, along, holds, judge, value
from compiler.to_text import expression
from rules_dsl import tree as t
from rules_dsl.check import clause
from rules_dsl.instants import show as show_moment
from rules_dsl.kinds import INSTANT, kind_of, parts_of
from rules_dsl.program import Day, PackRule, Program
from rules_dsl.units import Quantity, Unit, show, unit

INK, LIMIT, ALLOWED, REFUSED, BAND = "#222222", "#0072B2", "#CFE8D5", "#F7D9C4", "#FFF3C4"
"""Colours that colour-blind readers tell apart."""
STEPS = 48


class CannotPlot(Exception):
    """Something that no picture is known for; the message names it and says why."""


def plot(program: Program, name: str, on: Day) -> Figure:
    """The picture of a curve, a table, or a rule by `pack/name`, as in force on a day (or on the rule's first).

    Raises `CannotPlot` for a name that is none of these, or a rule that no picture is known for.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    if name in program.curves:
        _curve(program, program.curves[name], on, axes)
        source = program.curves[name].source
    elif name in program.tables:
        _table(program.tables[name], axes)
        source = program.tables[name].source
    else:
        entry = next((r for r in program.rules if r.id == name), None)
        if entry is None:
            raise CannotPlot(f"`{name}` is no curve, no table, and no rule as PACK/RULE")
        _rule(program, entry, on, axes)
        source = entry.rule.source
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.text(0.01, 0.005, clause(program, source), fontsize=7, color="#555555")
    figure.set_layout_engine("constrained", rect=(0, 0.03, 1, 0.97))
    return figure


def save(figure: Figure, file: Path) -> None:
    """Writes the picture as SVG, the same bytes for the same picture; text stays text."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lexwatt"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})


def _number(value_: Fraction, in_unit: Unit) -> float:
    return float(value_ / in_unit.factor)


def _scaled(in_unit: Unit, values: Iterable[Fraction]) -> Unit:
    """The unit with the prefix that keeps the numbers on an axis short."""
    top = max((abs(v / in_unit.factor) for v in values), default=Fraction(0))
    for least, prefix in ((10**6, "M"), (10**3, "k")):
        if top >= least and in_unit.text in ("W", "Wh", "var", "VA"):
            return unit(prefix + in_unit.text)
    return in_unit


def _words(name: str) -> str:
    return name.replace("_", " ")


# ── curves and tables ───────────────────────────────────────────────────────────────────────────────────────────────


def _curve(program: Program, curve: t.Curve, on: Day, axes: Axes) -> None:
    points: list[tuple[float, float]] = []
    labels: list[str] = []
    for pair in curve.points:
        ends = []
        for end, in_unit in zip(pair, (curve.argument, curve.result), strict=True):
            ends.append((_chosen(program, end, on), in_unit))
        points.append((_number(*ends[0]), _number(*ends[1])))
        labels.append(f"{show(*ends[0])}: {show(*ends[1])}")
    span = points[-1][0] - points[0][0]
    xs = [points[0][0] - span / 6, *(x for x, _ in points), points[-1][0] + span / 6]
    ys = [points[0][1], *(y for _, y in points), points[-1][1]]
    axes.plot(xs, ys, color=LIMIT, linewidth=2)
    axes.plot([x for x, _ in points], [y for _, y in points], "o", color=INK, markersize=5)
    for (x, y), label in zip(points, labels, strict=True):
        axes.annotate(label, (x, y), xytext=(6, 8), textcoords="offset points", fontsize=8)
    axes.margins(0.02, 0.15)
    axes.set_xlabel(curve.argument.text)
    axes.set_ylabel(curve.result.text)
    axes.set_title(_words(curve.name))


def _chosen(program: Program, end: Quantity | str, on: Day) -> Fraction:
    if isinstance(end, Quantity):
        return end.base
    parameter, setting = program.parameters[end], program.chosen(end, on, {})
    if setting is None and parameter.default is None:
        raise CannotPlot(f"nobody has chosen `{end}`, which a point of the curve depends on")
    chosen = setting.value if setting is not None else parameter.default
    assert chosen is not None
    return chosen.base


def _table(table: t.Table, axes: Axes) -> None:
    """One band for each row: numbers up the side, alternatives along the bottom, the result written in."""
    numeric = [i for i, column in enumerate(table.columns) if column.unit is not None]
    if len(numeric) > 1:
        raise CannotPlot(f"table `{table.name}` has more than one column of numbers")
    rows = [row for row in table.rows if row.cells]
    others = [i for i in range(len(table.columns)) if i not in numeric]
    names = [sorted({n for row in rows for n in row.cells[i].names} or {"any"}) for i in others]
    groups: list[tuple[str, ...]] = [()]
    for listed in names:
        groups = [(*group, name) for group in groups for name in listed]
    ends = sorted({b.base for i in numeric for row in rows for _, b in row.cells[i].bounds})
    span = (ends[-1] - ends[0]) or Fraction(1) if ends else Fraction(1)
    low, high = (ends[0] - span / 4, ends[-1] + span / 4) if ends else (Fraction(0), Fraction(1))
    in_unit = table.columns[numeric[0]].unit if numeric else None
    factor = in_unit.factor if in_unit is not None else Fraction(1)
    for place, group in enumerate(groups):
        for row in rows:
            if any(
                row.cells[i].names and name not in row.cells[i].names for i, name in zip(others, group, strict=True)
            ):
                continue
            start, stop = low, high
            for op, bound in row.cells[numeric[0]].bounds if numeric else ():
                start = max(start, bound.base) if op in (">", ">=", "=") else start
                stop = min(stop, bound.base) if op in ("<", "<=", "=") else stop
            middle = float((start + stop) / 2 / factor)
            bottom, height = float(start / factor), float((stop - start) / factor)
            axes.bar(place, height, 0.9, bottom, color=BAND, edgecolor=INK, linewidth=0.8)
            axes.text(place, middle, _result(row.result), ha="center", va="center", fontsize=9)
    for row in table.rows:
        if not row.cells:
            axes.set_xlabel(f"otherwise {_result(row.result)}")
    axes.set_xticks(range(len(groups)), [", ".join(group) for group in groups])
    if in_unit is None:
        axes.set_yticks([])
    else:
        axes.set_ylim(float(low / factor), float(high / factor))
        axes.set_yticks([float(end / factor) for end in ends], [show(end, in_unit) for end in ends])
        axes.set_ylabel(_words(table.columns[numeric[0]].name))
    axes.set_title(_words(table.name))


def _result(result: Quantity | str) -> str:
    return result if isinstance(result, str) else show(result.base, result.unit)


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _rule(program: Program, entry: PackRule, on: Day, axes: Axes) -> None:
    judging = Judge(program)
    on = judging.day(entry, on)
    axes.set_title(textwrap.fill(f"{entry.id}: {entry.rule.title}", 90), fontsize=10)
    if program.rows_of(entry.rule.subject) is not None and _rows_asked(entry.rule):
        _trace(program, judging, entry, on, axes)
    else:
        _region(program, judging, entry, on, axes)


def _rows_asked(rule: t.Rule) -> bool:
    return rule.quantifier is not None or rule.demand.kind == "never"


def _cases(entry: PackRule) -> Iterable[tuple[t.Example, t.Expectation]]:
    return ((x, e) for x in entry.rule.examples for e in x.expected if e.verdict != "cannot tell")


def _trace(program: Program, judging: Judge, entry: PackRule, on: Day, axes: Axes) -> None:
    """The rows of the first refused example: what is demanded, and its limits, along the rows."""
    example, expected = next(((x, e) for x, e in _cases(entry) if e.verdict == "refuses"))
    given = (*example.given, *expected.given)
    rule, declared = judging.rule(entry, on, given)
    subject = along(rule, subject_of(declared, given, example.rows))
    demand = entry.rule.demand
    if demand.left is None or demand.kind in ("in", "not_in") or rule.rows is None:
        raise CannotPlot(f"rule `{entry.id}` demands no size that could be drawn")
    places = [row[rule.rows.order] if rule.rows.order else Fraction(i) for i, row in enumerate(subject.rows)]
    clock = declared[rule.rows.order].unit if rule.rows.order else unit("")
    moments = clock.dimension == INSTANT
    start = places[0]
    assert isinstance(start, Fraction)
    xs = [
        _number(p - start if moments else p, unit("s") if moments else clock) for p in places if isinstance(p, Fraction)
    ]
    build = in_core(program, on, given)
    sides = [("demanded: " + expression(demand.left), demand.left, LIMIT, "-")]
    sides += [("limit: " + expression(part), part, "#D55E00", "--") for part in demand.right]
    cores = {label: build(part) for label, part, _, _ in sides}
    found = {label: [_at(core, subject, i) for i in range(len(subject.rows))] for label, core in cores.items()}
    in_unit = _scaled(rule.unit, [v for row in found.values() for v in row if v is not None])
    xs.append(xs[-1] + (xs[-1] - xs[0] or 1) / 10)
    drawn: dict[str, list[float]] = {}
    for label, _, colour, line in sides:
        numbers = [float("nan") if v is None else _number(v, in_unit) for v in found[label]]
        drawn[label] = ys = [*numbers, numbers[-1]]
        axes.step(xs, ys, where="post", color=colour, linestyle=line, marker="o", markersize=3, label=label)
    limits = [drawn[label] for label, *_ in sides[1:]]
    _shade(axes, xs, limits, demand.kind)
    if rule.within is not None or rule.lasting is not None:
        for i in (i for i in range(len(subject.rows)) if _begins(rule, subject, i)):
            within = _number(value(rule.within, subject.row(i)), unit("s")) if rule.within else 0.0
            axes.axvspan(xs[i], xs[i] + within, color=BAND, zorder=0, label="time to respond")
            if rule.lasting is not None:
                lasting = _number(value(rule.lasting, subject.row(i)), unit("s"))
                axes.axvspan(xs[i] + within, xs[i] + within + lasting, color="#E8E0F0", zorder=0, label="to be held")
    axes.set_xlabel(f"{_words(rule.rows.order)} in s from {show_moment(start)}" if moments else _axis(rule.rows, clock))
    axes.set_ylabel(in_unit.text or "number")
    axes.legend(fontsize=8, loc="best")


def _at(core: c.Expr, subject: Subject, i: int) -> Fraction | None:
    """The value at a row; None where the rows do not say."""
    try:
        return value(core, subject.row(i))
    except (Untold, AssertionError, KeyError):
        return None


def _axis(rows: c.Rows, clock: Unit) -> str:
    return f"{_words(rows.order)} in {clock.text}" if rows.order else f"number of the row among {rows.nouns}"


def _begins(rule: c.CoreRule, subject: Subject, i: int) -> bool:
    now = holds(rule.when, subject.row(i))
    return now and not (rule.event and i > 0 and holds(rule.when, subject.row(i - 1)))


def _shade(axes: Axes, xs: list[float], limits: list[list[float]], kind: str) -> None:
    low, high = axes.get_ylim()
    if kind in ("at_most", "below"):
        axes.fill_between(xs, limits[0], low, step="post", color=ALLOWED, zorder=0, label="allowed")
    elif kind in ("at_least", "above"):
        axes.fill_between(xs, limits[0], high, step="post", color=ALLOWED, zorder=0, label="allowed")
    elif kind == "between":
        axes.fill_between(xs, limits[0], limits[1], step="post", color=ALLOWED, zorder=0, label="allowed")
    axes.set_ylim(low, high)


def _region(program: Program, judging: Judge, entry: PackRule, on: Day, axes: Axes) -> None:
    """Where the rule lets a subject pass, over one or two of its quantities, all else as in the first example."""
    names = list(dict.fromkeys(n.name for n in parts_of(_opened(program, entry.rule)) if isinstance(n, t.Name)))
    numbers = [n for n in names if n in program.quantities]
    tried = [g.name for _, e in _cases(entry) for g in e.given if g.name in numbers]
    if not tried and not numbers:
        raise CannotPlot(f"rule `{entry.id}` speaks of no number")
    up = tried[0] if tried else numbers[0]
    side = _side(program, entry, numbers, up)
    example, expected = next(iter(_cases(entry)))
    given = (*example.given, *expected.given)
    rule, declared = judging.rule(entry, on, given)
    base = subject_of(declared, given, example.rows)
    alike = [
        (across, high, e.verdict)
        for x, e in _cases(entry)
        if (place := _place(subject_of(declared, (*x.given, *e.given), x.rows).values, base.values, side, up))
        for across, high in [place]
    ]
    ys = _stretch([high for _, high, _ in alike], [], declared[up])
    up_unit = _scaled(program.quantities[up].unit, ys)
    axes.set_ylabel(f"{_words(up)} in {up_unit.text}")
    axes.set_facecolor(REFUSED)
    if side is None:
        side_unit = unit("")
        for low, high in _allowed(rule, base, {}, up, ys, declared[up].resolution):
            axes.axhspan(_number(low, up_unit), _number(high, up_unit), color=ALLOWED, zorder=0)
        axes.set_xticks([])
    else:
        bends = _bends(program, judging, entry, program.quantities[side])
        xs = _stretch([across for across, _, _ in alike], bends, declared[side])
        side_unit = _scaled(program.quantities[side].unit, xs)
        _area(rule, base, (side, xs, side_unit), (up, ys, up_unit), declared[up].resolution, axes)
        axes.set_xlabel(f"{_words(side)} in {side_unit.text}")
        axes.set_xlim(_number(xs[0], side_unit), _number(xs[-1], side_unit))
    axes.set_ylim(_number(ys[0], up_unit), _number(ys[-1], up_unit))
    for across, high, verdict in alike:
        mark, colour = ("o", "#1B7837") if verdict == "allows" else ("x", "#B2182B")
        flat = _number(across, side_unit) if side else 0.0
        axes.plot([flat], [_number(high, up_unit)], mark, color=colour, label=verdict)
    handles, labels = axes.get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    axes.legend([*shown.values()], [f"example: {label}" for label in shown], fontsize=8, loc="best")


def _opened(program: Program, rule: t.Rule) -> tuple[object, ...]:
    """The rule's condition and demand, with its definitions written out."""
    parts: list[object] = [rule.demand, *(rule.exceptions)]
    parts += [rule.when] if rule.when else []
    names = {n.name for n in parts_of(tuple(parts)) if isinstance(n, t.Name)}
    return (*parts, *(program.definitions[n] for n in sorted(names & program.definitions.keys())))


def _side(program: Program, entry: PackRule, numbers: Sequence[str], up: str) -> str | None:
    """What to draw along the bottom: the other power, or what is measured, or what the rule depends on most."""
    others = [n for n in numbers if n != up]
    if up in ("active_power", "reactive_power"):
        other = {"active_power": "reactive_power", "reactive_power": "active_power"}[up]
        if other in others:
            return other
    given = {g.name for x in entry.rule.examples for g in x.given} | {g.name for _, e in _cases(entry) for g in e.given}
    known = [n for n in others if n in given]
    conditions = tuple(x for x in (entry.rule.when, *entry.rule.exceptions) if x is not None)
    inside = tuple(a for n in parts_of((entry.rule.demand,)) if isinstance(n, t.Call) for a in n.arguments)
    for part in (*parts_of(conditions), *parts_of(inside)):
        if isinstance(part, t.Name) and part.name in known and program.quantities[part.name].role != "nameplate":
            return part.name
    for role in ("measured", "estimated", "bid", "scheduled", "registered", "nameplate"):
        for name in known:
            if program.quantities[name].role == role:
                return name
    return None


def _place(
    values: Mapping[str, Value], base: Mapping[str, Value], side: str | None, up: str
) -> tuple[Fraction, Fraction] | None:
    """Where an example stands in the picture; None where it is of another state than the picture's."""
    if any(values.get(name) != base.get(name) for name in values.keys() | base.keys() if name not in (side, up)):
        return None
    high, across = values.get(up), values.get(side) if side else Fraction(0)
    return (across, high) if isinstance(high, Fraction) and isinstance(across, Fraction) else None


def _bends(program: Program, judging: Judge, entry: PackRule, along_: t.QuantityDecl) -> list[Fraction]:
    """Values of a quantity at which a picture may bend: the numbers, parameters and points of its kind in the rule."""
    kind = kind_of(along_.unit)
    opened = _opened(program, entry.rule)
    found = [n.value.base for n in parts_of(opened) if isinstance(n, t.Literal) and kind_of(n.value.unit) == kind]
    curves = {n.function for n in parts_of(opened) if isinstance(n, t.Call)} & program.curves.keys()
    for name in curves:
        points = [x for x, _ in program.curves[name].points if isinstance(x, Quantity)]
        found += [x.base for x in points if kind_of(x.unit) == kind]
    rule, _ = judging.rule(
        entry, judging.day(entry, entry.rule.source.period.start), next(iter(_cases(entry)))[0].given
    )
    wanted = {n for n, p in program.parameters.items() if kind_of(p.unit) == kind}
    return found + [
        p.value for node in rule.nodes() for p in c.params(node) if p.name in wanted and p.value is not None
    ]


def _stretch(said: Sequence[Fraction], bends: Sequence[Fraction], declared: c.Declared) -> list[Fraction]:
    """Values of a quantity to draw: around those that are spoken of, on steps of its resolution, bends among them."""
    spoken = [*said, *bends] or [declared.low, declared.high]
    low, high = min(spoken), max(spoken)
    room = max((high - low) * Fraction(3, 10), max(abs(low), abs(high)) / 50, declared.resolution)
    low, high = max(declared.low, low - room), min(declared.high, high + room)
    count = min(STEPS, max(2, int((high - low) / declared.resolution)))
    steps = {round((low + (high - low) * i / count) / declared.resolution) for i in range(count + 1)}
    near = {round(x / declared.resolution) + d for x in bends for d in (-1, 0, 1)}
    return sorted({max(declared.low, min(declared.high, step * declared.resolution)) for step in steps | near})


def _passes(rule: c.CoreRule, base: Subject, values: dict[str, Fraction]) -> bool:
    found = judge(rule, replace(base, values={**base.values, **values}))
    return found.verdict in (Verdict.COMPLIES, Verdict.NOT_APPLICABLE)


Axis = tuple[str, Sequence[Fraction], Unit]
"""A quantity, the values of it to draw, and the unit on its axis."""


def _area(rule: c.CoreRule, base: Subject, side: Axis, up: Axis, step: Fraction, axes: Axes) -> None:
    """What is allowed, value by value along the bottom, and the limits joined where they are the same ones."""
    (across, xs, side_unit), (name, ys, up_unit) = side, up
    inside = [_allowed(rule, base, {across: x}, name, ys, step) for x in xs]
    flat = [_number(x, side_unit) for x in xs]
    for (a, here), (b, there) in itertools.pairwise(zip(flat, inside, strict=True)):
        if len(here) != len(there):
            continue
        for (low, high), (low_next, high_next) in zip(here, there, strict=True):
            lows, highs = ([_number(v, up_unit) for v in pair] for pair in ((low, low_next), (high, high_next)))
            axes.fill_between([a, b], lows, highs, color=ALLOWED, linewidth=0, zorder=0)
            for line, edge in ((lows, ys[0]), (highs, ys[-1])):
                if line != [_number(edge, up_unit)] * 2:
                    axes.plot([a, b], line, color=LIMIT, linewidth=2)


def _allowed(
    rule: c.CoreRule, base: Subject, fixed: dict[str, Fraction], name: str, ys: Sequence[Fraction], step: Fraction
) -> list[tuple[Fraction, Fraction]]:
    """The stretches of a quantity that the rule lets pass; ends are found to one step of its resolution."""
    found: list[tuple[Fraction, Fraction]] = []
    start: Fraction | None = None
    before = ys[0]
    for y in ys:
        now = _passes(rule, base, {**fixed, name: y})
        if now and start is None:
            start = y if y == ys[0] else _edge(rule, base, fixed, name, before, y, step)
        elif not now and start is not None:
            found.append((start, _edge(rule, base, fixed, name, y, before, step)))
            start = None
        before = y
    return [*found, (start, ys[-1])] if start is not None else found


def _edge(
    rule: c.CoreRule,
    base: Subject,
    fixed: dict[str, Fraction],
    name: str,
    out: Fraction,
    into: Fraction,
    step: Fraction,
) -> Fraction:
    """The last value that passes on the way from one that does to one that does not."""
    while abs(out - into) > step:
        middle = round((out + into) / 2 / step) * step
        if middle in (out, into):
            break
        if _passes(rule, base, {**fixed, name: middle}):
            into = middle
        else:
            out = middle
    return into
