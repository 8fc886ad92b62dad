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
    a cut, terms <= b or > b        a disjunction like any other, true of everything
    a product of two rows           a row that follows where the z of both are 1; with M for each, as above
    a declared product              left out: the rows that the certificate multiplies are what it needs

Nothing here is trusted: what counts is what a VIPR checker says of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from proofs.checker.certificate import Bad, Fact, Problem, Tree, product, refutes

Terms = tuple[tuple[int, int], ...]
Sum = dict[int, int]
"""A linear combination: constraints of the file by index, and their multipliers."""


class CannotExport(Exception):
    """A certificate that VIPR has no words for; the message names what is in the way."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A linear fact as `terms <= right`; inside members, once `slack` times the z of each is taken off."""

    fact: Fact
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


Inside = tuple[tuple[int, int], ...]
"""The z of some members, and the assumption that each is 1."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A row that holds at a node, where it holds, and the sum that shows it."""

    row: _Row
    inside: Inside
    shown: Sum


@dataclass(slots=True)
class _Node:
    """What holds at a node of the certificate, numbered as the checker numbers it."""

    linear: list[_Known]
    choices: list[tuple[Sum, _Some]]
    box: list[tuple[_End | None, _End | None]]

    def copy(self) -> _Node:
        return _Node(list(self.linear), list(self.choices), list(self.box))

    def assume(self, stated: _Stated, inside: Inside) -> None:
        """Adds what was stated for these members."""
        if isinstance(stated, _All):
            for part in stated.parts:
                self.assume(part, inside)
        elif isinstance(stated, _Row):
            off = {one: -stated.slack for _, one in inside if stated.slack}
            self.linear.append(_Known(stated, inside, {stated.index: 1} | off))
        else:
            self.choices.append(({stated.index: -1} | {one: -1 for _, one in inside}, stated))


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
        return _File(problem, tree, False).text
    except _Tie:
        return _File(problem, tree, True).text


class _File:
    def __init__(self, problem: Problem, tree: Tree, gaps: bool) -> None:
        """`gaps`: strict rows leave a gap e, and what is shown is not that nothing is left but that e is at most 0."""
        self.problem = problem
        self.products = {(x, y): w for w, x, y in problem.products}
        self.constraints: list[str] = []
        self.box = [
            (self._bound("lower", "G", i, low), self._bound("upper", "L", i, high))
            for i, (low, high) in enumerate(problem.box)
        ]
        # VIPR wants every bound before the first row, those of the 0/1 variables too.
        self.gap = problem.n + sum(map(_members, problem.facts)) + 2 * _cuts(tree)
        self.size = self.gap + gaps
        for v in range(problem.n, self.size):
            self._bound("lower", "G", v, 0)
            self._bound("upper", "L", v, 1)
        self.bounds = len(self.constraints)
        self.next_z = problem.n
        self.goal = f"L 0 1 {self.gap} 1" if gaps else "G 1 0"
        self.derived: list[_Derived] = []
        self.assumed: set[int] = set()

        node = _Node([], [], list(self.box))
        for fact in problem.facts:
            node.assume(self.state(fact, None), ())
        self.refute(tree, node)
        n = problem.n
        whole = sorted(problem.ints) + list(range(n, self.gap))
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
        self.text = "\n".join(lines) + "\n"

    # the problem

    def _bound(self, name: str, sense: str, v: int, value: int | None) -> _End | None:
        return None if value is None else _End(value, self._constraint(name, sense, value, ((v, 1),)))

    def _constraint(self, name: str, sense: str, right: int, terms: Terms) -> int:
        self.constraints.append(f"{name}{len(self.constraints)} {sense} {right} {_vector(terms)}")
        return len(self.constraints) - 1

    def state(self, fact: Fact, z: int | None) -> _Stated:
        """States a fact that holds in any case (`z` is None) or where z is 1."""
        if fact[0] == "A":
            return _All(tuple(self.state(part, z) for part in fact[1]))
        if fact[0] == "L":
            return self._row(fact, () if z is None else (z,))
        zs = range(self.next_z, self.next_z + len(fact[1]))
        self.next_z = zs.stop
        terms = tuple((y, 1) for y in zs)
        cover = self._constraint("some", "G", int(z is None), terms if z is None else ((z, -1), *terms))
        return _Some(cover, tuple((y, self.state(part, y)) for y, part in zip(zs, fact[1], strict=True)))

    def _row(self, fact: Fact, zs: Sequence[int]) -> _Row:
        _, terms, right, strict = fact
        if strict and self._whole(terms):
            right -= 1
        elif strict and self.size > self.gap:
            terms = (*terms, (self.gap, 1))
        slack = max(0, self._greatest(terms) - right) if zs else 0
        wide = (*terms, *((z, slack) for z in zs)) if slack else terms
        return _Row(fact, terms, right, self._constraint("row", "L", right + slack * len(zs), wide), slack)

    def _whole(self, terms: Terms) -> bool:
        return all(i in self.problem.ints for i, _ in terms)

    def _greatest(self, terms: Terms) -> int:
        total = 0
        for i, a in terms:
            end = 1 if i == self.gap else self.problem.box[i][a > 0]
            if end is None:
                raise CannotExport(f"a disjunction or cut over variable {i}, which the box leaves open")
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
                sides = ("L", terms, b, False), ("L", tuple((i, -a) for i, a in terms), -b, True)
                inner = node.copy()
                inner.assume(self.state(("O", sides), None), ())
                return self._members(*inner.choices[-1], (left, right), node)
            case ("S", k, trees):
                return self._members(*node.choices[k], trees, node)
            case ("P", i, j, sub):
                (one, where), (other, there) = self._factor(i, node), self._factor(j, node)
                inside = tuple(dict((*where, *there)).items())
                inner = node.copy()
                inner.assume(self._row(product(one, other, self.products), [z for z, _ in inside]), inside)
                return self.refute(sub, inner)
            case _:
                raise Bad("unknown kind of certificate node")

    def _factor(self, k: int, node: _Node) -> tuple[Fact, Inside]:
        if k >= 0:
            return node.linear[k].row.fact, node.linear[k].inside
        v, side = divmod(-1 - k, 2)
        end = self.box[v][side]
        if end is None or end != node.box[v][side]:
            raise CannotExport(f"a product with the bound that a whole-number split gives variable {v}")
        sign = 1 if side else -1
        return ("L", ((v, sign),), sign * end.value, False), ()

    def _leaf(self, multipliers: Iterable[tuple[int, int]], node: _Node) -> _Goal:
        used: list[tuple[int, Fraction]] = []
        left: Counter[int] = Counter()
        right = 0
        for k, m in multipliers:
            row = node.linear[k].row
            left.update({i: m * a for i, a in row.terms})
            right += m * row.right
            used += ((index, Fraction(m * factor)) for index, factor in node.linear[k].shown.items())
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
            inner.assume(member, ((z, one),))
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
        return -len(self.derived)

    def _derivations(self) -> list[str]:
        """The derivations that the last one rests on, in order, each with where it is last used.

        Until here they have the numbers -1, -2, ..., as rows of the problem may still join.
        """
        last: dict[int, int | None] = {-len(self.derived): None}
        for index in range(-len(self.derived), 0):
            if index in last:
                for used, _ in self.derived[-1 - index].parts:
                    last.setdefault(used, index)
        kept = sorted((index for index in last if index < 0), reverse=True)
        place = {index: len(self.constraints) + k for k, index in enumerate(kept)}
        lines = []
        for index in kept:
            one, until = self.derived[-1 - index], last[index]
            words = [one.reason, str(len(one.parts))] if one.reason == "lin" else [one.reason]
            for used, factor in one.parts:
                words += [str(place.get(used, used))] if factor is None else [str(place.get(used, used)), str(factor)]
            end = -1 if until is None else place[until]
            lines.append(f"d{place[index]} {one.row} {{ {' '.join(words)} }} {end}")
        return lines


def _cuts(tree: Tree) -> int:
    """How many cuts a certificate makes."""
    parts: tuple[Tree, ...] = tree[2] if tree[0] == "S" else tree[3:] if tree[0] in "PIC" else ()
    return sum(map(_cuts, parts)) + int(tree[0] == "C")


def _members(fact: Fact) -> int:
    if fact[0] == "L":
        return 0
    return sum(map(_members, fact[1])) + (len(fact[1]) if fact[0] == "O" else 0)


def _vector(terms: Terms) -> str:
    return " ".join([str(len(terms)), *(f"{i} {a}" for i, a in terms)])
