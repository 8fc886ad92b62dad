"""Made-up packs of rules about a unit's command, over the vocabulary that ships."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from compiler.core import Core
from compiler.from_syntax import to_core
from compiler.instance import of_one
from jurisdictions.loader import load_all, sources_of
from proofs.analyses import Analysis, expressible

DAY = date(2026, 11, 24)
HEAD = """
pack made "Made up"

instrument house "House rules"
  authority "House"  zone UTC
  edition "2026" from 2026-01-01
    link "https://house.example/rules"

"""


def rule(name: str, demand: str, before: str = "") -> str:
    """The text of a rule."""
    return f"""
rule {name} "{name}"
  cites house "1"  evidence corroborated  in force from 2026-01-01
  checked at command
  applies to each unit,
  {before}
  {demand}
"""


def made(*rules: str, others: Sequence[str] = (), vocabulary: str = "") -> Core:
    """The rules of a pack `made`, and of another called `other`; `vocabulary` is added to the one that ships."""
    sources = sources_of(["entsoe"])
    texts = {n: t + vocabulary for n, t in sources.items() if n.endswith("vocabulary.rules")}
    texts["made.rules"] = HEAD + "".join(rules)
    if others:
        texts["other.rules"] = 'pack other "Somebody else"\n' + "".join(others)
    program, _ = load_all(texts)  # the rules bring no examples
    return to_core(program, DAY)


def analysis(*rules: str) -> Analysis:
    """The analyses of the rules of a unit's command."""
    instance, left = expressible(of_one(made(*rules), "unit", "command"))
    assert not left
    return Analysis(instance)
