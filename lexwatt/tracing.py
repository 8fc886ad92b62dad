"""From fact to rule to example to evidence, and the worked examples of fact files held against the packs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import typer

from jurisdictions.facts import KINDS, BadFacts, Fact, FactFile, Worked, fact_files
from jurisdictions.loader import HOME, packs
from jurisdictions.worked import AS_OF, Limit, NotRead, Question, questions
from lexwatt.authoring import err, out, read_packs
from lexwatt.evaluate import Evaluator
from rules_dsl import tree as t
from rules_dsl.program import PackRule, Program

LEAST = Fraction(85, 100)
"""Share of the facts of each file that a machine can be held to which must be encoded."""

_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])[0-9]+(?:\.[0-9]+)?")
_FACTORS = tuple(
    Fraction(a) * b
    for a in (1, 60, 3600, Fraction(1, 60), Fraction(1, 3600), 100, Fraction(1, 100), 24)
    for b in (1, 1000, 10**6, Fraction(1, 1000), Fraction(1, 10**6))
)
_SEVERITY = ("violates", "cannot_tell", "complies", "not_applicable")


@dataclass(frozen=True, slots=True)
class Traced:
    """One fact with the rules that encode it. `wrong` says what is not in order, `unseen` which of its figures none of
    the rules, curves, tables or choices that encode it shows."""

    fact: Fact
    rules: tuple[PackRule, ...]
    wrong: tuple[str, ...]
    unseen: tuple[Fraction, ...]

    @property
    def state(self) -> str:
        """`encoded`, `left out` or `open`."""
        return "encoded" if self.rules else "left out" if self.fact.left_out else "open"


@dataclass(frozen=True, slots=True)
class Answered:
    """A worked example, with what the rules say otherwise; `read` is false where no reader understands it."""

    example: Worked
    read: bool
    asked: int
    otherwise: tuple[str, ...]

    @property
    def state(self) -> str:
        """`agrees`, `explained` (a disagreement with its reason), `DISAGREES` or `NOT READ`."""
        if not self.otherwise:
            return "agrees"
        return "explained" if self.example.disagreement else "DISAGREES" if self.read else "NOT READ"


@lru_cache(maxsize=1)
def everything() -> Program:
    """All packs that ship, read together."""
    return read_packs(list(packs()))


@lru_cache(maxsize=64)
def _evaluator(names: tuple[str, ...]) -> Evaluator:
    return Evaluator(read_packs(list(names)))


def trace(program: Program, facts: Sequence[Fact]) -> list[Traced]:
    """The facts of a file, each with its rules and what is not in order about them."""
    firm = {name for fact in facts if not fact.weak for name in fact.encoded_by}
    return [_trace(program, fact, firm) for fact in facts]


def _trace(program: Program, fact: Fact, firm: Collection[str]) -> Traced:
    wrong: list[str] = []
    rules: list[PackRule] = []
    texts: list[str] = []
    for name in fact.encoded_by:
        found = [entry for entry in program.rules if entry.id == name]
        rules += found
        named = [*(entry.rule for entry in found), *filter(None, [program.declared(name)])]
        named += [s.setting for s in program.settings if s.setting.name == name]
        if not named:
            wrong.append(f"`{name}` is neither a rule nor declared")
        texts += [_text(node) for node in named]
    if fact.encoded_by and not rules:
        wrong.append("no rule encodes it")
    if fact.encoded_by and fact.left_out:
        wrong.append("both encoded and left out")
    for entry in rules:
        if not entry.rule.examples:
            wrong.append(f"{entry.id} has no example")
        # A rule may block on one fact that was read and be borne out by another that was not.
        if fact.weak and entry.id not in firm and _blocks(program, entry):
            wrong.append(f"{entry.id} blocks on evidence that is {fact.weak}")
    seen = {Fraction(number) for text in texts for number in _NUMBER.findall(text)}
    unseen = tuple(f for f in fact.figures if rules and not any(abs(f) * k in seen for k in _FACTORS))
    return Traced(fact, tuple(rules), tuple(wrong), unseen)


def _blocks(program: Program, entry: PackRule) -> bool:
    return (
        entry.rule.effect != "warns"
        and entry.rule.source.evidence not in ("recalled", "reported")
        and program.adopted(entry.id, AS_OF) is None
    )


@lru_cache(maxsize=256)
def _lines(file: str) -> tuple[str, ...]:
    return tuple(Path(file).read_text(encoding="utf-8-sig").splitlines())


def _text(node: t.Node) -> str:
    span = node.span
    return "\n".join(_lines(span.file)[span.line - 1 : span.end_line])


def answer(example: Worked) -> Answered:
    """What the rules say of a worked example, by the way of `lexwatt eval`."""
    try:
        asked = questions(example)
    except NotRead as error:
        return Answered(example, False, 0, (str(error),))
    return Answered(example, True, len(asked), tuple(filter(None, (_otherwise(q) for q in asked))))


def _otherwise(question: Question) -> str:
    """What the rules say other than the example wants; empty where they agree."""
    inputs = dict(question.inputs)
    names = question.rules if not isinstance(question, Limit) else (question.rule,)
    if isinstance(question, Limit):
        inputs[question.quantity] = question.value
    home = tuple(sorted({name.partition("/")[0] for name in names}))
    if not names or not set(home) <= set(packs()):
        return f"no pack holds {', '.join(names) or 'the rules: none are named'}"
    evaluator = _evaluator(home)
    unknown = [name for name in names if name not in {entry.id for entry in evaluator.program.rules}]
    if unknown:
        return f"no rule is called {', '.join(unknown)}"
    line = json.dumps({"subject": question.subject, "inputs": inputs}, default=str)
    found = evaluator.answer(line, question.on, places=dict(question.places))
    if "error" in found:
        return str(found["error"])
    said = {r["rule"]: r for r in found["rules"] if r["rule"] in names}
    if isinstance(question, Limit):
        return _off(question, said)
    worst = next((v for v in _SEVERITY if any(r["verdict"] == v for r in said.values())), "not_applicable")
    if worst == question.wanted:
        return ""
    told = "; ".join(
        f"{r['rule']} {r['verdict']} by {r['margin']} {r['unit']} {r.get('fields', '')}" for r in said.values()
    )
    return f"{question.wanted} is wanted, {worst} found ({told or 'no rule applies'})"


def _off(question: Limit, said: Mapping[str, Mapping[str, Any]]) -> str:
    result = said.get(question.rule)
    if result is None or result["margin"] is None:
        return f"{question.rule} {'does not apply' if result is None else 'cannot tell: ' + str(result.get('fields'))}"
    unit = f" {result['unit']}" if result["unit"] else ""
    within = Fraction(question.within)
    if abs(Fraction(result["margin"])) <= within:
        return ""
    return f"{question.rule}: with {question.quantity} at {question.value} the limit is {result['margin']}{unit} away"


def coverage(
    page: Annotated[Path | None, typer.Option("--page", help="Write the table as a page of Markdown.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="List every fact, not just what is open or not in order.")
    ] = False,
) -> None:
    """Traces each fact to rules, examples and evidence; ends with 1 where a fact is open or not in order."""
    program = everything()
    files = list(_files(HOME))
    traced = {file.pack: trace(program, file.facts) for file in files}
    bad = False
    for pack, entries in traced.items():
        out.print(summary(pack, entries), markup=False, soft_wrap=True)
        short = share(entries) < LEAST
        for entry in entries:
            open_ = entry.state == "open" and entry.fact.kind in KINDS
            bad |= open_ or bool(entry.wrong) or short
            if every or open_ or entry.wrong:
                out.print(f"    {line(entry)}", markup=False, soft_wrap=True)
    if page is not None:
        page.write_text("".join(part + "\n" for part in coverage_page(traced)), encoding="utf-8")
    if bad:
        raise typer.Exit(1)


def share(entries: Sequence[Traced]) -> Fraction:
    """Share of the facts that a machine can be held to which rules encode."""
    held = [e for e in entries if e.fact.kind in KINDS]
    return Fraction(sum(bool(e.rules) for e in held), len(held)) if held else Fraction(1)


def summary(pack: str, entries: Sequence[Traced]) -> str:
    """One line for a file."""
    held = [e for e in entries if e.fact.kind in KINDS]
    states = Counter(e.state for e in held)
    unseen = sum(len(e.unseen) for e in entries)
    return (
        f"{pack}: {states['encoded']} of {len(held)} facts encoded ({float(share(entries)):.0%}), "
        f"{states['left out']} left out with a reason, {states['open']} open; "
        f"{len(entries) - len(held)} about process, "
        f"{sum(bool(e.rules) for e in entries if e.fact.kind not in KINDS)} of them encoded; "
        f"{unseen} figures not shown by their rules"
    )


def line(entry: Traced) -> str:
    """One line for a fact."""
    fact = entry.fact
    rules = ", ".join(f"{e.id} ({len(e.rule.examples)} examples, {e.rule.source.evidence})" for e in entry.rules)
    tail = f"; WRONG: {'; '.join(entry.wrong)}" if entry.wrong else ""
    if entry.unseen:
        tail += f"; figures not shown: {', '.join(str(float(f)) for f in entry.unseen)}"
    return f"{fact.id} [{fact.kind}] {entry.state}: {rules or fact.left_out}{tail}"


def coverage_page(traced: Mapping[str, Sequence[Traced]]) -> Iterator[str]:
    """The page that traces each fact to its rules, part by part."""
    yield "# From fact to rule\n\nMade by `lexwatt coverage --page`. Facts stand in `jurisdictions/<pack>/facts.yaml`."
    for pack, entries in traced.items():
        yield f"\n## {pack}\n\n{summary(pack, entries)}.\n\n| fact | kind | clause | rules | examples | evidence |"
        yield "|---|---|---|---|---|---|"
        for e in entries:
            # A rule of several editions bears one name.
            rules = ", ".join(dict.fromkeys(entry.id for entry in e.rules)) or f"left out: {e.fact.left_out or 'open'}"
            examples = sum(len(entry.rule.examples) for entry in e.rules) or ""
            evidence = ", ".join(sorted({entry.rule.source.evidence for entry in e.rules}))
            cells = (e.fact.id, e.fact.kind, e.fact.clause, rules, str(examples), evidence)
            yield "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def worked_examples(
    folder: Annotated[Path, typer.Argument(help="A folder of fact files; those that ship if absent.")] = HOME,
    page: Annotated[Path | None, typer.Option("--page", help="Write the table as a page of Markdown.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List also what agrees.")] = False,
) -> None:
    """Holds the worked examples of fact files against the packs; ends with 1 where one disagrees or is not read."""
    found = {file.pack: [answer(example) for example in file.worked] for file in _files(folder)}
    bad = False
    for pack, answers in found.items():
        states = Counter(a.state for a in answers)
        told = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
        out.print(f"{pack}: {len(answers)} worked examples: {told}", markup=False)
        for a in answers:
            bad |= a.state in ("DISAGREES", "NOT READ")
            if every or a.state != "agrees":
                why = a.example.disagreement or "; ".join(a.otherwise)
                out.print(
                    f"    {a.example.id} {a.state}: {a.example.title} {why}".rstrip(), markup=False, soft_wrap=True
                )
    if page is not None:
        page.write_text("".join(part + "\n" for part in _worked_page(found)), encoding="utf-8")
    if bad:
        raise typer.Exit(1)


def _worked_page(found: Mapping[str, Sequence[Answered]]) -> Iterator[str]:
    yield "# Worked examples\n\nMade by `lexwatt worked-examples --page`: those of the fact files, asked of the rules."
    for pack, answers in found.items():
        yield f"\n## {pack}\n\n| example | what | questions | answer |\n|---|---|---|---|"
        for a in answers:
            why = f": {a.example.disagreement}" if a.state == "explained" else ""
            cells = (a.example.id, a.example.title or a.example.note, str(a.asked), a.state + why)
            yield "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def _files(folder: Path) -> Iterator[FactFile]:
    try:
        yield from fact_files(folder)
    except (BadFacts, OSError) as error:
        err.print(str(error), markup=False)
        raise typer.Exit(2) from None
