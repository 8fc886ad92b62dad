"""Readers of worked examples: from the words of a fact file to questions that rules answer.

A pack's `worked*.py` files hold its readers. A reader is told by the facts that decide an example and the inputs that
it needs, never by the example's identity or its numbers, so that other examples of the same form are read alike. The
questions are answered by the same way as `lexwatt eval`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

from jurisdictions.facts import Worked

AS_OF = date(2026, 11, 23)
"""The day as of which the fact files were compiled: its rules count where a question names no other."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The question whether rules hold: `wanted` is `complies`, `violates`, `cannot_tell` or `not_applicable`, the worst
    verdict among `rules`."""

    subject: str
    inputs: Mapping[str, Any]
    rules: tuple[str, ...]
    wanted: str
    on: date = AS_OF
    places: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """The question where the limit of one rule lies: with `quantity` at `value` (text with a unit, also in `inputs`)
    the rule's margin is zero, to within `within` in the rule's unit."""

    subject: str
    inputs: Mapping[str, Any]
    rule: str
    quantity: str
    value: str
    within: str = "0"
    on: date = AS_OF
    places: tuple[tuple[str, str], ...] = ()


Question = Verdict | Limit
Read = Callable[[Mapping[str, Any], Any], Iterable[Question]]


class NotRead(Exception):
    """A worked example whose inputs or outcome no reader understands; the message says what."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A function from inputs and outcome to questions, for examples decided by one of `facts` with inputs `needs`."""

    facts: frozenset[str]
    needs: frozenset[str]
    read: Read


_readers: list[Reader] = []


def reader(*facts: str, needs: Iterable[str] = ()) -> Callable[[Read], Read]:
    """Registers a reader of examples that one of `facts` decides and whose inputs have all of `needs`."""

    def register(read: Read) -> Read:
        _readers.append(Reader(frozenset(facts), frozenset(needs), read))
        return read

    return register


def reader_with(more: Callable[[Question], Mapping[str, Any]]) -> Callable[..., Callable[[Read], Read]]:
    """`reader` for a file whose every question has inputs that `more` tells from the question, such as whose area it
    is. What the reader itself says goes before it."""

    def with_more(*facts: str, needs: Iterable[str] = ()) -> Callable[[Read], Read]:
        def register(read: Read) -> Read:
            @wraps(read)
            def completed(given: Mapping[str, Any], outcome: Any) -> Iterable[Question]:
                return [replace(asked, inputs={**more(asked), **asked.inputs}) for asked in read(given, outcome)]

            return reader(*facts, needs=needs)(completed)

        return register

    return with_more


def rules_of(question: Question) -> tuple[str, ...]:
    """The rules that a question asks, without the name of their pack."""
    names = question.rules if isinstance(question, Verdict) else (question.rule,)
    return tuple(name.partition("/")[2] for name in names)


@lru_cache(maxsize=1)
def readers() -> Sequence[Reader]:
    """The readers of every pack; those that need the most stand first."""
    for path in sorted(Path(__file__).parent.glob("*/worked*.py")):
        importlib.import_module(f"jurisdictions.{path.parent.name}.{path.stem}")
    return sorted(_readers, key=lambda r: -len(r.needs))


def questions(example: Worked) -> tuple[Question, ...]:
    """What an example asks of the rules; raises `NotRead`."""
    why = f"no reader knows an example decided by {', '.join(example.decided_by)} with {', '.join(example.inputs)}"
    for one in readers():
        if one.facts & set(example.decided_by) and one.needs <= set(example.inputs):
            try:
                found = tuple(one.read(example.inputs, example.outcome))
            except NotRead as error:
                why = str(error)
                continue
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                why = f"{one.read.__name__}: {type(error).__name__} {error}"
                continue
            if found:
                return found
    raise NotRead(why)
