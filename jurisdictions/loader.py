"""Finds rule packs and reads them: a pack is a folder of `.rules` files, the vocabulary stands beside the packs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rules_dsl import tree as t
from rules_dsl.check import Program, check_all
from rules_dsl.diagnostics import Diagnostic, RulesError
from rules_dsl.parse import parse_all

HOME = Path(__file__).resolve().parent
VOCABULARY = HOME / "vocabulary.rules"


def packs() -> tuple[str, ...]:
    """Names of the packs that ship with Lexwatt."""
    return tuple(sorted(path.name for path in HOME.iterdir() if path.is_dir() and any(path.rglob("*.rules"))))


def files_of(names_or_paths: Sequence[str | Path]) -> tuple[Path, ...]:
    """The rule files of packs given by name, folder or file, the vocabulary first.

    Raises `RulesError` for a name that is neither a pack nor a path with rule files.
    """
    found: list[Path] = [VOCABULARY]
    known = {VOCABULARY.resolve()}
    for item in names_or_paths:
        shipped = HOME / str(item)
        path = shipped if str(item) in packs() else Path(item)
        more = sorted(path.rglob("*.rules")) if path.is_dir() else [path] if path.is_file() else []
        if not more:
            span = t.Span(str(item), 1, 1, 1, 2)
            hint = f"packs that ship: {', '.join(packs())}"
            raise RulesError(
                [Diagnostic("no-pack", f"`{item}` is neither a pack nor a path with rule files", span, hint)]
            )
        found += [p for p in more if p.resolve() not in known]
        known |= {p.resolve() for p in more}
    return tuple(found)


def sources_of(names_or_paths: Sequence[str | Path]) -> dict[str, str]:
    """Text of each rule file by the name that diagnostics use; raises `RulesError` for a file that cannot be read."""
    found: dict[str, str] = {}
    findings: list[Diagnostic] = []
    for path in files_of(names_or_paths):
        try:
            found[str(path)] = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "cannot be read"
            findings.append(Diagnostic("unreadable", f"`{path}` {why}", t.Span(str(path), 1, 1, 1, 2)))
    if findings:
        raise RulesError(findings)
    return found


def load(names_or_paths: Sequence[str | Path]) -> Program:
    """The checked program of some packs.

    Raises `RulesError` with the findings of every file.
    """
    return load_texts(sources_of(names_or_paths))


def load_texts(sources: dict[str, str]) -> Program:
    """The checked program of rule texts by file name and of the packs they adopt; raises `RulesError` with the findings
    of every file."""
    program, findings = load_all(sources)
    if findings:
        raise RulesError(findings)
    return program


def load_all(sources: dict[str, str]) -> tuple[Program, list[Diagnostic]]:
    """The program as far as it goes, and every finding.

    What a file with a slip declares is not known, so names are checked only where every file follows the grammar.
    """
    trees: list[Sequence[t.Statement]] = []
    findings: list[Diagnostic] = []
    names = {Path(name).resolve() for name in sources}
    waiting = list(sources.items())
    while waiting:
        name, text = waiting.pop(0)
        statements, wrong = parse_all(text, name)
        trees.append(statements)
        findings += wrong
        for pack in (s for s in statements if isinstance(s, t.Pack)):
            for adopted in pack.adopts:
                if adopted not in packs():
                    hint = f"packs that ship: {', '.join(packs())}"
                    findings.append(Diagnostic("no-pack", f"no pack is called `{adopted}`", pack.span, hint))
                    continue
                for path in sorted((HOME / adopted).rglob("*.rules")):
                    if path.resolve() not in names:
                        names.add(path.resolve())
                        waiting.append((str(path), path.read_text(encoding="utf-8")))
    if findings:
        return Program(), findings
    return check_all(trees)
