"""Decision tables and first-match cases over the declared ranges: can each row count, does some row of a table hold
everywhere, do two rows with different results hold at once. Each answer has a certificate or a state that the
interpreter replays.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from compiler import core as c
from compiler.cases import Cases
from compiler.facts import Fact, negate
from compiler.instance import Instance
from compiler.lower import CannotLower, conjunction, disjunction
from compiler.to_exact import Subject, holds
from proofs.analyses import Analysis, Finding
from rules_dsl.units import unit

FIRES, ALL, ONE, ORDER = "row can count", "some row holds", "one row holds", "order of cases"
"""Among cases the first counts, so two may well hold at once: that is told, and no fault."""


def findings(cases: Cases) -> Iterator[Finding]:
    """The answers about one table or list of cases."""
    try:
        table = _Table(cases)
    except CannotLower as error:
        yield Finding(FIRES, (cases.name,), None, f"{cases.name}: undecided, {error}")
        return
    for i in range(len(cases.conditions)):
        yield table.fires(i)
    if cases.unique:
        yield table.rest()
    yield table.one()


class _Table:
    def __init__(self, cases: Cases) -> None:
        self.cases = cases
        rules = tuple(_probe(i, condition) for i, condition in enumerate(cases.conditions))
        self.analysis = Analysis(Instance("", "", cases.vocabulary, rules))
        self.rows = [negate(rule.body) for rule in self.analysis.facts.rules]
        self.what = "row" if cases.unique else "case"

    def fires(self, i: int) -> Finding:
        """Whether a row counts somewhere: it holds, and none before it."""
        facts = [self.rows[i], *(negate(row) for row in self.rows[:i])]
        shown = f"{self.what} {i + 1} ({self.cases.results[i]}) of {self._where()}"
        return self._answer(FIRES, facts, [i], shown + " can count", shown + " never counts", found=True)

    def rest(self) -> Finding:
        """Whether some row holds everywhere; where another value is given for what is left, whether that counts."""
        facts = [negate(row) for row in self.rows]
        where = self._where()
        if not self.cases.rest:
            no = f"some row of {where} holds everywhere"
            return self._answer(ALL, facts, [], f"no row of {where} holds", no, found=False)
        shown = f"what {where} says where no {self.what} holds ({self.cases.rest})"
        return self._answer(FIRES, facts, [], shown + " can count", shown + " never counts", found=True)

    def one(self) -> Finding:
        """Whether rows with different results never hold at once."""
        pairs = [
            (i, j)
            for i, j in itertools.combinations(range(len(self.rows)), 2)
            if self.cases.results[i] != self.cases.results[j]
        ]
        both = disjunction([conjunction([self.rows[i], self.rows[j]]) for i, j in pairs])
        where = self._where()
        no = f"no two {self.what}s of {where} with different results hold at once"
        if self.cases.unique:
            return self._answer(ONE, [both], pairs, f"two rows of {where} hold at once", no, found=False)
        found = self._answer(
            ORDER, [both], pairs, f"two cases of {where} hold at once, the first counts", no, found=True
        )
        return replace(found, good=None if found.good is None else True)

    def _where(self) -> str:
        return f"{self.cases.name} ({self.cases.clause})"

    def _answer(
        self,
        kind: str,
        facts: Sequence[Fact],
        wanted: Sequence[int | tuple[int, int]],
        yes: str,
        no: str,
        found: bool,
    ) -> Finding:
        """The finding whether some state satisfies the facts, as `yes` or `no` say it; `found` is what one hopes."""
        answer = self.analysis.space.decide(facts)
        about = (self.cases.name,)
        if isinstance(answer, str):
            return Finding(kind, about, None, f"{yes}: {answer}")
        if isinstance(answer, bytes):
            return Finding(kind, about, not found, no, claim=answer)
        state = self.analysis.physical(answer)
        hold = self._replayed(state)
        if kind in (ONE, ORDER):
            pair = next((p for p in wanted if isinstance(p, tuple) and set(p) <= set(hold)), None)
            if pair is not None:
                i, j = pair
                told = f"{yes}: {i + 1} ({self.cases.results[i]}) and {j + 1} ({self.cases.results[j]})"
                return Finding(kind, about, found, told, state)
        elif hold[:1] == list(wanted):
            return Finding(kind, about, found, yes, state)
        return Finding(kind, about, None, f"{yes}: the interpreter does not confirm the state found")

    def _replayed(self, state: dict[str, Fraction]) -> list[int]:
        """The rows that hold in a state by the interpreter."""
        subject = Subject(self.analysis.complete(state))
        return [i for i, condition in enumerate(self.cases.conditions) if holds(condition, subject)]


def _probe(i: int, condition: c.Cond) -> c.CoreRule:
    """A rule that is broken exactly where the condition holds."""
    title, step = f"{i + 1}", Fraction(1)
    return c.CoreRule(
        f"row/{i + 1}", title, "", (), "", "given", True, c.TRUE, condition, (), False, c.Any_(()), None, step, unit("")
    )
