"""Commands that prove: what holds of rule sets, how two of them differ, why nothing is allowed."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from compiler.core import Core, Declared
from compiler.from_syntax import to_core
from compiler.inputs import read
from compiler.instance import of_one
from compiler.lower import lowerable
from compiler.to_exact import Unusable, judge
from lexwatt.authoring import For, Known, On, Paths, day, err, known_on, out, places, read_packs
from lexwatt.show import answer_lines
from lexwatt.site import Folder, decide
from proofs import analyses
from proofs.analyses import Analysis, Finding
from proofs.checker.certificate import Bad, refutes
from proofs.checker.claim import claim_from_bytes
from proofs.compare import BLOCKED, Difference, differences
from proofs.theorems import Proved
from rules_dsl.units import show

CONSISTENT_AT = ("command", "bid")
"""Where somebody asks for one thing now; schedules and traces have many steps, and nobody commands a measurement."""


def prove(
    path: Paths,
    on: On = "",
    keep: Annotated[Path | None, typer.Option("--out", help="Store certificates here.")] = None,
    cache: Annotated[Path, typer.Option("--cache", help="Answers found before, by digest.")] = Path("var/proved"),
    every: Annotated[bool, typer.Option("--all", help="Also list what is as one hopes.")] = False,
) -> None:
    """Decides theorems, and whether rules can be met, can be broken, are needed, and always leave some command.

    Each pack alone, then each pair; theorems over all together. Answers come with a checked certificate or a state that
    the interpreter replays.
    """
    when = day(on)
    answers = decide(to_core(read_packs(path), when))
    for answer in answers:
        for line in answer_lines(answer, to_core(read_packs(path), when)):
            out.print(line, soft_wrap=True)
        if keep is not None and isinstance(answer, Proved):
            folder = Folder(keep)
            folder.make()
            out.print(f"        kept in {folder.keep_theorem(answer)}", markup=False, soft_wrap=True)
    bad = any(not isinstance(answer, Proved) for answer in answers)
    alone = [(p,) for p in path]
    for group in [*alone, *itertools.combinations(path, 2)]:
        core = to_core(read_packs(list(group)), when)
        found, left = _findings(core, len(group) == 1, cache)
        counts = Counter((f.kind, f.good) for f in found)
        words = {True: "yes", False: "NO", None: "undecided"}
        told = ", ".join(f"{kind}: {count} {words[good]}" for (kind, good), count in sorted(counts.items(), key=str))
        tail = f"; {len(left)} about rows or clocks, judged by the interpreter alone" if left else ""
        out.print(f"{' + '.join(group)}: {told or 'nothing to decide'}{tail}", markup=False, soft_wrap=True)
        for finding in found:
            if every or not finding.good:
                for line in _told(finding, core.declared()):
                    out.print("    " + line, markup=False, soft_wrap=True)
        if every:
            for line in left:
                out.print("    " + line, markup=False, soft_wrap=True)
        if keep is not None:
            _keep(found, keep)
        bad |= any(f.kind == "some command" and not f.good for f in found)
    if bad:
        raise typer.Exit(1)


def _findings(core: Core, alone: bool, cache: Path) -> tuple[list[Finding], list[str]]:
    source = Path(analyses.__file__).read_bytes()
    key = hashlib.sha256(f"{core.digest} {alone} ".encode() + source).hexdigest()
    stored = cache / f"{key}.json"
    try:
        raw = json.loads(stored.read_text(encoding="utf-8"))
        return [_stored(f) for f in raw["findings"]], list(raw["left"])
    except (OSError, ValueError, KeyError, TypeError, Bad):
        pass
    found, left = [], []
    for subject, checked in sorted({(r.subject, point) for r in core.rules for point in r.checked}):
        instance, without = lowerable(of_one(core, subject, checked))
        left += without
        if instance.rules:
            analysis = Analysis(instance)
            if alone:
                found += list(analysis.each_rule())
            if checked in CONSISTENT_AT and (some := analysis.some_command()) is not None:
                found.append(some)
    cache.mkdir(parents=True, exist_ok=True)
    part = stored.with_suffix(".part")
    part.write_text(json.dumps({"findings": [_plain(f) for f in found], "left": left}), encoding="utf-8")
    part.replace(stored)
    return found, left


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "rules": finding.rules,
        "good": finding.good,
        "text": finding.text,
        "state": None if finding.state is None else {n: str(v) for n, v in finding.state.items()},
        "claim": None if finding.claim is None else base64.b64encode(finding.claim).decode(),
    }


def _stored(raw: Mapping[str, Any]) -> Finding:
    """A finding of the cache; a certificate that does not check any more is `Bad`."""
    claim = None if raw["claim"] is None else base64.b64decode(raw["claim"])
    if claim is not None and not refutes(*claim_from_bytes(claim)):
        raise Bad("a stored certificate does not check")
    state = None if raw["state"] is None else {n: Fraction(v) for n, v in raw["state"].items()}
    return Finding(raw["kind"], tuple(raw["rules"]), raw["good"], raw["text"], state, claim)


def _keep(found: Sequence[Finding], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for finding in found:
        if finding.claim is not None:
            name = "-".join([finding.kind, *finding.rules[:2]]).replace("/", "-").replace(" ", "-")
            digest = hashlib.sha256(finding.claim).hexdigest()[:12]
            (folder / f"{name}-{digest}.claim").write_bytes(finding.claim)


def _told(finding: Finding, declared: Mapping[str, Declared]) -> Iterator[str]:
    mark = {True: "yes", False: "NO", None: "undecided"}[finding.good]
    size = f" (certificate of {len(finding.claim)} bytes)" if finding.claim is not None else ""
    yield f"{mark}: {finding.text}{size}"
    if finding.state is not None:
        yield "  where " + state_text(finding.state, declared)


def state_text(state: Mapping[str, Fraction], declared: Mapping[str, Declared]) -> str:
    """A state in physical units."""
    shown = []
    for name, value in state.items():
        d = declared[name]
        named = d.names and value.denominator == 1 and 0 <= value < len(d.names)
        shown.append(f"{name} {d.names[int(value)] if named else show(value, d.unit)}")
    return ", ".join(shown)


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
    yield f"{difference.rule}: {difference.how}{note}{proof_text}"
    if difference.refused is not None:
        yield "    newly refused: " + state_text(difference.refused, declared)
    if difference.allowed is not None:
        yield "    newly allowed: " + state_text(difference.allowed, declared)


def _on_a_day(old: Core, new: Core, cases: Path) -> Iterator[str]:
    """How often each rule's word on recorded cases changes."""
    refused: Counter[str] = Counter()
    allowed: Counter[str] = Counter()
    total = 0
    for line in cases.read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        inputs = raw.get("inputs", raw)
        total += 1
        for rule_id in dict.fromkeys(r.id for r in (*old.rules, *new.rules)):
            blocked = []
            for core in (old, new):
                rule = next((r for r in core.rules if r.id == rule_id), None)
                blocked.append(rule is not None and judge(rule, read(core.declared(), inputs)).verdict in BLOCKED)
            refused[rule_id] += blocked[1] and not blocked[0]
            allowed[rule_id] += blocked[0] and not blocked[1]
    for rule_id in refused:
        if refused[rule_id] or allowed[rule_id]:
            yield f"on the recorded day {rule_id}: {refused[rule_id]} newly refused, {allowed[rule_id]} newly allowed"
    yield f"{total} recorded cases, {sum(refused.values())} newly refused, {sum(allowed.values())} newly allowed"


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
    """Says why a command is refused, or which rules leave no command in a state, with the certificate's size."""
    core = to_core(read_packs(packs.split(",")), day(on), places=places(where))
    try:
        raw = json.loads(case.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        err.print(f"cannot read `{case}`: {error}", markup=False)
        raise typer.Exit(2) from None
    found = read(core.declared(), raw)
    instance, left = lowerable(of_one(core, subject, checked))
    for name in left:
        out.print(f"left out: {name}", markup=False, soft_wrap=True)
    if not instance.rules:
        err.print(f"no rule about a {subject} is asked at a {checked}", markup=False)
        raise typer.Exit(2)
    analysis = Analysis(instance)
    controls = [v.name for v in analysis.facts.variables if v.role in analyses.CONTROLS]
    if all(name in raw for name in controls):
        for rule in instance.rules:
            finding = judge(rule, found)
            if finding.verdict in BLOCKED:
                text = f"{rule.id} ({rule.clause}): {finding.verdict.value}"
                if finding.margin is not None:
                    text += f", by {show(abs(finding.margin), rule.unit)}"
                out.print(text, markup=False, soft_wrap=True)
    state: dict[int, Fraction] = {}
    for i, v in enumerate(analysis.facts.variables):
        if v.name in controls:
            continue
        value = found.values.get(v.name, Unusable("missing"))
        if isinstance(value, Unusable):
            err.print(f"`{v.name}` is {value.reason}", markup=False)
            raise typer.Exit(2)
        state[i] = value / instance.vocabulary[v.name].resolution
    answer = analysis.allowed(state)
    for line in [answer] if isinstance(answer, str) else _told(answer, core.declared()):
        out.print(line, markup=False, soft_wrap=True)
    if isinstance(answer, Finding):
        raise typer.Exit(1)
