"""Forms of requests, made from the vocabulary: a field for each quantity that the rules of a subject speak of.

Quantities are exact texts with a unit, as in the rest of Lexwatt. A text that is no such quantity is refused with its
field. A value out of range, or null, is one that cannot be used: it is judged, and blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Strict,
    StringConstraints,
    Tag,
    create_model,
)

from compiler.core import Core, Declared
from compiler.inputs import in_range, read_one
from compiler.instance import Instance, of_one
from compiler.to_exact import Unusable, Value
from guardrails.estimator import CEILING, FLOOR
from guardrails.fleet import Fleet
from guardrails.guard import COMMANDED
from proofs.in_force import LONGEST_DEADLINE_MS
from rules_dsl.kinds import UNCERTAINTY, kind_of, plural
from rules_dsl.program import Program
from rules_dsl.units import decimal, show, unit

UNITS = (
    *("W", "kW", "MW", "GW", "Wh", "kWh", "MWh", "GWh", "var", "kvar", "Mvar", "VA", "kVA", "MVA", "V", "kV", "A"),
    *("Hz", "mHz", "Hz/s", "mHz/s", "s", "min", "h", "day", "W/s", "W/min", "kW/s", "kW/min", "MW/min", "%", "pu"),
)
"""Units that requests may use, where the rules' own unit is of their kind."""
FURTHEST = Fraction(10) ** 40
TOLD = ("measured", "estimated", "scheduled")
MOST_MS = 86_400_000
POINTS: Mapping[str, str | None] = {"bid": "bid", "schedule": "schedule", "data_flow": None}
"""What is judged beside commands: bids and schedules by the rules checked at that point, data flows by all."""
MEMBERS = 1000
ROWS = 5000

Identity = Annotated[str, Strict(), StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Millis = Annotated[int, Strict(), Field(ge=0, le=MOST_MS)]
Deadline = Annotated[int, Strict(), Field(ge=1, le=LONGEST_DEADLINE_MS)]


class Form(BaseModel):
    """A strict form: no field that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


@dataclass(frozen=True, slots=True)
class Forms:
    """The forms of one rule set. `judged` gives those of bids and the like by what they are, as `POINTS` has it."""

    command: type[Form]
    admission: type[RootModel[Any]]
    judged: Mapping[str, type[RootModel[Any]]]
    subjects: Mapping[str, Mapping[str, Subject]]


@dataclass(frozen=True, slots=True)
class Subject:
    """How to read one subject's form: the noun of its rows, and whether it and they are units of the fleet."""

    name: str
    rows: str
    registered: bool
    rows_registered: bool


def forms(core: Core, program: Program, fleet: Fleet) -> Forms:
    """The forms of the rules in force, for a fleet: what is registered of a unit is not asked for."""
    vocabulary = core.declared()
    registered = frozenset(n for u in fleet.units.values() for n in u.inputs())
    command = _command(vocabulary, of_one(core, "unit", "command").names(), registered)
    several: Any = Annotated[list[command], Field(min_length=1, max_length=MEMBERS)]  # type: ignore[valid-type]
    pool = _made(
        "PoolCommand",
        "Proposed set points of every member of a pool, which stand or fall together.",
        pool=(Identity, Field(description="the pool", examples=list(fleet.pools())[:1] or ["homes"])),
        commands=(several, ...),
        deadline_ms=(Deadline | None, Field(None, description="as for one command")),
    )
    judged: dict[str, type[RootModel[Any]]] = {}
    subjects: dict[str, dict[str, Subject]] = {}
    for point, checked in POINTS.items():
        names = {r.subject for r in core.rules if (r.subject == point if checked is None else checked in r.checked)}
        made = [_subject(of_one(core, name, checked), program, registered, point) for name in sorted(names)]
        subjects[point] = {s.name: s for s, _ in made}
        judged[point] = _union(point, [form for _, form in made])
    either: Any = Annotated[
        Annotated[command, Tag("unit")] | Annotated[pool, Tag("pool")],
        Discriminator(lambda value: "pool" if isinstance(value, dict) and "pool" in value else "unit"),
    ]
    admission = _made("Admission", "One unit's set point, or those of a whole pool.", RootModel[either])
    return Forms(command, admission, judged, subjects)


def estimates(vocabulary: Mapping[str, Declared]) -> frozenset[str]:
    """What an estimator says and no device: the range of a battery's twin, and how uncertain a reading is."""
    return frozenset({FLOOR, CEILING, *(n + UNCERTAINTY for n, d in vocabulary.items() if d.uncertain is not None)})


def stated(form: BaseModel, names: Set[str], path: str = "") -> Iterator[str]:
    """Where in a filled form something stands under one of these names, whatever stands in rows included."""
    for name, value in form:
        if name in names and name in form.model_fields_set:
            yield path + name
        elif isinstance(value, BaseModel):
            yield from stated(value, names, f"{path}{name}.")
        elif isinstance(value, list):
            for i, row in enumerate(value):
                if isinstance(row, BaseModel):
                    yield from stated(row, names, f"{path}{name}.{i}.")


def _made(title: str, text: str | None, base: Any = Form, /, **fields: Any) -> Any:
    """A form of fields that are known at run time only, which no type checker can follow."""
    return create_model(title, __base__=base, __doc__=text, **fields)


def _command(vocabulary: Mapping[str, Declared], names: Iterable[str], registered: frozenset[str]) -> Any:
    # What rules in force do not speak of is taken all the same: clients need not change as rules do.
    spoken = set(names)
    told = [
        n
        for n, d in vocabulary.items()
        if n != COMMANDED and n not in registered and (n in spoken or (d.subject == "unit" and d.role in TOLD))
    ]
    ageing = [n for n in told if vocabulary[n].stale is not None]
    state = _of_quantities("UnitState", "What is measured, estimated and scheduled.", vocabulary, told)
    ages = _made(
        "UnitAges",
        "Ages of single readings, in ms, where they differ from `age_ms`.",
        **{n: (Millis | None, Field(None)) for n in ageing},
    )
    power = vocabulary[COMMANDED]
    return _made(
        "UnitCommand",
        "A proposed set point for one unit; discharging is positive.",
        unit=(Identity, Field(description="the unit, as the site file names it", examples=["MG11_BESS_02"])),
        active_power=(_type(power), Field(description=_about(power), examples=["481 kW"])),
        state=(state, Field(examples=[{n: _example(vocabulary[n]) for n in told}])),
        age_ms=(Millis, Field(description="ms since the oldest reading was taken, as the request is sent")),
        ages_ms=(ages | None, Field(None)),
        tolerance=(
            _type(power) | None,
            Field(
                None, description="how far the command may be moved; without it as far as it takes", examples=["0 W"]
            ),
        ),
        service=(Identity | None, Field(None, description="a service class of the guard policy")),
        deadline_ms=(
            Deadline | None,
            Field(None, description="ms from the request's arrival after which nothing may be sent", examples=[500]),
        ),
    )


def _subject(instance: Instance, program: Program, registered: frozenset[str], point: str) -> tuple[Subject, Any]:
    subject, vocabulary = instance.subject, instance.vocabulary
    inside: set[str] = set()
    for rule in instance.rules:
        if rule.rows is not None:
            inside |= {*rule.rows.names, *([rule.rows.order] if rule.rows.order else [])}
    names = instance.names()
    made_of = program.rows_of(subject)
    noun = plural(made_of.rows) if made_of is not None and inside else ""
    title = _title(subject) + _title(point)
    own = [n for n in names if n not in inside]
    fields: dict[str, Any] = {"subject": (Literal[subject], Field(description="what is judged"))}
    if registered & set(own):
        fields["unit"] = (Identity, Field(description="the unit, whose registration the service knows"))
    inputs = _of_quantities(f"{title}Inputs", "", vocabulary, [n for n in own if n not in registered])
    fields["inputs"] = (inputs, ... if inputs.model_fields else Field(default_factory=inputs))
    if noun:
        rows = [n for n in vocabulary if n in inside]
        kept = [n for n in rows if n not in registered]
        extra: dict[str, Any] = {"unit": (Identity, ...)} if len(kept) < len(rows) else {}
        row = _of_quantities(f"{title}Row", f"One of the {noun}.", vocabulary, kept, extra)
        fields[noun] = (Annotated[list[row], Field(max_length=ROWS)], ...)  # type: ignore[valid-type]
    declared = program.subjects.get(subject)
    form = _made(title, declared.text if declared else subject, **fields)
    told = Subject(subject, noun, bool(registered & set(own)), bool(registered & inside))
    return told, form


def _union(point: str, made: Sequence[type[Form]]) -> Any:
    if not made:
        none = Annotated[Identity, AfterValidator(_nothing)]
        made = [_made(f"Nothing{_title(point)}", "No rule in force is checked here.", subject=(none, ...))]
    together: Any = made[0]
    for form in made[1:]:
        together = together | form
    kind: Any = Annotated[together, Discriminator("subject")] if len(made) > 1 else together
    return _made(f"{_title(point)}Check", f"What is checked: {point}.", RootModel[kind])


def _title(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _nothing(subject: str) -> str:
    raise ValueError("no rule in force is checked here")


def _of_quantities(
    title: str,
    text: str,
    vocabulary: Mapping[str, Declared],
    names: Iterable[str],
    extra: Mapping[str, Any] | None = None,
) -> Any:
    theirs = estimates(vocabulary)
    abouts = {n: _about(vocabulary[n]) + ("; needs the scope telemetry:estimate" if n in theirs else "") for n in names}
    fields = {
        n: (_type(vocabulary[n]) | None, Field(None, description=about, examples=[_example(vocabulary[n])]))
        for n, about in abouts.items()
    }
    return _made(title, text or None, **dict(extra or {}), **fields)


def _type(declared: Declared) -> Any:
    """The type of a quantity's field, which gives a `Value`."""
    read = AfterValidator(_reader(declared))
    if declared.names == ("no", "yes"):
        return Annotated[Annotated[bool, Strict()] | Literal["no", "yes"], read]
    if declared.names:
        return Annotated[Literal[declared.names], read]
    if declared.unit.text == "instant":
        text = StringConstraints(strict=True, pattern=INSTANT)
        return Annotated[str, text, read]
    return Annotated[str, StringConstraints(strict=True, pattern=_pattern(declared)), read]


INSTANT = (
    r"^(19[789][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]"
    r"(:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$"
)
"""Moments of RFC 3339."""


def _pattern(declared: Declared) -> str:
    units = [u for u in dict.fromkeys((declared.unit.text, *UNITS)) if u and _same(declared, u)]
    bare = "?" if kind_of(declared.unit).written == "bare" else ""
    return rf"^[+-]?[0-9]{{1,15}}(\.[0-9]{{1,12}})?( ({'|'.join(units)})){bare}$"


def _same(declared: Declared, text: str) -> bool:
    found = unit(text)
    return found.dimension == declared.unit.dimension and kind_of(found) == kind_of(declared.unit)


def _reader(declared: Declared) -> Any:
    """Text to value: what is no such quantity raises, what is out of range cannot be used."""
    wide = replace(declared, low=-FURTHEST, high=FURTHEST)

    @lru_cache(maxsize=4096)
    def read(raw: str | bool) -> Value:
        found = read_one(wide, raw)
        if isinstance(found, Unusable):
            raise ValueError(found.reason)
        return in_range(declared, found)

    return read


def _about(declared: Declared) -> str:
    text = declared.text.rstrip(".")
    if declared.names or declared.unit.text == "instant":
        return text
    return f"{text}; {show(declared.low, declared.unit)} to {show(declared.high, declared.unit)}"


EXAMPLES: Mapping[str, str] = {
    "frequency": "50.02 Hz",
    "reference_power": "0 W",
    "previous_setpoint": "0 W",
    "state_of_charge": "50 %",
    "command_duration": "900 s",
    "since_previous": "900 s",
}


def _example(declared: Declared) -> str | bool:
    """A value that is in range: a stated one for what stands in every command, else the least."""
    if declared.names:
        return declared.names[0]
    if declared.unit.text == "instant":
        return "2026-11-23T10:00:00Z"
    if declared.name in EXAMPLES:
        return EXAMPLES[declared.name]
    scaled = max(declared.low, Fraction(0)) / declared.unit.factor
    whole = decimal(Fraction(-(-scaled.numerator // scaled.denominator)))
    return f"{whole} {declared.unit.text}".strip()
