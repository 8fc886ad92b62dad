"""What a rule author is told: place, what was found, what was expected, a hint, and the clause where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules_dsl.tree import Span


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
