"""Makes certificates. Nothing it returns is trusted: the checker judges it.

Depth first over the disjunctions. At each node Z3 answers, in exact rationals, either multipliers that beat the linear
rows (a leaf) or a point that satisfies them; the point chooses the next split. A product of two variables that the
point gets wrong is cut off by products of rows and bounds.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm
from typing import Any

from compiler import child
from compiler.to_z3 import number, rational
from proofs.checker.certificate import Bad, Fact, Problem, Tree, leaf, operand, product, refutes
from proofs.checker.decision import decision_problem, nothing_problem, parse_document
from proofs.checker.policy import NO_POLICY, Policy
from proofs.checker.ruleset import Document
from proofs.encode import to_bytes
from proofs.nearest import false_at, nearest

QUERY_MS = 5000
MAX_SPLITS = 20_000
SEARCH = "proofs.maker:search"
"""The function that the child runs."""


class Satisfiable(Exception):
    """The problem has a solution: `values` by variable."""

    def __init__(self, values: dict[int, Fraction]) -> None:
        self.values = values
        super().__init__("the problem has a solution")


class Undecided(Exception):
    """Neither a certificate nor a solution was found inside the limits."""


def refute(problem: Problem, seconds: float = 60.0, patience: int = 1) -> Tree:
    """A certificate that nothing satisfies the problem, already checked.

    The search runs in a child process; `seconds` are of its processor's time, and it is waited for at most `patience`
    times that, so that on a busy machine the patient get the same answer. Raises `Satisfiable` with an exact
    solution, or `Undecided` when a limit was met or the search went wrong.
    """
    try:
        kind, found = child.call(SEARCH, problem, seconds, seconds=patience * seconds + 2 * QUERY_MS / 1000)
    except child.Lost as error:
        raise Undecided(str(error)) from error
    if kind == "point" and solves(problem, found):
        raise Satisfiable(found)
    try:
        if kind == "tree" and refutes(problem, found):
            return found  # type: ignore[no-any-return]
    except Bad:
        pass
    raise Undecided(found if kind == "undecided" else "what the search found does not check")


def solves(problem: Problem, values: object) -> bool:
    """Whether exact values satisfy everything that the problem says."""
    if not isinstance(values, dict) or set(values) != set(range(problem.n)):
        return False
    if not all(isinstance(v, Fraction) for v in values.values()):
        return False
    inside = all(
        (low is None or low <= values[i]) and (high is None or values[i] <= high)
        for i, (low, high) in enumerate(problem.box)
    )
    whole = all(values[i].denominator == 1 for i in problem.ints)
    made = all(values[w] == values[x] * values[y] for w, x, y in problem.products)
    return inside and whole and made and all(_satisfies(fact, values) for fact in problem.facts)


def search(problem: Problem, seconds: float) -> tuple[str, Any]:
    """What `refute` asks, in the child: ("tree", certificate), ("point", values) or ("undecided", why)."""
    try:
        found = _Search(problem, time.process_time() + seconds)
        root = _Node([], [], list(problem.box), frozenset(), 0)
        for fact in problem.facts:
            root.assume(fact)
        return "tree", found.run(root)
    except Satisfiable as answer:
        return "point", answer.values
    except Undecided as error:
        return "undecided", str(error)


def decision_certificate(
    document: bytes, predicate: Mapping[str, Any], seconds: float = 60.0, policy: Policy = NO_POLICY
) -> bytes:
    """The certificate that a repaired command is the closest, or that nothing was admissible, in binary form.

    Raises `Satisfiable` where something closer is admissible, `Undecided` at a limit.
    """
    problem = decision_problem(_parsed(document), dict(predicate), policy)
    direct = _direct(problem, predicate)
    return to_bytes(refute(problem, seconds) if direct is None else direct)


def _direct(problem: Problem, predicate: Mapping[str, Any]) -> Tree | None:
    """The certificate about one commanded quantity, built without a search and checked; None where there is none."""
    if len(problem.ints) != 1 or not predicate["requested"]:
        return None
    ((asked, grid),) = ((watts, predicate["grid"][name]) for name, watts in predicate["requested"].items())
    repaired = predicate["outcome"] == "repaired"
    rules = problem.facts[:-3] if repaired else problem.facts
    low, high = problem.box[0]
    if low is None or high is None:
        return None
    away = abs(predicate["command"][next(iter(predicate["requested"]))] - asked) if repaired else None
    first = [k for k, fact in enumerate(rules) if false_at(fact, asked // grid)]
    tree = nearest((low, high), [lambda f=fact: f for fact in rules], first, asked, grid, away)  # type: ignore[misc]
    return tree if tree is not None and refutes(problem, tree) else None


@lru_cache(maxsize=16)
def _parsed(document: bytes) -> Document:
    return parse_document(document)


def nothing_certificate(
    document: bytes, predicate: Mapping[str, Any], policy: Policy, tiers: Collection[str], seconds: float = 60.0
) -> bytes:
    """The certificate that in the recorded state no command complies with the rules of some tiers, in binary form.

    Raises `Satisfiable` where one does, `Undecided` at a limit.
    """
    parsed = _parsed(document)
    rules = [r for r in parsed.rules if r.blocks and policy.tier(r.id) in tiers]
    return to_bytes(refute(nothing_problem(parsed, predicate, rules), seconds))


@dataclass(slots=True)
class _Node:
    linear: list[Fact]
    choices: list[tuple[Fact, ...]]
    box: list[Any]
    done: frozenset[int]
    cuts: int

    def copy(self) -> _Node:
        return _Node(list(self.linear), list(self.choices), list(self.box), self.done, self.cuts)

    def assume(self, fact: Fact) -> None:
        if fact[0] == "L":
            self.linear.append(fact)
        elif fact[0] == "A":
            for part in fact[1]:
                self.assume(part)
        else:
            self.choices.append(fact[1])


class _Search:
    def __init__(self, problem: Problem, until: float) -> None:
        self.problem, self.until = problem, until
        self.products = {(x, y): w for w, x, y in problem.products}
        self.splits = 0

    def run(self, node: _Node) -> Tree:
        self.splits += 1
        if self.splits > MAX_SPLITS or node.cuts > 40 or time.process_time() > self.until:
            raise Undecided("the search met its limit")
        if any(low is not None and high is not None and low > high for low, high in node.box):
            return ("X",)
        for k in range(len(node.linear)):
            if leaf(((k, 1),), node.linear, node.box):
                return ("F", ((k, 1),))
        for k, members in enumerate(node.choices):
            if k not in node.done and all(_false(member) for member in members):
                return self._split(node, k)
        point = self._point(node)
        if point is None:
            return ("F", self._farkas(node))
        fractional = [i for i in sorted(self.problem.ints) if point[i].denominator != 1]
        if fractional:
            v = fractional[0]
            c = point[v].numerator // point[v].denominator
            below, above = node.copy(), node.copy()
            low, high = node.box[v]
            below.box[v] = (low, c if high is None else min(c, high))
            above.box[v] = (c + 1 if low is None else max(c + 1, low), high)
            return ("I", v, c, self.run(below), self.run(above))
        split = self._violated(node, point)
        if split is not None:
            return self._split(node, split)
        wrong = [(w, x, y) for w, x, y in self.problem.products if point[w] != point[x] * point[y]]
        if not wrong:
            raise Satisfiable(point)
        return self._cut(node, point, wrong)

    # leaves

    def _solution(self, count: int, rows: Sequence[str]) -> list[Fraction] | None:
        """Values of variables v0 ... that satisfy rows in SMT-LIB form; None when there are none.

        Text: building terms through the library's objects takes many times longer than solving.
        """
        import z3

        solver = z3.SolverFor("QF_LRA")
        solver.set("timeout", QUERY_MS)
        names = "".join(f"(declare-const v{i} Real)" for i in range(count))
        solver.from_string(names + "".join(f"(assert {row})" for row in rows))
        answer = solver.check()
        if answer == z3.unknown:
            raise Undecided("a query met its time limit")
        if answer == z3.unsat:
            return None
        found = [Fraction(0)] * count
        model = solver.model()
        for declared in model.decls():
            found[int(declared.name()[1:])] = rational(model[declared])
        return found

    def _point(self, node: _Node) -> dict[int, Fraction] | None:
        """A point of the linear rows and the box; None when there is none."""
        rows = [f"({'<' if strict else '<='} {_sum(terms)} {number(b)})" for _, terms, b, strict in node.linear]
        for i, (low, high) in enumerate(node.box):
            rows += [] if low is None else [f"(>= v{i} {number(low)})"]
            rows += [] if high is None else [f"(<= v{i} {number(high)})"]
        found = self._solution(self.problem.n, rows)
        return None if found is None else dict(enumerate(found))

    def _farkas(self, node: _Node) -> tuple[tuple[int, int], ...]:
        """Multipliers of the rows that the box beats: themselves the solution of a linear problem.

        Its variables: one multiplier for each row, then how far above and below zero the multiplied coefficients of
        each variable come to lie.
        """
        n = len(node.linear)
        columns: dict[int, list[tuple[int, int]]] = {}
        for k, (_, terms, _, _) in enumerate(node.linear):
            for i, a in terms:
                columns.setdefault(i, []).append((k, a))
        count = n + 2 * len(columns)
        rows = [f"(>= v{j} 0.0)" for j in range(count)]
        least: list[tuple[int, int]] = []
        for place, (i, column) in enumerate(sorted(columns.items())):
            up, down = n + 2 * place, n + 2 * place + 1
            rows.append(f"(= {_sum([*column, (up, -1), (down, 1)])} 0.0)")
            for side, end in ((up, node.box[i][0]), (down, None if node.box[i][1] is None else -node.box[i][1])):
                if end is None:
                    rows.append(f"(= v{side} 0.0)")
                else:
                    least.append((side, end))
        over = _sum([*least, *((k, -row[2]) for k, row in enumerate(node.linear))])
        strict = _sum([(k, 1) for k, row in enumerate(node.linear) if row[3]])
        for goal in ([f"(= {over} 1.0)"], [f"(= {over} 0.0)", f"(= {strict} 1.0)"]):
            found = self._solution(count, [*rows, *goal])
            if found is not None:
                pairs = _whole([(k, v) for k, v in enumerate(found[:n]) if v])
                if leaf(pairs, node.linear, node.box):
                    return pairs
        raise Undecided("no multipliers were found for rows that cannot hold together")

    # branches

    def _split(self, node: _Node, split: int) -> Tree:
        trees: list[Tree] = []
        for member in node.choices[split]:
            inner = node.copy()
            inner.done = node.done | {split}
            inner.assume(member)
            trees.append(self.run(inner))
        return ("S", split, tuple(trees))

    def _about(self, node: _Node, wrong: Sequence[tuple[int, int, int]]) -> int | None:
        """A disjunction about a factor that is still open: its rows may give the products that are missing, however
        well the point meets it."""
        factors = {i for product in wrong for i in product}
        best: tuple[int, int] | None = None
        for k, members in enumerate(node.choices):
            if k in node.done or not any(i in factors for m in members for row in _rows(m) for i, _ in row[1]):
                continue
            alive = sum(not _dead(m, node.box) for m in members)
            if best is None or (alive, k) < best:
                best = (alive, k)
        return None if best is None else best[1]

    def _violated(self, node: _Node, point: Mapping[int, Fraction]) -> int | None:
        """The violated disjunction with the fewest members that the box leaves alive."""
        best: tuple[int, int] | None = None
        for k, members in enumerate(node.choices):
            if k in node.done or any(_satisfies(m, point) for m in members):
                continue
            alive = sum(not _dead(m, node.box) for m in members)
            if best is None or (alive, k) < best:
                best = (alive, k)
        return None if best is None else best[1]

    def _cut(self, node: _Node, point: Mapping[int, Fraction], wrong: Sequence[tuple[int, int, int]]) -> Tree:
        """Adds products of rows and bounds that exclude the point, whichever product they are about; failing that,
        splits on what a factor may be."""
        wrapped: list[tuple[int, int]] = []
        inner = node.copy()
        for i, j in dict.fromkeys(pair for _, x, y in wrong for pair in self._pairs(node, x, y)):
            try:
                row = product(operand(i, inner), operand(j, inner), self.products)  # type: ignore[arg-type]
            except Bad:
                continue
            if row not in inner.linear and not _satisfies(row, point):
                inner.linear.append(row)
                wrapped.append((i, j))
        if wrapped:
            tree = self.run(inner)
            for i, j in reversed(wrapped):
                tree = ("P", i, j, tree)
            return tree
        split = self._about(node, wrong)
        if split is not None:
            return self._split(node, split)
        terms, c = self._where(node, point, wrong)
        below, above = node.copy(), node.copy()
        below.cuts = above.cuts = node.cuts + 1
        below.linear.append(("L", terms, c, False))
        above.linear.append(("L", tuple((i, -a) for i, a in terms), -c, True))
        return ("C", terms, c, self.run(below), self.run(above))

    def _where(
        self, node: _Node, point: Mapping[int, Fraction], wrong: Sequence[tuple[int, int, int]]
    ) -> tuple[tuple[tuple[int, int], ...], int]:
        """Row and value at which to split: at zero where a factor of a wrong product may have either sign, then where
        what multiplies a factor in some row changes sign, otherwise in the middle of the first one's wider factor."""
        ends = {v: self._ends(node, v) for product in wrong for v in product[1:]}
        for v, (low, high) in ends.items():
            if low < 0 < high:
                return ((v, 1),), 0
        rows = list(_all_rows(node))
        for v in ends:
            for row in rows:
                beside, c = self._beside(v, row)
                if len(beside) > 1 and self._open(node, beside, c):
                    return beside, c
        for w, x, y in wrong:
            found: list[tuple[Fraction, int, Fraction]] = []
            for row in rows:
                terms = dict(row[1])
                for v, other in ((x, y), (y, x)):
                    if terms.get(w) and x != y:
                        at = Fraction(-terms.get(other, 0), terms[w])
                        if ends[v][0] < at < ends[v][1]:
                            found.append((abs(at - point[v]), v, at))
            if found:
                _, v, at = min(found)
                return ((v, at.denominator),), at.numerator
        wide = max(wrong[0][1:], key=lambda v: (ends[v][1] - ends[v][0]) / max(Fraction(1), self._width(node, v)))
        return ((wide, 1),), int(sum(ends[wide]) // 2)

    def _beside(self, v: int, row: Fact) -> tuple[tuple[tuple[int, int], ...], int]:
        """What multiplies a variable in a row: (terms, c) for `terms - c`."""
        found = {y if x == v else x: dict(row[1]).get(w, 0) for w, x, y in self.problem.products if v in (x, y)}
        return tuple((i, a) for i, a in sorted(found.items()) if a), -dict(row[1]).get(v, 0)

    def _open(self, node: _Node, terms: tuple[tuple[int, int], ...], c: int) -> bool:
        """Whether no row says yet on which side of a value a sum lies."""
        flipped = tuple((i, -a) for i, a in terms)
        return not any(row[1:3] in ((terms, c), (flipped, -c)) for row in node.linear)

    def _width(self, node: _Node, v: int) -> Fraction:
        low, high = node.box[v]
        return Fraction(1) if low is None or high is None else Fraction(high - low)

    def _ends(self, node: _Node, v: int) -> tuple[Fraction, Fraction]:
        """The range of a variable by the box and the rows that speak of it alone."""
        low, high = node.box[v]
        for _, terms, b, _ in node.linear:
            if len(terms) == 1 and terms[0][0] == v:
                end = Fraction(b, terms[0][1])
                if terms[0][1] > 0:
                    high = end if high is None else min(high, end)
                else:
                    low = end if low is None else max(low, end)
        if low is None or high is None:
            raise Undecided("a factor of a product has no bounds")
        return Fraction(low), Fraction(high)

    def _pairs(self, node: _Node, x: int, y: int) -> Iterator[tuple[int, int]]:
        bounds_x, bounds_y = (-1 - 2 * x, -2 - 2 * x), (-1 - 2 * y, -2 - 2 * y)
        yield from ((i, j) for i in bounds_x for j in bounds_y)
        plain = [
            (k, {i for i, _ in row[1]})
            for k, row in enumerate(node.linear)
            if all(i < self._first() for i, _ in row[1])
        ]
        for k, mentioned in plain:
            if x in mentioned:
                yield from ((k, j) for j in bounds_y)
            if y in mentioned:
                yield from ((k, i) for i in bounds_x)
        for k, a in plain:
            for m, b in plain:
                if k <= m and ((x in a and y in b) or (y in a and x in b)):
                    yield k, m

    def _first(self) -> int:
        return min((w for w, _, _ in self.problem.products), default=self.problem.n)


def _all_rows(node: _Node) -> Iterator[Fact]:
    open_ = (m for k, members in enumerate(node.choices) if k not in node.done for m in members)
    return _rows(*node.linear, *open_)


def _rows(*facts: Fact) -> Iterator[Fact]:
    stack = [*facts]
    while stack:
        fact = stack.pop()
        if fact[0] == "L":
            yield fact
        else:
            stack += fact[1]


def _sum(terms: Sequence[tuple[int, int]]) -> str:
    return f"(+ 0.0 {' '.join(f'(* {number(a)} v{i})' for i, a in terms)})"


def _whole(pairs: Sequence[tuple[int, Fraction]]) -> tuple[tuple[int, int], ...]:
    scale = lcm(*(v.denominator for _, v in pairs)) if pairs else 1
    scaled = [(k, int(v * scale)) for k, v in pairs]
    common = gcd(*(v for _, v in scaled)) or 1
    return tuple((k, v // common) for k, v in scaled)


def _satisfies(fact: Fact, point: Mapping[int, Fraction]) -> bool:
    if fact[0] == "L":
        total = sum((a * point[i] for i, a in fact[1]), Fraction(0))
        return bool(total < fact[2] if fact[3] else total <= fact[2])
    return (all if fact[0] == "A" else any)(_satisfies(part, point) for part in fact[1])


def _false(fact: Fact) -> bool:
    """Whether a fact holds nowhere, whatever its variables are: one about what cannot be used."""
    if fact[0] == "L":
        return not fact[1] and (fact[2] < 0 or (fact[2] == 0 and bool(fact[3])))
    return (any if fact[0] == "A" else all)(_false(part) for part in fact[1])


def _dead(fact: Fact, box: Sequence[Any]) -> bool:
    if fact[0] == "L":
        return leaf(((0, 1),), (fact,), box)
    return (any if fact[0] == "A" else all)(_dead(part, box) for part in fact[1])
