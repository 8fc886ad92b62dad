"""What the policy makes of a request that rules block: the closest command, the fallback, or nothing; and which tiers
give way where nothing satisfies all.

A tier yields only with a certificate that nothing satisfies it beside the tiers that stand over it. So the ones that
stand are as many as can, from the top down, and safety is always among them.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compiler.to_exact import Finding, Verdict
from guardrails.case import FAILING, Case, distance
from guardrails.fallback import commands
from guardrails.repair import closest_command
from proofs.checker.policy import FALL_BACK, REFUSE, REPAIR, TIERS, Policy
from proofs.maker import Satisfiable, Undecided, nothing_certificate

PROOF_S = 0.4
"""How long the search for one certificate may take; a wider gap is shown when it is not enough for a repair."""


@dataclass(frozen=True, slots=True)
class Yielded:
    """A tier that gave way, the certificate that nothing satisfied it, and what the command breaks of it."""

    tier: str
    certificate: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """What is to be sent (None: nothing), whether it is the fallback, which tiers yielded, and why nothing more."""

    command: dict[str, int] | None
    fallback: bool = False
    yielded: tuple[Yielded, ...] = ()
    why: str = ""
    nothing: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A case under a policy. `base` holds state, grid and request as the record will, for certificates."""

    case: Case
    policy: Policy
    base: Mapping[str, Any]

    def settle(self, asked: Mapping[str, int] | None, findings: Sequence[Finding], tolerance: int | None) -> Settled:
        """What to do about a request that is blocked by these findings, or that cannot be used (None)."""
        tiers = {self.policy.tier(f.rule.id) for f in findings if f.rule.blocks}
        action = self.policy.unusable if asked is None else self.policy.action(tiers)
        if action == REFUSE:
            return Settled(None)
        untold = {self.policy.tier(f.rule.id) for f in findings if f.rule.blocks and f.verdict is Verdict.CANNOT_TELL}
        if action == REPAIR and any(not self._may_yield(tier, untold) for tier in untold):
            return Settled(None)
        return self._fall_back(asked) if action == FALL_BACK else self._repair(asked or {}, tiers, untold, tolerance)

    def _repair(
        self, asked: Mapping[str, int], tiers: Collection[str], untold: Collection[str], tolerance: int | None
    ) -> Settled:
        command, yielded = self.closest(TIERS, asked), ()
        if command is None:
            stand, gone = self._standing(asked, untold)
            if stand is None:
                return Settled(None, why="no compliant command was found", nothing=not gone)
            command = self.closest(stand, asked)
            if command is None:
                return Settled(None, why="no compliant command was found")
            yielded = gone
        limits = [t for t in (tolerance, self.policy.tolerance(tiers)) if t is not None]
        away = distance(command, asked)
        if limits and away > min(limits):
            return Settled(None, why=f"the closest compliant command is {away} W away, allowed are {min(limits)} W")
        return Settled(command, yielded=self._broken(yielded, command))

    def _fall_back(self, asked: Mapping[str, int] | None) -> Settled:
        for command in commands(self.policy, self.case):
            if not self._blocks(command, TIERS):
                return Settled(command, fallback=True)
        near = asked if asked is not None else dict.fromkeys(self.case.requested, 0)
        if self.policy.yields and self.closest(TIERS, near) is None:
            stand, gone = self._standing(near, self._untold(near))
            for command in commands(self.policy, self.case) if stand is not None else ():
                if not self._blocks(command, stand or ()):
                    return Settled(command, fallback=True, yielded=self._broken(gone, command))
        return Settled(None, why="no fallback command complies")

    def _standing(
        self, near: Mapping[str, int], untold: Collection[str]
    ) -> tuple[frozenset[str] | None, tuple[tuple[str, str], ...]]:
        """The tiers that stand, from the top down, and those that yield with their certificates; no tiers where one
        neither stands nor may yield."""
        policy = self.policy
        stand = frozenset(TIERS) - set(policy.yields)
        if not policy.yields or self.closest(stand, near) is None:
            return None, ()
        gone: list[tuple[str, str]] = []
        for tier in reversed(policy.yields):
            if self.closest(stand | {tier}, near) is not None:
                stand |= {tier}
                continue
            if not self._may_yield(tier, untold):
                return None, tuple(gone)
            try:
                found = nothing_certificate(self.case.rules.document, self.base, policy, stand | {tier}, PROOF_S)
            except (Satisfiable, Undecided):
                return None, ((tier, ""),)
            gone.append((tier, base64.b64encode(found).decode()))
        return stand, tuple(gone)

    def _may_yield(self, tier: str, untold: Collection[str]) -> bool:
        allowed = tier in self.policy.yields
        return allowed and (tier not in untold or self.policy.actions[tier].untold == "yield")

    def _untold(self, command: Mapping[str, int]) -> set[str]:
        found = self.case.failing(command)
        return {self.policy.tier(f.rule.id) for f in found if f.rule.blocks and f.verdict is Verdict.CANNOT_TELL}

    def closest(self, tiers: Collection[str], asked: Mapping[str, int]) -> dict[str, int] | None:
        """The closest command that the rules of some tiers allow; None where none was found."""
        case = self.case
        facts = case.rules.facts
        standing = replace(facts, rules=tuple(r for r in facts.rules if self.policy.tier(r.rule) in tiers))
        positions = facts.index()
        if any(name not in positions for name in asked):
            # No rule speaks of what was asked, so no command mends what they refuse.
            return None if self._blocks(asked, tiers) else dict(asked)
        found = closest_command(
            standing,
            case.steps(),
            {positions[n]: v for n, v in asked.items()},
            {positions[n]: g for n, g in case.grid.items()},
        )
        if found is None:
            return None
        command = {n: found[positions[n]] for n in asked}
        # The search only proposes: what it found is judged like any other command.
        return None if self._blocks(command, tiers) else command

    def _blocks(self, command: Mapping[str, int], tiers: Collection[str]) -> bool:
        blocks = any(f.rule.blocks and self.policy.tier(f.rule.id) in tiers for f in self.case.failing(command))
        return blocks or any(f.rule.blocks and f.verdict in FAILING for f in self.case.beside(command))

    def _broken(self, gone: Sequence[tuple[str, str]], command: Mapping[str, int]) -> tuple[Yielded, ...]:
        failing = self.case.failing(command) if gone else ()
        return tuple(
            Yielded(tier, found, tuple(f for f in failing if self.policy.tier(f.rule.id) == tier))
            for tier, found in gone
        )
