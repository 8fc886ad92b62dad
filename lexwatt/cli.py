"""The `lexwatt` command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from compiler.examples import run as run_examples
from compiler.from_syntax import to_core
from compiler.to_text import explain as explain_rule
from jurisdictions.loader import load_texts, sources_of
from lexwatt.evaluate import evaluate
from rules_dsl.check import Program
from rules_dsl.diagnostics import RulesError, render

app = typer.Typer(
    help="Energy regulation as rules that battery fleets obey and auditors can check.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

On = Annotated[str, typer.Option("--on", help="The day whose rules count, as 2026-11-23; today when absent.")]


def main() -> None:
    """Runs the command line; rule findings and bad arguments end it with exit code 1 or 2."""
    app()


def day(text: str) -> date:
    """The day an option names, today in UTC when empty; ends the command for anything else."""
    if not text:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        err.print(f"--on: `{text}` is not a day such as 2026-11-23", markup=False)
        raise typer.Exit(2) from None


def read_packs(packs: Sequence[str | Path]) -> Program:
    """The checked program of packs, or every finding on standard error and exit code 1."""
    sources: dict[str, str] = {}
    try:
        sources = sources_of(packs)
        return load_texts(sources)
    except RulesError as error:
        report(error, sources)
        raise typer.Exit(1) from None


def report(error: RulesError, sources: dict[str, str]) -> None:
    """Prints findings as a compiler does."""
    for diagnostic in error.diagnostics:
        err.print(render(diagnostic, sources), markup=False, soft_wrap=True)
        err.print()
    err.print(f"{len(error.diagnostics)} finding(s)", markup=False)


@app.command()
def check(
    path: Annotated[list[str], typer.Argument(help="Packs by name, or rule files or folders.")],
    on: On = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON.")] = False,
) -> None:
    """Checks rule files: grammar, names, units, ranges, dates, sources."""
    sources: dict[str, str] = {}
    try:
        sources = sources_of(path)
        program = load_texts(sources)
        core = to_core(program, day(on))
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
    )


@app.command("test")
def test_examples(
    path: Annotated[list[str], typer.Argument(help="Packs by name, or rule files or folders.")], on: On = ""
) -> None:
    """Runs the examples that stand in rule files."""
    program = read_packs(path)
    total = failed = 0
    for outcome in run_examples(program, day(on)):
        total += 1
        if outcome.problem:
            failed += 1
            span = outcome.expectation.span
            err.print(
                f"{span.file}:{span.line}: {outcome.rule}, “{outcome.example}”: {outcome.problem}",
                markup=False,
                soft_wrap=True,
            )
    out.print(f"{total - failed} of {total} expectations hold in {len(program.rules)} rules", markup=False)
    if failed or not total:
        raise typer.Exit(1)


@app.command()
def explain(
    rule: Annotated[str, typer.Argument(help="A rule as PACK/RULE, such as entsoe/lfsm_o.")], on: On = ""
) -> None:
    """Says in plain English what a rule demands, with the numbers in force and the source."""
    pack, _, _name = rule.partition("/")
    program = read_packs([pack])
    entry = next((r for r in program.rules if r.id == rule), None)
    if entry is None:
        err.print(
            f"no rule is called `{rule}`; the pack has {', '.join(r.rule.name for r in program.rules)}",
            markup=False,
        )
        raise typer.Exit(2)
    out.print(explain_rule(program, to_core(program, day(on)), entry), markup=False, soft_wrap=True)


@app.command("eval")
def evaluate_cases(
    cases: Annotated[Path, typer.Option("--cases", help="File with one JSON case a line; - reads standard input.")],
    packs: Annotated[str, typer.Option("--packs", help="Packs by name or path, with commas.")] = "entsoe,operator",
    on: On = "",
    solve_for: Annotated[str, typer.Option("--solve-for", help="Also give the admissible set of this quantity.")] = "",
) -> None:
    """Judges a table of cases: one JSON line in, one JSON line out."""
    program = read_packs([p.strip() for p in packs.split(",") if p.strip()])
    if str(cases) != "-" and not cases.is_file():
        err.print(f"--cases: no file `{cases}`", markup=False)
        raise typer.Exit(2)
    lines = sys.stdin if str(cases) == "-" else cases.read_text(encoding="utf-8").splitlines()
    for answer in evaluate(program, day(on), lines, solve_for):
        print(json.dumps(answer, ensure_ascii=False), flush=True)
