"""The guard's decision on one unit's command, without its reference's cost: the same verdicts, command and record.

What a unit's registration decides is decided once. What is left of the facts and of the core is two generated functions
over whole numbers, which have to agree; what is left of the record is a text with gaps. Whatever does not fit, such as a
reading finer than its resolution, is left to `Guard.decide`, the reference that this is tested against byte for byte.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple, Protocol, runtime_checkable

from compiler.breakpoints import Points, breakpoints
from compiler.core import CoreRule
from compiler.facts import Fact, negate
from compiler.inputs import in_range
from compiler.to_exact import Finding, Unusable, Value, Verdict
from compiler.to_kernel import CODES
from compiler.to_margins import CannotMeasure, Margins, margins
from compiler.to_python import Check, single
from guardrails.guard import COMMANDED, Decision, Guard, Request, _instant, _Rules, _why
from guardrails.seal import Admitted, Codec, Frame, RegisterWrite
from proofs.checker.canonical_json import dumps
from proofs.checker.merkle import leaf_hash
from proofs.encode import to_bytes
from proofs.nearest import nearest
from proofs.prepared import HOLE, Prepared
from rules_dsl.units import decimal

SETTLED = ("nameplate", "registered")
"""Roles of quantities that stay as they are from one command to the next."""
UNPLACED = -1
"""Leaf index of a command that is sealed before its record has a place (act, then record)."""
KEPT = 4096
"""Units whose checks are kept ready."""
FINDS = (2, 3)
_BLIND = 3


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the only number of a frame that changes stands: `words` registers of write `write`, from word `word` on.

    The number is signed and is `per_step` for each step of the device's grid.
    """

    write: int
    word: int
    words: int
    per_step: int


@runtime_checkable
class Slotted(Protocol):
    """A codec that says where its frames change."""

    @property
    def slot(self) -> Slot:
        """The place of the set point."""


class Ready(NamedTuple):
    """A decision with its record, before the record has a place; `seal` makes what an adapter takes."""

    id: str
    outcome: str
    requested: int | None
    command: int | None
    findings: tuple[Finding, ...]
    reason: str
    record: bytes
    frame: Frame | None
    deadline_ns: int
    ruleset: str


class CannotHurry(Exception):
    """A unit or a state that the fast path leaves to the reference."""


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
        (entry,) = self._guard._ledger.append([ready.record])
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
        )

    def check(self, request: Request) -> tuple[Finding, ...] | None:
        """What the command does not comply with, as `Guard.check` gives it; None where the reference has to judge."""
        try:
            return self._ready(request).findings_of(request)
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
        return self.seal(ready, UNPLACED, leaf_hash(ready.record))


class Framer:
    """Frames of one device. A codec that names its slot is asked for a few frames only, and has to keep its word."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._slot = codec.slot if isinstance(codec, Slotted) else None
        if self._slot is None:
            return
        slot, self._grid = self._slot, codec.grid[COMMANDED]
        base = codec.encode({COMMANDED: 0})
        self._device, self._before, self._after = base.device, base.writes[: slot.write], base.writes[slot.write + 1 :]
        old = base.writes[slot.write]
        self._address, self._first, self._last = (
            old.address,
            old.values[: slot.word],
            old.values[slot.word + slot.words :],
        )
        self._most, self._form = 1 << 16 * slot.words - 1, f">{slot.words}H"
        words = sum(2 + len(w.values) for w in base.writes[: slot.write]) + 2 + slot.word
        text = base.to_bytes().hex()
        self._head, self._tail = text[: 4 * words], text[4 * (words + slot.words) :]
        for watts in (0, self._grid, -self._grid, 12_345 * self._grid):
            if self.frame(watts) != self._checked(watts):
                raise CannotHurry(f"the codec of {codec.device} writes elsewhere than it says")

    def frame(self, watts: int) -> tuple[Frame, str]:
        """The frame of a set point and its bytes as hexadecimal text."""
        slot = self._slot
        if slot is None:
            return self._checked(watts)
        steps, over = divmod(watts, self._grid)
        raw = steps * slot.per_step
        if over or not -self._most < raw < self._most:
            raise CannotHurry("a set point that the codec has to refuse")
        data = raw.to_bytes(2 * slot.words, "big", signed=True)
        new = RegisterWrite(self._address, (*self._first, *struct.unpack(self._form, data), *self._last))
        return Frame(self._device, (*self._before, new, *self._after)), f"{self._head}{data.hex()}{self._tail}"

    def _checked(self, watts: int) -> tuple[Frame, str]:
        frame = self._codec.encode({COMMANDED: watts})
        if self._codec.decode(frame) != {COMMANDED: watts}:
            raise RuntimeError(f"the codec of {self._codec.device} does not return the command it was given")
        return frame, frame.to_bytes().hex()


class _Unit:
    """What is ready for one unit: checks with its registration put in, and its record with gaps."""

    def __init__(self, guard: Guard, request: Request) -> None:
        case = guard._one(request)
        rules = case.rules
        self.guard, self.rules, self.codec, self.id = guard, rules, request.codec, request.unit
        vocabulary, facts = rules.instance.vocabulary, rules.facts
        if [v.name for v in facts.variables if v.role == "commanded"] != [COMMANDED]:
            raise CannotHurry(f"rules about other commands than {COMMANDED}")
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
        # Whole numbers inside the vocabulary's range of the command; what lies outside is asked of the vocabulary itself.
        declared = vocabulary[COMMANDED]
        self.least, self.most = ceil(declared.low), floor(declared.high)
        self.check: Check = single(facts, fixed)
        try:
            self.margins: Margins = margins(rules.instance, names, base)
        except CannotMeasure as what:
            raise CannotHurry(str(what)) from what
        self.points: Points = breakpoints(facts, self.commanded, self.grid, fixed)
        self.framer = Framer(request.codec)
        self.blocking = [r for r, rule in enumerate(facts.rules) if rule.blocks]
        self.place = {r: k for k, r in enumerate(self.blocking)}
        self.edges = _Edges(rules, self.commanded, self.grid)
        # The predicate of some decision, with what changes taken out.
        sample = guard._predicate(self.id, "unit", case, "admitted", {COMMANDED: 0}, (), "", request.deadline_ns)
        state = {n: HOLE if n in names else value for n, value in sample["state"].items()}
        changing = ("at", "certificate", "command", "deadline", "findings", "frames", "gap", "outcome", "reason")
        gaps = dict.fromkeys((*changing, "requested", "sequence", "unusable"), HOLE)
        self.record = Prepared(sample | gaps | {"state": state})
        kept = [hole.removeprefix("state.") for hole in self.record.holes if hole.startswith("state.")]
        self.shown = [names.index(name) for name in kept]
        device = json.dumps(request.codec.device, ensure_ascii=False)
        self.frames = "{" + device.replace("%", "%%") + ':"%s"}'

    def serves(self, request: Request) -> bool:
        """Whether the unit is still registered as it was when this was made."""
        state = request.state
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
        steps, bad = self._read(request.state)
        command: int | None = None
        findings: tuple[Finding, ...] = ()
        certificate, gap = "null", 0
        if isinstance(asked, Unusable):
            reason, watts = f"{COMMANDED} of {self.id} is {asked.reason}", None
        elif guard._clock() > request.deadline_ns:
            reason, watts = "the deadline had passed before the decision", asked
        else:
            watts = asked
            steps[self.at] = asked
            codes, numbers = self._judge(steps, bad)
            if max(codes, default=0) < 2:
                command, reason = asked, "complies with every rule"
            else:
                findings = self._findings(codes, numbers, bad)
                blocking = [f for f in findings if f.rule.blocks]
                if not blocking:
                    command, reason = asked, "complies with every rule"
                elif any(f.verdict is Verdict.CANNOT_TELL for f in blocking):
                    reason = _why(next(f for f in blocking if f.verdict is Verdict.CANNOT_TELL))
                else:
                    reason = _why(min(blocking, key=lambda f: f.rule.id))
                    command = self._closest(asked, steps, bad)
                    if command is None:
                        reason += "; no compliant command was found"
                    elif request.tolerance is not None and abs(command - asked) > request.tolerance:
                        away = abs(command - asked)
                        reason += f"; the closest compliant command is {away} W away, allowed are {request.tolerance} W"
                        command = None
                    else:
                        broken = [self.place[r] for r, code in enumerate(codes) if code in FINDS and r in self.place]
                        certificate = self._certificate(asked, command, steps, bad, broken)
        outcome = "refused" if command is None else "admitted" if command == watts else "repaired"
        frame, frames = None, "{}"
        if command is not None:
            frame, text = self.framer.frame(command)
            frames = self.frames % text
        record = self._record(request, steps, bad, watts, outcome, command, findings, reason, frames, certificate, gap)
        return Ready(
            self.id,
            outcome,
            watts,
            command,
            findings,
            reason,
            record,
            frame,
            request.deadline_ns,
            self.rules.digest,
        )

    def findings_of(self, request: Request) -> tuple[Finding, ...]:
        """What the command does not comply with; raises `CannotHurry`."""
        asked = self._asked(request)
        if isinstance(asked, Unusable):
            raise CannotHurry("no command to judge")
        steps, bad = self._read(request.state)
        steps[self.at] = asked
        codes, numbers = self._judge(steps, bad)
        return () if max(codes, default=0) < 2 else self._findings(codes, numbers, bad)

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
            m, missing = self.margins, bad.keys()
            codes = tuple(
                _BLIND if m.scope[k] & missing or (code != 1 and m.needs[k] & missing) else code
                for k, code in enumerate(codes)
            )
            names = [self.rules.facts.variables[i].name for i in self.order]
            found = self.check([None if n in missing else s for n, s in zip(names, steps, strict=True)])
        else:
            found = self.check(steps)
        if found != codes:
            codes = tuple(a if a == b else _BLIND for a, b in zip(codes, found, strict=True))
        return codes, numbers

    def _findings(
        self, codes: Sequence[int], numbers: Sequence[int | None], bad: Mapping[str, str]
    ) -> tuple[Finding, ...]:
        found = []
        for k, code in enumerate(codes):
            if code not in FINDS:
                continue
            rule, number = self.rules.instance.rules[k], numbers[k]
            if code == _BLIND:
                m = self.margins
                names = m.scope[k] & bad.keys() or m.needs[k] & bad.keys()
                why = tuple(sorted((n, bad[n]) for n in names)) or (("rule", "judged differently by two methods"),)
                found.append(Finding(rule, CODES[code], None, why))
            else:
                margin = None if number is None else Fraction(number, self.margins.scale[k])
                found.append(Finding(rule, CODES[code], margin))
        return tuple(found)

    def _closest(self, asked: int, steps: list[int], bad: Mapping[str, str]) -> int | None:
        """The nearest compliant multiple of the grid: the first of the points at which a stretch may end that complies,
        judged like any other command."""
        trial = list(steps)
        points = sorted((abs(k * self.grid - asked), abs(k), k) for k in self.points(steps))
        for _, _, k in points:
            trial[self.at] = k * self.grid
            codes, _ = self._judge(trial, bad)
            if all(codes[r] < 2 for r in self.blocking):
                return k * self.grid
        return None

    def _certificate(
        self, asked: int, command: int, steps: Sequence[int], bad: Mapping[str, str], broken: Sequence[int]
    ) -> str:
        variables = self.rules.facts.variables
        values = self.fixed | {i: s for i, s in zip(self.order, steps, strict=True) if variables[i].name not in bad}
        del values[self.commanded]
        low, high = -(-variables[self.commanded].low // self.grid), variables[self.commanded].high // self.grid
        rules = [self.edges.facts(k, values) for k in range(len(self.blocking))]
        tree = nearest((low, high), rules, broken, asked, self.grid, abs(command - asked))
        if tree is None:
            raise CannotHurry("the reference looks for a certificate")
        return f'"{base64.b64encode(to_bytes(tree)).decode()}"'

    def _record(
        self,
        request: Request,
        steps: Sequence[int],
        bad: Mapping[str, str],
        watts: int | None,
        outcome: str,
        command: int | None,
        findings: Sequence[Finding],
        reason: str,
        frames: str,
        certificate: str,
        gap: int,
    ) -> bytes:
        guard = self.guard
        now = guard._wall()
        left = timedelta(microseconds=(request.deadline_ns - guard._clock()) // 1000)
        state: Sequence[object] = [steps[place] for place in self.shown]
        if bad:
            names = [self.rules.facts.variables[self.order[place]].name for place in self.shown]
            state = ["null" if n in bad else s for n, s in zip(names, state, strict=True)]
        record = self.record.fill(
            (
                _moment(now),
                certificate,
                "null" if command is None else f'{{"{COMMANDED}":{command}}}',
                _moment(now + left),
                f"[{','.join(map(finding_text, findings))}]",
                frames,
                gap,
                f'"{outcome}"',
                json.dumps(reason, ensure_ascii=False),
                "null" if watts is None else f'{{"{COMMANDED}":{watts}}}',
                guard._sequence,
                *state,
                dumps(bad).decode() if bad else "{}",
            )
        )
        guard._sequence += 1
        return record


def _moment(moment: datetime) -> str:
    """The instant as a record has it, in canonical JSON."""
    if moment.tzinfo is UTC:
        return f'"{moment.isoformat(timespec="milliseconds")[:-6]}Z"'
    return f'"{_instant(moment)}"'


def finding_text(finding: Finding) -> str:
    """A finding as a record has it, in canonical JSON."""
    margin = "null" if finding.margin is None else f'"{decimal(finding.margin / finding.rule.unit.factor)}"'
    rule, clause, unit = _names(finding.rule)
    return f'{{"clause":{clause},"margin":{margin},"rule":{rule},"unit":{unit},"verdict":"{finding.verdict.value}"}}'


def _names(rule: CoreRule) -> tuple[str, str, str]:
    return tuple(json.dumps(text, ensure_ascii=False) for text in (rule.id, rule.clause, rule.unit.text))  # type: ignore[return-value]


class _Edges:
    """The blocking rules over steps of the device, a state put in, one when it is asked for."""

    def __init__(self, rules: _Rules, commanded: int, grid: int) -> None:
        self.products = {len(rules.facts.variables) + k: p[1:] for k, p in enumerate(rules.facts.products)}
        self.commanded, self.grid = commanded, grid
        self.whole: list[Fact] = [("O", (negate(r.scope), r.body)) for r in rules.facts.rules if r.blocks]

    def facts(self, k: int, values: Mapping[int, int]) -> Callable[[], Fact]:
        """The k-th blocking rule's fact, as a checker derives it, up to a common factor of a row."""
        held: list[Fact] = []

        def fact() -> Fact:
            if not held:
                held.append(self._put(self.whole[k], values))
            return held[0]

        return fact

    def _put(self, fact: Fact, values: Mapping[int, int]) -> Fact:
        if fact[0] != "L":
            return (fact[0], tuple(self._put(part, values) for part in fact[1]))
        slope, rest = 0, fact[2]
        for i, a in fact[1]:
            free = 0
            for j in self.products.get(i, (i,)):
                if j == self.commanded:
                    free += 1
                elif j in values:
                    a *= values[j]
                else:
                    return ("O", ())
            if free:
                slope += a * self.grid
            else:
                rest -= a
        return ("L", ((0, slope),) if slope else (), rest, fact[3])
