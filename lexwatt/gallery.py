"""`python -m lexwatt.gallery`: draws what the pages of the jurisdictions name, and writes the page that shows it.

Each page in `docs/jurisdictions/` ends with a line `Pictures: name, name, ...` of curves, tables and rules.
"""

from __future__ import annotations

from pathlib import Path

from compiler.to_plot import plot, save
from jurisdictions.loader import load
from jurisdictions.worked import AS_OF
from rules_dsl import tree as t
from rules_dsl.program import Program

DOCS = Path(__file__).resolve().parents[1] / "docs"


def pictures(page: Path) -> tuple[str, ...]:
    """The names on the last line of a page that begins with `Pictures:`; raises `ValueError` where there is none."""
    for line in reversed(page.read_text(encoding="utf-8").splitlines()):
        if line.startswith("Pictures:"):
            return tuple(name.strip(" `.") for name in line.removeprefix("Pictures:").split(",") if name.strip(" `."))
    raise ValueError(f"{page.name} names no pictures")


def main() -> None:
    """Writes `docs/gallery.md` and the pictures beside it."""
    folder = DOCS / "gallery"
    folder.mkdir(exist_ok=True)
    parts = [f"# What the rules look like\n\nDrawn by `python -m lexwatt.gallery` from the packs, as of {AS_OF}.\n"]
    kept = set()
    for page in sorted((DOCS / "jurisdictions").glob("*.md")):
        pack = page.stem
        program = load([pack])
        parts.append(f"\n## {program.packs[pack].title}\n\n[{pack}: what is covered](jurisdictions/{page.name})\n")
        for name in pictures(page):
            file = folder / f"{name.replace('/', '-')}.svg"
            save(plot(program, name, AS_OF), file)
            kept.add(file)
            parts.append(f"\n**{told(program, name)}**\n\n![{name}](gallery/{file.name})\n")
    for old in set(folder.glob("*.svg")) - kept:
        old.unlink()
    (DOCS / "gallery.md").write_text("".join(parts), encoding="utf-8")


def told(program: Program, name: str) -> str:
    """What a picture shows, with its clause."""
    for entry in program.rules:
        if entry.id == name:
            return f"{entry.rule.title} ({_clause(program, entry.rule.source)})"
    found = program.curves.get(name) or program.tables[name]
    return f"{name.replace('_', ' ')} ({_clause(program, found.source)})"


def _clause(program: Program, source: t.Source) -> str:
    return f"{program.instruments[source.instrument].title}, {source.clause}"


if __name__ == "__main__":
    main()
