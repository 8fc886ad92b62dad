"""`lexwatt prove`: theorems, and what holds of rules, tables and pairs of packs, with answers kept by digest.

Each pack, each pair and the theorems are looked at in a process of their own, as many at once as there are processors.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from compiler.cases import cases
from compiler.core import Core, CoreRule, Declared
from compiler.document import document
from compiler.from_syntax import to_core
from compiler.instance import Instance, of_one
from jurisdictions.loader import VOCABULARY, packs, sources_of
from lexwatt.authoring import On, Paths, day, out, read_packs, report
from lexwatt.remembered import PROVED, code, decide
from lexwatt.remembered import keep as store
from lexwatt.show import answer_lines, finding_lines
from proofs import tables
from proofs.analyses import Analysis, Finding, expressible
from proofs.checker.certificate import Bad, refutes
from proofs.checker.claim import claim_from_bytes, claim_from_json
from proofs.policies import Commands, groups, pack
from proofs.theorems import Proved
from rules_dsl import tree as t
from rules_dsl.diagnostics import RulesError
from rules_dsl.parse import parse
from rules_dsl.program import Day

CONSISTENT_AT = ("command", "bid")
"""Where somebody asks for one thing now; schedules and traces have many steps, and nobody commands a measurement."""
FAULTS = ("some command", "fit together", tables.ALL, tables.ONE)
"""The kinds of question to which only a yes will do."""


def prove(
    path: Paths,
    on: On = "",
    keep: Annotated[Path | None, typer.Option("--out", help="Store certificates here.")] = None,
    cache: Annotated[Path, typer.Option("--cache", help="Answers found before, by digest.")] = PROVED,
    every: Annotated[bool, typer.Option("--all", help="Also list what is as one hopes.")] = False,
) -> None:
    """Decides theorems; whether rules can be met, can be broken, are needed, and always leave some command; whether
    tables have dead rows, gaps or overlaps; whether two packs fit together.

    Each pack alone, then each pair; theorems over all together. Answers come with a checked certificate or a state that
    the interpreter replays.
    """
    when = day(on)
    questions: list[tuple[str, tuple[str, ...]]] = [("theorems", tuple(path))]
    questions += [("findings", group) for group in (*((p,) for p in path), *itertools.combinations(path, 2))]
    try:
        places = {question: _place(*question, when, cache) for question in questions}
    except RulesError as error:
        report(error, {})
        raise typer.Exit(1) from None
    answers = {question: _remembered(place) for question, place in places.items()}
    asked = [question for question, answer in answers.items() if answer is None]
    if asked:
        read_packs(path)  # findings are told before anything starts, and the processes find everything parsed
        with ProcessPoolExecutor(os.cpu_count() or 1) as pool:
            # The long ones first: the packs by the size of their texts.
            asked.sort(
                key=lambda q: (len(q[1]) == 2, -sum(len(text) for item in q[1] for text in _texts(item).values()))
            )
            for question, answer in zip(asked, pool.map(_answer, asked, itertools.repeat(when)), strict=True):
                store(places[question], json.dumps(answer).encode())
                answers[question] = answer
    for answer in filter(None, answers.values()):
        for good, line in answer["lines"]:
            if every or not good:
                out.print(line, soft_wrap=True)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            for name, data in answer["kept"].items():
                (keep / name).write_bytes(base64.b64decode(data))
    if any(answer["bad"] for answer in filter(None, answers.values())):
        raise typer.Exit(1)


Answer = dict[str, Any]
"""`lines`: (whether all is well, text); `kept`: files by name, in base64; `bad`: whether something is wrong."""


def _place(what: str, group: Sequence[str], when: Day, folder: Path) -> Path:
    """Where the answer for these rule texts, this day and this code is kept."""
    found: dict[str, str] = {}
    for item in group:
        found |= _texts(item)
    # Which packs are adopted, and by those in turn, is not read here.
    adopts = any(re.search(r"\badopts\b", _bare(text)) for text in found.values())
    beside = sources_of(packs()) if adopts else {}
    texts = json.dumps([what, str(when), sorted(found.items()), sorted(beside.items())]).encode()
    return folder / (hashlib.sha256(texts + code()).hexdigest() + ".json")


@cache
def _texts(item: str) -> dict[str, str]:
    """The rule texts that a name or path stands for."""
    return sources_of([item])


def _remembered(place: Path) -> Answer | None:
    """An answer found before, its certificates checked again."""
    try:
        kept: Answer = json.loads(place.read_text(encoding="utf-8"))
        if not all(_checks(name.endswith(".claim"), data) for name, data in kept["kept"].items()):
            raise Bad("a stored certificate does not check")
        return kept
    except (OSError, ValueError, KeyError, TypeError, AttributeError, Bad):
        return None


def _answer(question: tuple[str, tuple[str, ...]], when: Day) -> Answer:
    what, group = question
    if what == "theorems":
        return _theorems(group, when)
    if len(group) == 1:
        return _alone(group[0], when)
    return _together(group, when)


@cache
def _checks(binary: bool, data: str) -> bool:
    read_claim = claim_from_bytes if binary else claim_from_json
    return refutes(*read_claim(base64.b64decode(data)))


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


def _alone(item: str, when: Day) -> Answer:
    """What can be said of the rules, tables and commands of one pack."""
    program = read_packs([item])
    core = to_core(program, when)
    vocabulary = core.declared()
    found: list[Finding] = []
    left: dict[str, None] = {}
    without: dict[str, None] = {}
    for subject, checked in _points(core):
        whole = of_one(core, subject, checked)
        instance, why = expressible(whole)
        left |= dict.fromkeys(why)
        if instance.rules:
            analysis = Analysis(instance)
            found += analysis.each_rule()
            for part in groups(analysis, checked) if checked in CONSISTENT_AT else ():
                commands = Commands(Analysis(part), checked, _others(whole, instance))
                found.append(commands.some())
                without |= dict.fromkeys(commands.without)
    for table in cases(program, core, when):
        vocabulary |= table.vocabulary
        found += tables.findings(table)
    return _told((item,), vocabulary, found, [*left], [*without])


def _together(group: Sequence[str], when: Day) -> Answer:
    """Whether two packs that each leave a command leave one together; what is one pack's alone was asked there."""
    if not _meet(*group):
        return _told(group, {}, [], [], [])
    core = to_core(read_packs(group), when)
    alone = [to_core(read_packs([item]), when) for item in group]
    found: list[Finding] = []
    without: dict[str, None] = {}
    for subject, checked in _points(core, CONSISTENT_AT):
        sides = [{key for key, _ in _parts(one, subject, checked)} for one in alone]
        for key, commands in _parts(core, subject, checked):
            about = {pack(rule.rule) for rule in commands.rules}
            both = about | {pack(rule) for rule in commands.without}
            if all(both & _packs(item) for item in group):
                without |= dict.fromkeys(commands.without)
            if key in set().union(*sides):
                continue
            pairs = itertools.product(*(_packs(item) & about for item in group))
            apart = [pair for pair in pairs if pair[0] != pair[1]]
            found += [commands.together(*pair) for pair in apart] or [commands.some()]
    return _told(group, core.declared(), found, [], [*without])


def _points(core: Core, at: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Each subject at each point of the way at which rules look at it."""
    return sorted({(r.subject, point) for r in core.rules for point in r.checked if not at or point in at})


def _parts(core: Core, subject: str, checked: str) -> Iterator[tuple[bytes, Commands]]:
    """The questions about blocking rules that bind choices together, each set by what it says."""
    whole = of_one(core, subject, checked)
    instance, _ = expressible(whole)
    if instance.rules:
        for part in groups(Analysis(instance), checked):
            analysis = Analysis(part)
            yield document(replace(analysis.facts, core="")), Commands(analysis, checked, _others(whole, instance))


def _others(whole: Instance, kept: Instance) -> list[CoreRule]:
    told = {rule.id for rule in kept.rules}
    return [rule for rule in whole.rules if rule.id not in told]


def _told(
    group: Sequence[str],
    vocabulary: dict[str, Declared],
    found: Sequence[Finding],
    left: Sequence[str],
    without: Sequence[str],
) -> Answer:
    """`left` says why facts cannot express a rule; `without` are the rules among them that speak of the commands asked
    about, by name."""
    counts = Counter((f.kind, f.good) for f in found)
    words = {True: "yes", False: "NO", None: "undecided"}
    told = ", ".join(f"{kind}: {count} {words[good]}" for (kind, good), count in sorted(counts.items(), key=str))
    tail = f"; {len(left)} that facts cannot express, judged by the interpreter alone" if left else ""
    tail += f"; of commands without {', '.join(without)}, which facts cannot express" if without else ""
    none = "nothing to decide" if len(group) == 1 or without else "no command in common"
    lines = [(len(group) == 2 and not found and not without, escape(f"{' + '.join(group)}: {told or none}{tail}"))]
    lines += [(bool(f.good), "    " + escape(line)) for f in found for line in finding_lines(f, vocabulary)]
    lines += [(True, "    " + escape(line)) for line in left]
    kept = {}
    for f in found:
        if f.claim is not None:
            name = "-".join([f.kind, *f.rules[:2], hashlib.sha256(f.claim).hexdigest()[:12]])
            safe = "".join(x if x.isalnum() or x in "-_" else "-" for x in name)
            kept[safe + ".claim"] = base64.b64encode(f.claim).decode()
    return {"lines": lines, "kept": kept, "bad": any(f.kind in FAULTS and not f.good for f in found)}


def _meet(one: str, other: str) -> bool:
    """Whether two packs can have anything to say together: they look at one subject at one point of the way, or one
    names what the other declares or sets, a rule of it, or the pack."""
    (points, declared, packs, words), (points_, declared_, packs_, words_) = _speaks(one), _speaks(other)
    return bool(points & points_ or (declared | packs) & words_ or (declared_ | packs_) & words)


@cache
def _speaks(item: str) -> tuple[frozenset[tuple[str, str]], frozenset[str], frozenset[str], frozenset[str]]:
    """Subjects at points of the way, names that it declares or sets, packs, words outside texts and remarks."""
    texts = {name: text for name, text in _texts(item).items() if name != str(VOCABULARY)}
    found = [statement for name, text in texts.items() for statement in parse(text, name)]
    points = {(s.subject, p) for s in found if isinstance(s, t.Rule) for p in s.checked if p in CONSISTENT_AT}
    named = {str(getattr(s, "name", "")) for s in found if not isinstance(s, t.Pack | t.Rule | t.Theorem)}
    own = _packs(item)
    words = frozenset(word for text in texts.values() for word in re.findall(r"\w+", _bare(text))) - own
    return frozenset(points), frozenset(named), own, words


@cache
def _bare(text: str) -> str:
    """Rule text without what stands in quotes and remarks."""
    return re.sub(r'"[^"\n]*"|--.*', " ", text)


@cache
def _packs(item: str) -> frozenset[str]:
    """The packs whose files a name or path stands for."""
    return frozenset(s.name for name, text in _texts(item).items() for s in parse(text, name) if isinstance(s, t.Pack))
