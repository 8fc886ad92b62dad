"""A checker of VIPR 1.0 files without solutions, written from the format's description alone; exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

SIGN = {"L": -1, "E": 0, "G": 1}


class Refused(Exception):
    """A file that is malformed, or whose derivations do not show that nothing satisfies its rows."""


@dataclass(frozen=True)
class Row:
    """`terms` at most, equal to or at least `right`, by `sense` L, E or G."""

    sense: str
    right: Fraction
    terms: dict[int, Fraction]

    def absurd(self) -> bool:
        """Whether the row is false whatever the variables are."""
        return not self.terms and {"L": self.right < 0, "E": self.right != 0, "G": self.right > 0}[self.sense]

    def dominates(self, other: Row) -> bool:
        """Whether the row says at once what the other says."""
        if self.absurd():
            return True
        if self.terms != other.terms or self.sense not in ("E", other.sense):
            return False
        away = self.right - other.right
        return {"L": away <= 0, "E": away == 0, "G": away >= 0}[other.sense]

    def holds(self, point: dict[int, int]) -> bool:
        """Whether the row is true of a point."""
        away = sum((a * point[i] for i, a in self.terms.items()), Fraction(0)) - self.right
        return {"L": away <= 0, "E": away == 0, "G": away >= 0}[self.sense]


@dataclass(frozen=True)
class Read:
    """What stands before the derivations: how many variables, which are whole, the rows, and what is to be shown."""

    size: int
    whole: frozenset[int]
    rows: list[Row]
    goal: Row


class _Words:
    def __init__(self, text: str) -> None:
        lines = text.splitlines()
        while lines and lines[0].startswith("%"):
            del lines[0]
        self.rest: Iterator[str] = iter(" ".join(lines).split())

    def word(self) -> str:
        found = next(self.rest, None)
        if found is None:
            raise Refused("the file ends too soon")
        return found

    def expect(self, *words: str) -> None:
        for word in words:
            found = self.word()
            if found != word:
                raise Refused(f"`{word}` was expected, `{found}` found")

    def whole(self, least: int, most: int) -> int:
        word = self.word()
        if not word.removeprefix("-").isdecimal() or not least <= int(word) <= most:
            raise Refused(f"`{word}` is not a whole number from {least} to {most}")
        return int(word)

    def value(self) -> Fraction:
        word = self.word()
        try:
            return Fraction(word)
        except (ValueError, ZeroDivisionError):
            raise Refused(f"`{word}` is not a number") from None

    def vector(self, size: int) -> dict[int, Fraction]:
        found: dict[int, Fraction] = {}
        for _ in range(self.whole(0, size)):
            i = self.whole(0, size - 1)
            if i in found:
                raise Refused("a sum names the same thing twice")
            found[i] = self.value()
        return {i: a for i, a in found.items() if a}

    def row(self, size: int) -> Row:
        self.word()
        sense = self.word()
        if sense not in SIGN:
            raise Refused(f"`{sense}` is no sense of a row")
        return Row(sense, self.value(), self.vector(size))


def read(text: str) -> tuple[Read, _Words]:
    """The problem of a file, and the words from `SOL` on."""
    words = _Words(text)
    words.expect("VER", "1.0", "VAR")
    size = words.whole(0, 10**6)
    for _ in range(size):
        words.word()
    words.expect("INT")
    whole = [words.whole(0, size - 1) for _ in range(words.whole(0, size))]
    if len(set(whole)) != len(whole):
        raise Refused("a variable is said to be whole twice")
    words.expect("OBJ")
    aim = words.word()
    if aim not in ("min", "max"):
        raise Refused("the objective is neither `min` nor `max`")
    objective = words.vector(size)
    words.expect("CON")
    count = words.whole(0, 10**6)
    bounds = words.whole(0, count)
    rows = [words.row(size) for _ in range(count)]
    if any(len(row.terms) != 1 for row in rows[:bounds]):
        raise Refused("a row among the bounds is no bound")
    words.expect("RTP")
    return Read(size, frozenset(whole), rows, _goal(words, aim, objective)), words


def _goal(words: _Words, aim: str, objective: dict[int, Fraction]) -> Row:
    kind = words.word()
    if kind == "infeas":
        return Row("G", Fraction(1), {})
    if kind != "range":
        raise Refused(f"`{kind}` is nothing to be shown")
    if aim == "min":
        goal = Row("G", words.value(), objective)
        words.expect("inf")
        return goal
    words.expect("-inf")
    return Row("L", words.value(), objective)


def verify(text: str) -> Counter[str]:
    """How often each reason is used in a file whose last row says what is to be shown; raises `Refused`."""
    problem, words = read(text)
    words.expect("SOL", "0", "DER")
    rows = list(problem.rows)
    needs: list[frozenset[int]] = [frozenset()] * len(rows)
    kept_until: list[float] = [float("inf")] * len(rows)
    reasons: Counter[str] = Counter()

    def use(index: int) -> Row:
        if kept_until[index] < len(rows):
            raise Refused(f"row {index} is used after it was given up")
        return rows[index]

    for _ in range(words.whole(0, 10**6)):
        here = len(rows)
        row = words.row(problem.size)
        words.expect("{")
        reason = words.word()
        reasons[reason] += 1
        match reason:
            case "asm":
                rests = frozenset({here})
            case "lin" | "rnd":
                parts = words.vector(here)
                found = _sum([(use(i), m) for i, m in parts.items()])
                if not (_round(found, problem.whole) if reason == "rnd" else found).dominates(row):
                    raise Refused(f"the sum does not give row {here}")
                rests = frozenset().union(*(needs[i] for i in parts))
            case "uns":
                one, under, other, over = (words.whole(0, here - 1) for _ in range(4))
                if not (use(one).dominates(row) and use(other).dominates(row)):
                    raise Refused(f"row {here} does not follow on both sides")
                if not _splits(use(under), use(over), problem.whole):
                    raise Refused("the two assumptions leave something between them")
                rests = (needs[one] - {under}) | (needs[other] - {over})
            case _:
                raise Refused(f"`{reason}` is no reason")
        words.expect("}")
        last = words.whole(-1, 10**6)
        rows.append(row)
        needs.append(rests)
        kept_until.append(float("inf") if last == -1 else last)
    if next(words.rest, None) is not None:
        raise Refused("words follow the last derivation")
    if not reasons or not rows[-1].dominates(problem.goal):
        raise Refused("the last row is not what is to be shown")
    if needs[-1]:
        raise Refused("the last row rests on assumptions")
    return reasons


def _sum(parts: list[tuple[Row, Fraction]]) -> Row:
    signs = {SIGN[row.sense] * (1 if m > 0 else -1) for row, m in parts} - {0}
    if len(signs) > 1:
        raise Refused("a sum mixes rows that point either way")
    terms: Counter[int] = Counter()
    for row, m in parts:
        for i, a in row.terms.items():
            terms[i] += m * a  # type: ignore[assignment]
    right = sum((m * row.right for row, m in parts), Fraction(0))
    sense = {1: "G", -1: "L"}[signs.pop()] if signs else "E"
    return Row(sense, right, {i: Fraction(a) for i, a in terms.items() if a})


def _whole(row: Row, whole: frozenset[int]) -> bool:
    return all(i in whole and a.denominator == 1 for i, a in row.terms.items())


def _round(row: Row, whole: frozenset[int]) -> Row:
    if row.sense == "E" or not _whole(row, whole):
        raise Refused("the sum cannot be rounded")
    return Row(row.sense, Fraction(floor(row.right) if row.sense == "L" else ceil(row.right)), row.terms)


def _splits(one: Row, other: Row, whole: frozenset[int]) -> bool:
    if (one.sense, other.sense) == ("G", "L"):
        one, other = other, one
    return (
        (one.sense, other.sense) == ("L", "G")
        and one.terms == other.terms
        and _whole(one, whole)
        and one.right.denominator == 1
        and other.right == one.right + 1
    )
