"""The reference manual, made from the grammar, the vocabulary, the examples and the wrong files, so that it cannot
drift.

`python -m lexwatt.manual` writes `docs/manual/`; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jurisdictions.loader import VOCABULARY
from rules_dsl import tree as t
from rules_dsl.diagnostics import CODES
from rules_dsl.format import number
from rules_dsl.parse import grammar, parse

ROOT = Path(__file__).resolve().parent.parent
MANUAL = ROOT / "docs" / "manual"
BAD = ROOT / "tests" / "rules_dsl" / "bad"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the grammar: its name in links, title, text, and productions."""

    slug: str
    title: str
    text: str
    syntax: str

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the grammar's rules and aliases that the page is about."""
        named = re.findall(r"^\??([a-z_]+):", self.syntax, re.MULTILINE)
        aliases = re.findall(r"->\s*([a-z_]+)", self.syntax)
        return tuple(dict.fromkeys((*named, *aliases)))


def pages() -> tuple[Page, ...]:
    """The pages of the grammar, in its order."""
    found = []
    for part in re.split(r"^//# ", grammar(), flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition("\n")
        slug, _, title = head.partition(": ")
        lines = rest.split("\n")
        count = next(i for i, line in enumerate(lines) if not line.startswith("//"))
        text = " ".join(line.removeprefix("//").strip() for line in lines[:count])
        syntax = "\n".join(lines[count:]).split("\nROLE.3:")[0].strip()
        found.append(Page(slug, title, text, syntax))
    return tuple(found)


def example(page: Page) -> Path:
    """The rule file that shows a page."""
    return MANUAL / "examples" / f"{page.slug}.rules"


def files() -> Iterator[tuple[Path, str]]:
    """Every file of the manual with its text."""
    yield MANUAL / "README.md", _contents()
    for page in pages():
        yield MANUAL / f"{page.slug}.md", _page(page)
    yield MANUAL / "words.md", _terminals()
    yield MANUAL / "vocabulary.md", _vocabulary()
    yield MANUAL / "errors.md", _errors()


def _contents() -> str:
    lines = ["# The rule language: reference", "", "Made from the grammar and the vocabulary by `make manual`.", ""]
    lines += ["A first rule in twenty minutes: [the tutorial](../tutorial.md).", ""]
    lines += [f"- [{page.title}]({page.slug}.md)" for page in pages()]
    lines += ["- [Words, numbers and names](words.md)", "- [Vocabulary](vocabulary.md): what rules may speak of"]
    lines += ["- [Error messages](errors.md)"]
    return "\n".join(lines) + "\n"


def _page(page: Page) -> str:
    shown = example(page).read_text(encoding="utf-8").rstrip()
    return f"""# {page.title}

{page.text}

## Example

```
{shown}
```

Run it: `lexwatt test docs/manual/examples/{page.slug}.rules`

## Syntax

In the grammar's own notation: `"..."` stands for itself, `[ ]` may be left out, `*` repeats, `|` separates
alternatives, names in capitals are on [this page](words.md).

```
{page.syntax}
```
"""


def _terminals() -> str:
    _, _, rest = grammar().partition("\nROLE.3:")
    text = ("ROLE.3:" + rest).split("\n%import")[0]
    lines = [
        "# Words, numbers and names",
        "",
        "Each is a regular expression; the number after the dot is its priority.",
    ]
    lines += ["", "| name | pattern |", "|---|---|"]
    for line in text.split("\n"):
        name, _, pattern = line.partition(": ")
        if pattern:
            shown = pattern.replace("|", "\\|")
            lines.append(f"| `{name.split('.')[0]}` | `{shown}` |")
    return "\n".join(lines) + "\n"


def _vocabulary() -> str:
    lines = [
        "# Vocabulary",
        "",
        "What rules may speak of, from `jurisdictions/vocabulary.rules`.",
        "",
        "## Subjects",
        "",
    ]
    statements = parse(VOCABULARY.read_text(encoding="utf-8"), VOCABULARY.name)
    subjects = [s for s in statements if isinstance(s, t.Subject)]
    for s in subjects:
        rows = ""
        if s.rows:
            order = "" if s.order is None else f", in order of `{s.order}`" if s.order else ", in order"
            rows = f"; made of rows, each a `{s.rows}` of `{s.of}`{order}"
        lines.append(f"- `{s.name}`: {s.text}{rows}")
    for s in subjects:
        own = [x for x in statements if isinstance(x, _VALUES) and x.subject == s.name]
        if not own:
            continue
        lines += [
            "",
            f"## Of each {s.name}",
            "",
            "| name | role | kind | limits | bound to | meaning |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(x) for x in own]
    return "\n".join(lines) + "\n"


_VALUES = (t.QuantityDecl, t.ChoiceDecl, t.InstantDecl)


def _row(x: t.QuantityDecl | t.ChoiceDecl | t.InstantDecl) -> str:
    stale = f"; stale after {number(x.stale)}" if x.stale else ""
    bound = ""
    match x:
        case t.QuantityDecl():
            kind = f"{x.unit.text}, step {number(x.resolution)}"
            limits = f"{number(x.low)} to {number(x.high)}{stale}"
            limits += f"; uncertain by {number(x.uncertain)}" if x.uncertain else ""
            limits += f"; positive means {x.sign}" if x.sign else ""
        case t.ChoiceDecl():
            kind, limits = ("yes or no", "") if x.names == ("no", "yes") else ("choice", ", ".join(x.names))
            limits += stale
        case _:
            kind, limits = "moment", stale.removeprefix("; ")
    if not isinstance(x, t.InstantDecl):
        bound = ", ".join(f"{protocol} {place}" for protocol, place in x.bindings)
    return f"| `{x.name}` | {x.role} | {kind} | {limits} | {bound} | {x.text} |"


def _errors() -> str:
    lines = ["# Error messages", "", "Each finding has a code that does not change, a place, and often a hint.", ""]
    shown: dict[str, str] = {}
    for file in sorted(BAD.glob("*.expected")):
        for finding in file.read_text(encoding="utf-8").strip().split("\n\n"):
            code = finding[6 : finding.index("]")]
            shown.setdefault(code, finding)
    for code, meaning in sorted(CODES.items()):
        lines += [f"## `{code}`", "", meaning, ""]
        if code in shown:
            lines += ["```", shown[code], "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Writes the manual."""
    for path in MANUAL.glob("*.md"):
        path.unlink()
    for path, text in files():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
