"""Values put into facts: a state is substituted, and what stays are rows in the commanded quantities."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import gcd, lcm

from compiler.facts import FALSE, TRUE, Fact, FactSet
from compiler.lower import conjunction, disjunction


def substitute(facts: FactSet, fact: Fact, values: Mapping[int, Fraction | int]) -> Fact:
    """The fact with known plain variables replaced by their values in steps, over the variables that stay.

    A product of two known variables becomes a number, of one a multiple of the other; of two unknown ones it stays.
    """
    if fact[0] != "L":
        parts = [substitute(facts, part, values) for part in fact[1]]
        return conjunction(parts) if fact[0] == "A" else disjunction(parts)
    plain = len(facts.variables)
    terms: dict[int, Fraction] = {}
    rest = Fraction(fact[2])
    for i, a in fact[1]:
        factor = Fraction(a)
        free: list[int] = []
        for j in (i,) if i < plain else facts.products[i - plain][1:]:
            if j in values:
                factor *= values[j]
            else:
                free.append(j)
        if free:
            left = i if len(free) > 1 else free[0]
            terms[left] = terms.get(left, Fraction(0)) + factor
        else:
            rest -= factor
    terms = {i: a for i, a in terms.items() if a}
    if not terms:
        return TRUE if rest > 0 or (rest == 0 and not fact[3]) else FALSE
    scale = lcm(rest.denominator, *(a.denominator for a in terms.values()))
    whole = {i: int(a * scale) for i, a in sorted(terms.items())}
    right = int(rest * scale)
    common = gcd(right, *whole.values())
    return ("L", tuple((i, a // common) for i, a in whole.items()), right // common, fact[3])
