"""Checks that no assignment satisfies a set of linear facts. Standard library alone, whole numbers alone.

    fact ::= ("L", terms, b, strict)   sum of a*x[i] <= b, or < b when strict; terms ((i, a), ...), i increasing, a != 0
           | ("A", facts)              all of them
           | ("O", facts)              at least one of them

A certificate is a tree:

    ("F", ((k, m), ...))    Farkas leaf: m > 0 times linear fact k, summed, is beaten by the box; k ascends
    ("S", k, (tree, ...))   one tree for each member of disjunction k
    ("I", i, c, tree, tree) x[i] <= c, or x[i] >= c + 1, for a variable that takes whole values
    ("C", terms, b, tree, tree)  terms <= b, or terms > b
    ("P", i, j, tree)       (b1 - a1 x)(b2 - a2 y) >= 0 joins the linear facts; every monomial must be declared as a
                            product. Operand k >= 0 is linear fact k, -1 - 2v the lower bound of variable v, and
                            -2 - 2v its upper bound
    ("X",)                  some variable's box is empty

Linear facts and disjunctions are numbered in the order in which they join: the problem's from left to right,
conjunctions opened, then each branch's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Fact = tuple[Any, ...]
Tree = tuple[Any, ...]
Bound = int | None
Box = Sequence[tuple[Bound, Bound]]

TRUE: Fact = ("A", ())
MAX_POSITIONS = 100_000
MAX_BITS = 4096
MAX_NODES = 100_000
MAX_DEPTH = 200
MAX_WORK = 100_000_000  # nodes times variables, products, facts and terms


class Bad(Exception):
    """A problem, certificate or record that is malformed or does not show what it claims; the message says what."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Facts over n variables: `box` bounds each (None: unbounded), `ints` take whole values, and for each product
    (w, x, y) variable w is the product of variables x and y."""

    n: int
    box: tuple[tuple[Bound, Bound], ...]
    ints: frozenset[int]
    products: tuple[tuple[int, int, int], ...]
    facts: tuple[Fact, ...]


def whole(value: object) -> int:
    """The value, which must be an integer of bearable size (and no boolean)."""
    if type(value) is not int or value.bit_length() > MAX_BITS:
        raise Bad("a whole number of at most 4096 bits was expected")
    return value


def _variable(value: object, n: int) -> int:
    if type(value) is not int or not 0 <= value < n:
        raise Bad("a variable's position is out of range")
    return value


def check_facts(facts: object, n: int) -> int:
    """How many facts and terms there are; raises `Bad` unless they are well formed over n variables."""
    if type(facts) is not tuple:
        raise Bad("facts are a tuple")
    count = 0
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        count += len(facts)
        for fact in facts:
            if type(fact) is not tuple or not fact:
                raise Bad("a fact is a tuple")
            if fact[0] == "L" and len(fact) == 4:
                _, terms, b, strict = fact
                if type(terms) is not tuple or type(strict) is not bool:
                    raise Bad("terms must be a tuple, the strict mark true or false")
                last = -1
                for term in terms:
                    if type(term) is not tuple or len(term) != 2:
                        raise Bad("a term is a pair")
                    i, a = term
                    if type(i) is not int or not last < i < n:
                        raise Bad("terms must ascend and name variables")
                    if type(a) is not int or not a or a.bit_length() > MAX_BITS:
                        raise Bad("a coefficient must be a whole number of at most 4096 bits, and not zero")
                    last = i
                count += len(terms)
                if type(b) is not int or b.bit_length() > MAX_BITS:
                    raise Bad("a right side must be a whole number of at most 4096 bits")
            elif fact[0] in ("A", "O") and len(fact) == 2 and type(fact[1]) is tuple:
                below += fact[1]
            else:
                raise Bad("unknown kind of fact")
        if not below:
            return count
        facts = below
    raise Bad("facts nest deeper than allowed")


def check_problem(problem: Problem) -> int:
    """Its size; raises `Bad` unless it is well formed and its box says no more of a product than the factors' do."""
    n = problem.n
    if type(n) is not int or not 0 <= n <= MAX_POSITIONS or len(problem.box) != n:
        raise Bad("the box must bound each variable")
    for part, size in ((problem.box, 2), (problem.products, 3)):
        if type(part) is not tuple or any(type(item) is not tuple or len(item) != size for item in part):
            raise Bad("a range is a pair, a product a triple")
    for end in (end for ends in problem.box for end in ends):
        if end is not None:
            whole(end)
    for i in problem.ints:
        _variable(i, n)
    seen: set[int] = set()
    for w, x, y in problem.products:
        if not _variable(x, n) <= _variable(y, n) or _variable(w, n) in seen or w in (x, y):
            raise Bad("a product names three variables, itself once")
        seen.add(w)
    if len({(x, y) for _, x, y in problem.products}) != len(seen):
        raise Bad("two products have the same factors")
    for w, x, y in problem.products:
        if x in seen or y in seen:
            raise Bad("a product of a product is not supported")
        least, most = _corners(problem.box[x], problem.box[y])
        low, high = problem.box[w]
        if (low is not None and (least is None or low > least)) or (high is not None and (most is None or high < most)):
            raise Bad("the box of a product is narrower than its factors allow")
    return n + len(problem.products) + check_facts(problem.facts, n)


def _corners(a: tuple[Bound, Bound], b: tuple[Bound, Bound]) -> tuple[Bound, Bound]:
    if None in a or None in b:
        return None, None
    found = [x * y for x in a for y in b]  # type: ignore[operator]
    return min(found), max(found)


class _Context:
    """What holds at a node: linear facts, disjunctions and the box.

    One list of each serves the whole tree, walked depth first: to enter a node cuts them back to what its parent holds.
    """

    __slots__ = ("box", "choices", "linear")

    def __init__(self) -> None:
        self.linear: list[Fact] = []
        self.choices: list[tuple[Fact, ...]] = []
        self.box: Box = []

    def enter(self, rows: int, splits: int, box: Box, fact: Fact) -> None:
        """What held with so many linear facts and disjunctions, inside the box, where the fact holds too."""
        del self.linear[rows:], self.choices[splits:]
        self.box, stack = box, [fact]
        while stack:
            part = stack.pop()
            if part[0] == "L":
                self.linear.append(part)
            elif part[0] == "A":
                stack += reversed(part[1])
            else:
                self.choices.append(part[1])


def refutes(problem: Problem, certificate: Tree) -> bool:
    """Whether the certificate shows that nothing satisfies box, whole values, products and facts.

    Raises `Bad` for anything malformed; an auditor treats that as a failed check.
    """
    context, nodes, size = _Context(), 0, check_problem(problem)
    products = {(x, y): w for w, x, y in problem.products}
    stack: list[tuple[Tree, int, int, int, Box, Fact]] = [(certificate, 0, 0, 0, problem.box, ("A", problem.facts))]
    while stack:
        tree, depth, rows, splits, box, fact = stack.pop()
        nodes += 1
        if nodes > MAX_NODES or nodes * size > MAX_WORK or depth > MAX_DEPTH or type(tree) is not tuple or not tree:
            raise Bad("the certificate is too large, alone or for this problem, too deep or no tree")
        context.enter(rows, splits, box, fact)
        here = depth + 1, len(context.linear), len(context.choices)
        if tree[0] == "F" and len(tree) == 2:
            if not leaf(tree[1], context.linear, box):
                return False
        elif tree[0] == "S" and len(tree) == 3:
            _, k, trees = tree
            if type(k) is not int or not 0 <= k < min(len(context.choices), MAX_POSITIONS):
                raise Bad("no such disjunction")
            members = context.choices[k]
            if type(trees) is not tuple or len(trees) != len(members):
                raise Bad("a split needs one tree for each member")
            stack += [(sub, *here, box, member) for sub, member in zip(trees, members, strict=True)]
        elif tree == ("X",):
            if not any(low is not None and high is not None and low > high for low, high in box):
                return False
        else:
            stack += [(sub, *here, ends, more) for sub, ends, more in _branches(tree, context, problem, products)]
            size += 1 + len(tree[1]) if tree[0] == "C" else 0
    return True


def _branches(
    tree: Tree, context: _Context, problem: Problem, products: dict[tuple[int, int], int]
) -> list[tuple[Tree, Box, Fact]]:
    """What a node that splits no disjunction leaves to be refuted: in which box, and where which fact holds too."""
    box = context.box
    match tree:
        case ("I", i, c, left, right):
            if _variable(i, problem.n) not in problem.ints:
                raise Bad("the variable of a whole-number split need not be whole")
            whole(c)
            low, high = box[i]
            below = [*box[:i], (low, c if high is None else min(c, high)), *box[i + 1 :]]
            above = [*box[:i], (c + 1 if low is None else max(c + 1, low), high), *box[i + 1 :]]
            return [(left, below, TRUE), (right, above, TRUE)]
        case ("C", terms, b, left, right):
            check_facts((("L", terms, b, False),), problem.n)
            less: Fact = ("L", terms, b, False)
            return [(left, box, less), (right, box, negate(less))]
        case ("P", i, j, sub):
            return [(sub, box, product(operand(i, context), operand(j, context), products))]
        case _:
            raise Bad("unknown kind of certificate node")


def leaf(multipliers: object, linear: Sequence[Fact], box: Box) -> bool:
    """Whether the weighted sum of linear facts cannot hold inside the box."""
    if type(multipliers) is not tuple or any(type(pair) is not tuple or len(pair) != 2 for pair in multipliers):
        raise Bad("a leaf holds pairs")
    total: dict[int, int] = {}
    right, strict, last, count = 0, False, -1, min(len(linear), MAX_POSITIONS)
    for k, m in multipliers:
        if type(k) is not int or not last < k < count:
            raise Bad("the linear facts of a leaf must ascend and be there")
        if type(m) is not int or m <= 0 or m.bit_length() > MAX_BITS:
            raise Bad("a multiplier must be a positive whole number of at most 4096 bits")
        last = k
        _, terms, b, s = linear[k]
        for i, a in terms:
            total[i] = total.get(i, 0) + m * a
        right += m * b
        strict = strict or s
    least = 0
    for i, a in total.items():
        if a:
            end = box[i][0] if a > 0 else box[i][1]
            if end is None:
                return False
            least += a * end
    return least > right or (strict and least == right)


def operand(k: object, context: _Context) -> Fact:
    """A factor of a product node: a linear fact, or a bound of the box as a linear fact."""
    if type(k) is not int or not -2 * len(context.box) <= k < min(len(context.linear), MAX_POSITIONS):
        raise Bad("no such factor")
    if k >= 0:
        return context.linear[k]
    v, side = divmod(-1 - k, 2)
    end = context.box[v][side]
    if end is None:
        raise Bad("the factor is a bound that does not exist")
    sign = -1 if side == 0 else 1
    return ("L", ((v, sign),), sign * end, False)


def product(left: Fact, right: Fact, products: dict[tuple[int, int], int]) -> Fact:
    """(b1 - a1 x)(b2 - a2 y) >= 0 as a linear fact over product variables; strict when both factors are."""
    _, terms1, b1, strict1 = left
    _, terms2, b2, strict2 = right
    total: dict[int, int] = {}

    def add(i: int, a: int) -> None:
        total[i] = total.get(i, 0) + a

    # b1*b2 - b2*a1 x - b1*a2 y + a1 a2 x y >= 0, written as a row "<= b1*b2".
    for i, a in terms1:
        add(i, b2 * a)
    for j, a in terms2:
        add(j, b1 * a)
    for i, a in terms1:
        for j, c in terms2:
            w = products.get((min(i, j), max(i, j)))
            if w is None:
                raise Bad("a monomial is not a declared product")
            add(w, -a * c)
    return ("L", tuple((i, whole(a)) for i, a in sorted(total.items()) if a), whole(b1 * b2), strict1 and strict2)


def negate(fact: Fact) -> Fact:
    """The fact that holds exactly where this one does not."""
    if fact[0] == "L":
        return ("L", tuple((i, -a) for i, a in fact[1]), -fact[2], not fact[3])
    return ("O" if fact[0] == "A" else "A", tuple(negate(part) for part in fact[1]))
