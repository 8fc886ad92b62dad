"""No text makes the tools fall over: random edits of every pack end in findings or in rules that judge their
examples."""

from __future__ import annotations

import random
import re
from contextlib import suppress

import pytest

from compiler.examples import Judge
from compiler.from_syntax import to_core
from compiler.instance import of_one
from compiler.lower import CannotLower, lower
from compiler.to_text import explain
from jurisdictions.loader import HOME, VOCABULARY, load_all
from rules_dsl.diagnostics import RulesError, render
from rules_dsl.format import format_text
from tests.packs import DAY

FILES = [file for file in sorted(HOME.rglob("*.rules")) if file != VOCABULARY]
TOKEN = re.compile(r'"[^"\n]*"|[A-Za-z_]\w*|\d+(?:\.\d+)?|\s+|.', re.DOTALL)
WORDS = sorted({w for f in FILES for w in TOKEN.findall(f.read_text(encoding="utf-8")) if w.strip()})
EDITS, AT_NIGHT = 1_500, 21_000


def edited(tokens: list[str], pick: random.Random) -> str:
    """The tokens with one to three of them dropped, doubled, swapped, replaced or cut."""
    tokens = list(tokens)
    for _ in range(pick.randint(1, 3)):
        at = pick.randrange(len(tokens))
        match pick.randrange(7):
            case 0:
                del tokens[at]
            case 1:
                tokens.insert(at, tokens[at])
            case 2:
                other = pick.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 3 | 4:
                tokens[at] = pick.choice(WORDS)
            case 5:
                tokens[at] = tokens[at][: pick.randint(0, len(tokens[at]))] + pick.choice(
                    ["", "é", "\x00", "9", "-", "(", "[", '"', "\n"]
                )
            case _:
                end = min(len(tokens), at + pick.randint(1, 12))
                del tokens[at:end]
        if not tokens:
            break
    return "".join(tokens)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_no_edit_of_a_pack_makes_a_traceback(file) -> None:  # type: ignore[no-untyped-def]
    edit(file, EDITS, random.Random(file.name))


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_no_edit_of_many_makes_a_traceback(file) -> None:  # type: ignore[no-untyped-def]
    edit(file, AT_NIGHT, random.Random(file.name + "at night"))


def edit(file, edits: int, pick: random.Random) -> None:  # type: ignore[no-untyped-def]
    tokens = TOKEN.findall(file.read_text(encoding="utf-8"))
    folder = HOME / file.relative_to(HOME).parts[0]
    rest = {str(f): f.read_text(encoding="utf-8") for f in (VOCABULARY, *sorted(folder.rglob("*.rules"))) if f != file}
    kept = made = 0
    # On until some edit is one that checks: it must be used, not only told what is wrong with it.
    while made < -(-edits // len(FILES)) or (not kept and made < AT_NIGHT):
        made += 1
        text = edited(tokens, pick)
        sources = {**rest, "edited.rules": text}
        program, findings = load_all(sources)
        for finding in findings:
            assert render(finding, sources)
        if findings:
            continue
        kept += 1
        assert format_text(text)
        if kept % 10 == 0:
            use(program)
    assert kept


def use(program) -> None:  # type: ignore[no-untyped-def]
    """Everything that may be done with rules that check."""
    try:
        core = to_core(program, DAY)
    except RulesError:
        return
    judge = Judge(program)
    for entry in program.rules:
        assert explain(program, core, entry)
        for example in entry.rule.examples:
            for expected in example.expected:
                judge.problem(entry, judge.day(entry, DAY), example, expected)
    for stage in ("command", "schedule"):
        with suppress(CannotLower):
            lower(of_one(core, "unit", stage))
