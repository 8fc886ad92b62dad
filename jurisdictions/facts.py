"""Fact files: what somebody read in a regulation, with clause, evidence and worked examples. Rules are made from them.

A fact says which rules encode it (`encoded_by`), or why none does (`left_out`). A worked example that the rules answer
otherwise says why (`disagreement`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

KINDS = (
    "limit",
    "curve",
    "duration",
    "ramp",
    "accuracy",
    "eligibility",
    "bid_rule",
    "state_of_energy",
    "telemetry",
    "default_setting",
    "allowable_range",
    "settlement",
)
"""Kinds of facts that a machine can be held to; what is left is `process`."""


class BadFacts(ValueError):
    """A fact file that cannot be read; the message names the file and the entry."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement of a regulation. `weak` says why it can only warn: `recalled`, `reported` (a tertiary source), or
    empty; `doubtful` where only part of it was read; `figures` are the numbers of its values."""

    id: str
    pack: str
    kind: str
    statement: str
    document: str
    clause: str
    weak: str
    doubtful: bool
    figures: tuple[Fraction, ...]
    encoded_by: tuple[str, ...]
    left_out: str


@dataclass(frozen=True, slots=True)
class Worked:
    """A worked example: free-form inputs and the outcome that the facts it is decided by require."""

    id: str
    pack: str
    title: str
    inputs: Mapping[str, Any]
    outcome: Any
    decided_by: tuple[str, ...]
    note: str
    disagreement: str


@dataclass(frozen=True, slots=True)
class FactFile:
    """The facts and worked examples of one file."""

    path: Path
    pack: str
    facts: tuple[Fact, ...]
    worked: tuple[Worked, ...]


def fact_files(folder: Path) -> Iterator[FactFile]:
    """Every fact file below a folder, by path; raises `BadFacts`."""
    found = sorted(p for p in folder.rglob("*.yaml") if _has_facts(p))
    if not found:
        raise BadFacts(f"`{folder}` holds no fact files: YAML with `facts` or `worked_examples`")
    for path in found:
        yield fact_file(path)


def _has_facts(path: Path) -> bool:
    head = path.read_text(encoding="utf-8")
    return "\nfacts:" in head or "\nworked_examples:" in head or head.startswith(("facts:", "worked_examples:"))


def fact_file(path: Path) -> FactFile:
    """The facts and worked examples of a file; raises `BadFacts`."""
    pack = path.parent.name if path.name == "facts.yaml" else path.stem
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        facts = tuple(_fact(pack, f) for f in raw.get("facts") or ())
        worked = tuple(_worked(pack, w) for w in raw.get("worked_examples") or ())
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise BadFacts(f"`{path}`: {error}") from error
    for what in (facts, worked):
        ids = [entry.id for entry in what]
        twice = next((i for i in ids if ids.count(i) > 1), None)
        if twice:
            raise BadFacts(f"`{path}`: `{twice}` stands twice")
    return FactFile(path, pack, facts, worked)


def _fact(pack: str, raw: Mapping[str, Any]) -> Fact:
    marks = f"{raw.get('note') or ''} {raw['statement']} {raw.get('source') or ''}"
    weak = ""
    if raw.get("basis") == "recalled" or "[recalled]" in marks:
        weak = "recalled"
    elif raw.get("source_quality") == "tertiary":
        weak = "reported"
    encoded = raw.get("encoded_by") or ()
    return Fact(
        raw["id"],
        pack,
        raw["kind"],
        str(raw["statement"]),
        str(raw["document"]),
        str(raw.get("clause") or ""),
        weak,
        raw.get("basis") == "mixed",
        tuple(dict.fromkeys(_numbers([v.get("value") if isinstance(v, Mapping) else v for v in _list(raw["values"])]))),
        tuple(map(str, _list(encoded))),
        str(raw.get("left_out") or ""),
    )


def _worked(pack: str, raw: Mapping[str, Any]) -> Worked:
    return Worked(
        str(raw["id"]),
        pack,
        str(raw.get("title") or ""),
        raw["inputs"],
        raw["required_outcome"],
        tuple(map(str, _list(raw.get("decided_by") or ()))),
        str(raw.get("note") or raw.get("calculation") or ""),
        str(raw.get("disagreement") or ""),
    )


def _list(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def _numbers(value: Any) -> Iterator[Fraction]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield Fraction(str(value))
