"""What the examples of a pack would notice: each number and comparison of its rules is changed by one step, one at a
time, and some example has to fail.

Changed are the numbers of rules, definitions, running states, curves, tables, choices and legal ranges, in the last
digit written, up and down, and comparisons and limits to their nearest kin. Sources, dates in force and examples are
left alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from lark import Token, Tree

from compiler.examples import Judge
from rules_dsl import tree as t
from rules_dsl.check import check_all
from rules_dsl.diagnostics import RulesError
from rules_dsl.kinds import parts_of
from rules_dsl.parse import parse, parser
from rules_dsl.program import Day, Program

_LEFT_ALONE = {"example", "basis", "in_force", "edition", "note", "tries", "pack", "calendar"}
_KIN = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "=": ">="}
_DEMANDS = {
    "must be at most": "must be at least",
    "must be at least": "must be at most",
    "must be below": "must be at most",
    "must be above": "must be at least",
    "must be before": "must be at most",
    "must be after": "must be at least",
    "must equal": "must be at most",
    "must never fall": "must never rise",
    "must never rise": "must never fall",
}
_CHANGED = (t.Rule, t.Definition, t.Running, t.Curve, t.Table, t.Parameter, t.Setting)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one statement: where, what stood there, what stands there now, and whether an example noticed."""

    span: t.Span
    before: str
    after: str
    noticed: bool


def mutants(
    files: Mapping[str, tuple[str, Sequence[t.Statement]]], packs: Sequence[str], on: Day, every: int = 1
) -> Iterator[Mutant]:
    """Every mutant of the statements of some packs, or one in `every`. `files` are text and statements by file name."""
    met = 0
    trees = {name: list(statements) for name, (_, statements) in files.items()}
    for name, (text, statements) in files.items():
        lines = text.splitlines(keepends=True)
        here = next((s.name for s in statements if isinstance(s, t.Pack)), "")
        if here not in packs:
            continue
        for place, statement in enumerate(statements):
            if not isinstance(statement, _CHANGED):
                continue
            source = "".join(lines[statement.span.line - 1 : statement.span.end_line])
            for start, end, after in changes(source):
                met += 1
                if met % every:
                    continue
                changed = source[:start] + after + source[end:]
                line = statement.span.line + source.count("\n", 0, start)
                column = start - (source.rfind("\n", 0, start) + 1) + 1
                span = t.Span(name, line, column, line, column + end - start)
                found = _noticed(trees, name, place, changed, here, on)
                yield Mutant(span, source[start:end], after, found)


def changes(source: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, new text) of each change of a statement's text."""
    for token in _tokens(parser().parse(source)):
        start, end = token.start_pos or 0, token.end_pos or 0
        if token.type == "COMPARE":
            yield start, end, _KIN[str(token)]
        elif token.type in ("QUANTITY", "COUNT"):
            number = re.match(r"[0-9]+(\.[0-9]+)?", str(token))
            assert number is not None
            step = Decimal(1).scaleb(Decimal(number[0]).as_tuple().exponent)  # type: ignore[arg-type]
            for sign in (1, -1):
                value = Decimal(number[0]) + sign * step
                if value >= 0:
                    yield start, start + number.end(), str(value)
        elif token.type == "CLOCK":
            yield start, end, f"{(int(token[:2]) + 1) % 24:02d}{token[2:]}"
    bare = re.sub(r'"[^"\n]*"|--[^\n]*', lambda m: " " * len(m[0]), source)
    for phrase, other in _DEMANDS.items():
        for match in re.finditer(rf"\b{phrase}\b", bare):
            yield match.start(), match.end(), other


def _tokens(node: Tree[Token] | Token) -> Iterator[Token]:
    if isinstance(node, Token):
        yield node
    elif node.data not in _LEFT_ALONE:
        for child in node.children:
            if child is not None:
                yield from _tokens(child)


def _noticed(
    trees: Mapping[str, Sequence[t.Statement]], name: str, place: int, changed: str, pack: str, on: Day
) -> bool:
    try:
        (statement,) = parse(changed, name)
    except (RulesError, ValueError):
        return True
    whole = {n: (list(s) if n == name else s) for n, s in trees.items()}
    whole[name][place] = statement  # type: ignore[index]
    program, findings = check_all(whole.values())
    if findings:
        return True
    judge = Judge(program)
    touched = _dependent(program, statement)
    for entry in program.rules:
        if entry.pack != pack or not (entry.rule is statement or entry.rule.name in touched):
            continue
        for example in entry.rule.examples:
            for expected in example.expected:
                if judge.problem(entry, judge.day(entry, on), example, expected):
                    return True
    return False


def _dependent(program: Program, statement: t.Statement) -> set[str]:
    """Names of the rules that the statement may change."""
    if isinstance(statement, t.Rule):
        return {statement.name, *(x.partition("/")[2] for x in _targets(statement))} | {
            r.rule.name for r in program.rules if any(x.endswith(f"/{statement.name}") for x in _targets(r.rule))
        }
    changed = {str(getattr(statement, "name", ""))}
    declared: dict[str, t.Node] = {**program.definitions, **program.running, **program.curves}
    grown = True
    while grown:
        grown = False
        for name, other in declared.items():
            if name not in changed and _speaks_of(other, changed):
                changed.add(name)
                grown = True
    return {entry.rule.name for entry in program.rules if _speaks_of(entry.rule, changed)}


def _targets(rule: t.Rule) -> tuple[str, ...]:
    return rule.relation.rules if rule.relation else ()


def _speaks_of(node: t.Node, names: set[str]) -> bool:
    for part in parts_of(node):
        if isinstance(part, t.Name | t.AsOf) and part.name in names:
            return True
        if isinstance(part, t.Call) and part.function in names:
            return True
        if isinstance(part, t.OneOf | t.Demand) and isinstance(part.names, str) and part.names in names:
            return True
        if isinstance(part, t.Curve) and any(x in names for point in part.points for x in point if isinstance(x, str)):
            return True
    return False
