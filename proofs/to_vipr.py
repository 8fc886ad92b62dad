"""Writes a claim as a VIPR 1.0 file, the certificate format of exact integer programming, for other people's checkers.

VIPR knows linear rows, some of them over whole variables. The file's rows follow from the claim's problem, once the
variables that are added are set to fit: where nothing satisfies the file, nothing satisfies the problem.

    a x < b over whole variables    a x <= b - 1
    any other strict row            a x <= b where that is enough; otherwise a x + e <= b with one e from 0 to 1 for all
                                    rows, and the file shows that e is at most 0: something that satisfied the problem
                                    would leave an e above 0
    at least one of several facts   a 0/1 variable z for each; their sum is at least 1, or at least the z of the member
                                    that the disjunction stands in
    a x <= b inside member z        a x + M z <= b + M, where M is how far the box lets a x exceed b
    a declared product              left out; a certificate that multiplies rows is refused

Nothing here is trusted: what counts is what a VIPR checker says of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from proofs.checker.certificate import Bad, Fact, Problem, Tree, refutes

Terms = tuple[tuple[int, int], ...]
Sum = dict[int, int]
"""A linear combination: constraints of the file by index, and their multipliers."""


class CannotExport(Exception):
    """A certificate that VIPR has no words for; the message names what is in the way."""


@dataclass(frozen=True, slots=True)
class _Row:
    """`terms <= right`, stated by a constraint; inside a member, once `slack` times its z is taken off."""

    terms: Terms
    right: int
    index: int
    slack: int


@dataclass(frozen=True, slots=True)
class _All:
    parts: tuple[_Stated, ...]


@dataclass(frozen=True, slots=True)
class _Some:
    """A disjunction: the constraint that one member holds, and each member with its z."""

    index: int
    members: tuple[tuple[int, _Stated], ...]


_Stated = _Row | _All | _Some


@dataclass(frozen=True, slots=True)
class _End:
    """A bound of a variable and the constraint that states it."""

    value: int
    index: int


@dataclass(slots=True)
class _Node:
    """What holds at a node of the certificate, numbered as the checker numbers it, each with the sum that shows it."""

    linear: list[tuple[Terms, int, Sum]]
    choices: list[tuple[Sum, _Some]]
    box: list[tuple[_End | None, _End | None]]

    def copy(self) -> _Node:
        return _Node(list(self.linear), list(self.choices), list(self.box))

    def assume(self, stated: _Stated, inside: int | None = None) -> None:
        """Adds a fact; `inside` is the assumption that the z of its member is 1."""
        if isinstance(stated, _All):
            for part in stated.parts:
                self.assume(part, inside)
        elif isinstance(stated, _Row):
            shown = (
                {stated.index: 1} if not stated.slack or inside is None else {stated.index: 1, inside: -stated.slack}
            )
            self.linear.append((stated.terms, stated.right, shown))
        else:
            self.choices.append(({stated.index: -1} if inside is None else {stated.index: -1, inside: -1}, stated))


@dataclass(frozen=True, slots=True)
class _Derived:
    """A derived row, its reason, and the constraints that this rests on, for a sum with their multipliers."""

    row: str
    reason: str
    parts: tuple[tuple[int, int | Fraction | None], ...]


@dataclass(frozen=True, slots=True)
class _Goal:
    """The goal, `0 >= 1` or `e <= 0`, as derived, and the assumptions it rests on."""

    index: int
    needs: frozenset[int]


class _Tie(Exception):
    """A leaf holds by nothing more than the strictness of a row."""


def to_vipr(problem: Problem, tree: Tree) -> str:
    """The text of a file that shows what the certificate shows.

    Raises `Bad` where the certificate does not refute the problem, and `CannotExport` where VIPR has no words for it.
    """
    if not refutes(problem, tree):
        raise Bad("the certificate does not show that nothing satisfies the problem")
    try:
        return _File(problem, False).written(tree)
    except _Tie:
        return _File(problem, True).written(tree)


class _File:
    def __init__(self, problem: Problem, gaps: bool) -> None:
        """`gaps`: strict rows leave a gap e, and what is shown is not that nothing is left but that e is at most 0."""
        self.problem = problem
        self.constraints: list[str] = []
        self.box = [
            (self._bound("lower", "G", i, low), self._bound("upper", "L", i, high))
            for i, (low, high) in enumerate(problem.box)
        ]
        # VIPR wants every bound before the first row, those of the 0/1 variables too.
        self.gap = problem.n + sum(map(_members, problem.facts))
        self.size = self.gap + gaps
        for v in range(problem.n, self.size):
            self._bound("lower", "G", v, 0)
            self._bound("upper", "L", v, 1)
        self.bounds = len(self.constraints)
        self.next_z = problem.n
        self.goal = f"L 0 1 {self.gap} 1" if gaps else "G 1 0"
        self.derived: list[_Derived] = []
        self.assumed: set[int] = set()

    def written(self, tree: Tree) -> str:
        """The whole file, with what the certificate shows."""
        node = _Node([], [], list(self.box))
        for fact in self.problem.facts:
            node.assume(self.state(fact, None))
        self.refute(tree, node)
        n, gaps = self.problem.n, self.size > self.gap
        whole = sorted(self.problem.ints) + list(range(n, self.gap))
        names = [f"x{i}" for i in range(n)] + [f"z{i}" for i in range(n, self.gap)] + ["e"] * gaps
        derivations = self._derivations()
        lines = [
            "% A Lexwatt claim. x: its variables; z: 0/1, a member of a disjunction; e: what every strict row leaves.",
            "VER 1.0",
            *(f"VAR {self.size}", *names),
            *(f"INT {len(whole)}", " ".join(map(str, whole))),
            *("OBJ max", f"1 {self.gap} 1" if gaps else "0"),
            *(f"CON {len(self.constraints)} {self.bounds}", *self.constraints),
            *("RTP range -inf 0" if gaps else "RTP infeas", "SOL 0", f"DER {len(derivations)}", *derivations),
        ]
        return "\n".join(lines) + "\n"

    # the problem

    def _bound(self, name: str, sense: str, v: int, value: int | None) -> _End | None:
        return None if value is None else _End(value, self._constraint(f"{name}{v}", sense, value, ((v, 1),)))

    def _constraint(self, name: str, sense: str, right: int, terms: Terms) -> int:
        self.constraints.append(f"{name} {sense} {right} {_vector(terms)}")
        return len(self.constraints) - 1

    def state(self, fact: Fact, z: int | None) -> _Stated:
        """States a fact that holds in any case (`z` is None) or where z is 1."""
        if fact[0] == "A":
            return _All(tuple(self.state(part, z) for part in fact[1]))
        name = f"row{len(self.constraints)}"
        if fact[0] == "L":
            _, terms, right, strict = fact
            if strict and self._whole(terms):
                right -= 1
            elif strict and self.size > self.gap:
                terms = (*terms, (self.gap, 1))
            slack = 0 if z is None else max(0, self._greatest(terms) - right)
            wide = (*terms, (z, slack)) if z is not None and slack else terms
            return _Row(terms, right, self._constraint(name, "L", right + slack, wide), slack)
        zs = range(self.next_z, self.next_z + len(fact[1]))
        self.next_z = zs.stop
        terms = tuple((y, 1) for y in zs)
        cover = self._constraint(name, "G", int(z is None), terms if z is None else ((z, -1), *terms))
        return _Some(cover, tuple((y, self.state(part, y)) for y, part in zip(zs, fact[1], strict=True)))

    def _whole(self, terms: Terms) -> bool:
        return all(i in self.problem.ints for i, _ in terms)

    def _greatest(self, terms: Terms) -> int:
        total = 0
        for i, a in terms:
            end = 1 if i == self.gap else self.problem.box[i][a > 0]
            if end is None:
                raise CannotExport(f"a disjunction over variable {i}, which the box leaves open")
            total += a * end
        return total

    # the derivation

    def refute(self, tree: Tree, node: _Node) -> _Goal:
        """Derives the goal at a node, from less than all its assumptions where that is enough."""
        match tree:
            case ("F", multipliers):
                return self._leaf(multipliers, node)
            case ("X",):
                ends = next((a, b) for a, b in node.box if a is not None and b is not None and a.value > b.value)
                return self._sum([(ends[1].index, 1), (ends[0].index, -1)])
            case ("I", v, c, left, right):
                low, high = node.box[v]
                below, above = node.copy(), node.copy()
                under, over = self._assume("L", c, ((v, 1),)), self._assume("G", c + 1, ((v, 1),))
                below.box[v] = (low, _End(c, under) if high is None or c < high.value else high)
                above.box[v] = (_End(c + 1, over) if low is None or c + 1 > low.value else low, high)
                return self._either((left, below, under), (right, above, over))
            case ("C", terms, b, left, right):
                if not self._whole(terms):
                    raise CannotExport("a cut over variables that are not all whole")
                below, above = node.copy(), node.copy()
                under, over = self._assume("L", b, terms), self._assume("G", b + 1, terms)
                below.linear.append((terms, b, {under: 1}))
                above.linear.append((tuple((i, -a) for i, a in terms), -b - 1, {over: -1}))
                return self._either((left, below, under), (right, above, over))
            case ("S", k, trees):
                return self._members(*node.choices[k], trees, node)
            case _:
                raise CannotExport("a product of two rows")

    def _leaf(self, multipliers: Iterable[tuple[int, int]], node: _Node) -> _Goal:
        used: list[tuple[int, Fraction]] = []
        left: Counter[int] = Counter()
        right = 0
        for k, m in multipliers:
            terms, b, shown = node.linear[k]
            left.update({i: m * a for i, a in terms})
            right += m * b
            used += ((index, Fraction(m * factor)) for index, factor in shown.items())
        gap = left.pop(self.gap, 0)
        for i, a in left.items():
            end = node.box[i][a < 0]
            if a and end is not None:
                right -= a * end.value
                used.append((end.index, Fraction(-a)))
        if right >= (0 if not gap else 1):
            raise _Tie
        return self._sum([(index, factor / (gap or 1)) for index, factor in used])

    def _members(self, shown: Sum, some: _Some, trees: Sequence[Tree], node: _Node) -> _Goal:
        """No member holds: each z is 0, against the cover; then each of these assumptions is lifted in turn."""
        refuted = []
        for (z, member), tree in zip(some.members, trees, strict=True):
            inner, one = node.copy(), self._assume("G", 1, ((z, 1),))
            inner.assume(member, one)
            found = self.refute(tree, inner)
            if one not in found.needs:
                return found
            refuted.append((found, one, z))
        none = [self._assume("L", 0, ((z, 1),)) for _, _, z in refuted]
        found = self._sum([*shown.items(), *((index, 1) for index in none)])
        for (other, one, _), zero in zip(refuted, none, strict=True):
            found = self._unsplit(found, zero, other, one)
        return found

    def _either(self, *branches: tuple[Tree, _Node, int]) -> _Goal:
        found = []
        for tree, node, assumed in branches:
            found.append(self.refute(tree, node))
            if assumed not in found[-1].needs:
                return found[-1]
        return self._unsplit(found[0], branches[0][2], found[1], branches[1][2])

    def _assume(self, sense: str, right: int, terms: Terms) -> int:
        index = self._derive(_Derived(f"{sense} {right} {_vector(terms)}", "asm", ()))
        self.assumed.add(index)
        return index

    def _sum(self, used: Iterable[tuple[int, int | Fraction]]) -> _Goal:
        total: dict[int, int | Fraction] = {}
        for index, factor in used:
            total[index] = total.get(index, 0) + factor
        parts = tuple((index, factor) for index, factor in total.items() if factor)
        return _Goal(
            self._derive(_Derived(self.goal, "lin", parts)), frozenset(index for index, _ in parts) & self.assumed
        )

    def _unsplit(self, one: _Goal, under: int, other: _Goal, over: int) -> _Goal:
        parts = tuple((index, None) for index in (one.index, under, other.index, over))
        return _Goal(self._derive(_Derived(self.goal, "uns", parts)), (one.needs - {under}) | (other.needs - {over}))

    def _derive(self, derived: _Derived) -> int:
        self.derived.append(derived)
        return len(self.constraints) + len(self.derived) - 1

    def _derivations(self) -> list[str]:
        """The derivations that the last one rests on, in order, each with where it is last used."""
        first = len(self.constraints)
        last = {first + len(self.derived) - 1: -1}
        for index in range(first + len(self.derived) - 1, first - 1, -1):
            if index in last:
                for used, _ in self.derived[index - first].parts:
                    last.setdefault(used, index)
        kept = [index for index in range(first, first + len(self.derived)) if index in last]
        now = dict(enumerate(range(first))) | {-1: -1} | {index: first + k for k, index in enumerate(kept)}
        lines = []
        for index in kept:
            one = self.derived[index - first]
            words = [one.reason, str(len(one.parts))] if one.reason == "lin" else [one.reason]
            for used, factor in one.parts:
                words += [str(now[used])] if factor is None else [str(now[used]), str(factor)]
            lines.append(f"d{now[index]} {one.row} {{ {' '.join(words)} }} {now[last[index]]}")
        return lines


def _members(fact: Fact) -> int:
    if fact[0] == "L":
        return 0
    return sum(map(_members, fact[1])) + (len(fact[1]) if fact[0] == "O" else 0)


def _vector(terms: Terms) -> str:
    return " ".join([str(len(terms)), *(f"{i} {a}" for i, a in terms)])
