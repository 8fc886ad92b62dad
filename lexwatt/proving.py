"""`lexwatt prove`: theorems, and what holds of rules, tables and pairs of packs, with answers kept by digest.

Questions run side by side, each in a child process of its own; the same question is asked once, in whichever groups of
packs it stands.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from compiler.cases import cases
from compiler.core import Declared
from compiler.document import document
from compiler.from_syntax import to_core
from compiler.instance import of_one
from jurisdictions.loader import sources_of
from lexwatt.authoring import On, Paths, day, out, read_packs
from lexwatt.remembered import PROVED, code, decide, keep
from lexwatt.show import answer_lines, finding_lines
from proofs import tables
from proofs.analyses import Analysis, Finding, expressible
from proofs.checker.certificate import Bad, refutes
from proofs.checker.claim import claim_from_bytes, claim_from_json
from proofs.policies import Commands, groups, pack
from proofs.theorems import Proved
from rules_dsl import tree as t
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
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        asker = _Asker(pool, when)
        jobs = [_remembered(path, when, "theorems", cache, lambda _: pool.submit(_theorems, path, when).result)]
        for group in (*((p,) for p in path), *itertools.combinations(path, 2)):
            jobs.append(_remembered(group, when, "findings", cache, asker.findings))
        answers = [job() for job in jobs]
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
    group: Sequence[str],
    when: Day,
    what: str,
    folder: Path,
    find: Callable[[Sequence[str]], Callable[[], Answer]],
) -> Callable[[], Answer]:
    """The answer found before for the same rule texts, day and code, its certificates checked again; or one that is
    being found, and will be kept."""
    texts = json.dumps([what, str(when), sorted(sources_of(list(group)).items())]).encode()
    place = folder / (hashlib.sha256(texts + code()).hexdigest() + ".json")
    try:
        kept: Answer = json.loads(place.read_text(encoding="utf-8"))
        if not all(_checks(name.endswith(".claim"), data) for name, data in kept["kept"].items()):
            raise Bad("a stored certificate does not check")
        return lambda: kept
    except (OSError, ValueError, KeyError, TypeError, AttributeError, Bad):
        found = find(group)

    def finish() -> Answer:
        answer = found()
        keep(place, json.dumps(answer).encode())
        return answer

    return finish


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


@dataclass(slots=True)
class _Asked:
    """The questions about a group of packs, on their way."""

    group: Sequence[str]
    vocabulary: dict[str, Declared]
    found: list[Future[list[Finding]]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def answer(self) -> Answer:
        """The answers, once all are there."""
        found = [finding for future in self.found for finding in future.result()]
        counts = Counter((f.kind, f.good) for f in found)
        words = {True: "yes", False: "NO", None: "undecided"}
        told = ", ".join(f"{kind}: {count} {words[good]}" for (kind, good), count in sorted(counts.items(), key=str))
        tail = f"; {len(self.left)} about rows or clocks, judged by the interpreter alone" if self.left else ""
        none = "nothing to decide" if len(self.group) == 1 else "no command in common"
        lines = [(False, escape(f"{' + '.join(self.group)}: {told or none}{tail}"))]
        lines += [(bool(f.good), "    " + escape(line)) for f in found for line in finding_lines(f, self.vocabulary)]
        lines += [(True, "    " + escape(line)) for line in self.left]
        kept = {}
        for f in found:
            if f.claim is not None:
                name = "-".join([f.kind, *f.rules[:2], hashlib.sha256(f.claim).hexdigest()[:12]])
                safe = "".join(x if x.isalnum() or x in "-_" else "-" for x in name)
                kept[safe + ".claim"] = base64.b64encode(f.claim).decode()
        return {"lines": lines, "kept": kept, "bad": any(f.kind in FAULTS and not f.good for f in found)}


class _Asker:
    """Puts questions to the pool, each once."""

    def __init__(self, pool: ThreadPoolExecutor, when: Day) -> None:
        self.pool, self.when = pool, when
        self.known: dict[bytes, Future[list[Finding]]] = {}

    def findings(self, group: Sequence[str]) -> Callable[[], Answer]:
        """What can be said of one pack, or of a pair."""
        program = read_packs(list(group))
        core = to_core(program, self.when)
        asked = _Asked(group, core.declared())
        alone = len(group) == 1
        for subject, checked in sorted({(r.subject, point) for r in core.rules for point in r.checked}):
            instance, without = expressible(of_one(core, subject, checked))
            if alone:
                asked.left += without
            elif checked not in CONSISTENT_AT:
                continue
            if instance.rules:
                analysis = Analysis(instance)
                if alone:
                    for rule in analysis.facts.rules:
                        asked.found.append(self.pool.submit(lambda a, r: list(a.one_rule(r)), analysis, rule))
                if checked in CONSISTENT_AT:
                    for part in groups(analysis, checked):
                        asked.found += self._commands(group, Analysis(part), checked)
        if alone:
            for table in cases(program, core, self.when):
                asked.vocabulary |= table.vocabulary
                asked.found.append(self.pool.submit(lambda x: list(tables.findings(x)), table))
        return asked.answer

    def _commands(self, group: Sequence[str], analysis: Analysis, checked: str) -> Iterator[Future[list[Finding]]]:
        """Whether a pack always leaves a command, whether two fit together; a pair's question about rules that one pack
        has alone was that pack's."""
        facts = document(replace(analysis.facts, core=""))
        about = {pack(rule.id) for rule in analysis.instance.rules}
        sides = [_packs(item) & about for item in group]
        pairs = list(itertools.product(*sides)) if len(sides) == 2 else []
        for pair in [p for p in pairs if p[0] != p[1]] or [()]:
            key = hashlib.sha256(json.dumps([checked, pair]).encode() + facts).digest()
            if key not in self.known:
                self.known[key] = self.pool.submit(_ask, analysis, checked, pair)
            elif not pair and len(group) == 2:
                continue
            yield self.known[key]


def _ask(analysis: Analysis, checked: str, pair: Sequence[str]) -> list[Finding]:
    commands = Commands(analysis, checked)
    return [commands.together(*pair) if pair else commands.some()]


@cache
def _packs(item: str) -> frozenset[str]:
    """The packs whose files a name or path stands for."""
    texts = sources_of([item]).items()
    return frozenset(s.name for name, text in texts for s in parse(text, name) if isinstance(s, t.Pack))
