"""What a unit is told when no answer came in time, or when the policy falls back: constants that were proved, or to hold.

`some_command` proves that in every state one of a few constants is allowed. Which ones stands in the theorem's words;
that the certificate is about these is checked by making its problem again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from compiler.bind import substitute
from compiler.core import Core
from compiler.facts import TRUE, Fact, FactSet, negate
from compiler.instance import of_one
from compiler.lower import conjunction, disjunction, lower
from compiler.to_exact import Unusable, Value
from guardrails.case import Case
from guardrails.policy import PolicyError
from proofs.checker.policy import HOLD, Policy
from proofs.theorems import Proved

COMMANDED, STANDING = "active_power", "previous_setpoint"
NO_ANSWER = Unusable("not there: the optimizer gave no answer in time")
"""The set point of a request that only the fallback can answer."""


def commands(policy: Policy, case: Case) -> Iterator[dict[str, int]]:
    """The policy's fallback commands, in the order in which they are tried, on the device's grid toward zero.

    One that the state does not give (to hold a set point that is unknown), or that is out of range, is left out.
    """
    if any(name.rpartition(".")[2] != COMMANDED for name in case.requested):
        return
    for candidate in policy.fallback:
        command: dict[str, int] = {}
        for name, step in case.grid.items():
            declared = case.rules.instance.vocabulary[name]
            value: Value | None = Fraction(int(candidate)) if candidate != HOLD else _standing(case, name)
            if isinstance(value, Fraction) and declared.low <= int(value / step) * step <= declared.high:
                command[name] = int(value / step) * step
        if len(command) == len(case.requested):
            yield command


def _standing(case: Case, name: str) -> Value | None:
    standing = name.removesuffix(COMMANDED) + STANDING
    used = {variable.name for variable in case.rules.facts.variables}
    return case.values.get(standing) if standing in used else None


def proved_constants(proved: Proved, core: Core) -> tuple[int, ...]:
    """The constants, in W, of which the theorem's certificate shows that one is allowed in every state by the rules
    that speak of the command.

    Raises `PolicyError` where the theorem is another, or its certificate is about something else than its words.
    """
    theorem = proved.theorem
    if theorem.kind != "always_some" or theorem.effect != COMMANDED:
        raise PolicyError(f"`{theorem.id}` does not say that some {COMMANDED} is always allowed")
    facts = lower(of_one(core, theorem.subject, "command"))
    shown = tuple(int(text) for text in re.findall(r"-?\d+(?= W\b)", proved.how))
    problem = proved.problem
    # What was refuted says of each constant that it is refused, and nothing else.
    if not shown or problem.box != facts.box() or not set(problem.facts) <= {TRUE, *_refused(facts, shown)}:
        raise PolicyError(f"the certificate of `{theorem.id}` is not about the constants {', '.join(map(str, shown))}")
    return shown


def _refused(facts: FactSet, constants: tuple[int, ...]) -> Iterator[Fact]:
    """For each constant, that the rules refuse it."""
    command = facts.index()[COMMANDED]
    rules = conjunction(
        [
            fact
            for rule in facts.rules
            if rule.blocks and command in facts.plain(fact := disjunction([negate(rule.scope), rule.body]))
        ]
    )
    for constant in constants:
        yield negate(substitute(facts, rules, {command: constant}))


def check_fallback(policy: Policy, proved: Sequence[Proved], core: Core) -> None:
    """Raises `PolicyError` where the policy falls back and its commands do not hold every constant that was proved: then
    nothing shows that one of them is always allowed."""
    falls = policy.unusable == "fall_back" or any(a.action == "fall_back" for a in policy.actions.values())
    if not falls:
        return
    found = [p for p in proved if p.theorem.kind == "always_some" and p.theorem.effect == COMMANDED]
    if not found:
        raise PolicyError(f"fallback: no theorem shows that some {COMMANDED} is always allowed")
    lacking = set(proved_constants(found[0], core)) - set(policy.fallback)
    if lacking:
        raise PolicyError(f"fallback: {', '.join(f'{w} W' for w in sorted(lacking))} is proved and not listed")


__all__ = ["NO_ANSWER", "check_fallback", "commands", "proved_constants"]
