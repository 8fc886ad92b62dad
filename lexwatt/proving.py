"""Commands that prove: what holds of rule sets, how two of them differ, why nothing is allowed."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from compiler import lower as lowering
from compiler.core import Core, Declared
from compiler.from_syntax import to_core
from compiler.inputs import read
from compiler.instance import of_one
from compiler.lower import lowerable
from compiler.to_exact import Unusable, judge
from jurisdictions.loader import sources_of
from lexwatt.authoring import For, Known, On, Paths, day, err, known_on, out, places, read_packs
from lexwatt.show import answer_lines
from lexwatt.site import decide
from proofs import analyses, maker, theorems
from proofs.analyses import Analysis, Finding
from proofs.checker.certificate import Bad, Problem, Tree, refutes
from proofs.checker.claim import claim_from_bytes, claim_from_json
from proofs.compare import BLOCKED, Difference, differences
from proofs.theorems import Proved
from proofs.to_vipr import CannotExport, to_vipr
from rules_dsl.program import Day
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
    groups = [*((p,) for p in path), *itertools.combinations(path, 2)]
    answers = [_remembered(path, when, "theorems", cache, _theorems)]
    answers += [_remembered(group, when, "findings", cache, _findings) for group in groups]
    for answer in answers:
        for good, line in answer["lines"]:
            if every or not good:
                out.print(line, soft_wrap=True)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            for name, data in answer["kept"].items():
                (keep / name).write_bytes(base64.b64decode(data))
    if any(answer["bad"] for answer in answers):
        raise typer.Exit(1)


Answer = dict[str, Any]
"""`lines`: (whether all is well, text); `kept`: files by name, in base64; `bad`: whether something is wrong."""


def _remembered(
    group: Sequence[str], when: Day, what: str, cache: Path, find: Callable[[Sequence[str], Day], Answer]
) -> Answer:
    """The answer found before for the same rule texts, day and code, its certificates checked again; or found now."""
    code = b"".join(Path(str(m.__file__)).read_bytes() for m in (analyses, theorems, maker, lowering))
    texts = json.dumps([what, str(when), sorted(sources_of(list(group)).items())]).encode()
    place = cache / (hashlib.sha256(texts + code).hexdigest() + ".json")
    try:
        answer: Answer = json.loads(place.read_text(encoding="utf-8"))
        for name, data in answer["kept"].items():
            if not refutes(*_claim(name, base64.b64decode(data))):
                raise Bad("a stored certificate does not check")
        return answer
    except (OSError, ValueError, KeyError, TypeError, Bad):
        answer = find(group, when)
    cache.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    part.write_text(json.dumps(answer), encoding="utf-8")
    part.replace(place)
    return answer


def _claim(name: str, data: bytes) -> tuple[Problem, Tree]:
    return claim_from_bytes(data) if name.endswith(".claim") else claim_from_json(data)


def vipr(
    claim: Annotated[Path, typer.Argument(help="A claim that `prove --out` stored (.claim or .json).")],
    file: Annotated[Path, typer.Option("--out", help="The file to write.")],
) -> None:
    """Checks a claim and writes it as a VIPR 1.0 file, for checkers of integer programmes made elsewhere."""
    try:
        text = to_vipr(*_claim(claim.name, claim.read_bytes()))
        file.write_text(text, encoding="ascii")
    except Bad as error:
        err.print(f"NOT VERIFIED: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except CannotExport as error:
        err.print(f"VIPR cannot express {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except OSError as error:
        err.print(f"cannot read or write: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    out.print(f"{file}: {len(text)} bytes", markup=False, soft_wrap=True)


def _theorems(group: Sequence[str], when: Day) -> Answer:
    core = to_core(read_packs(list(group)), when)
    answers = decide(core)
    lines = [(False, line) for a in answers for line in answer_lines(a, core)]
    kept = {
        a.theorem.id.replace("/", "-") + ".json": base64.b64encode(a.to_document()).decode()
        for a in answers
        if isinstance(a, Proved)
    }
    return {"lines": lines, "kept": kept, "bad": len(kept) < len(answers)}


def _findings(group: Sequence[str], when: Day) -> Answer:
    core = to_core(read_packs(list(group)), when)
    found: list[Finding] = []
    left: list[str] = []
    for subject, checked in sorted({(r.subject, point) for r in core.rules for point in r.checked}):
        instance, without = lowerable(of_one(core, subject, checked))
        left += without
        if instance.rules:
            analysis = Analysis(instance)
            if len(group) == 1:
                found += analysis.each_rule()
            if checked in CONSISTENT_AT:
                found += analysis.some_command()
    counts = Counter((f.kind, f.good) for f in found)
    words = {True: "yes", False: "NO", None: "undecided"}
    told = ", ".join(f"{kind}: {count} {words[good]}" for (kind, good), count in sorted(counts.items(), key=str))
    tail = f"; {len(left)} about rows or clocks, judged by the interpreter alone" if left else ""
    lines = [(False, escape(f"{' + '.join(group)}: {told or 'nothing to decide'}{tail}"))]
    lines += [(bool(f.good), "    " + escape(line)) for f in found for line in _told(f, core.declared())]
    lines += [(True, "    " + escape(line)) for line in left]
    kept = {}
    for f in found:
        if f.claim is not None:
            name = "-".join([f.kind, *f.rules[:2], hashlib.sha256(f.claim).hexdigest()[:12]])
            kept[name.replace("/", "-").replace(" ", "-") + ".claim"] = base64.b64encode(f.claim).decode()
    return {"lines": lines, "kept": kept, "bad": any(f.kind == "some command" and not f.good for f in found)}


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
