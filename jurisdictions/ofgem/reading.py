"""How the worked examples of Great Britain write cases, measures and verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from jurisdictions.worked import Limit, NotRead, Question, Verdict

Case = Mapping[str, Any]

_NO = (
    "reject",
    "fail",
    "breach",
    "violat",
    "outside",
    "unavailable",
    "flag",
    "block",
    "refus",
    "not ",
    "late",
    "caught",
    "false",
)
_YES = ("pass", "accept", "ok", "compl", "inside", "within", "available", "allow", "eligible", "not caught", "true")


def number(value: Any, what: str = "a number") -> Decimal:
    """The exact number; raises `NotRead` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise NotRead(f"{what}: `{value}` is no number")
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise NotRead(f"{what}: `{value}` is no number") from None


def text(value: Any, unit: str) -> str:
    """A number with its unit, as questions write it."""
    return f"{number(value):f} {unit}".rstrip()


def cases(given: Case, *lists: str) -> list[dict[str, Any]]:
    """The cases of an example, names in small letters: those under `cases`, those that a list `cases_<name>` or one of
    `lists` spreads, otherwise the one case that the inputs are. A case that is no mapping stands under `case`."""
    base = {str(k).lower(): v for k, v in given.items()}
    listed = base.pop("cases", None)
    if listed is not None:
        each = listed if isinstance(listed, list) else [listed]
        return [
            {**base, **({str(k).lower(): v for k, v in c.items()} if isinstance(c, Mapping) else {"case": c})}
            for c in each
        ]
    spread = {k.removeprefix("cases_"): base.pop(k) for k in list(base) if k.startswith("cases_")}
    spread |= {k: base.pop(k) for k in map(str.lower, lists) if isinstance(base.get(k), list)}
    if not spread:
        return [base]
    columns = {k: v if isinstance(v, list) else [v] for k, v in spread.items()}
    if len({len(v) for v in columns.values()}) != 1:
        raise NotRead(f"the cases of {', '.join(columns)} are not equally many")
    return [{**base, **dict(zip(columns, row, strict=True))} for row in zip(*columns.values(), strict=True)]


def outcomes(outcome: Any, count: int, *names: str) -> list[Any]:
    """What is required in each case, found under one of `names`, in the plural or not."""
    found: Any = outcome
    if isinstance(outcome, Mapping):
        small = {str(k).lower(): v for k, v in outcome.items()}
        keys = [k for name in names for k in (name.lower(), name.lower() + "s") if k in small]
        if not keys:
            raise NotRead(f"the outcome has none of {', '.join(names)}")
        found = small[keys[0]]
    found = found if isinstance(found, list) else [found] * count if count == 1 else [found]
    if len(found) != count:
        raise NotRead(f"{count} cases and {len(found)} outcomes")
    return list(found)


def verdicts(outcome: Any, count: int) -> list[str]:
    """The verdicts required, as text."""
    return [str(v).lower() for v in outcomes(outcome, count, "verdict", "result", "outcome", "action", "allow")]


def passes(verdict: str) -> bool:
    """Whether a verdict lets pass; raises `NotRead` for one that says neither."""
    low = verdict.lower()
    if "not caught" in low:
        return True
    if any(word in low for word in _NO):
        return False
    if any(word in low for word in _YES):
        return True
    raise NotRead(f"`{verdict}` is no verdict known here")


def pick(case: Case, *names: str) -> Any:
    """The first of some inputs that is given, None where none is."""
    return next((case[n.lower()] for n in names if case.get(n.lower()) is not None), None)


def need(case: Case, *names: str) -> Any:
    """The first of some inputs that is given; raises `NotRead`."""
    found = pick(case, *names)
    if found is None:
        raise NotRead(f"none of {', '.join(names)} is given")
    return found


def measure(case: Case, stems: Sequence[str], units: Mapping[str, str] | Sequence[str], default: str = "") -> str:
    """A quantity given as `<stem>_<unit>`, or as `<unit>` where a stem is empty.

    `units` are the endings, or endings with the unit that each means. Raises `NotRead` where nothing is given and there
    is no `default`."""
    named = units if isinstance(units, Mapping) else {u: u for u in units}
    for stem in stems:
        for ending, unit in named.items():
            value = case.get("_".join(filter(None, (stem, ending))).lower())
            if value is not None:
                return text(value, unit)
    if default:
        return default
    raise NotRead(f"no {'/'.join(filter(None, stems)) or 'value'} in {'/'.join(named)} is given")


MW = ("MW", "kW", "W")
MWH = ("MWh", "kWh", "Wh")
TIME = {"s": "s", "sec": "s", "ms": "ms", "min": "min", "minutes": "min", "h": "h", "hours": "h"}
HZ = {"Hz": "Hz", "mHz": "mHz"}
PRICE = {"GBP_per_MWh": "GBP/MWh", "GBP_per_MW_h": "GBP/MWh", "GBP_MWh": "GBP/MWh", "GBP": "GBP/MWh"}


def flag(value: Any, what: str) -> bool:
    """A yes or no; raises `NotRead`."""
    if isinstance(value, bool):
        return value
    raise NotRead(f"{what}: `{value}` is neither true nor false")


def ask(subject: str, inputs: Mapping[str, Any], rules: Sequence[str], good: bool, **more: Any) -> Verdict:
    """The question whether rules of Great Britain hold."""
    names = tuple(f"ofgem/{r}" for r in rules)
    return Verdict(subject, dict(inputs), names, "complies" if good else "violates", **more)


def limit(subject: str, inputs: Mapping[str, Any], rule: str, name: str, value: str, within: str = "0") -> Limit:
    """The question where the limit of a rule of Great Britain lies."""
    return Limit(subject, {**inputs, name: value}, f"ofgem/{rule}", name, value, within)


def local(value: Any, day: str = "") -> str:
    """A moment on the clock of London, from `2026-12-10 17:00` or a time of `day`."""
    written = str(value).strip().replace(" ", "T", 1)
    if "T" not in written and ":" in written:
        written = f"{day}T{written}"
    if ":" not in written:
        written += "T00:00"
    zoned = written.endswith("Z") or "+" in written or written.count("-") > 2
    return written if zoned else f"{written} Europe/London"


def simple(
    given: Case, outcome: Any, subject: str, rules: Sequence[str], fixed: Mapping[str, Any], **asked: Any
) -> Iterator[Question]:
    """Cases that one measure each decides: `asked` names it, with its stems and units."""
    found = cases(
        given, *(f"{stem}_{unit}".strip("_") for stems, units in asked.values() for stem in stems for unit in units)
    )
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        values = {name: measure(case, stems, units) for name, (stems, units) in asked.items()}
        yield ask(subject, {**fixed, **values}, rules, passes(verdict))
