"""What an editor asks of rule files: findings, meanings, places, names that fit. No protocol here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from lark.exceptions import LarkError
from lark.lexer import PatternStr

from compiler.core import Core
from compiler.examples import Judge
from compiler.from_syntax import to_core
from compiler.to_text import explain, running
from jurisdictions.loader import HOME, VOCABULARY, load_all
from rules_dsl import tree as t
from rules_dsl.diagnostics import Diagnostic, RulesError
from rules_dsl.format import number, write
from rules_dsl.kinds import kind_of, words
from rules_dsl.parse import STATEMENTS, parser
from rules_dsl.program import Program
from rules_dsl.units import UnitError, quantity, show

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_RULE_ID = r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*"
_NUMBER = r"[0-9]+(?:\.[0-9]+)? ?(?:%|[A-Za-z]+(?:/[A-Za-z]+)?)"
_SYMBOL = re.compile(f"{_RULE_ID}|{_NUMBER}|{NAME.pattern}")
_SILENT = re.compile(r'"[^"\n]*"|--[^\n]*|\{[^}]*\}')
_STARTS = re.compile(r"^[a-z]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reading:
    """A document in its program: what was found in each file, and the program and core as far as they go."""

    program: Program
    core: Core | None
    findings: tuple[Diagnostic, ...]
    sources: Mapping[str, str]


@dataclass(slots=True)
class Desk:
    """The files on an author's desk: the editor's text where a file is open, the disk's where it is not."""

    open: dict[str, str] = field(default_factory=dict)
    disk: dict[Path, tuple[float, str]] = field(default_factory=dict)
    good: dict[str, Reading] = field(default_factory=dict)

    def read(self, path: str) -> Reading:
        """A document with its pack, the vocabulary, and the packs it adopts.

        While some statement does not follow the grammar, names mean what they meant when all last did.
        """
        sources = {str(file): self._text(file) for file in self._files(Path(path))}
        program, findings = load_all(sources)
        core = None
        if not findings:
            try:
                core = to_core(program, today())
            except RulesError as error:
                findings = list(error.diagnostics)
            self.good[path] = Reading(program, core, (), sources)
        elif path in self.good and not program.quantities:
            program, core = self.good[path].program, self.good[path].core
        return Reading(program, core, tuple(findings), sources)

    def _files(self, path: Path) -> list[Path]:
        """The vocabulary and the files of the document's pack: its folder, or the pack that ships."""
        folder = path.parent
        shipped = folder.is_relative_to(HOME) and folder != HOME
        if shipped:
            folder = HOME / folder.relative_to(HOME).parts[0]
        found = {VOCABULARY, path}
        if path != VOCABULARY:
            found |= set(folder.rglob("*.rules") if shipped else folder.glob("*.rules"))
        return sorted(found, key=lambda p: (p != VOCABULARY, str(p)))

    def _text(self, path: Path) -> str:
        if str(path) in self.open:
            return self.open[str(path)]
        try:
            stamp = path.stat().st_mtime
            if path not in self.disk or self.disk[path][0] != stamp:
                self.disk[path] = stamp, path.read_text(encoding="utf-8")
            return self.disk[path][1]
        except (OSError, UnicodeDecodeError):
            return ""


def today() -> date:
    """The day whose values an editor shows."""
    return datetime.now(UTC).date()


def symbol(text: str, line: int, column: int) -> tuple[str, int, int] | None:
    """(symbol, first column, end) at a 0-based place: a name, a rule's `pack/name`, or a number with its unit."""
    lines = text.splitlines()
    if not 0 <= line < len(lines):
        return None
    for match in _SYMBOL.finditer(lines[line]):
        if match.start() <= column <= match.end():
            return match[0], match.start(), match.end()
    return None


def declaration(program: Program, name: str) -> t.Node | None:
    """Where a name, a subject or a rule is declared."""
    if "/" in name:
        return next((r.rule for r in program.rules if r.id == name), None)
    found = program.declared(name) or program.subjects.get(name)
    return found or next((r.rule for r in program.rules if r.rule.name == name), None)


def meaning(reading: Reading, name: str) -> str:
    """What a symbol means, as Markdown; empty for one that means nothing."""
    if name[:1].isdigit():
        return _number(name)
    program = reading.program
    node = declaration(program, name)
    match node:
        case None:
            return ""
        case t.QuantityDecl():
            return _quantity(node)
        case t.ChoiceDecl():
            return f"**{name}**: {node.text}\n\none of {', '.join(node.names)}, {node.role}, of each {node.subject}"
        case t.InstantDecl():
            return f"**{name}**: {node.text}\n\na moment in time, {node.role}, of each {node.subject}"
        case t.Parameter():
            return _parameter(program, node)
        case t.Rule():
            entry = next(r for r in program.rules if r.rule is node)
            return explain(program, reading.core or Core((), (), ()), entry).replace("\n", "\n\n")
        case t.Instrument():
            edition = node.edition_on(today())
            return f"**{node.title}**\n\n{node.authority}, {edition.title}\n\n{edition.link}"
        case t.Running():
            return f"**{name}**: {running(node)}"
        case t.Subject():
            rows = f"; made of rows, each a {node.rows} of {node.of}" if node.rows else ""
            return f"**{name}**: {node.text}{rows}"
        case _:
            return f"```\n{write(node)}\n```"  # type: ignore[arg-type]


def _quantity(node: t.QuantityDecl) -> str:
    parts = [f"**{node.name}**: {node.text}"]
    parts.append(f"{words(kind_of(node.unit))} in {node.unit.text}, {node.role}, of each {node.subject}")
    parts.append(f"{number(node.low)} to {number(node.high)}, in steps of {number(node.resolution)}")
    parts += [f"stale after {number(node.stale)}"] if node.stale else []
    parts += [f"uncertain by {number(node.uncertain)}"] if node.uncertain else []
    parts += [f"positive means {node.sign}"] if node.sign else []
    return "\n\n".join([*parts, *(f"{protocol} `{place}`" for protocol, place in node.bindings)])


def _number(text: str) -> str:
    try:
        value = quantity(text)
    except UnitError:
        return ""
    base = {"active_power": "W", "frequency": "Hz", "time": "s", "voltage": "V"}
    names = [base.get(n, n.replace("_", " ")) + (f"^{p}" if p != 1 else "") for n, p in value.dimension]
    return f"{text} is {words(kind_of(value.unit))}: {value.base} {' '.join(names)}".rstrip()


def _parameter(program: Program, node: t.Parameter) -> str:
    chosen = program.chosen(node.name, today(), {})
    lines = [f"**{node.name}**: {node.text or 'a value that the law leaves open'}"]
    lines.append(f"from {number(node.low)} to {number(node.high)}")
    if chosen is not None:
        source = program.instruments[chosen.source.instrument].title
        lines.append(f"in force: {show(chosen.value.base, node.unit)} ({source}, {chosen.source.clause})")
    elif node.default is not None:
        lines.append(f"in force: the default, {number(node.default)}")
    else:
        lines.append("not chosen by anybody: rules that need it cannot tell")
    return "\n\n".join([*lines, f"{program.instruments[node.source.instrument].title}, {node.source.clause}"])


def uses(sources: Mapping[str, str], name: str) -> Iterator[tuple[str, int, int]]:
    """(file, 0-based line, first column) of each use of a name, outside texts, comments and sets of alternatives."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    for file, text in sources.items():
        bare = _SILENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
        for place, line in enumerate(bare.splitlines()):
            for match in word.finditer(line):
                yield file, place, match.start()


def keywords() -> frozenset[str]:
    """Every word of the grammar."""
    found = {word for terminal in parser().terminals for word in spellings(terminal.name)}
    return frozenset(word for word in found if NAME.fullmatch(word))


def spellings(terminal: str) -> tuple[str, ...]:
    """How a terminal of the grammar may be spelt, where that is a list of words."""
    pattern = next((x.pattern for x in parser().terminals if x.name == terminal), None)
    if pattern is None:
        return ()
    if isinstance(pattern, PatternStr):
        return (pattern.value,)
    listed = re.fullmatch(r"\(?([A-Za-z][A-Za-z0-9_ |]*)\)?\(\?.*", str(pattern.value))
    return tuple(listed[1].split("|")) if listed else ()


def completions(reading: Reading, text: str, line: int, column: int) -> list[tuple[str, str]]:
    """(word, what it is) that may stand at a 0-based place."""
    lines = text.splitlines()
    before = "\n".join([*lines[:line], (lines[line] if line < len(lines) else "")[:column]])
    before = re.sub(r"[A-Za-z0-9_]*$", "", before)
    starts = [match.start() for match in _STARTS.finditer(before)]
    chunk = before[starts[-1] :] if starts else ""
    if not chunk.strip() or before.endswith("\n"):
        return [(word, "word") for word in STATEMENTS.split("|")]
    accepted = _accepted(chunk)
    found = [(word, "word") for name in sorted(accepted) for word in spellings(name) if NAME.match(word)]
    if not accepted or "NAME" in accepted:
        found += _names(reading.program, chunk.split()[-1])
    return list(dict.fromkeys(found))


def _accepted(chunk: str) -> set[str]:
    try:
        state = parser().parse_interactive(chunk)
        state.exhaust_lexer()
        return set(state.accepts())  # type: ignore[no-untyped-call]
    except LarkError:
        return set()


def _names(program: Program, previous: str) -> list[tuple[str, str]]:
    if previous == "cites":
        return [(name, "instrument") for name in program.instruments]
    if previous in ("each", "per"):
        return [(name, "subject") for name in program.subjects]
    kinds: tuple[tuple[str, Mapping[str, t.Node]], ...] = (
        ("quantity", program.quantities),
        ("choice", program.choices),
        ("moment", program.instants),
        ("parameter", program.parameters),
        ("definition", program.definitions),
        ("running state", program.running),
        ("curve", program.curves),
        ("table", program.tables),
    )
    return [(name, what) for what, table in kinds for name in table]


def run_examples(reading: Reading, rule: str) -> tuple[int, list[Diagnostic]]:
    """How many expectations of a rule there are, and a finding for each that does not hold."""
    judge = Judge(reading.program)
    count = 0
    wrong: list[Diagnostic] = []
    for entry in reading.program.rules:
        if entry.rule.name != rule:
            continue
        for example in entry.rule.examples:
            for expected in example.expected:
                count += 1
                problem = judge.problem(entry, judge.day(entry, today()), example, expected)
                if problem:
                    wrong.append(Diagnostic("example", problem, expected.span))
    return count, wrong
