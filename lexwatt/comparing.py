"""`lexwatt diff` and `lexwatt why`: how two editions differ, on paper and on a recorded day; why a command is refused,
what would be allowed nearby, and which clauses leave nothing."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from compiler.core import Core, CoreRule, Declared, names
from compiler.document import document
from compiler.from_syntax import to_core
from compiler.inputs import read
from compiler.instance import Instance, of_one
from compiler.to_exact import Subject, Untold, Unusable, Value, Verdict, holds, judge
from lexwatt.authoring import For, Known, On, day, err, known_on, out, places, read_packs
from lexwatt.show import finding_lines, state_text
from proofs.analyses import BLOCKED, Analysis, expressible
from proofs.checker.certificate import Bad
from proofs.compare import Difference, differences
from proofs.maker import Satisfiable, Undecided, decision_certificate
from proofs.policies import Commands, Nothing, pack
from rules_dsl.units import show


def diff(
    old: Annotated[str, typer.Argument(help="Packs by name or path, with commas: as they were.")],
    new: Annotated[str, typer.Argument(help="Packs by name or path, with commas: as they are.")],
    before: Annotated[
        str, typer.Option("--before", help="The day whose rules count for the old; today if absent.")
    ] = "",
    after: Annotated[str, typer.Option("--after", help="The day whose rules count for the new; today if absent.")] = "",
    where_before: Annotated[str, typer.Option("--for-before", help="For whom the old is picked.")] = "",
    where_after: Annotated[str, typer.Option("--for-after", help="For whom the new is picked.")] = "",
    cases: Annotated[Path | None, typer.Option("--day", help="A recorded day: one JSON case a line.")] = None,
    known: Known = "",
) -> None:
    """Compares two editions, days or choices of law: stricter, looser, same or neither, with a state each way."""
    one, other = (
        to_core(read_packs(text.split(",")), day(when), places=places(where), known=known_on(known))
        for text, when, where in ((old, before, where_before), (new, after, where_after))
    )
    declared = {**one.declared(), **other.declared()}
    found = list(differences(one, other))
    for difference in found:
        for line in difference_lines(difference, declared):
            out.print(line, markup=False, soft_wrap=True)
    counts = Counter(d.how for d in found)
    out.print(", ".join(f"{count} {how}" for how, count in sorted(counts.items())), markup=False)
    if cases is not None:
        for line in _on_a_day(one, other, cases):
            out.print(line, markup=False, soft_wrap=True)


def difference_lines(difference: Difference, declared: Mapping[str, Declared]) -> Iterator[str]:
    """A difference in plain words."""
    proof = sum(len(c) for c in difference.claims)
    proof_text = f" (certificates of {proof} bytes)" if proof else ""
    note = f": {difference.note}" if difference.note else ""
    yield f"{difference.rule} ({difference.clause}): {difference.how}{note}{proof_text}"
    if difference.refused is not None:
        yield "    newly refused: " + state_text(difference.refused, declared)
    if difference.allowed is not None:
        yield "    newly allowed: " + state_text(difference.allowed, declared)


def _on_a_day(old: Core, new: Core, cases: Path) -> Iterator[str]:
    """How often each rule's word, and that of all blocking rules together, changes on recorded cases.

    A case speaks of the `subject` that it names, a unit where it names none, and of the rules `checked_at` its point.
    """
    changed: dict[str, Counter[str]] = {}
    refused = allowed = total = 0
    for case in _recorded(cases):
        inputs, subject = case.get("inputs", case), case.get("subject", "unit")
        total += 1
        words: list[dict[str, Verdict]] = []
        blocked: list[bool] = []
        for core in (old, new):
            point = case.get("checked_at")
            rules = [r for r in core.rules if r.subject == subject and (point is None or point in r.checked)]
            found = read(core.declared(), inputs)
            words.append({r.id: judge(r, found).verdict for r in rules})
            blocked.append(any(words[-1][r.id] in BLOCKED for r in rules if r.blocks))
        refused += blocked[1] and not blocked[0]
        allowed += blocked[0] and not blocked[1]
        for rule in {**words[0], **words[1]}:
            was, now = (said.get(rule, Verdict.NOT_APPLICABLE) for said in words)
            count = changed.setdefault(rule, Counter())
            if now in BLOCKED and was not in BLOCKED:
                count["newly refused" if now is Verdict.VIOLATES else "no longer told"] += 1
            elif was in BLOCKED and now not in BLOCKED:
                count["newly allowed"] += 1
    for rule, count in changed.items():
        if count:
            told = [f"{count[what]} {what}" for what in ("newly refused", "newly allowed")]
            told += [f"{count['no longer told']} no longer told"] if count["no longer told"] else []
            yield f"on the recorded day {rule}: {', '.join(told)}"
    yield f"{total} recorded cases, {refused} newly refused, {allowed} newly allowed"


def _recorded(cases: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = cases.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _stop(f"cannot read `{cases}`: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = json.loads(line)
        except ValueError as error:
            raise _stop(f"{cases}:{number}: not a line of JSON: {error}") from None
        if not isinstance(case, dict) or not isinstance(case.get("inputs", case), dict):
            raise _stop(f"{cases}:{number}: a case is a JSON object, and its `inputs` another")
        yield case


def why(
    case: Annotated[
        Path, typer.Argument(help="A JSON object: the quantities of one state, with or without a command.")
    ],
    packs: Annotated[str, typer.Option("--packs", help="Packs by name or path, with commas.")] = "entsoe,operator",
    subject: Annotated[str, typer.Option("--subject", help="What the state is of.")] = "unit",
    checked: Annotated[str, typer.Option("--checked", help="Where the rules are asked.")] = "command",
    on: On = "",
    where: For = "",
) -> None:
    """Says why a command is refused and what is the closest one allowed, or which rules, the fewest that do, leave no
    command in a state, with the certificate's size; and which pairs of packs clash there."""
    core = to_core(read_packs(packs.split(",")), day(on), places=places(where))
    found, given = _state(case, core)
    instance, left = expressible(of_one(core, subject, checked))
    if len(found.rows) == 1:
        found = Subject({**found.values, **found.rows[0]}, found.rows)
    elif found.rows:
        left += tuple(f"rule `{r.id}`: asked at {len(found.rows)} rows" for r in instance.rules if r.quantifier)
        instance = replace(instance, rules=tuple(r for r in instance.rules if not r.quantifier))
    for name in left:
        out.print(f"left out: {name}", markup=False, soft_wrap=True)
    if not instance.rules:
        raise _stop(f"no rule about a {subject} is asked at a {checked}")
    instance = replace(instance, rules=tuple(r for r in instance.rules if _may_apply(r, found)))
    if not instance.rules:
        out.print("allowed: no rule applies in this state")
        return
    analysis = Analysis(instance)
    commands = Commands(analysis, checked)
    order = [v.name for v in analysis.facts.variables]
    asked = all(order[i] in given for i in commands.controls)
    if asked:
        refused = _refused(instance, found)
    state: dict[int, Fraction] = {}
    for i, name in enumerate(order):
        if i not in commands.controls:
            state[i] = _usable(name, found.values) / instance.vocabulary[name].resolution
    answer = commands.at(state)
    if isinstance(answer, Nothing):
        for line in finding_lines(commands.nothing("some command", answer), core.declared()):
            out.print(line, markup=False, soft_wrap=True)
        _pairs(instance, checked, state, analysis, answer, core.declared())
        raise typer.Exit(1)
    if answer is None:
        out.print("undecided: neither a command nor a proof that there is none was found in time")
        raise typer.Exit(1)
    if not asked:
        out.print("allowed: " + state_text(analysis.physical(answer), core.declared()), markup=False, soft_wrap=True)
        return
    request = {order[i]: _usable(order[i], found.values) for i in commands.controls}
    if not refused:
        out.print("allowed: " + state_text(request, core.declared()), markup=False, soft_wrap=True)
        return
    closest = _closest(analysis, state, {i: request[order[i]] for i in commands.controls})
    if closest is None:
        out.print("no allowed command in whole steps was found", markup=False, soft_wrap=True)
        raise typer.Exit(1)
    out.print(closest, markup=False, soft_wrap=True)


def _state(case: Path, core: Core) -> tuple[Subject, set[str]]:
    """The state of a file, and the names that it gives."""
    try:
        raw = json.loads(case.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _stop(f"cannot read `{case}`: {error}") from None
    if not isinstance(raw, dict):
        raise _stop(f"`{case}` is not a JSON object")
    found = read(core.declared(), raw)
    return found, {*raw, *(name for row in found.rows for name in row)}


def _may_apply(rule: CoreRule, found: Subject) -> bool:
    """Whether the state leaves it open that the rule applies: what it does not say is no reason to set a rule aside."""
    known = all(isinstance(found.values.get(name), Fraction) for name in names(rule.scope))
    try:
        return not known or holds(rule.scope, found)
    except Untold:
        return True


def _usable(name: str, values: Mapping[str, Value]) -> Fraction:
    value = values.get(name, Unusable("missing"))
    if isinstance(value, Unusable):
        raise _stop(f"`{name}` is {value.reason}")
    return value


def _refused(instance: Instance, found: Subject) -> bool:
    """Prints what each rule says against the command; whether one of them blocks it."""
    blocked = False
    for rule in instance.rules:
        finding = judge(rule, found)
        if finding.verdict in BLOCKED:
            blocked |= rule.blocks
            text = f"{rule.id} ({rule.clause}): {finding.verdict.value}"
            if finding.margin is not None:
                text += f", by {show(abs(finding.margin), rule.unit)}"
            out.print(text + ("" if rule.blocks else " (only warns)"), markup=False, soft_wrap=True)
    return blocked


def _closest(analysis: Analysis, state: Mapping[int, Fraction], request: Mapping[int, Fraction]) -> str | None:
    """The closest command that is allowed, in whole steps of each quantity, and the proof that none is closer; None
    where none was found."""
    from guardrails.repair import closest_command

    facts, vocabulary = analysis.facts, analysis.instance.vocabulary
    asked = {i: round(v / vocabulary[facts.variables[i].name].resolution) for i, v in request.items()}
    found = closest_command(facts, state, asked, dict.fromkeys(asked, 1))
    if found is None:
        return None
    text = "closest allowed: " + state_text(analysis.physical({i: Fraction(v) for i, v in found.items()}), vocabulary)
    if not all(facts.variables[i].role == "commanded" for i in asked):
        return text
    named = {i: v.name for i, v in enumerate(facts.variables)}
    predicate = {
        "outcome": "repaired",
        "state": {named[i]: int(v) if v.denominator == 1 else str(v) for i, v in state.items()},
        "unusable": {},
        "requested": {named[i]: v for i, v in asked.items()},
        "grid": dict.fromkeys((named[i] for i in asked), 1),
        "command": {named[i]: v for i, v in found.items()},
        "gap": 0,
    }
    try:
        return f"{text} (none is closer: certificate of {len(decision_certificate(document(facts), predicate))} bytes)"
    except (Bad, Satisfiable, Undecided):
        return f"{text} (that none is closer is not proved)"


def _pairs(
    instance: Instance,
    checked: str,
    state: Mapping[int, Fraction],
    whole: Analysis,
    told: Nothing,
    declared: Mapping[str, Declared],
) -> None:
    """Prints each pair of packs that clash in the state, but for the one that was told."""
    packs = list(dict.fromkeys(pack(rule.id) for rule in instance.rules if rule.blocks))
    for pair in itertools.combinations(packs, 2):
        if {pack(r.rule) for r in told.rules} == set(pair):
            continue
        rules = tuple(rule for rule in instance.rules if rule.blocks and pack(rule.id) in pair)
        analysis = Analysis(replace(instance, rules=rules))
        here = whole.facts.index()
        commands = Commands(analysis, checked)
        variables = enumerate(analysis.facts.variables)
        found = commands.at({i: state[here[v.name]] for i, v in variables if i not in commands.controls})
        if isinstance(found, Nothing) and {pack(r.rule) for r in found.rules} == set(pair):
            for line in finding_lines(commands.nothing("fit together", found), declared):
                out.print(line, markup=False, soft_wrap=True)


def _stop(text: str) -> typer.Exit:
    err.print(text, markup=False, soft_wrap=True)
    return typer.Exit(2)
