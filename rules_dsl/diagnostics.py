"""What a rule author is told: place, what was found, what was expected, a hint, and the clause where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules_dsl.tree import Span

CODES = {
    "adopted": "A rule is adopted that blocks anyway.",
    "arguments": "A function, curve or table has too many or too few values, or an aggregate lacks its condition.",
    "binding": "The place in a protocol is not written as that protocol writes places.",
    "circle": "Something depends on itself: definitions, running states, rules that set each other aside.",
    "clash": "Two choices of one value are in force for the same place on the same day, and nothing says which wins.",
    "clock": "A local time that a clock change skips or repeats: write its offset.",
    "curve": "The points of a curve do not ascend, or there are fewer than two.",
    "date": "A day, time of day or moment that the calendar does not have.",
    "dates": "Dates out of order, or before the first edition of the instrument.",
    "dimension": "Values of different kinds are added, compared or put in each other's place.",
    "division": "Something other than a number or a parameter divides, or zero does.",
    "evidence": "Evidence that does not suit the instrument.",
    "example": "A rule without an example of what it allows and one of what it refuses.",
    "gap": "An input that no row of a table covers.",
    "kind": "A choice where a number is needed, a number where a condition is needed, and the like.",
    "no-pack": "A rule outside a pack, or a pack that there is not.",
    "number": "A number that has to be whole, positive or without a unit, and is not.",
    "overlap": "Two editions in force at once, or two table rows for one input.",
    "pack": "A pack described in two ways.",
    "priority": "A pack sets another's rule aside without a higher priority.",
    "range": "A value outside its legal range, a range that ends before it begins, a resolution that does not fit.",
    "recalled": "A recalled or reported rule is made to block, to be adopted, or to set another aside.",
    "rests": "A rule rests on a table, curve or parameter whose evidence is weaker than its own, and may only warn.",
    "rows": "Rows where there are none, in the wrong order, or a view from a row where no row is looked at.",
    "running": "Cases of a running state that are never met.",
    "share": "A bare number where a share in % or pu is needed, or the other way about.",
    "subject": "A quantity of one subject in a rule about another.",
    "syntax": "A word that the sentence cannot go on with.",
    "table": "A table whose rows do not fit its columns, or are never met.",
    "theorem": "A theorem that assumes what it seeks, or divides by something that may be zero.",
    "too-deep": "A statement nested too deep, or too long.",
    "too-long": "A file longer than a rule file may be.",
    "twice": "A name declared twice.",
    "uncertain": "A reading with a band of uncertainty, and it cannot be told which end is the worse.",
    "unit": "A unit that is not known, or a number that is too long.",
    "unreadable": "A file that cannot be read, or is not UTF-8 text.",
    "unknown": "A name that nothing bears.",
    "zone": "A date in no time zone, or a zone that there is not.",
}
"""What each code means."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `code` is stable; `message` is one sentence; `hint` says what to do."""

    code: str
    message: str
    span: Span
    hint: str = ""
    clause: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding as plain data."""
        return {
            "code": self.code,
            "message": self.message,
            "file": self.span.file,
            "line": self.span.line,
            "column": self.span.column,
            "end_line": self.span.end_line,
            "end_column": self.span.end_column,
            "hint": self.hint,
            "clause": self.clause,
        }


class RulesError(Exception):
    """Rule text that cannot be used; carries every finding of the run."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("; ".join(f"{d.span.file}:{d.span.line}: {d.message}" for d in diagnostics))


def render(diagnostic: Diagnostic, sources: Mapping[str, str]) -> str:
    """The finding as a compiler prints it, with the line of text and a mark under the place."""
    span = diagnostic.span
    out = [f"error[{diagnostic.code}]: {diagnostic.message}", f"  --> {span.file}:{span.line}:{span.column}"]
    lines = sources.get(span.file, "").splitlines()
    if 0 < span.line <= len(lines):
        line = lines[span.line - 1]
        width = span.end_column - span.column if span.end_line == span.line else len(line) - span.column + 1
        out += [
            "   |",
            f"{span.line:>3}| {line}",
            "   | " + " " * (span.column - 1) + "^" * max(1, width),
        ]
    if diagnostic.clause:
        out.append(f"   = clause: {diagnostic.clause}")
    if diagnostic.hint:
        out.append(f"   = hint: {diagnostic.hint}")
    return "\n".join(out)
