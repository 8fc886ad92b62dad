"""Facts to an OPA bundle, for organisations that run the Open Policy Agent: an export, never the judge.

The policy compares whole numbers only: no `max`, `min` or `sort`, which some evaluators order as text. It takes the
values in steps (`input.values`), and what is missing, null, no whole number or outside its range is *cannot tell*.
`allow` is true only where every blocking rule has been seen to comply or not to apply; whatever goes wrong, it is not.
`decision` gives `allow`, the `verdicts` and the digest of the `rules` in one answer: all three are of one policy.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from compiler.facts import FALSE, TRUE, Fact, FactSet, rows

EXACT = 2**53
"""Evaluators may compute in doubles, which hold whole numbers exactly below this."""


class CannotExport(Exception):
    """A rule whose sums could leave the whole numbers that every evaluator holds exactly; the message names it."""


def bundle(facts: FactSet, left_out: Sequence[str] = ()) -> dict[str, bytes]:
    """The files of the bundle by path; `left_out` says which rules facts cannot express. Raises `CannotExport`."""
    root = f"lexwatt/{facts.subject}"
    manifest: dict[str, object] = {"revision": facts.core, "roots": [root], "rego_version": 1}
    if left_out:
        manifest["metadata"] = {"left_out": list(left_out)}
    return {
        ".manifest": (json.dumps(manifest, sort_keys=True, indent=1) + "\n").encode(),
        f"{root}/policy.rego": policy(facts, left_out).encode(),
    }


def policy(facts: FactSet, left_out: Sequence[str] = ()) -> str:
    """The policy's text: `data.lexwatt.<subject>` with `allow`, `verdicts` and `decision`. Raises `CannotExport`."""
    _check_range(facts)
    return _Policy(facts).text(left_out)


def _check_range(facts: FactSet) -> None:
    box = facts.box()
    reach = [max(abs(low), abs(high)) for low, high in box]
    for rule in facts.rules:
        for row in (*rows(rule.scope), *rows(rule.body)):
            if sum(abs(a) * reach[i] for i, a in row[1]) + abs(row[2]) >= EXACT:
                raise CannotExport(f"rule `{rule.rule}` ({rule.clause}): a sum may reach 2^53 and more")


class _Policy:
    def __init__(self, facts: FactSet) -> None:
        self.facts = facts
        self.lines: list[str] = []
        self.names: dict[Fact, str] = {}

    def text(self, left_out: Sequence[str]) -> str:
        facts = self.facts
        blocking = sum(rule.blocks for rule in facts.rules)
        head = [
            f"# Rules of a {facts.subject}, made from {facts.core}.",
            "# An export: the judge is the engine that made it. Values are whole numbers of the steps named below.",
            *(f"# NOT DECIDED HERE: {reason}".replace("\n", " ") for reason in left_out),
            f"package lexwatt.{facts.subject}",
            "",
            "default allow := false",
            "",
            f"allow if count(passed) == {blocking}",
            "",
            "passed contains id if {",
            "\tsome id in blocking",
            '\tverdicts[id] in {"complies", "not_applicable"}',
            "}",
            "",
            f'decision := {{"allow": allow, "verdicts": verdicts, "rules": {json.dumps(facts.core)}}}',
            "",
            "blocking := {" + ", ".join(json.dumps(r.rule) for r in facts.rules if r.blocks) + "}",
            "",
        ]
        for i, v in enumerate(facts.variables):
            value = f"input.values[{json.dumps(v.name)}]"
            self.lines += [
                f"# {v.name}: steps of {v.resolution} {v.unit}".rstrip(),
                f"k{i} if {{ is_number({value}); {value} % 1 == 0; {value} >= {v.low}; {value} <= {v.high} }}",
                "",
            ]
        for n, rule in enumerate(facts.rules):
            scope, body = self._name(rule.scope), self._name(rule.body)
            self.lines += [f"# {rule.rule}: {rule.title} ({rule.clause})".replace("\n", " ")]
            self._knows(f"s{n}", rule.scope)
            self._knows(f"b{n}", rule.body)
            where = f"verdicts[{json.dumps(rule.rule)}]"
            self.lines += [
                f'{where} := "cannot_tell" if {{ not s{n} }}',
                f'{where} := "not_applicable" if {{ s{n}; not {scope} }}',
                f'{where} := "cannot_tell" if {{ s{n}; {scope}; not b{n} }}',
                f'{where} := "complies" if {{ s{n}; {scope}; b{n}; {body} }}',
                f'{where} := "violates" if {{ s{n}; {scope}; b{n}; not {body} }}',
                "",
            ]
        return "\n".join([*head, *self.lines])

    def _knows(self, name: str, fact: Fact) -> None:
        needs = "; ".join(f"k{i}" for i in sorted(self.facts.plain(fact))) or "true"
        self.lines.append(f"{name} if {{ {needs} }}")

    def _name(self, fact: Fact) -> str:
        """The rule of the policy that holds where the fact does; equal facts share one."""
        if fact not in self.names:
            if fact[0] == "L":
                bodies = [self._row(fact)]
            elif fact in (TRUE, FALSE):
                bodies = ["true"] if fact == TRUE else ["false"]
            else:
                parts = [self._name(part) for part in fact[1]]
                calls = [f"{part}" for part in parts]
                bodies = ["; ".join(calls)] if fact[0] == "A" else calls
            name = f"f{len(self.names)}"
            self.lines += [f"{name} if {{ {body} }}" for body in bodies]
            self.names[fact] = name
        return self.names[fact]

    def _row(self, fact: Fact) -> str:
        _, terms, b, strict = fact
        total = " + ".join(f"({a} * {self._value(i)})" for i, a in terms) or "0"
        return f"{total} {'<' if strict else '<='} {b}"

    def _value(self, i: int) -> str:
        plain = len(self.facts.variables)
        factors = (i,) if i < plain else self.facts.products[i - plain][1:]
        return " * ".join(f"input.values[{json.dumps(self.facts.variables[j].name)}]" for j in factors)
