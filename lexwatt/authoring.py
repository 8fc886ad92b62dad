"""Commands for those who write rules: check, format, test, what is in force, a new pack."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from compiler.clashes import clashes
from compiler.coverage import cover, open_rows
from compiler.examples import run
from compiler.from_syntax import to_core
from compiler.mutations import mutants
from jurisdictions.loader import VOCABULARY, load_all, load_texts, packs, sources_of
from rules_dsl import tree as t
from rules_dsl.diagnostics import RulesError, render
from rules_dsl.format import format_text
from rules_dsl.parse import parse
from rules_dsl.program import Program

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

On = Annotated[str, typer.Option("--on", help="The day whose rules count, as 2026-11-23; today when absent.")]
For = Annotated[str, typer.Option("--for", help="For whom, as country=AT,site=one: picks among choices of value.")]
Known = Annotated[str, typer.Option("--known", help="As it was known here on this day; as known now when absent.")]
Paths = Annotated[list[str], typer.Argument(help="Packs by name, or rule files or folders.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print findings as JSON.")]


def day(text: str) -> date:
    """The day (or the moment, with its offset) an option names, today in UTC when empty; ends the command for anything
    else."""
    if not text:
        return datetime.now(UTC).date()
    try:
        if "T" in text:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                raise ValueError("in no time zone")
            return moment
        return date.fromisoformat(text)
    except ValueError:
        hint = "a day such as 2026-11-23, nor a moment such as 2026-11-23T10:00Z"
        err.print(f"--on: `{text}` is not {hint}", markup=False)
        raise typer.Exit(2) from None


def known_on(text: str) -> date | None:
    """The day an option names, None when empty; ends the command for anything else."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        err.print(f"--known: `{text}` is not a day such as 2026-11-23", markup=False)
        raise typer.Exit(2) from None


def places(text: str) -> dict[str, str]:
    """The places an option names; ends the command for a kind of place there is not."""
    found: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        kind, _, name = part.partition("=")
        if kind.strip() not in ("country", "operator", "site", "contract") or not name.strip():
            hint = "country=..., operator=..., site=... or contract=..."
            err.print(f"--for: `{part}` is not one of {hint}", markup=False)
            raise typer.Exit(2)
        found[kind.strip()] = name.strip()
    return found


def report(error: RulesError, sources: dict[str, str]) -> None:
    """Prints findings as a compiler does."""
    for diagnostic in error.diagnostics:
        err.print(render(diagnostic, sources), markup=False, soft_wrap=True)
        err.print()
    err.print(f"{len(error.diagnostics)} finding(s)", markup=False)


def read_packs(names: Sequence[str | Path]) -> Program:
    """The checked program of packs, or every finding on standard error and exit code 1."""
    sources: dict[str, str] = {}
    try:
        sources = sources_of(names)
        return load_texts(sources)
    except RulesError as error:
        report(error, sources)
        raise typer.Exit(1) from None


def check(path: Paths, on: On = "", where: For = "", known: Known = "", as_json: AsJson = False) -> None:
    """Checks rule files: grammar, names, kinds, units, ranges, dates, sources, tables, clashes."""
    sources: dict[str, str] = {}
    try:
        sources = sources_of(path)
        program, findings = load_all(sources)
        if findings:
            raise RulesError(findings)
        core = to_core(program, day(on), places=places(where), known=known_on(known))
        findings = list(clashes(program, core))
        if findings:
            raise RulesError(findings)
    except RulesError as error:
        if as_json:
            print(json.dumps([d.to_json() for d in error.diagnostics], indent=2))
        else:
            report(error, sources)
        raise typer.Exit(1) from None
    if as_json:
        print("[]")
        return
    out.print(
        f"{len(program.rules)} rules, {len(core.rules)} in force on {day(on)}, "
        f"{sum(r.blocks for r in core.rules)} of them may block; rules {core.digest[:23]}…",
        markup=False,
        soft_wrap=True,
    )


def fmt(
    path: Paths, only_check: Annotated[bool, typer.Option("--check", help="Change nothing; fail if it would.")] = False
) -> None:
    """Lays rule files out in the one layout; comments keep their places."""
    changed = 0
    for name, text in _own_files(path).items():
        file = Path(name)
        try:
            laid_out = format_text(text, str(file))
        except RulesError as error:
            report(error, {str(file): text})
            raise typer.Exit(1) from None
        if laid_out != text:
            changed += 1
            out.print(f"{'would change' if only_check else 'changed'} {file}", markup=False, soft_wrap=True)
            if not only_check:
                file.write_text(laid_out, encoding="utf-8")
    if only_check and changed:
        raise typer.Exit(1)
    if not changed:
        out.print("nothing to change")


def _own_files(names: Sequence[str]) -> dict[str, str]:
    """The files named with their texts, without the vocabulary unless it is named itself."""
    try:
        found = sources_of([] if names == ["vocabulary"] else names)
    except RulesError as error:
        report(error, {})
        raise typer.Exit(1) from None
    return found if names == ["vocabulary"] else {n: text for n, text in found.items() if Path(n) != VOCABULARY}


def test(
    path: Paths,
    on: On = "",
    where: For = "",
    coverage: Annotated[bool, typer.Option("--coverage", help="Also say what the examples leave open.")] = False,
    mutate: Annotated[bool, typer.Option("--mutate", help="Also change each number and see who notices.")] = False,
    least: Annotated[int, typer.Option("--least", help="With --mutate: fail below this percentage.")] = 0,
) -> None:
    """Runs the examples that stand in rule files."""
    program = read_packs(path)
    when = day(on)
    total = failed = 0
    for outcome in run(program, when, places(where), _named(path)):
        total += 1
        if outcome.problem:
            failed += 1
            span = outcome.expectation.span
            err.print(
                f"{span.file}:{span.line}: {outcome.rule}, “{outcome.example}”: {outcome.problem}",
                markup=False,
                soft_wrap=True,
            )
    rules = sum(r.pack in _named(path) for r in program.rules)
    out.print(f"{total - failed} of {total} expectations hold in {rules} rules", markup=False)
    if coverage:
        _coverage(program, when)
    poor = mutate and _mutate(path, when) < least
    if failed or not total or poor:
        raise typer.Exit(1)


def _named(path: Sequence[str]) -> set[str]:
    """The packs that the files named belong to; those that they adopt are not among them."""
    return {s.name for name, text in sources_of(path).items() for s in parse(text, name) if isinstance(s, t.Pack)}


def _coverage(program: Program, on: date) -> None:
    found = list(cover(program, on))
    branches = sum(2 * len(c.branches) for c in found)
    missed, rows = open_rows(found)
    limits = [c for c in found if c.boundary is not None]
    shown = branches - sum(c.open_branches for c in found), rows - missed
    out.print(
        f"examples show {shown[0]} of {branches} outcomes of conditions, {shown[1]} of {rows} rows of tables, "
        f"{sum(bool(c.boundary) for c in limits)} of {len(limits)} limits at their boundary",
        markup=False,
        soft_wrap=True,
    )
    for c in found:
        parts = [
            f"{c.open_branches} outcome(s) of conditions" if c.open_branches else "",
            "its limit" if c.boundary is False else "",
        ]
        if any(parts):
            out.print(f"  {c.rule} leaves open: {', '.join(filter(None, parts))}", markup=False, soft_wrap=True)


def _mutate(path: Sequence[str], on: date) -> float:
    sources = sources_of(path)
    files = {name: (text, parse(text, name)) for name, text in sources.items()}
    made = list(mutants(files, sorted(_named(path)), on))
    for mutant in made:
        if not mutant.noticed:
            span = mutant.span
            where, what = f"{span.file}:{span.line}:{span.column}", f"`{mutant.before}` changed to `{mutant.after}`"
            out.print(f"  {where}: no example notices {what}", markup=False, soft_wrap=True)
    noticed = sum(m.noticed for m in made)
    share = 100 * noticed / len(made) if made else 100.0
    out.print(f"examples notice {noticed} of {len(made)} changes of a number or a comparison, {share:.1f} %")
    return share


def show_packs(on: On = "") -> None:
    """What is in force on a day, pack by pack."""
    when = day(on)
    table = Table(box=None, pad_edge=False)
    for head in ("pack", "rules in force", "may block", "warn", "not in force", "instruments"):
        table.add_column(head)
    for name in packs():
        program = read_packs([name])
        core = to_core(program, when)
        own = [r for r in core.rules if r.id.startswith(f"{name}/")]
        all_own = [r for r in program.rules if r.pack == name]
        blocks = sum(r.blocks for r in own)
        cited = {r.rule.source.instrument for r in all_own}
        row = (name, len(own), blocks, len(own) - blocks, len(all_own) - len(own), len(cited))
        table.add_row(*(str(cell) for cell in row))
    out.print(table)


_NEW = """pack {name} "{title}"

-- Say where the rules come from. Dates below are days in the instrument's own time zone.
instrument {name}_text "The title of the text"
  authority "Who made it"  zone UTC
  edition "Which edition" from {today}
    link "where to read it"

-- What the text leaves open, with its legal range, is a parameter; whoever chooses a value says so with `set`.
parameter {name}_limit : unit kW within 0 kW .. 100 kW default 50 kW
  cites {name}_text "clause 1"  evidence read  in force from {today}
  "the greatest power"
  allows 0 kW; 100 kW refuses 100.001 kW

rule {name}_power "Power stays within the limit"
  cites {name}_text "clause 1"  evidence read  in force from {today}
  checked at command
  applies to each unit
  active_power must be at most {name}_limit
  example "at the limit"
    allows active_power 50 kW by 0 W
    refuses active_power 50.001 kW by 1 W
"""


def new(
    name: Annotated[str, typer.Argument(help="The name of the pack: lower case, such as my_country.")],
    folder: Annotated[Path, typer.Option("--in", help="Where the pack's folder is made.")] = Path(),
    title: Annotated[str, typer.Option(help="What people call it.")] = "",
) -> None:
    """Starts a pack: a folder with one file whose rule passes its examples."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        err.print(f"`{name}` is not a name: lower case letters, digits and underscores", markup=False)
        raise typer.Exit(2)
    file = folder / name / f"{name}.rules"
    if file.exists() or name in packs():
        err.print(f"there is a pack `{name}` already", markup=False)
        raise typer.Exit(1)
    file.parent.mkdir(parents=True, exist_ok=True)
    today = datetime.now(UTC).date()
    file.write_text(_NEW.format(name=name, title=title or name.replace("_", " "), today=today), encoding="utf-8")
    out.print(f"made {file}; next: lexwatt test {file.parent}", markup=False, soft_wrap=True)


def plot(
    name: Annotated[str, typer.Argument(help="A curve, a table, or a rule as PACK/RULE.")],
    file: Annotated[Path, typer.Option("--out", "-o", help="The SVG file to write.")],
    path: Annotated[
        str, typer.Option("--packs", help="Packs by name or path, with commas; all that ship if absent.")
    ] = "",
    on: On = "",
) -> None:
    """Draws a curve, a table or a rule."""
    from compiler.to_plot import CannotPlot, save
    from compiler.to_plot import plot as draw

    program = read_packs([p.strip() for p in path.split(",") if p.strip()] or packs())
    try:
        save(draw(program, name, day(on)), file)
    except CannotPlot as error:
        err.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    out.print(f"drew {name} in {file}", markup=False, soft_wrap=True)
