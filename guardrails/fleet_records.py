"""The records of a fleet's step: one decision a unit, with the bytes that the guard's reference would have written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction

import numpy as np

from compiler.inputs import in_range
from compiler.to_exact import Finding, Unusable, Verdict
from compiler.to_margins import margins
from guardrails.batch import OUTCOMES, REPAIRED, Batch, Step, Truth, Whole
from guardrails.guard import COMMANDED, Guard, Request
from guardrails.quick import SETTLED
from guardrails.recorder import reason_of
from guardrails.writing import BLIND, CannotHurry, Edges, Ready, Writer, findings_of, moment_text
from proofs.checker.policy import REFUSE, REPAIR, Action

LATE = "the deadline had passed before the decision"
PASSED = "the deadline passed while deciding"
COMPLIES = "complies with every rule"


class FleetRecords:
    """What `Batch.step` decided, as records and frames. The sequence of the guard runs on. For one thread."""

    def __init__(self, guard: Guard, requests: Sequence[Request]) -> None:
        """One request for each unit, in the order of the fleet, for what it says of registration and codec.

        Raises `CannotMeasure` or `CannotHurry` for rules, codecs or policies that the fast path does not take: in a
        fleet's step a violation is repaired as far as it takes. `ValueError` names unit and quantity where a
        registration is finer than its resolution, or the policy has no service class of that name.
        """
        policy = guard.policy
        if policy.yields or policy.unusable != REFUSE or any(a != Action(REPAIR) for a in policy.actions.values()):
            raise CannotHurry("the policy has more to say than to repair")
        self._guard, self._requests = guard, requests
        services = [guard._terms([request])[0] for request in requests]
        self._budgets = [None if name is None else guard._budgets.get(name) for name in services]
        rules = guard._one(requests[0]).rules
        self.instance, self.facts = rules.instance, rules.facts
        self.commanded = self.facts.index()[COMMANDED]
        self.names = [v.name for v in self.facts.variables]
        self._settled = [v.name for v in self.facts.variables if v.role in SETTLED]
        readings = [name for name in self.names if name not in self._settled]
        self.writers = [Writer(guard, request, readings) for request in requests]
        self._shown = np.array([self.names.index(name) for name in self.writers[0].shown], dtype=np.intp)
        self._margins = margins(self.instance, self.names, {})
        self._edges = Edges(self.facts, self.commanded)

    def batch(self) -> Batch:
        """The batch that decides for these units."""
        columns: dict[str, Whole] = {}
        unusable: dict[str, Truth] = {}
        for name in self._settled:
            steps = [self._steps(request, name) for request in self._requests]
            columns[name] = np.array([0 if s is None else s for s in steps], dtype=np.int64)
            unusable[name] = np.array([s is None for s in steps], dtype=np.bool_)
        grid = np.array([w.grid for w in self.writers], dtype=np.int64)
        return Batch(self.instance, self.facts, COMMANDED, columns, grid, unusable)

    def _steps(self, request: Request, name: str) -> int | None:
        value = request.state.get(name)
        if not isinstance(value, Fraction):
            return None
        steps = value / self.instance.vocabulary[name].resolution
        if steps.denominator != 1:
            raise ValueError(f"{request.unit}: `{name}` is finer than its resolution")
        return int(steps)

    def write(
        self,
        step: Step,
        deadlines_ns: Sequence[int],
        tolerance: Whole | None = None,
        refused: Mapping[int, str] | None = None,
        why: Callable[[int, str], str] = lambda unit, name: "not reported by the device",
        asked_ns: int | None = None,
    ) -> list[Ready]:
        """The decisions of a step, in the order of the fleet, all at one instant.

        `refused` says why a unit's request could not be used, `why(unit, name)` why a reading could not; `tolerance` is
        the one that the step was given. A service class's latency budget runs from `asked_ns`, by default from now, and
        ends a deadline that is later.
        """
        guard, refused = self._guard, refused or {}
        now, clock = guard._wall(), guard._clock()
        begun_ns = clock if asked_ns is None else min(asked_ns, clock)
        deadlines_ns = [
            d if budget is None else min(d, begun_ns + budget)
            for d, budget in zip(deadlines_ns, self._budgets, strict=True)
        ]
        at = moment_text(now)
        ends = {d: moment_text(now + timedelta(microseconds=(d - clock) // 1000)) for d in {*deadlines_ns}}
        outcomes, requested, commands = step.outcome.tolist(), step.requested.tolist(), step.command.tolist()
        moved, judged, late = step.moved.tolist(), step.judged.tolist(), step.late.tolist()
        low, high = self._range()
        usable = step.usable & (step.values >= low) & (step.values <= high)
        whole = np.logical_and.reduce(usable, axis=0).tolist()
        plain = (step.codes.max(axis=0, initial=0) < 2) & step.judged & ~step.late
        shown = step.values[self._shown].T.tolist()
        out = []
        for u, (writer, usual) in enumerate(zip(self.writers, plain.tolist(), strict=True)):
            deadline_ns = deadlines_ns[u]
            asked: int | None = requested[u]
            outcome = OUTCOMES[outcomes[u]]
            command: int | None = None if outcome == "refused" else commands[u]
            findings: tuple[Finding, ...] = ()
            reason, certificate, state, bad = COMPLIES, "null", shown[u], dict[str, str]()
            if not whole[u]:
                bad = self._bad(u, usable, why)
                state = ["null" if n in bad else s for n, s in zip(writer.shown, state, strict=True)]
            if not usual:
                if judged[u]:
                    most = None if tolerance is None else int(tolerance[u])
                    findings, reason = self._found(u, step, bad, moved[u], most)
                else:
                    asked, reason = (
                        None,
                        f"{COMMANDED} of {writer.id} is {refused.get(u) or self._outside(requested[u])}",
                    )
                if late[u]:
                    reason = LATE
                broken = {f.verdict for f in findings if f.rule.blocks}
                if broken == {Verdict.VIOLATES} and not late[u] and (moved[u] < 0 or outcomes[u] == REPAIRED):
                    values = {i: int(x) for i, x in enumerate(step.values[:, u].tolist()) if self.names[i] not in bad}
                    del values[self.commanded]
                    certificate = self._edges.certificate(requested[u], command, writer.grid, values, findings)
            if command is not None and clock > deadline_ns:
                command, outcome, certificate, reason = None, "refused", "null", PASSED
            ready = writer.write(
                at,
                ends[deadline_ns],
                guard._sequence,
                asked,
                outcome,
                command,
                findings,
                reason,
                certificate,
                state,
                bad,
                deadline_ns,
            )
            guard._sequence += 1
            out.append(ready)
        return out

    def _range(self) -> tuple[Whole, Whole]:
        ends = [(v.low, v.high) for v in self.facts.variables]
        return np.array([e[0] for e in ends])[:, None], np.array([e[1] for e in ends])[:, None]

    def _bad(self, u: int, usable: Truth, why: Callable[[int, str], str]) -> dict[str, str]:
        """Why each value that cannot be used cannot."""
        out: dict[str, str] = {}
        for i in np.flatnonzero(~usable[:, u]).tolist():
            name = self.names[i]
            if i == self.commanded:
                continue
            if name in self._settled:
                value = self._requests[u].state.get(name, Unusable("missing"))
                out[name] = value.reason if isinstance(value, Unusable) else "out of range"
            else:
                out[name] = why(u, name)
        return out

    def _outside(self, asked: int) -> str:
        declared = self.instance.vocabulary[COMMANDED]
        found = in_range(declared, asked * declared.resolution)
        return found.reason if isinstance(found, Unusable) else "missing"

    def _found(
        self, u: int, step: Step, bad: Mapping[str, str], moved: int, most: int | None
    ) -> tuple[tuple[Finding, ...], str]:
        """The findings and the reason of a unit that was judged."""
        codes = step.codes[:, u].tolist()
        steps = [0 if self.names[i] in bad else int(x) for i, x in enumerate(step.values[:, u].tolist())]
        told, numbers = self._margins.judge(steps)
        # The kernel judged by facts, this judges by core.
        if any(code not in (BLIND, other) for code, other in zip(codes, told, strict=True)):
            raise RuntimeError(f"{self.writers[u].id} is judged differently by two methods")
        findings = findings_of(self.instance, self._margins, codes, numbers, bad)
        reason = reason_of(findings)
        blocking = [f for f in findings if f.rule.blocks]
        if not blocking or any(f.verdict is Verdict.CANNOT_TELL for f in blocking):
            return findings, reason
        if moved < 0:
            reason += "; no compliant command was found"
        elif most is not None and moved > most:
            reason += f"; the closest compliant command is {moved} W away, allowed are {most} W"
        return findings, reason
