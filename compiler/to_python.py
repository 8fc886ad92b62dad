"""Facts to one Python function: the kernel's codes for a single state, without arrays.

The source consists of whole numbers, comparisons and names made here (`v0`, `k0`, `p0`, `s0`, `t0`); no text of a rule
enters it. Integers have no width in Python, so every row is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from compiler.bind import substitute
from compiler.facts import FactSet
from compiler.literals import Group, Literal, Normal, normal

Check = Callable[[Sequence[int | None]], tuple[int, ...]]
"""Codes of each rule (see `compiler.to_kernel.CODES`) for the values of one state, in the order of the variables."""

_DEEP = 12
_NONE: Mapping[int, int] = MappingProxyType({})


def single(facts: FactSet, fixed: Mapping[int, int] = _NONE) -> Check:
    """The check of one state against the rules of a fact set.

    It takes one value in steps for each plain variable that `fixed` does not hold, None where there is none that can be
    used; a value outside its declared range counts as unusable. It raises `TypeError` for a value that is neither an
    `int` nor None (a `bool` is not), `ValueError` for another number of values. What `fixed` decides is decided when
    the check is made; raises `ValueError` naming a quantity that is fixed outside its declared range.
    """
    space: dict[str, Any] = {}
    exec(compile(source(facts, fixed), "<facts>", "exec"), space)  # noqa: S102  # names and whole numbers from here only  # nosec B102  # the text is made here, of numbers and own names
    check: Check = space["check"]
    return check


def source(facts: FactSet, fixed: Mapping[int, int] = _NONE) -> str:
    """The text of the function behind `single`."""
    return _Source(facts, fixed).text()


class _Source:
    def __init__(self, facts: FactSet, fixed: Mapping[int, int]) -> None:
        for i, value in fixed.items():
            if not facts.variables[i].low <= value <= facts.variables[i].high:
                raise ValueError(f"{facts.variables[i].name} is fixed outside its declared range")
        self.facts, self.fixed = facts, fixed
        points = (replace(v, low=fixed[i], high=fixed[i]) if i in fixed else v for i, v in enumerate(facts.variables))
        box = replace(facts, variables=tuple(points)).box()
        self.rules = [
            (
                normal(substitute(facts, rule.scope, fixed), box),
                normal(substitute(facts, rule.body, fixed), box),
            )
            for rule in facts.rules
        ]
        self.names: dict[object, str] = {}
        self.lines: list[str] = []

    def text(self) -> str:
        facts, fixed = self.facts, self.fixed.keys()
        # INVARIANT: a rule asks for every quantity it names, also where what is fixed has decided it already.
        needs = [
            (sorted(facts.plain(rule.scope) - fixed), sorted(facts.plain(rule.body) - facts.plain(rule.scope) - fixed))
            for rule in facts.rules
        ]
        used = sorted({i for scope, body in needs for i in (*scope, *body)})
        within = {i: f"{facts.variables[i].low} <= v{i} <= {facts.variables[i].high}" for i in used}
        self._shared()
        truths = [(self._truth(scope), self._truth(body)) for scope, body in self.rules]
        clear = [_code(scope, body, "", "") for scope, body in truths]
        veiled = [_code(*t, _known(n[0]), _known(n[1])) for t, n in zip(truths, needs, strict=True)]
        out = ["WHOLE = {int}", "KNOWN = {int, type(None)}", "", "", "def check(values):"]
        names = "".join(f"v{i}, " for i in range(len(facts.variables)) if i not in fixed)
        out += [f"    ({names}) = values", "    kinds = {*map(type, values)}"]
        # Where every value stands, the common case, nothing else is asked about them.
        out.append("    if " + " and ".join(["kinds <= WHOLE", *within.values()]) + ":")
        out += [f"        {line}" for line in self.lines]
        out.append(f"        return ({''.join(f'{code}, ' for code in clear)})")
        out += ["    if not kinds <= KNOWN:", '        raise TypeError("values must be int or None")']
        for i in used:
            out.append(f"    k{i} = v{i} is not None and {within[i]}")
            # Which number does not matter: what it leads to is covered by `cannot tell`.
            out += [f"    if not k{i}:", f"        v{i} = 0"]
        out += [f"    {line}" for line in self.lines]
        out.append(f"    return ({''.join(f'{code}, ' for code in veiled)})")
        return "\n".join([*out, ""])

    def _shared(self) -> None:
        """Products, sums and conditions that stand in several places are computed once, under a name."""
        places = Counter(part for pair in self.rules for whole in pair for part in _parts(whole))
        atoms = {part.atom: None for part in places if isinstance(part, Literal)}
        sums = Counter(atom.terms for atom in atoms)
        factors = Counter(i for terms in sums for i, _ in terms if i >= len(self.facts.variables))
        for i, times in sorted(factors.items()):
            if times > 1 or sums[((i, 1),)] > 1:
                self._name(i, "p", self._variable(i))
        for terms, times in sums.items():
            if times > 1 and len(terms) > 1:
                self._name(terms, "s", _sum(terms, self._variable))
        for pair in self.rules:
            for whole in pair:
                self._name_groups(whole, places)

    def _name(self, what: object, letter: str, text: str) -> None:
        name = f"{letter}{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        self.names[what] = name

    def _name_groups(self, fact: Normal, places: Counter[Literal | Group]) -> int:
        """Names groups that stand in several places or nest deep, inner ones first; returns the depth that is left."""
        if not isinstance(fact, Group) or fact in self.names:
            return 0
        depth = 1 + max(self._name_groups(part, places) for part in fact.parts)
        if places[fact] > 1 or depth >= _DEEP:
            self._name(fact, "t", str(self._truth(fact)))
            return 0
        return depth

    def _variable(self, i: int) -> str:
        plain = len(self.facts.variables)
        if i in self.names:
            return self.names[i]
        return f"v{i}" if i < plain else " * ".join(f"v{j}" for j in self.facts.products[i - plain][1:])

    def _truth(self, fact: Normal) -> str | bool:
        if isinstance(fact, bool):
            return fact
        if fact in self.names:
            return self.names[fact]
        if isinstance(fact, Group):
            return f"({(' and ' if fact.every else ' or ').join(str(self._truth(part)) for part in fact.parts)})"
        terms, bound = fact.atom.terms, fact.atom.bound
        compare = "<=" if fact.positive else ">"
        if terms in self.names:
            return f"{self.names[terms]} {compare} {bound}"
        above = _sum([(i, a) for i, a in terms if a > 0], self._variable)
        below = _sum([(i, -a) for i, a in terms if a < 0], self._variable)
        if not below:
            return f"{above} {compare} {bound}"
        if bound == -1:
            return f"{above} {'<' if fact.positive else '>='} {below}"
        return f"{above} {compare} {below}" + (f" + {bound}" if bound > 0 else f" - {-bound}" if bound else "")


def _sum(terms: Sequence[tuple[int, int]], variable: Callable[[int], str]) -> str:
    text = ""
    for i, a in terms:
        text += (" + " if a > 0 else " - ") if text else ""
        text += ("" if abs(a) == 1 else f"{abs(a)} * ") + variable(i)
    return text


def _parts(fact: Normal) -> Iterator[Literal | Group]:
    if isinstance(fact, bool):
        return
    yield fact
    if isinstance(fact, Group):
        for part in fact.parts:
            yield from _parts(part)


def _known(needed: Sequence[int]) -> str:
    return " and ".join(f"k{i}" for i in needed)


def _code(scope: str | bool, body: str | bool, scope_known: str, body_known: str) -> str:
    """The code of one rule as an expression; `scope_known` and `body_known` are empty where nothing can be missing."""
    text = f"0 if {body} else 2"
    if body_known:
        text = f"({text}) if {body_known} else 3"
    if scope is not True:
        text = f"({text}) if {scope} else 1"
    return f"({text}) if {scope_known} else 3" if scope_known else text
