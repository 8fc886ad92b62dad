"""What people see on the terminal: theorems, progress, the closing table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from compiler.core import Core, Declared
from proofs.analyses import Finding
from proofs.theorems import Answer, Proved, Refuted
from rules_dsl.units import decimal
from rules_dsl.units import show as show_in

if TYPE_CHECKING:
    from dispatch.model import Model
    from dispatch.schedule import Schedule
    from guardrails.fleet import Fleet
    from lexwatt.demo import Event, Tally

COLOURS = {"admitted": "green", "repaired": "yellow", "refused": "red"}


def answer_lines(answer: Answer, core: Core) -> list[str]:
    """A theorem's answer in plain words; a counterexample in physical units."""
    title = f"{answer.theorem.id} “{answer.theorem.title}”"
    if isinstance(answer, Proved):
        return [
            f"[green]proved[/]  {escape(title)}",
            f"        {answer.how}; certificate of {len(answer.certificate)} bytes, checked",
        ]
    if not isinstance(answer, Refuted):
        return [f"[yellow]unknown[/] {escape(title)}", f"        {escape(answer.why)}"]
    lines = [f"[red]false[/]   {escape(title)}", f"        counterexample: {answer.what} where"]
    declared = core.declared() | {d.name: d for d in answer.theorem.extra}
    first = answer.states[0]
    for name in first:
        d = declared[name]
        shown = []
        for state in answer.states:
            value = state[name] * d.resolution
            text = d.names[int(value)] if d.names and value.denominator == 1 else show_in(value, d.unit)
            if text not in shown:
                shown.append(text)
        lines.append(f"          {name} = {' then '.join(shown)}")
    lines += [f"        replayed: {escape(line)}" for line in answer.replay]
    return lines


def finding_lines(finding: Finding, declared: Mapping[str, Declared]) -> Iterator[str]:
    """A finding in plain words: the answer, its witness, and what each pack alone allows there."""
    mark = {True: "yes", False: "NO", None: "undecided"}[finding.good]
    size = f" (certificate of {len(finding.claim)} bytes)" if finding.claim is not None else ""
    yield f"{mark}: {finding.text}{size}"
    if finding.state is not None:
        yield "  where " + state_text(finding.state, declared)
    for pack, command in finding.commands.items():
        yield f"  {pack} alone allows {state_text(command, declared)}"


def state_text(state: Mapping[str, Fraction], declared: Mapping[str, Declared]) -> str:
    """A state in physical units."""
    shown = []
    for name, value in state.items():
        d = declared[name]
        named = d.names and value.denominator == 1 and 0 <= value < len(d.names)
        shown.append(f"{name} {d.names[int(value)] if named else show_in(value, d.unit)}")
    return ", ".join(shown)


def event_line(event: Event) -> str:
    """One decision on one line: what was asked, what was sent, and why they differ."""
    d = event.decision
    if event.when == "failed":
        return f"         [red]device did not take it: {escape(event.note)}[/]"
    if event.when == "written":
        return f"         [dim]written: {event.note}[/]"
    asked = sum(v for v in d.requested.values() if v is not None)
    sent = "nothing" if d.command is None else f"{decimal(Fraction(sum(d.command.values()), 1000))} kW"
    colour = COLOURS[d.outcome]
    what = f"{decimal(Fraction(asked, 1000))} kW"
    line = f"record {d.index:>4} {event.leaf[:12]} step {event.step:>2} {d.id:<13} [{colour}]{d.outcome:<8}[/] "
    line += f"{what:>12} -> {sent:<12}"
    if d.outcome != "admitted":
        moved = sum(d.command[u] != d.requested[u] for u in d.command) if d.command else 0
        line += f" {moved} of {len(d.requested)} members moved:" if len(d.requested) > 1 and moved else ""
        line += f" {escape(d.reason.split(' (')[0])}"
    if event.note != "plan":
        line += f" [dim]({event.note})[/]"
    return line


def closing_table(fleet: Fleet, tallies: Mapping[str, Tally], commanded: Mapping[str, int], console: Console) -> None:
    """The table at the end: planned, admitted, repaired, refused and why, money."""
    table = Table(title="What the guard did", title_justify="left")
    for name in ("unit", "admitted", "repaired", "refused", "written", "plan EUR", "sent EUR"):
        table.add_column(name, justify="left" if name == "unit" else "right", no_wrap=True)
    for unit in fleet.units.values():
        t = tallies[unit.id]
        if unit.id in commanded:
            counts = [str(t.outcomes[o]) for o in COLOURS]
            table.add_row(unit.id, *counts, str(t.written), _money(t.planned), _money(t.kept))
        else:
            table.add_row(unit.id, "-", "-", "-", "-", _money(t.planned), "-")
    inside = [tallies[u] for u in commanded]
    table.add_section()
    table.add_row(
        "all commanded",
        *(str(sum(t.outcomes[o] for t in inside)) for o in COLOURS),
        str(sum(t.written for t in inside)),
        _money(sum((t.planned for t in inside), Fraction(0))),
        _money(sum((t.kept for t in inside), Fraction(0))),
    )
    console.print(table)
    for unit in fleet.units.values():
        if unit.id not in commanded:
            console.print(f"{unit.id}: planned only, for its protocol {unit.protocol} has no adapter yet", markup=False)
        for reason, count in tallies[unit.id].reasons.most_common():
            console.print(f"{unit.id}: {count}x {reason}", markup=False, soft_wrap=True)


def plan_lines(model: Model, schedule: Schedule, clauses: int = 3) -> list[str]:
    """What a plan's dearest clauses cost at the margin, and how far from the best the plan can be at most."""
    from dispatch.optimality import NoBound, certify

    lines = []
    for m in schedule.marginals[:clauses]:
        subject, step, _ = max(m.binds, key=lambda bind: bind[2])
        clock = f"{step // 4:02d}:{step % 4 * 15:02d}"
        lines.append(
            f"dearest clauses: {m.rule} ({m.clause}): {m.per_unit:.4f} EUR for the day and one {m.unit} of "
            f"{m.quantity}; binds {len(m.binds)} times, most for {subject} at {clock} UTC"
        )
    try:
        found = certify(model, schedule)
    except NoBound as error:
        return [*lines, f"how far from the best the plan may be is not known: {error}"]
    size = sum(len(block.claim()) for block in found.blocks)
    return [
        *lines,
        f"no compliant plan is worth over {float(found.most):.2f} EUR after wear, this one is worth "
        f"{float(found.worth):.2f}: within {float(found.gap):.2f} EUR of the best ({len(found.blocks)} certificates, "
        f"{size} bytes, checked)",
    ]


def _money(value: Fraction) -> str:
    return f"{float(value):.2f}"
