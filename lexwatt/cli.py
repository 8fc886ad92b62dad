"""The `lexwatt` command line."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compiler.core import Core
from compiler.from_syntax import to_core
from compiler.inputs import read
from compiler.to_exact import Verdict, judge
from compiler.to_text import explain as explain_rule
from jurisdictions.loader import sources_of
from lexwatt import auditing, authoring, comparing, exporting, logs, proving, replaying, serving, tracing
from lexwatt.authoring import For, Known, On, day, err, known_on, out, places, read_packs, report
from lexwatt.evaluate import evaluate
from lexwatt.remembered import PROVED
from lexwatt.show import answer_lines, closing_table, event_line, plan_lines
from proofs.checker.__main__ import describe
from proofs.checker.certificate import Bad
from proofs.checker.receipt import Trust, open_receipt, open_trusted, read_record, verify_receipt
from rules_dsl.diagnostics import RulesError

if TYPE_CHECKING:
    from lexwatt.site import Folder

# Fleets, plans and devices are imported where they are used: their libraries take longer to start than most commands.

app = typer.Typer(
    help="Energy regulation as rules that battery fleets obey and auditors can check.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Runs the command line; rule findings and bad arguments end it with exit code 1 or 2."""
    app()


app.command()(authoring.check)
app.command()(authoring.fmt)
app.command("test")(authoring.test)
app.command("packs")(authoring.show_packs)
app.command()(authoring.new)
app.command()(authoring.plot)
app.command()(proving.prove)
app.command()(comparing.diff)
app.command()(comparing.why)
app.command()(tracing.coverage)
app.command("worked-examples")(tracing.worked_examples)
app.command()(exporting.rego)
app.command()(exporting.vipr)
app.command()(auditing.audit)
app.command()(replaying.replay)
app.command()(logs.witness)
app.command("export-log")(logs.export_log)
app.command("check-log")(logs.check_log)
app.command("rotate-key")(logs.rotate_key)
app.command()(serving.serve)


@app.command()
def lsp() -> None:
    """Serves an editor over standard input and output."""
    from lexwatt.language_server import main as serve

    serve()


@app.command()
def explain(
    rule: Annotated[str, typer.Argument(help="A rule as PACK/RULE, such as entsoe/lfsm_o.")],
    packs: Annotated[str, typer.Option("--packs", help="Packs by name or path, with commas, if not the rule's.")] = "",
    on: On = "",
    where: For = "",
    known: Known = "",
) -> None:
    """Says in plain English what a rule demands, with the numbers in force and the source."""
    names = [p.strip() for p in packs.split(",") if p.strip()] or [rule.partition("/")[0]]
    program = read_packs(names)
    entries = [r for r in program.rules if r.id == rule]
    if not entries:
        err.print(
            f"no rule is called `{rule}`; the pack has {', '.join(r.rule.name for r in program.rules)}",
            markup=False,
        )
        raise typer.Exit(2)
    core = to_core(program, day(on), places=places(where), known=known_on(known))
    now = [e for e in entries if program.in_force(e.pack, e.rule.source, day(on), known_on(known))]
    out.print(explain_rule(program, core, (now or entries)[-1]), markup=False, soft_wrap=True)


@app.command("eval")
def evaluate_cases(
    cases: Annotated[Path, typer.Option("--cases", help="File with one JSON case a line; - reads standard input.")],
    packs: Annotated[str, typer.Option("--packs", help="Packs by name or path, with commas.")] = "entsoe,operator",
    on: On = "",
    solve_for: Annotated[str, typer.Option("--solve-for", help="Also give the admissible set of this quantity.")] = "",
    where: For = "",
) -> None:
    """Judges a table of cases: one JSON line in, one JSON line out."""
    program = read_packs([p.strip() for p in packs.split(",") if p.strip()])
    if str(cases) != "-" and not cases.is_file():
        err.print(f"--cases: no file `{cases}`", markup=False)
        raise typer.Exit(2)
    lines = sys.stdin if str(cases) == "-" else cases.read_text(encoding="utf-8").splitlines()
    for answer in evaluate(program, day(on), lines, solve_for, places(where)):
        print(json.dumps(answer, ensure_ascii=False), flush=True)


@app.command()
def verify(
    receipt: Annotated[Path, typer.Argument(help="A receipt (.tlog-proof).")],
    key: Annotated[
        Path | None, typer.Option("--key", help="File with the log's public key; log.vkey of the run when absent.")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", help="The rule set document; found by its digest in the run when absent.")
    ] = None,
    handovers: Annotated[
        list[Path] | None, typer.Option("--handover", help="Receipt by which the log's key changed; in order.")
    ] = None,
    witnesses: Annotated[
        list[Path] | None, typer.Option("--witness", help="File with the public key of a witness who must cosign.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="The guard policy's document; found in the run when absent.")
    ] = None,
) -> None:
    """Checks a receipt offline, with the log's public key and the independent checker alone."""
    from lexwatt.site import Folder

    folder = Folder(receipt.resolve().parent.parent)
    try:
        data = receipt.read_bytes()
        vkey = (key or folder.vkey).read_text(encoding="utf-8")
        cosigners = [path.read_text(encoding="utf-8") for path in witnesses or ()]
        trust = Trust(vkey, [path.read_bytes() for path in handovers or ()], cosigners, len(cosigners))
        record, *_ = open_trusted(data, trust)
        told = read_record(record)
        document = (rules or folder.rules(str(told.get("ruleset")))).read_bytes()
        guide = policy.read_bytes() if policy else folder.policy(told.get("policy"))
        found = verify_receipt(data, trust, document, guide)
    except Bad as error:
        err.print(f"NOT VERIFIED: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except OSError as error:
        err.print(f"cannot read: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    out.print(describe(found), markup=False, soft_wrap=True)


EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
DEMO_PACKS: tuple[str | Path, ...] = ("entsoe", "operator", EXAMPLES / "delivery.rules")
"""Rules of the grid and of the operator, and what the site has chosen where they leave it open."""


@app.command()
def demo(
    site: Annotated[Path, typer.Option(help="The site file.")] = EXAMPLES / "site.yaml",
    prices: Annotated[Path, typer.Option(help="Day-ahead prices.")] = EXAMPLES / "prices" / "de_lu_day_ahead_week.csv",
    date_: Annotated[str, typer.Option("--date", help="The day to plan; that of the widest spread if absent.")] = "",
    frequency: Annotated[Path, typer.Option(help="Frequency of each step.")] = EXAMPLES
    / "frequency"
    / "over_frequency_event.csv",
    folder: Annotated[Path, typer.Option("--out", help="Where ledger and receipts are kept.")] = Path("var/demo"),
    journal: Annotated[Path | None, typer.Option(help="The devices' own journal of writes.")] = None,
    on: On = "",
) -> None:
    """Runs the main job: rules, theorems, plan, devices, guard, ledger, receipts."""
    from dispatch.prices import PriceError
    from dispatch.schedule import NoSchedule
    from guardrails.fleet import FleetError
    from lexwatt.site import Folder
    from proofs.ledger import LedgerBusy, LedgerDamaged

    try:
        _demo(site, prices, date_, frequency, Folder(folder), journal, on)
    except RulesError as error:
        report(error, sources_of(DEMO_PACKS))
        raise typer.Exit(1) from None
    except (FleetError, PriceError, NoSchedule, LedgerBusy, LedgerDamaged) as error:
        err.print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _demo(site: Path, prices: Path, date_: str, frequency: Path, run: Folder, journal: Path | None, on: str) -> None:
    from adapters.sunspec.process import DeviceProcess
    from dispatch.prices import load_prices
    from dispatch.schedule import build, solve
    from guardrails.seal import Sealer
    from lexwatt import demo as demonstration
    from lexwatt.site import load_rules, load_site, open_guard
    from proofs.checker.delivery import accounts
    from proofs.ledger import Ledger

    run.make()
    out.rule("1  the fleet", align="left")
    fleet = load_site(site)
    power = sum(u.max_discharge_power for u in fleet.units.values())
    energy = sum(u.usable_energy for u in fleet.units.values())
    size = f"{float(power) / 1e6:.2f} MW, {float(energy) / 1e6:.2f} MWh"
    out.print(f"{len(fleet.units)} units of {fleet.site} in {fleet.country}: {size}", markup=False)

    out.rule("2  the rules in force, and what is proved of them", align="left")
    rules = load_rules(DEMO_PACKS, day(on), PROVED)
    instruments = len({rule.clause.rsplit(",", 1)[0] for rule in rules.core.rules})
    out.print(f"{len(rules.core.rules)} rules from {instruments} instruments, in force on {rules.on}", markup=False)
    for answer in rules.answers:
        for line in answer_lines(answer, rules.core):
            out.print(line, soft_wrap=True)

    out.rule("3  a bid and a plan", align="left")
    _show_offers(rules.core)
    series = load_prices(prices)
    chosen = demonstration.demo_day(date.fromisoformat(date_) if date_ else None, series)
    today = series.day(chosen)
    charge = {unit: Fraction(1, 2) for unit in fleet.units}
    with out.status("planning…"):
        model = build(rules.core, fleet, today, charge)
        schedule = solve(model)
    low, high = float(min(today.values)), float(max(today.values))
    out.print(
        f"96 quarter-hours of {chosen}, {low:.2f} to {high:.2f} EUR/MWh (Bundesnetzagentur / SMARD.de, CC BY 4.0 "
        f"in the example): {float(schedule.revenue):.2f} EUR in {schedule.seconds:.1f} s",
        markup=False,
        soft_wrap=True,
    )
    held = ", ".join(f"{rule} {count}" for rule, count in sorted(schedule.rows.items()))
    out.print(f"rows the plan is held to: {held}", markup=False, soft_wrap=True)
    for line in plan_lines(model, schedule):
        out.print(line, markup=False, soft_wrap=True)

    out.rule("4  the devices", align="left")
    hz = demonstration.read_frequency(frequency)
    first = demonstration.first_step(schedule, hz)
    config, numbers = demonstration.simulator_config(fleet, schedule.before(first, charge))
    sealer = Sealer()
    speed = str(demonstration.SPEED)
    with Ledger.open(run.ledger, run.key()) as ledger, DeviceProcess(config, journal, speed=speed) as process:
        guard = open_guard(rules, run, ledger, sealer)
        out.print(
            f"{len(numbers)} SunSpec devices in a process of their own on port {process.port}; steps {first} to "
            f"{first + len(hz) - 1} of the plan; the frequency event is synthetic, shaped like 8 January 2021",
            markup=False,
            soft_wrap=True,
        )
        job = demonstration.Run(
            fleet,
            guard,
            ledger,
            sealer,
            schedule,
            today,
            process,
            numbers,
            lambda event: out.print(event_line(event), soft_wrap=True),
            run.path / "twin.jsonl",
        )
        for _ in job.steps(first, hz):
            pass
        held_now = {u: int(d.read()["setpoint"] or 0) for u, d in job.devices.items()}
        told = accounts(ledger.records())
        job.close()
        receipts = demonstration.write_receipts(ledger, run, job.decisions)
        checkpoint = ledger.checkpoint()

    out.rule("5  the outcome", align="left")
    closing_table(fleet, job.tallies, numbers, out)
    last = {u: w for d in job.decisions if d.command for u, w in d.command.items()}
    equal = sum(held_now[u] == last.get(u) for u in held_now)
    out.print(f"registers read at the end equal the last admitted set point on {equal} of {len(held_now)} devices")
    became = ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(told.outcomes.values()).items()))
    out.print(f"{became}; {len(told.open)} commands without an outcome on record", markup=False)
    for line in job.watch.lines():
        out.print(line, markup=False, soft_wrap=True)
    checked = sum(_verifies(path, run) for path in receipts)
    out.print(f"{checked} of {len(receipts)} receipts verified by the independent checker", markup=False)
    shown = next((p for p in receipts if "repaired" in p.name), receipts[0])
    out.rule("6  one receipt", align="left")
    out.print(f"{shown}", markup=False, soft_wrap=True)
    text = shown.read_text(encoding="utf-8")
    for line in text.splitlines():
        out.print(f"  {line[:74]}{'…' if len(line) > 74 else ''}", markup=False, soft_wrap=True)
    out.print()
    out.print(f"receipts    {run.path / 'receipts'}", markup=False, soft_wrap=True)
    out.print(f"ledger      {run.ledger} ({checkpoint.splitlines()[1]} records)", markup=False, soft_wrap=True)
    out.print(f"public key  {run.vkey}", markup=False, soft_wrap=True)
    out.print(f"check one   lexwatt verify {shown}", markup=False, soft_wrap=True)


def _show_offers(core: Core) -> None:
    """Judges a good and a bad offer of frequency containment reserve."""
    from lexwatt import demo as demonstration

    declared = core.declared()
    for volume, indivisible in demonstration.OFFERS:
        subject = read(declared, {"fcr_offered": volume, "indivisible": indivisible})
        findings = [judge(rule, subject) for rule in core.rules if rule.subject == "bid"]
        bad = [f for f in findings if f.verdict in (Verdict.VIOLATES, Verdict.CANNOT_TELL)]
        why = "; ".join(f"{f.rule.id} ({f.rule.clause})" for f in bad)
        out.print(f"FCR offer of {volume}: {'refused, ' + why if bad else 'allowed'}", markup=False, soft_wrap=True)


def _verifies(path: Path, run: Folder) -> bool:
    data = path.read_bytes()
    vkey = run.vkey.read_text(encoding="utf-8")
    try:
        record, _, _ = open_receipt(data, vkey)
        told = read_record(record)
        verify_receipt(data, vkey, run.rules(str(told["ruleset"])).read_bytes(), run.policy(told["policy"]))
    except Bad:
        return False
    return True
