"""Core to facts: rows of integers with cases, exact over the declared ranges.

A polynomial stands over variables counted in steps of their resolution. `max`, `min` and curves become conjunctions or
disjunctions; a product of two quantities becomes a product variable. What does not fit is refused by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from math import ceil, gcd, lcm

from compiler import core as c
from compiler.bounds import bounds
from compiler.facts import FALSE, TRUE, Fact, FactSet, RuleFact, Variable, mentions, moved, negate
from compiler.instance import Instance, parts

Range = tuple[Fraction, Fraction]
Poly = dict[tuple[int, ...], Fraction]
"""Monomials (sorted variable positions, at most two) to coefficients; `()` is the constant."""


MAX_BRANCHES = 5_000
"""Nested `max`, `min` and `abs` multiply: a rule that needs more branches than this is refused, not ground through."""


class CannotLower(Exception):
    """A rule that facts cannot express; the message names the rule and the construct."""


def lower(
    instance: Instance,
    fixed: Mapping[str, Fraction] | None = None,
    ranges: Mapping[str, Range] | None = None,
) -> FactSet:
    """The facts of an instance.

    `fixed` substitutes quantities by values, `ranges` narrows declared ranges, both in base units; the facts mean what
    the rules mean for every assignment inside the ranges. Without `ranges` a rule needs each quantity it names.
    Raises `CannotLower` for a rule that demands a whole multiple, multiplies more than two quantities, or whose
    parameter nobody has chosen.
    """
    fixed, ranges = fixed or {}, ranges or {}
    names = [name for name in instance.names() if name not in fixed]
    position = {name: i for i, name in enumerate(names)}
    products: dict[tuple[int, int], int] = {}
    rules = []
    for rule in instance.rules:
        spoken = {name for node in parts(rule) for name in c.names(node)}
        own = [name for name in names if name in spoken]
        vocabulary = tuple(instance.vocabulary[name] for name in own)
        given = tuple((name, fixed[name]) for name in sorted(spoken) if name in fixed)
        narrow = tuple((name, ranges[name]) for name in own if name in ranges)
        found = _rule_alone(rule, vocabulary, given, narrow, not ranges)
        if isinstance(found, str):
            raise CannotLower(found)
        fact, made = found
        to = {i: position[name] for i, name in enumerate(own)}
        for w, x, y in made:
            a, b = sorted((to[x], to[y]))
            to[w] = products.setdefault((a, b), len(names) + len(products))
        same = all(i == j for i, j in to.items())
        rules.append(fact if same else replace(fact, scope=moved(fact.scope, to), body=moved(fact.body, to)))
    variables = []
    for name in names:
        declared = instance.vocabulary[name]
        low, high = (end / declared.resolution for end in _space(declared, ranges.get(name)))
        step = declared.resolution / declared.unit.factor
        variables.append(Variable(name, declared.unit.text, step, -(-low // 1), high // 1, declared.role))
    kept = tuple((w, x, y) for (x, y), w in products.items())
    return FactSet(instance.subject, instance.core, tuple(variables), kept, tuple(rules))


def _space(declared: c.Declared, within: Range | None) -> Range:
    low, high = within or (declared.low, declared.high)
    return max(low, declared.low), min(high, declared.high)


@lru_cache(maxsize=2048)
def _rule_alone(
    rule: c.CoreRule,
    vocabulary: tuple[c.Declared, ...],
    fixed: tuple[tuple[str, Fraction], ...],
    ranges: tuple[tuple[str, Range], ...],
    whole_ranges: bool,
) -> tuple[RuleFact, tuple[tuple[int, int, int], ...]] | str:
    """The facts of one rule over its own quantities, in the order of `vocabulary`, and their products; or why it has
    none. The same rule stands in many instances, and lowering it is dear."""
    narrow = dict(ranges)
    space = {d.name: _space(d, narrow.get(d.name)) for d in vocabulary} | {name: (v, v) for name, v in fixed}
    position = {d.name: i for i, d in enumerate(vocabulary)}
    build = _Lower(vocabulary, position, dict(fixed), space, whole_ranges=whole_ranges)
    try:
        return build.rule(rule), tuple(build.products)
    except CannotLower as error:
        return str(error)


@dataclass(slots=True)
class _Lower:
    vocabulary: Sequence[c.Declared]
    position: dict[str, int]
    fixed: Mapping[str, Fraction]
    space: dict[str, Range]
    products: list[tuple[int, int, int]] = field(default_factory=list)
    whole_ranges: bool = True
    now: str = ""
    branches: int = 0
    known_polynomials: dict[int, tuple[c.Expr, Poly | None]] = field(default_factory=dict)

    def refuse(self, what: str) -> CannotLower:
        return CannotLower(f"rule `{self.now}`: {what} cannot be written as facts")

    def ends_of(self, expr: c.Expr) -> Range:
        try:
            return bounds(expr, self.space)
        except TypeError:
            raise self.refuse("a value over rows or on local clocks") from None
        except ZeroDivisionError:
            raise self.refuse("division by what may be zero") from None

    def rule(self, rule: c.CoreRule) -> RuleFact:
        self.now, self.branches = rule.id, 0
        if rule.whole is not None:
            raise self.refuse("a whole multiple")
        if rule.quantifier:
            raise self.refuse("a demand on rows one by one")
        for part in (rule.scope, *rule.nodes()):
            for param in c.params(part):
                if param.value is None:
                    raise self.refuse(f"parameter `{param.name}`, which nobody has chosen,")
        scope = self.condition(rule.scope)
        unless = self.condition(c.negate(rule.when))
        outer = self.space
        self.space = dict(outer)
        self._narrow(rule.when)
        margins = [self.condition(c.Le(_negative(m), rule.strict)) for m in rule.margins]
        demand = conjunction([*margins, self.condition(rule.demand)])
        self.space = outer
        if _has_gap(rule.when):
            demand = conjunction([self.condition(rule.when), demand])
        body = disjunction([unless, demand])
        if _has_gap(rule.scope):
            # Where a table in the scope has no row, the rule stands and is not complied with: it cannot be told.
            scope, body = negate(self.condition(c.negate(rule.scope))), conjunction([scope, body])
        if self.whole_ranges:
            scope = self._needing(scope, (rule.scope,))
            body = self._needing(body, rule.nodes())
        return RuleFact(rule.id, rule.title, rule.clause, rule.evidence, rule.blocks, scope, body)

    def _needing(self, fact: Fact, nodes: Sequence[c.Expr | c.Cond]) -> Fact:
        """The fact, needing each quantity that the rule speaks of: where the ranges decide a row, so that a quantity
        drops out, the row that it stays inside its range stands for it. A missing value is never compliant."""
        plain = len(self.position)
        mentioned = mentions(fact)
        there = {i for i in mentioned if i < plain}
        there |= {i for w, x, y in self.products if w in mentioned for i in (x, y)}
        spoken = {self.position[n] for node in nodes for n in c.names(node) if n in self.position}
        lost = sorted(spoken - there)
        if not lost:
            return fact
        kept = tuple(("L", ((i, 1),), ceil(self._ends(i)[1]), False) for i in lost)
        if fact[0] == "A" and fact != TRUE:
            return ("A", (*fact[1], *kept))
        return conjunction(kept) if fact == TRUE else ("A", (fact, *kept))

    def _narrow(self, when: c.Cond) -> None:
        """Where the condition holds, its one-variable rows bound their variable: the demand matters only there."""
        for part in when.parts if isinstance(when, c.All) else (when,):
            if isinstance(part, c.All):
                self._narrow(part)
            if not isinstance(part, c.Le):
                continue
            poly = self.polynomial(part.expr)
            variables = [m for m in poly or {} if m]
            if poly is None or len(variables) != 1 or len(variables[0]) != 1:
                continue
            declared = self.vocabulary[variables[0][0]]
            name = declared.name
            slope = poly[variables[0]]
            limit = -poly.get((), Fraction(0)) / slope * declared.resolution
            low, high = self.space[name]
            if low <= limit <= high:
                self.space[name] = (low, limit) if slope > 0 else (limit, high)

    # conditions

    def condition(self, condition: c.Cond) -> Fact:
        match condition:
            case c.All(parts):
                return conjunction([self.condition(part) for part in parts])
            case c.Any_(parts):
                found: list[Fact] = []
                untold: list[Fact] = []
                for part in parts:
                    found.append(conjunction([*untold, self.condition(part)]))
                    if _has_gap(part):
                        untold.append(self.condition(c.negate(part)))
                return disjunction(found)
            case c.Le(expr, strict):
                return conjunction([self.known(expr), self.at_most_zero(self.terms(expr), strict)])
            case c.Throughout():
                raise self.refuse("a condition that has held for a while")
            case _:
                raise TypeError(f"unknown condition {condition!r}")

    def known(self, node: c.Expr | c.Cond) -> Fact:
        """Where no table inside is asked for a row that it does not have: else nothing can be told, also where another
        branch would decide."""
        if not _has_gap(node):
            return TRUE
        facts: list[Fact] = []
        before: list[Fact] = []
        match node:
            case c.Case(cases, otherwise):
                for condition, part in cases:
                    reached = [
                        self.known(condition),
                        disjunction([self.condition(c.negate(condition)), self.known(part)]),
                    ]
                    facts.append(disjunction([*before, conjunction(reached)]))
                    before.append(self.condition(condition))
                facts.append(disjunction([*before, FALSE if otherwise is None else self.known(otherwise)]))
            case c.All(parts) | c.Any_(parts):
                for condition in parts:
                    facts.append(disjunction([*before, self.known(condition)]))
                    before.append(self.condition(c.negate(condition) if isinstance(node, c.All) else condition))
            case _:
                facts = [self.known(part) for part in c.children(node)]
        return conjunction(facts)

    def at_most_zero(self, terms: Sequence[tuple[c.Expr, c.Expr | None]], strict: bool) -> Fact:
        """Facts of `sum of factor * node <= 0`, where a node is a `max`, `min` or curve, or None for a plain term."""
        self.branches += 1
        if self.branches > MAX_BRANCHES:
            raise self.refuse("so many nested alternatives")
        bent = next((i for i, (_, node) in enumerate(terms) if node is not None), None)
        if bent is None:
            return self.row(self._poly_sum([factor for factor, _ in terms]), strict)
        node = terms[bent][1]
        factor = c.Add(tuple(f for f, other in terms if other == node))
        rest = [term for term in terms if term[1] != node]
        if isinstance(node, c.Case):
            return self._cases(factor, node, rest, strict)
        assert isinstance(node, c.Extreme | c.Piecewise)
        low, high = self.ends_of(factor)
        if low < 0 < high:
            # The sign of the factor decides which way the bend points: both readings, each where it is right.
            negative, positive = (
                self.condition(c.Le(factor, True)),
                self.condition(c.Le(_negative(factor), True)),
            )
            return conjunction(
                [
                    disjunction([negative, self._bend(factor, node, rest, strict, 1)]),
                    disjunction([positive, self._bend(factor, node, rest, strict, -1)]),
                ]
            )
        return self._bend(factor, node, rest, strict, 1 if low >= 0 else -1)

    def _cases(self, factor: c.Expr, node: c.Case, rest: list[tuple[c.Expr, c.Expr | None]], strict: bool) -> Fact:
        """Wherever a case holds and none before it, the row with its value; a value that no case gives is never
        right."""
        facts: list[Fact] = []
        before: list[Fact] = []
        for condition, part in node.cases:
            row = self.at_most_zero(self.terms(c.Mul(factor, part)) + rest, strict)
            facts.append(disjunction([*before, self.condition(c.negate(condition)), row]))
            before.append(self.condition(condition))
        last = FALSE
        if node.otherwise is not None:
            last = self.at_most_zero(self.terms(c.Mul(factor, node.otherwise)) + rest, strict)
        facts.append(disjunction([*before, last]))
        return conjunction(facts)

    def _bend(
        self,
        factor: c.Expr,
        node: c.Extreme | c.Piecewise,
        rest: list[tuple[c.Expr, c.Expr | None]],
        strict: bool,
        sign: int,
    ) -> Fact:
        if isinstance(node, c.Extreme):
            kind, branches = node.kind, self._live(node)
        else:
            shape = self._shape(node)
            if shape is None:
                return self._pieces(factor, node, rest, strict)
            kind, branches = shape
        facts = [self.at_most_zero(self.terms(c.Mul(factor, branch)) + rest, strict) for branch in branches]
        return conjunction(facts) if (kind == "max") == (sign > 0) else disjunction(facts)

    def _live(self, node: c.Extreme) -> list[c.Expr]:
        """The parts that can be the greatest (least) somewhere in the ranges."""
        sign = 1 if node.kind == "max" else -1
        ends = []
        for part in node.parts:
            low, high = self.ends_of(part)
            ends.append((low, high) if sign > 0 else (-high, -low))
        keep: list[c.Expr] = []
        for i, part in enumerate(node.parts):
            beaten = any(
                j != i and ends[i][1] <= ends[j][0] and (ends[j] != ends[i] or j < i) for j in range(len(ends))
            )
            if not beaten:
                keep.append(part)
        return keep

    def _shape(self, node: c.Piecewise) -> tuple[str, list[c.Expr]] | None:
        """A curve as the `min` of its lines where it bends down throughout, the `max` where it bends up."""
        pieces = self._lines(node)
        slopes = [slope for _, _, slope, _ in pieces]
        lines = [_line(slope, offset, node.argument) for _, _, slope, offset in pieces]
        if all(a >= b for a, b in itertools.pairwise(slopes)):
            return "min", lines
        if all(a <= b for a, b in itertools.pairwise(slopes)):
            return "max", lines
        return None

    def _lines(self, node: c.Piecewise) -> list[tuple[Fraction | None, Fraction | None, Fraction, Fraction]]:
        """(from, to, slope, offset) of each straight piece that the argument's range meets."""
        low, high = self.ends_of(node.argument)
        points = node.points
        zero = Fraction(0)
        pieces: list[tuple[Fraction | None, Fraction | None, Fraction, Fraction]] = [
            (None, points[0][0], zero, points[0][1])
        ]
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            slope = (y1 - y0) / (x1 - x0)
            pieces.append((x0, x1, slope, y0 - slope * x0))
        pieces.append((points[-1][0], None, zero, points[-1][1]))
        met = [p for p in pieces if (p[0] is None or p[0] < high) and (p[1] is None or p[1] > low)]
        return met or [next(p for p in pieces if (p[0] is None or p[0] <= low) and (p[1] is None or low <= p[1]))]

    def _pieces(
        self,
        factor: c.Expr,
        node: c.Piecewise,
        rest: list[tuple[c.Expr, c.Expr | None]],
        strict: bool,
    ) -> Fact:
        facts = []
        for start, end, slope, offset in self._lines(node):
            outside = []
            if start is not None:
                outside.append(self.condition(c.Le(c.Add((node.argument, c.Const(-start))), True)))
            if end is not None:
                outside.append(self.condition(c.Le(c.Add((c.Const(end), _negative(node.argument))), True)))
            line = _line(slope, offset, node.argument)
            facts.append(disjunction([*outside, self.at_most_zero(self.terms(c.Mul(factor, line)) + rest, strict)]))
        return conjunction(facts)

    # sums

    def terms(self, expr: c.Expr) -> list[tuple[c.Expr, c.Expr | None]]:
        """The expression as a sum of factor times node; factors are free of `max`, `min` and curves."""
        one = c.Const(Fraction(1))
        match expr:
            case c.Add(parts):
                return [term for part in parts for term in self.terms(part)]
            case c.Extreme() | c.Piecewise() | c.Case():
                return [(one, expr)]
            case c.Div(left, right):
                return self.terms(c.Mul(left, c.Const(1 / self._constant(right))))
            case c.Mul(left, right):
                out: list[tuple[c.Expr, c.Expr | None]] = []
                for a, x in self.terms(left):
                    for b, y in self.terms(right):
                        if x is not None and y is not None:
                            raise self.refuse("a product of two bent expressions")
                        out.append((b if a == one else a if b == one else c.Mul(a, b), x if x is not None else y))
                return out
            case _:
                return [(expr, None)]

    def _constant(self, expr: c.Expr) -> Fraction:
        poly = self.polynomial(expr)
        if poly is None or any(poly[m] for m in poly if m) or not poly.get(()):
            raise self.refuse("division by anything but a number other than zero")
        return poly[()]

    def polynomial(self, expr: c.Expr) -> Poly | None:
        """The expression over steps, None when it bends; not to be changed, for branches share their terms."""
        known = self.known_polynomials.get(id(expr))
        if known is None:
            # The expression is kept with its polynomial: nothing else then has its identity.
            known = self.known_polynomials[id(expr)] = expr, self._polynomial(expr)
        return known[1]

    def _polynomial(self, expr: c.Expr) -> Poly | None:
        match expr:
            case c.Const(value):
                return {(): value}
            case c.Param(_, _, _, value):
                assert value is not None
                return {(): value}
            case c.Var(name):
                if name in self.fixed:
                    return {(): self.fixed[name]}
                return {(self.position[name],): self.vocabulary[self.position[name]].resolution}
            case c.Add(parts):
                polys = [self.polynomial(part) for part in parts]
                return None if None in polys else _sum([p for p in polys if p is not None])
            case c.Mul(left, right):
                a, b = self.polynomial(left), self.polynomial(right)
                if a is None or b is None:
                    return None
                out: Poly = {}
                for m, x in a.items():
                    for n, y in b.items():
                        key = tuple(sorted(m + n))
                        out[key] = out.get(key, Fraction(0)) + x * y
                return {m: x for m, x in out.items() if x or not m}
            case c.Div(left, right):
                return self._polynomial(c.Mul(left, c.Const(1 / self._constant(right))))
            case c.Extreme() | c.Piecewise() | c.Case():
                return None
            case c.Over() | c.AsOf():
                raise self.refuse("a value over rows")
            case c.Local() | c.ClockOn():
                raise self.refuse("a date on local clocks")
            case _:
                raise TypeError(f"unknown expression {expr!r}")

    def _poly_sum(self, factors: Sequence[c.Expr]) -> Poly:
        polys = [self.polynomial(factor) for factor in factors]
        assert None not in polys
        return _sum([p for p in polys if p is not None])

    def row(self, poly: Poly, strict: bool) -> Fact:
        """`poly <= 0` as one row of integers without common divisor, decided at once where the ranges allow."""
        coefficients: dict[int, Fraction] = {}
        least = most = Fraction(0)
        for monomial, a in poly.items():
            if not monomial or not a:
                continue
            if len(monomial) > 2:
                raise self.refuse("a product of more than two quantities")
            index = monomial[0] if len(monomial) == 1 else self._product(*monomial)
            coefficients[index] = coefficients.get(index, Fraction(0)) + a
            corners: Sequence[Fraction] = self._ends(monomial[0])
            if len(monomial) == 2:
                corners = [x * end for x in corners for end in self._ends(monomial[1])]
            low, high = a * min(corners), a * max(corners)
            least, most = least + min(low, high), most + max(low, high)
        limit = -poly.get((), Fraction(0))
        if most < limit or (most == limit and not strict):
            return TRUE
        if least > limit or (least == limit and strict):
            return FALSE
        scale = lcm(limit.denominator, *(a.denominator for a in coefficients.values()))
        whole = {i: int(a * scale) for i, a in sorted(coefficients.items()) if a}
        right = int(limit * scale)
        common = gcd(right, *whole.values())
        return ("L", tuple((i, a // common) for i, a in whole.items()), right // common, strict)

    def _ends(self, variable: int) -> Range:
        declared = self.vocabulary[variable]
        low, high = self.space[declared.name]
        return low / declared.resolution, high / declared.resolution

    def _product(self, x: int, y: int) -> int:
        found = next((w for w, a, b in self.products if (a, b) == (x, y)), None)
        if found is None:
            found = len(self.position) + len(self.products)
            self.products.append((found, x, y))
        return found


def _has_gap(node: c.Expr | c.Cond) -> bool:
    """Whether a table inside may lack a row."""
    return (isinstance(node, c.Case) and node.otherwise is None) or any(_has_gap(part) for part in c.children(node))


def conjunction(facts: Sequence[Fact]) -> Fact:
    """All of the facts, flat, each once."""
    return _join("A", facts, TRUE, FALSE)


def disjunction(facts: Sequence[Fact]) -> Fact:
    """At least one of the facts, flat, each once."""
    return _join("O", facts, FALSE, TRUE)


def _join(tag: str, facts: Sequence[Fact], neutral: Fact, absorbing: Fact) -> Fact:
    flat: list[Fact] = []
    for fact in facts:
        if fact == absorbing:
            return absorbing
        for part in fact[1] if fact[0] == tag else (fact,):
            if part not in flat:
                flat.append(part)
    return flat[0] if len(flat) == 1 else (tag, tuple(flat)) if flat else neutral


def _sum(polys: Sequence[Poly]) -> Poly:
    out: Poly = {}
    for poly in polys:
        for monomial, a in poly.items():
            out[monomial] = out.get(monomial, Fraction(0)) + a
    return {monomial: a for monomial, a in out.items() if a or not monomial}


def _negative(expr: c.Expr) -> c.Expr:
    return c.Mul(c.Const(Fraction(-1)), expr)


def _line(slope: Fraction, offset: Fraction, argument: c.Expr) -> c.Expr:
    return c.Add((c.Mul(c.Const(slope), argument), c.Const(offset)))


def lowerable(instance: Instance) -> tuple[Instance, tuple[str, ...]]:
    """The rules that facts can express, and why each of the others cannot be, by name."""
    kept: list[c.CoreRule] = []
    left: list[str] = []
    for rule in instance.rules:
        alone = Instance(instance.subject, instance.core, instance.vocabulary, (rule,))
        try:
            lower(alone)
            kept.append(rule)
        except CannotLower as error:
            left.append(str(error))
    return Instance(instance.subject, instance.core, instance.vocabulary, tuple(kept)), tuple(left)
