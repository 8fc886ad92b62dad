"""How the worked examples about IEEE 1547 are read: word by word, none unread, one case or a list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from jurisdictions.worked import Limit, NotRead, Question, Read, Verdict, reader
from rules_dsl.units import decimal

COMMENTARY = {"reason", "note", "why", "comment", "clause", "rule", "title", "calculation", "formula", "document"}
"""Words of an example that explain and ask nothing."""

_YES = {"accept", "accepted", "yes", "true", "enabled", "on", "compliant", "complies", "pass", "legal", "allowed"}
_NO = {"refuse", "refused", "reject", "rejected", "no", "false", "disabled", "off", "violates", "fail", "illegal"}


def text(value: object, unit: str = "", places: int = 9) -> str:
    """A number of an example as the rules take it, rounded to `places`."""
    scaled = round(number(value), places)
    return f"{decimal(scaled)} {unit}".strip()


def number(value: object) -> Fraction:
    """The exact value of a number of an example."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction):
        raise NotRead(f"`{value}` is not a number")
    return value if isinstance(value, Fraction) else Fraction(str(value))


def rounding(value: object) -> Fraction:
    """Half a unit in the last place in which a number is given; a whole number counts as given to one place."""
    digits = str(value).partition(".")[2]
    return Fraction(1, 2 * 10 ** max(len(digits), 1))


def yes(value: object) -> bool:
    """A flag, or a word for one."""
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise NotRead(f"`{value}` is neither yes nor no")


class Case:
    """One case: what is given, what is wanted, and which of it has been read."""

    def __init__(self, given: Mapping[str, Any], outcome: Any) -> None:
        self.given = given
        self.outcome: Mapping[str, Any] = outcome if isinstance(outcome, Mapping) else {"accept": outcome}
        self._unread = set(given) - COMMENTARY
        self._owed = set(self.outcome) - COMMENTARY

    def has(self, *names: str) -> bool:
        """Whether one of the names is given."""
        return any(name in self.given for name in names)

    def take(self, *names: str, otherwise: Any = NotRead) -> Any:
        """What is given under the first of the names that is there; raises `NotRead` without it and `otherwise`."""
        for name in names:
            if name in self.given:
                self._unread.discard(name)
                return self.given[name]
        if otherwise is NotRead:
            raise NotRead(f"{' or '.join(names)} is not given")
        return otherwise

    def want(self, *names: str) -> Any:
        """What is wanted under the first of the names that is there, or None."""
        for name in names:
            if name in self.outcome:
                self._owed.discard(name)
                return self.outcome[name]
        return None

    def wanted(self, *names: str) -> bool | None:
        """A wanted yes or no under one of the names, or None."""
        found = self.want(*names)
        return None if found is None else yes(found)

    def holds(self, *names: str) -> bool:
        """A wanted yes or no under one of the names; raises `NotRead` without."""
        found = self.wanted(*names)
        if found is None:
            raise NotRead(f"{' or '.join(names)} is not wanted")
        return found

    def default_settings(self) -> None:
        """Takes the word that the settings are the default ones; raises `NotRead` for others."""
        if self.take("settings", otherwise="default") not in ("default", "defaults"):
            raise NotRead(f"settings `{self.given['settings']}` are not understood")

    def finish(self) -> None:
        """Raises `NotRead` where something given or wanted has not been read."""
        if self._unread:
            raise NotRead(f"given and not understood: {', '.join(sorted(self._unread))}")
        if self._owed:
            raise NotRead(f"wanted and not understood: {', '.join(sorted(self._owed))}")


CaseRead = Callable[[Case], Iterable[Question]]


def reads(*facts: str, needs: Iterable[str] = (), lists: bool = False) -> Callable[[CaseRead], CaseRead]:
    """Registers a reader of one case, for examples of one case, of a list `cases`, or of columns of equal length.

    `needs` are names one of which must be given (`a|b`); with `lists` a list is itself one case.
    """
    alternatives = tuple(tuple(n.split("|")) for n in needs)

    def register(read: CaseRead) -> CaseRead:
        def every(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
            for one, wanted in _cases(given, outcome, lists):
                case = Case(one, wanted)
                if not all(case.has(*names) for names in alternatives):
                    raise NotRead(f"needs {', '.join('|'.join(n) for n in alternatives)}")
                asked = list(read(case))
                case.finish()
                if not asked:
                    raise NotRead("nothing that rules answer is wanted")
                yield from asked

        every.__name__ = read.__name__
        plain = {names[0] for names in alternatives if len(names) == 1}
        whole: Read = every
        reader(*facts, needs=plain)(whole)
        reader(*facts, needs=("cases",))(whole)
        return read

    return register


def _cases(given: Mapping[str, Any], outcome: Any, lists: bool) -> Iterator[tuple[Mapping[str, Any], Any]]:
    if isinstance(given.get("cases"), list):
        shared = {k: v for k, v in given.items() if k != "cases"}
        wanted = outcome.get("cases", outcome.get("results")) if isinstance(outcome, Mapping) else outcome
        rows = given["cases"]
        if wanted is None and isinstance(outcome, Mapping) and all(isinstance(v, list) for v in outcome.values()):
            wanted = [dict(zip(outcome, row, strict=True)) for row in zip(*outcome.values(), strict=True)]
        if not isinstance(wanted, list) or len(wanted) != len(rows):
            raise NotRead("a list of cases without as many outcomes")
        for row, result in zip(rows, wanted, strict=True):
            yield {**shared, **row}, result
        return
    columns = [v for v in outcome.values() if isinstance(v, list)] if isinstance(outcome, Mapping) else []
    lengths = {len(v) for v in columns}
    if not lists and len(columns) == len(outcome if isinstance(outcome, Mapping) else ()) and len(lengths) == 1:
        size = lengths.pop()
        long = {k for k, v in given.items() if isinstance(v, list) and len(v) == size}
        if long:
            for i in range(size):
                one = {k: v[i] if k in long else v for k, v in given.items()}
                yield one, {k: v[i] for k, v in outcome.items()}
            return
    yield given, outcome


def verdict(subject: str, inputs: Mapping[str, Any], rules: Iterable[str], holds: bool, **more: Any) -> Verdict:
    """The question whether rules of this pack hold."""
    names = tuple(f"ieee1547/{name}" for name in rules)
    return Verdict(subject, dict(inputs), names, "complies" if holds else "violates", **more)


def not_asked(subject: str, inputs: Mapping[str, Any], rules: Iterable[str]) -> Verdict:
    """The question whether rules of this pack ask nothing here."""
    return Verdict(subject, dict(inputs), tuple(f"ieee1547/{name}" for name in rules), "not_applicable")


def limit(
    subject: str, inputs: Mapping[str, Any], rule: str, quantity: str, value: str, within: object = "0", **more: Any
) -> Limit:
    """The question where the limit of a rule of this pack lies."""
    near = text(within)
    return Limit(subject, dict(inputs), f"ieee1547/{rule}", quantity, value, near, **more)


def edge(
    subject: str,
    inputs: Mapping[str, Any],
    rules: tuple[str, ...],
    quantity: str,
    value: Fraction,
    unit: str,
    near: Fraction,
    most: bool,
) -> Iterator[Verdict]:
    """The questions whether rules together have their limit within `near` of `value`, the most they
    allow or the least."""
    inside, outside = (value - near, value + near) if most else (value + near, value - near)
    yield verdict(subject, {**inputs, quantity: text(inside, unit)}, rules, True)
    yield verdict(subject, {**inputs, quantity: text(outside, unit)}, rules, False)
