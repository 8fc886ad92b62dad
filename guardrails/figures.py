"""The figures that delivery keeps to, taken from the rules in force: how long an acknowledgement may take, how many
attempts there may be, how much longer each wait has to be."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from compiler.core import Core, CoreRule, names, params
from compiler.instance import Instance
from compiler.intervals import Interval, admissible
from compiler.lower import conjunction, lower
from compiler.to_exact import Subject, Verdict, judge

DELIVERY, CHECKED = "delivery", "telemetry"
ACKNOWLEDGED, FALLBACK, ATTEMPTED, GROWTH = "acknowledged_after", "fallback_taken", "attempted_at", "retry_growth"
MOST_ATTEMPTS = 20


class FiguresError(Exception):
    """The rules in force do not say what delivery has to know; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What delivery keeps to.

    `acknowledgement_s` from the first attempt, then the fallback is taken; `attempts`, the first included; each wait is
    at least `growth` times the one before. `clauses` are where these stand. The rest is the site's choice: `jitter` is
    the share by which chance lengthens a wait at most, so that devices that failed together are not asked together;
    `patience_s` is how long an attempt waits for answers at the least, so that a healthy device on a slow day is not
    asked anew before it can have answered.
    """

    acknowledgement_s: Fraction
    attempts: int
    growth: Fraction
    jitter: Fraction = Fraction(1, 10)
    patience_s: Fraction = Fraction(1, 2)
    clauses: tuple[str, ...] = ()

    def first_wait(self, span_ns: int) -> int:
        """The first wait such that every attempt begins within a span and the last has the longest time left, even when
        chance lengthens each wait as far as it may."""
        growth = self.growth * (1 + self.jitter)
        shares = sum((growth**k for k in range(self.attempts)), Fraction(0))
        return int(span_ns / shares / (1 + self.jitter))


def figures(core: Core, growth: Fraction | None = None, jitter: Fraction = Fraction(1, 10)) -> Figures:
    """The figures of the rules in force. `growth` is used where the rules leave it open and nobody has chosen.

    Raises `FiguresError` where the rules do not say, or say it for no delivery.
    """
    rules = [r for r in core.rules if r.subject == DELIVERY and CHECKED in r.checked and r.blocks]
    window, where = _window(core, rules)
    counted = [r for r in rules if r.rows is not None and not r.quantifier and _speaks_of(r) <= {*r.rows.names}]
    attempts = 0
    while counted and attempts < MOST_ATTEMPTS and _may(counted, attempts + 1):
        attempts += 1
    if not 0 < attempts < MOST_ATTEMPTS:
        raise FiguresError("no rule in force says how often a command may be attempted")
    chosen = [p for r in rules for node in r.nodes() for p in params(node) if p.name == GROWTH]
    found = next((p.value for p in chosen if p.value is not None), growth)
    if found is None:
        raise FiguresError(f"nobody has chosen `{GROWTH}`: by what factor each wait is longer than the one before")
    if any(not p.low <= found <= p.high for p in chosen) or found <= 1:
        raise FiguresError(f"`{GROWTH}` of {found} is outside what the rules allow")
    if jitter < 0:
        raise FiguresError("jitter may lengthen a wait, never shorten it")
    clauses = (*where, *(r.clause for r in counted))
    return Figures(window, attempts, found, jitter, clauses=clauses)


def _window(core: Core, rules: list[CoreRule]) -> tuple[Fraction, tuple[str, ...]]:
    """The longest time after which a command may be acknowledged without a fallback, by the rules on these alone."""
    declared = core.declared()
    alone = tuple(r for r in rules if _speaks_of(r) == {ACKNOWLEDGED, FALLBACK})
    if not alone:
        raise FiguresError("no rule in force says when a command that is not acknowledged gives way to the fallback")
    facts = lower(Instance(DELIVERY, core.digest, declared, alone), {FALLBACK: Fraction(0)})
    at = facts.index()[ACKNOWLEDGED]
    variable = facts.variables[at]
    box = Interval(Fraction(variable.low), Fraction(variable.high))
    found = admissible(conjunction([r.body for r in facts.rules]), at, box)
    if not found or found[-1].high <= 0:
        raise FiguresError("the rules in force leave no time for an acknowledgement")
    return found[-1].high * declared[ACKNOWLEDGED].resolution, tuple(r.clause for r in alone)


def _speaks_of(rule: CoreRule) -> set[str]:
    return {name for node in (rule.scope, *rule.nodes()) for name in names(node)}


def _may(rules: list[CoreRule], attempts: int) -> bool:
    rows = [{ATTEMPTED: Fraction(k)} for k in range(attempts)]
    return all(judge(rule, Subject({}, rows)).verdict is not Verdict.VIOLATES for rule in rules)
