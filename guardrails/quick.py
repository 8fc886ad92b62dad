"""The guard's decision on one unit's command, without its reference's cost: the same verdicts, command and record.

What a unit's registration decides is decided once. What is left of the facts and of the core is two generated
functions over whole numbers, which have to agree; what is left of the record is a text with gaps. Whatever does not
fit, such as a reading finer than its resolution, is left to `Guard.decide`, the reference that this is tested against
byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from fractions import Fraction
from math import ceil, floor

from compiler.breakpoints import Points, breakpoints
from compiler.inputs import in_range
from compiler.to_exact import Finding, Unusable, Value
from compiler.to_margins import CannotMeasure, Margins, margins
from compiler.to_python import Check, single
from guardrails.guard import COMMANDED, NOT_YET, Decision, Guard, Request
from guardrails.recorder import reason_of
from guardrails.seal import Admitted
from guardrails.writing import BLIND, CannotHurry, Edges, Ready, Writer, findings_of, limit, moment_text
from proofs.checker.merkle import leaf_hash
from proofs.checker.policy import REFUSE
from proofs.ledger import Entry

SETTLED = ("nameplate", "registered")
"""Roles of quantities that stay as they are from one command to the next."""
KEPT = 4096
"""Units whose checks are kept ready."""


class Quick:
    """Fast decisions beside a guard, whose rules, clocks, sequence, ledger and sealer it uses. For one thread."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._units: dict[str, _Unit] = {}

    def decide(self, request: Request) -> Decision:
        """The decision, recorded before anything is sealed, as `Guard.decide` gives it."""
        ready = self.prepare(request)
        if ready is None:
            return self._guard.decide(request)
        if ready.after and self._guard._later is not None:
            return self.acted(ready, self._guard._later([ready.record]))
        (entry,) = self._guard._ledger.append([ready.record])
        return self.decided(ready, entry)

    def acted(self, ready: Ready, pending: Future[tuple[Entry, ...]]) -> Decision:
        """The decision before its record is durable, which `pending` will tell: for service classes that act first."""
        return self.decided(ready, Entry(NOT_YET, leaf_hash(ready.record)), pending)

    def decided(self, ready: Ready, entry: Entry, pending: Future[tuple[Entry, ...]] | None = None) -> Decision:
        """The decision with its command sealed, once its record is durable at its place. Any thread may ask."""
        sealed = self.seal(ready, entry.index, entry.leaf_hash)
        return Decision(
            ready.id,
            ready.outcome,
            {ready.id: ready.requested},
            None if ready.command is None else {ready.id: ready.command},
            ready.findings,
            ready.reason,
            () if sealed is None else (sealed,),
            entry.index,
            ready.ruleset,
            (),
            pending,
        )

    def check(self, request: Request) -> tuple[Finding, ...] | None:
        """What the command does not comply with, as `Guard.check` gives it; None where the reference has to judge."""
        try:
            return self._ready(request).failing(request)
        except CannotHurry:
            return None

    def prepare(self, request: Request) -> Ready | None:
        """The decision and its record, neither recorded nor sealed; None where the reference has to decide."""
        try:
            return self._ready(request).decide(request)
        except CannotHurry:
            return None

    def _ready(self, request: Request) -> _Unit:
        unit = self._units.get(request.unit)
        if unit is None or not unit.serves(request):
            if len(self._units) >= KEPT:
                self._units.clear()
            unit = self._units[request.unit] = _Unit(self._guard, request)
        return unit

    def seal(self, ready: Ready, index: int, record_hash: bytes) -> Admitted | None:
        """The command to send once its record is durable at `index`; None when it was refused."""
        if ready.frame is None or ready.command is None:
            return None
        return self._guard._sealer.seal(
            frame=ready.frame,
            command={COMMANDED: ready.command},
            leaf_index=index,
            record_hash=record_hash,
            deadline_ns=ready.deadline_ns,
        )

    def act(self, ready: Ready) -> Admitted | None:
        """The command to send before its record is durable: for service classes that act, then record."""
        return self.seal(ready, NOT_YET, leaf_hash(ready.record))


class _Unit:
    """What is ready for one unit: checks with its registration put in, and its record with gaps."""

    def __init__(self, guard: Guard, request: Request) -> None:
        case = guard._one(request)
        rules = case.rules
        self.guard, self.rules, self.codec, self.id = guard, rules, request.codec, request.unit
        self.service = request.service
        vocabulary, facts = rules.instance.vocabulary, rules.facts
        self.commanded = facts.index()[COMMANDED]
        fixed: dict[int, int] = {}
        for i, v in enumerate(facts.variables):
            value = request.state.get(v.name)
            if v.role in SETTLED and isinstance(value, Fraction):
                steps = value / vocabulary[v.name].resolution
                if steps.denominator == 1 and v.low <= steps <= v.high:
                    fixed[i] = int(steps)
        self.fixed = fixed
        self.settled = tuple((facts.variables[i].name, request.state[facts.variables[i].name]) for i in fixed)
        self.order = [i for i in range(len(facts.variables)) if i not in fixed]
        self.at = self.order.index(self.commanded)
        self.readings = tuple(
            (
                place,
                v.name,
                vocabulary[v.name].resolution.numerator,
                vocabulary[v.name].resolution.denominator,
                v.low,
                v.high,
            )
            for place, v in enumerate(facts.variables[i] for i in self.order)
            if v.name != COMMANDED
        )
        names = [facts.variables[i].name for i in self.order]
        base = {facts.variables[i].name: s * vocabulary[facts.variables[i].name].resolution for i, s in fixed.items()}
        self.grid: int = request.codec.grid[COMMANDED]
        # Whole numbers inside the vocabulary's range of the command; of others the vocabulary itself is asked.
        declared = vocabulary[COMMANDED]
        self.least, self.most = ceil(declared.low), floor(declared.high)
        self.check: Check = single(facts, fixed)
        try:
            self.margins: Margins = margins(rules.instance, names, base)
        except CannotMeasure as what:
            raise CannotHurry(str(what)) from what
        self.points: Points = breakpoints(facts, self.commanded, self.grid, fixed)
        self.blocking = [r for r, rule in enumerate(facts.rules) if rule.blocks]
        self.gaps: dict[frozenset[str], tuple[Sequence[int], Sequence[int], Sequence[int]]] = {}
        self.edges = Edges(facts, self.commanded)
        self.writer = Writer(guard, request, names)
        self.shown = [names.index(name) for name in self.writer.shown]

    def serves(self, request: Request) -> bool:
        """Whether the unit is still registered as it was when this was made, and its service class the same."""
        state = request.state
        if request.service != self.service:
            return False
        if request.codec is not self.codec and request.codec != self.codec:
            return False
        for name, value in self.settled:
            now = state.get(name)
            if now is not value and now != value:
                return False
        return True

    def decide(self, request: Request) -> Ready:
        guard = self.guard
        asked = self._asked(request)
        deadline_ns = request.deadline_ns if request.service is None else guard._terms([request])[1]
        steps, bad = self._read(request.state)
        command: int | None = None
        findings: tuple[Finding, ...] = ()
        watts, certificate = None, "null"
        codes: Sequence[int] = ()
        if isinstance(asked, Unusable):
            reason = f"{COMMANDED} of {self.id} is {asked.reason}"
        else:
            watts = steps[self.at] = asked
            codes, numbers = self._judge(steps, bad)
            if max(codes, default=0) >= 2:
                findings = findings_of(self.rules.instance, self.margins, codes, numbers, bad)
            reason = reason_of(findings)
        if guard._clock() > deadline_ns:
            reason = "the deadline had passed before the decision"
        elif isinstance(asked, Unusable):
            if guard.policy.unusable != REFUSE:
                raise CannotHurry("the policy falls back")
        elif not findings or max([codes[r] for r in self.blocking], default=0) < 2:
            command = asked
        else:
            most = limit(guard.policy, findings, request.tolerance)
            if max([codes[r] for r in self.blocking]) < BLIND:
                command, certificate, why = self._repair(asked, steps, bad, findings, most)
                reason += why
        now_ns = guard._clock()
        if command is not None and now_ns > deadline_ns:
            command, certificate, reason = None, "null", "the deadline passed while deciding"
        outcome = "refused" if command is None else "admitted" if command == watts else "repaired"
        now = guard._wall()
        left = timedelta(microseconds=(deadline_ns - now_ns) // 1000)
        state: Sequence[object] = [steps[place] for place in self.shown]
        if bad:
            state = ["null" if n in bad else s for n, s in zip(self.writer.shown, state, strict=True)]
        ready = self.writer.write(
            moment_text(now),
            moment_text(now + left),
            guard._sequence,
            watts,
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
        return ready

    def _repair(
        self, asked: int, steps: list[int], bad: Mapping[str, str], findings: Sequence[Finding], most: int | None
    ) -> tuple[int | None, str, str]:
        """The closest command, what shows it, and what more there is to say."""
        found = self._closest(asked, steps, bad)
        if found is not None and most is not None and abs(found - asked) > most:
            away = abs(found - asked)
            return None, "null", f"; the closest compliant command is {away} W away, allowed are {most} W"
        shown = self.edges.certificate(asked, found, self.grid, self._values(steps, bad), findings)
        return found, shown, "; no compliant command was found" if found is None else ""

    def _values(self, steps: Sequence[int], bad: Mapping[str, str]) -> dict[int, int]:
        """Every variable that can be used, by position."""
        variables = self.rules.facts.variables
        pairs = zip(self.order, steps, strict=True)
        return self.fixed | {i: s for i, s in pairs if variables[i].name not in bad and i != self.commanded}

    def failing(self, request: Request) -> tuple[Finding, ...]:
        """What the command does not comply with; raises `CannotHurry`."""
        asked = self._asked(request)
        if isinstance(asked, Unusable):
            raise CannotHurry("no command to judge")
        steps, bad = self._read(request.state)
        steps[self.at] = asked
        codes, numbers = self._judge(steps, bad)
        if max(codes, default=0) < 2:
            return ()
        return findings_of(self.rules.instance, self.margins, codes, numbers, bad)

    def _asked(self, request: Request) -> int | Unusable:
        value: Value = request.active_power
        if isinstance(value, Unusable):
            return value
        if not isinstance(value, Fraction):
            return Unusable("not an exact number")
        above, below = value.as_integer_ratio()
        if not self.least * below <= above <= self.most * below:
            value = in_range(self.rules.instance.vocabulary[COMMANDED], value)
            if isinstance(value, Unusable):
                return value
        below *= self.grid
        return above // below * self.grid if above >= 0 else -(-above // below) * self.grid

    def _read(self, state: Mapping[str, Value]) -> tuple[list[int], dict[str, str]]:
        """Steps of what can be used, and why the others cannot."""
        steps = [0] * len(self.order)
        bad: dict[str, str] = {}
        for place, name, above, below, low, high in self.readings:
            value = state.get(name)
            if type(value) is Fraction:
                n, d = value.as_integer_ratio()
                count, rest = divmod(n * below, d * above)
                if rest or not low <= count <= high:
                    raise CannotHurry(f"`{name}` is finer than its resolution or out of range")
                steps[place] = count
            elif type(value) is Unusable:
                bad[name] = value.reason
            elif value is None:
                bad[name] = "missing"
            else:
                raise CannotHurry(f"`{name}` is no value")
        return steps, bad

    def _judge(self, steps: list[int], bad: Mapping[str, str]) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
        """Codes of every rule by facts and by core, agreeing; where they do not, it cannot be told."""
        codes, numbers = self.margins.judge(steps)
        if bad:
            blind, partly, _ = self._gaps(bad)
            told = list(codes)
            for k in partly:
                if told[k] != 1:
                    told[k] = BLIND
            for k in blind:
                told[k] = BLIND
            codes = tuple(told)
        found = self._check(steps, bad)
        if found != codes:
            codes = tuple(a if a == b else BLIND for a, b in zip(codes, found, strict=True))
        return codes, numbers

    def _check(self, steps: Sequence[int], bad: Mapping[str, str]) -> tuple[int, ...]:
        """Codes of every rule by facts."""
        if not bad:
            return self.check(steps)
        values: list[int | None] = [*steps]
        for place in self._gaps(bad)[2]:
            values[place] = None
        return self.check(values)

    def _gaps(self, bad: Mapping[str, str]) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """Where these values are missing: rules whose scope needs one, rules that need one where they apply, and the
        places of the values."""
        key = frozenset(bad)
        if key not in self.gaps:
            m, count = self.margins, range(len(self.rules.instance.rules))
            blind = [k for k in count if m.scope[k] & key]
            partly = [k for k in count if m.needs[k] & key]
            self.gaps[key] = blind, partly, [place for place, name in enumerate(m.names) if name in key]
        return self.gaps[key]

    def _closest(self, asked: int, steps: list[int], bad: Mapping[str, str]) -> int | None:
        """The nearest compliant multiple of the grid: the first of the points at which a stretch may end that complies,
        judged like any other command."""
        trial, blocking = list(steps), self.blocking
        points = sorted([(abs(k * self.grid - asked), abs(k), k) for k in self.points(steps)])
        for _, _, k in points:
            trial[self.at] = k * self.grid
            codes = self._check(trial, bad)
            if max([codes[r] for r in blocking], default=0) < 2:
                codes, _ = self._judge(trial, bad)
                if max([codes[r] for r in blocking], default=0) >= 2:
                    raise CannotHurry("a command is judged differently by two methods")
                return k * self.grid
        return None
