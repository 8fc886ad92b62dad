"""What a decision leaves behind, quickly: its record from a text with gaps, its frame, its findings, its certificate.

The bytes are those that the guard's reference makes (`proofs.record.statement`, the codec, `proofs.nearest`).
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple, Protocol, runtime_checkable

from compiler.facts import Fact, FactSet, negate
from compiler.instance import Instance
from compiler.to_exact import Finding
from compiler.to_kernel import CODES
from compiler.to_margins import Margins
from guardrails.guard import COMMANDED, Guard, Request, _instant
from guardrails.seal import Codec, Frame, RegisterWrite
from guardrails.settle import Settled
from proofs.checker.policy import AFTER, REPAIR, Policy
from proofs.encode import to_bytes
from proofs.nearest import nearest
from proofs.prepared import HOLE, Prepared
from rules_dsl.units import decimal

_text = json.JSONEncoder(ensure_ascii=False).encode

BLIND = 3
"""Code of *cannot tell*."""


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
    """A decision with its record, before the record has a place; `Quick.seal` makes what an adapter takes.

    `after` says that the record is made after the act, by its service class.
    """

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
    after: bool


class CannotHurry(Exception):
    """A unit or a state that the fast path leaves to the reference."""


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


class Writer:
    """One unit's records with gaps, and its frames."""

    def __init__(self, guard: Guard, request: Request, readings: Sequence[str]) -> None:
        """`readings` are the quantities whose values change; the others are as the request has them."""
        # The predicate of some decision, with what changes taken out.
        case = guard._one(request)
        base = guard._base(request.unit, "unit", case)
        sample = guard._predicate(base, case, Settled({COMMANDED: 0}), (), "", request.service)
        self.after = sample["recorded"] == AFTER
        names = {*readings}
        state = {n: HOLE if n in names else value for n, value in sample["state"].items()}
        changing = ("at", "certificate", "command", "deadline", "findings", "frames", "gap", "outcome", "reason")
        gaps = dict.fromkeys((*changing, "requested", "sequence", "unusable"), HOLE)
        self._record = Prepared(sample | gaps | {"state": state})
        self.shown = tuple(hole.removeprefix("state.") for hole in self._record.holes if hole.startswith("state."))
        device = _text(request.codec.device).replace("%", "%%")
        self._frames = "{" + device + ':"%s"}'
        self.framer = Framer(request.codec)
        self.policy, self._rules = guard.policy, dict[str, tuple[str, ...]]()
        self.id, self.ruleset, self.grid = request.unit, case.rules.digest, int(request.codec.grid[COMMANDED])

    def write(
        self,
        at: str,
        deadline: str,
        sequence: int,
        requested: int | None,
        outcome: str,
        command: int | None,
        findings: tuple[Finding, ...],
        reason: str,
        certificate: str,
        state: Sequence[object],
        unusable: Mapping[str, str],
        deadline_ns: int,
    ) -> Ready:
        """The decision with its record. `at`, `deadline` and `certificate` are canonical JSON, `state` in the order of
        `shown`, "null" where `unusable` says why."""
        frame, frames = None, "{}"
        if command is not None:
            frame, text = self.framer.frame(command)
            frames = self._frames % text
        record = self._record.fill(
            (
                at,
                certificate,
                "null" if command is None else f'{{"{COMMANDED}":{command}}}',
                deadline,
                f"[{','.join([self._told(f) for f in findings])}]" if findings else "[]",
                frames,
                0,
                f'"{outcome}"',
                _text(reason),
                "null" if requested is None else f'{{"{COMMANDED}":{requested}}}',
                sequence,
                *state,
                self._reasons(unusable) if unusable else "{}",
            )
        )
        return Ready(
            self.id, outcome, requested, command, findings, reason, record, frame, deadline_ns, self.ruleset, self.after
        )

    def _reasons(self, unusable: Mapping[str, str]) -> str:
        """Why each value cannot be used, in canonical JSON: names of quantities sort as their UTF-16 does."""
        return "{" + ",".join([f'"{name}":{_text(unusable[name])}' for name in sorted(unusable)]) + "}"

    def _told(self, finding: Finding) -> str:
        """A finding as it stands in a record, in canonical JSON."""
        rule = finding.rule
        if rule.id not in self._rules:
            texts = rule.clause, rule.id, self.policy.tier(rule.id), rule.unit.text
            self._rules[rule.id] = tuple(_text(text) for text in texts)
        clause, name, tier, unit = self._rules[rule.id]
        margin = "null" if finding.margin is None else f'"{decimal(finding.margin / rule.unit.factor)}"'
        head = f'{{"clause":{clause},"margin":{margin},"rule":{name},"tier":{tier},"unit":{unit}'
        return f'{head},"verdict":"{finding.verdict.value}"}}'


def findings_of(
    instance: Instance,
    measured: Margins,
    codes: Sequence[int],
    numbers: Sequence[int | None],
    unusable: Mapping[str, str],
) -> tuple[Finding, ...]:
    """The findings of the rules that do not comply, from codes and margins."""
    found = []
    for k, code in enumerate(codes):
        if code < 2:
            continue
        rule, number = instance.rules[k], numbers[k]
        if code == BLIND:
            names = measured.scope[k] & unusable.keys() or measured.needs[k] & unusable.keys()
            why = tuple(sorted((n, unusable[n]) for n in names)) or (("rule", "judged differently by two methods"),)
            found.append(Finding(rule, CODES[code], None, why))
        else:
            found.append(Finding(rule, CODES[code], None if number is None else Fraction(number, measured.scale[k])))
    return tuple(found)


def moment_text(moment: datetime) -> str:
    """The instant as a record has it, in canonical JSON."""
    if moment.tzinfo is UTC:
        return f'"{moment.isoformat(timespec="milliseconds")[:-6]}Z"'
    return f'"{_instant(moment)}"'


def limit(policy: Policy, findings: Sequence[Finding], tolerance: int | None) -> int | None:
    """How far a command that these findings block may be moved, in W; None: as far as it takes.

    Raises `CannotHurry` for what only the reference does: fall back, refuse what could be repaired, or let tiers yield.
    """
    tiers = {policy.tier(f.rule.id) for f in findings if f.rule.blocks}
    if policy.action(tiers) != REPAIR or policy.yields:
        raise CannotHurry("the policy has more to say")
    return min((t for t in (tolerance, policy.tolerance(tiers)) if t is not None), default=None)


class Edges:
    """The blocking rules over steps of a device, a state put in, one when it is asked for."""

    def __init__(self, facts: FactSet, commanded: int) -> None:
        self.products = {len(facts.variables) + k: p[1:] for k, p in enumerate(facts.products)}
        self.commanded, self.range = commanded, (facts.variables[commanded].low, facts.variables[commanded].high)
        self.whole = [(r.scope, r.body) for r in facts.rules if r.blocks]
        self.needs = [
            (facts.plain(r.scope) - {commanded}, facts.plain(r.body) - {commanded}) for r in facts.rules if r.blocks
        ]
        self.place = {r.rule: k for k, r in enumerate(r for r in facts.rules if r.blocks)}

    def certificate(
        self, asked: int, command: int | None, grid: int, values: Mapping[int, int], findings: Sequence[Finding]
    ) -> str:
        """What shows that a repair is the closest, or that nothing complies (no command), in canonical JSON; `values`
        holds the steps of all that can be used.

        Raises `CannotHurry` where it is not found at once.
        """
        rules = [self._facts(k, values, grid) for k in range(len(self.whole))]
        first = [self.place[f.rule.id] for f in findings if f.rule.blocks]
        box = -(-self.range[0] // grid), self.range[1] // grid
        tree = nearest(box, rules, first, asked, grid, None if command is None else abs(command - asked))
        if tree is None:
            raise CannotHurry("the reference looks for a certificate")
        return f'"{base64.b64encode(to_bytes(tree)).decode()}"'

    def _facts(self, k: int, values: Mapping[int, int], grid: int) -> Callable[[], Fact]:
        """The k-th blocking rule's fact, as a checker derives it, up to a common factor of a row."""
        held: list[Fact] = []

        def fact() -> Fact:
            if not held:
                (scope, body), (ask, need) = self.whole[k], self.needs[k]
                if not ask <= values.keys():
                    held.append(("O", ()))
                else:
                    body = body if need <= values.keys() else ("O", ())
                    held.append(self._put(("O", (negate(scope), body)), values, grid))
            return held[0]

        return fact

    def _put(self, fact: Fact, values: Mapping[int, int], grid: int) -> Fact:
        if fact[0] != "L":
            return (fact[0], tuple(self._put(part, values, grid) for part in fact[1]))
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
                slope += a * grid
            else:
                rest -= a
        return ("L", ((0, slope),) if slope else (), rest, fact[3])
