"""The TextMate grammar of rule files for editors, made from the grammar so that no word is missed.

`python -m lexwatt.textmate` writes it into the editor's extension; a test compares.
"""

from __future__ import annotations

import json
from pathlib import Path

from lexwatt.editing import keywords
from rules_dsl.parse import STATEMENTS

HERE = Path(__file__).resolve().parent.parent / "editors" / "vscode" / "syntaxes" / "lexwatt.tmLanguage.json"


def textmate() -> str:
    """The TextMate grammar as JSON text."""
    statements = STATEMENTS.split("|")
    others = sorted(keywords() - set(statements))
    number = r"\b[0-9]+(\.[0-9]+)?( ?%| [A-Za-z]+(/[A-Za-z]+)?\b)?"
    moment = r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+)?(Z|[+-][0-9]{2}:[0-9]{2})?"
    patterns = [
        {"name": "comment.line.double-dash.lexwatt", "match": "--.*$"},
        {"name": "string.quoted.double.lexwatt", "match": '"[^"\\n]*"'},
        {"name": "constant.other.date.lexwatt", "match": moment},
        {
            "match": rf"^({'|'.join(statements)})\s+([A-Za-z][A-Za-z0-9_]*)",
            "captures": {"1": {"name": "keyword.declaration.lexwatt"}, "2": {"name": "entity.name.lexwatt"}},
        },
        {"name": "keyword.control.lexwatt", "match": rf"\b({'|'.join(others)})\b"},
        {"name": "constant.numeric.lexwatt", "match": number},
        {"name": "keyword.operator.lexwatt", "match": "<=|>=|[<>=+*/-]"},
        {"name": "variable.other.lexwatt", "match": r"\b[A-Za-z][A-Za-z0-9_]*\b"},
    ]
    whole = {
        "name": "Lexwatt rules",
        "scopeName": "source.lexwatt",
        "fileTypes": ["rules"],
        "patterns": patterns,
    }
    return json.dumps(whole, indent=2) + "\n"


def main() -> None:
    """Writes the grammar into the extension."""
    HERE.parent.mkdir(parents=True, exist_ok=True)
    HERE.write_text(textmate(), encoding="utf-8")


if __name__ == "__main__":
    main()
