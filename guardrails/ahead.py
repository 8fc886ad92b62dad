"""The look-ahead of a fleet's twins (`guardrails.twin` states the model and why it holds), unit by unit, compiled.

`figures` has a row for each pack, with the columns named here; `of` says which pack a unit is and `start` where the
curve of a pack begins in `levels`, `slopes` and `steep`, whose row r is the steepest rise over one step of the curve
within r + 1 steps, the last row that within the horizon. `state` is (soc, v1, v2, temperature, factor of the
resistances, ambient, shortfall, excess, below, above, derate), an entry for each unit; `variance` the covariances of
(soc, v1, v2). `doubt` is that of a temperature (K).
"""

# Helpers take numbers: to hand an array on costs a call for its count of references, unit by unit.

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from compiler.compiled import compiled, helper
from guardrails.cells import KELVIN

GRID = 400
"""Steps of the open-circuit table; every point of a curve lies on one (they stand at whole per cent)."""
SIGMAS = 3.0
"""Half-width of a band in standard deviations."""

FIGURES = (
    "soc_min",
    "soc_max",
    "min_v",
    "max_v",
    "discharge_a",
    "charge_a",
    "discharge_w",
    "charge_w",
    "c1",
    "c2",
    "curve_error",
    "per_as",
    "large0",
    "large1",
    "large2",
    "small0",
    "heat_rate",
    "heat1",
    "heat2",
    "cooling",
    "charge_cold",
    "charge_hot",
    "discharge_cold",
    "discharge_hot",
)
"""Per pack. The share of charge that an ampere second moves, at the most; resistances at their largest and smallest
(Ohm at the reference temperature); warming for each square ampere and for each square volt over either pair, at the
most (K/s); cooling (1/s); ends of temperature (K). The rest is the pack's."""
(
    _SOC_MIN,
    _SOC_MAX,
    _MIN_V,
    _MAX_V,
    _DISCHARGE_A,
    _CHARGE_A,
    _DISCHARGE_W,
    _CHARGE_W,
    _C1,
    _C2,
    _ERROR,
    _PER_AS,
    _LARGE0,
    _LARGE1,
    _LARGE2,
    _SMALL0,
    _HEAT_RATE,
    _HEAT1,
    _HEAT2,
    _COOLING,
    _CHARGE_COLD,
    _CHARGE_HOT,
    _DISCHARGE_COLD,
    _DISCHARGE_HOT,
) = range(len(FIGURES))
_UNKNOWN, _POWER, _CURRENT, _VOLTAGE, _CHARGE, _TEMPERATURE = range(1, 7)


@helper
def _less(a, b):
    """The less of two, and what is not a number if either is none: it decides nothing."""
    return a if a < b or a != a else b


@helper
def _more(a, b):
    """The greater of two, and what is not a number if either is none."""
    return a if a > b or a != a else b


@helper
def _lookup(soc, start, levels, slopes):
    """Open-circuit voltage of a pack, and the place in the table: none is emptier than empty or fuller than full."""
    x = soc * GRID
    # What is not a number comes to the first step here; the share itself then carries it on.
    x = x if x > 0.0 else 0.0
    x = x if x < GRID else float(GRID)
    place = int(_less(x, GRID - 1.0))
    at = start + place
    return (x - place) * slopes[at] + levels[at], at


@helper
def _hottest(kelvin, doubt, cold, hot, heat, heat_a):
    """The greatest current that leaves a temperature inside its limits."""
    found = np.sqrt(_more(hot - kelvin - doubt - heat, 0.0) / heat_a)
    return 0.0 if kelvin - doubt < cold else found


@helper
def _corners(t, doubt, unit, figures, p, at, levels, slopes, steep, row):
    """The pessimistic ends for a unit over t seconds.

    The ends of state of charge; open-circuit voltages e, low, and f, high; slopes rho for discharge, rho_c for charge
    and rho_q for a charge's current; the share of charge that an ampere moves, at the most; the warming without current
    and for each square ampere (K); the greatest currents by voltage, charge and temperature, of a discharge and of a
    charge; the least of them and of the limit on current.
    """
    soc, v1, v2, kelvin, factor, ambient, shortfall, excess, below, above, derate, of_soc, of_pairs = unit
    half = SIGMAS * np.sqrt(of_soc)
    soc_lo, soc_hi = soc - half - below - shortfall, soc + half + above + excess
    low, at_lo = _lookup(soc_lo, at, levels, slopes)
    high, at_hi = _lookup(soc_hi, at, levels, slopes)
    error = figures[p, _ERROR] + SIGMAS * np.sqrt(_more(of_pairs, 0.0))
    above1, above2 = _more(v1, 0.0), _more(v2, 0.0)
    e = low - above1 - above2 - error
    f = high + (above1 - v1) + (above2 - v2) + error
    r0, r1, r2 = figures[p, _LARGE0] * factor, figures[p, _LARGE1] * factor, figures[p, _LARGE2] * factor
    pairs = r0 + t * r1 / (figures[p, _C1] * r1 + 0.5 * t) + t * r2 / (figures[p, _C2] * r2 + 0.5 * t)
    per_a = figures[p, _PER_AS] * t
    rho, rho_c = pairs + steep[row, at_lo] * GRID * per_a, pairs + steep[row, at_hi] * GRID * per_a
    heat_a = figures[p, _HEAT_RATE] * factor * t
    heat = (v1 * v1 * figures[p, _HEAT1] + v2 * v2 * figures[p, _HEAT2]) * t / factor
    heat += t * figures[p, _COOLING] * _more(ambient - kelvin + doubt, 0.0)
    out_v, into_v = (e - figures[p, _MIN_V]) / rho, (figures[p, _MAX_V] - f) / rho_c
    out_q, into_q = (soc_lo - figures[p, _SOC_MIN]) / per_a, (figures[p, _SOC_MAX] - soc_hi) / per_a
    out_t = _hottest(kelvin, doubt, figures[p, _DISCHARGE_COLD], figures[p, _DISCHARGE_HOT], heat, heat_a)
    into_t = _hottest(kelvin, doubt, figures[p, _CHARGE_COLD], figures[p, _CHARGE_HOT], heat, heat_a)
    out = _more(_less(_less(figures[p, _DISCHARGE_A], out_v), _less(out_q, out_t)), 0.0)
    into = _more(_less(_less(figures[p, _CHARGE_A], into_v), _less(into_q, into_t)), 0.0)
    # INVARIANT: nothing that is not a finite number, wherever it stands, leaves a current that is allowed.
    if not np.isfinite(soc_lo + soc_hi + e + f + heat + kelvin + ambient + derate):
        out, into = np.nan, np.nan
    rho_q = figures[p, _SMALL0] * factor
    limits = (out_v, out_q, out_t), (into_v, into_q, into_t)
    return soc_lo, soc_hi, e, f, rho, rho_c, rho_q, per_a, heat, heat_a, limits, out, into


@helper
def _range(corners, figures, p, derate):
    """Floor and ceiling of power (W, whole); 1 and -1 where nothing is known."""
    _, _, e, _, rho, _, rho_q, _, _, _, _, out, into = corners
    # A microwatt inward, so that the rounding of these sums cannot carry the range over a limit.
    most = _less(out * (e - rho * out) - 1e-6, figures[p, _DISCHARGE_W] * derate)
    least = _less(into * (e + rho_q * into) - 1e-6, figures[p, _CHARGE_W] * derate)
    if not np.isfinite(out + into):
        return 1, -1
    return -int(_more(least, 0.0)), int(_more(most, 0.0))


@helper
def _judge(corners, figures, p, derate, power):
    """The greatest current that a power may draw over the horizon, and whether every limit bears it."""
    _, _, e, _, rho, _, rho_q, _, _, _, _, out, into = corners
    r = rho if power >= 0 else rho_q
    strong = 2 * power / (e + np.sqrt(_more(e * e - 4 * r * power, 0.0)))
    ok = strong <= out and strong >= -into
    return strong, ok and power <= figures[p, _DISCHARGE_W] * derate and power >= -figures[p, _CHARGE_W] * derate


@helper
def _broken(corners, figures, p, derate, power):
    """Which limit a power breaks; the first of them where it breaks several."""
    strong, out, into = _judge(corners, figures, p, derate, power)[0], corners[11], corners[12]
    if not np.isfinite(power + strong + out + into):
        return _UNKNOWN
    if power > figures[p, _DISCHARGE_W] * derate or power < -figures[p, _CHARGE_W] * derate:
        return _POWER
    forward = power >= 0
    volts, charge, kelvin = corners[10][0] if forward else corners[10][1]
    strong = abs(strong)
    if strong > (figures[p, _DISCHARGE_A] if forward else figures[p, _CHARGE_A]):
        return _CURRENT
    if strong > _more(volts, 0.0):
        return _VOLTAGE
    if strong > _more(charge, 0.0):
        return _CHARGE
    if strong > _more(kelvin, 0.0):
        return _TEMPERATURE
    return _UNKNOWN


@helper
def _unit(state, variance, i):
    """What the corners take of one unit: its state, and how uncertain charge and over-voltages are."""
    soc, v1, v2, kelvin, factor, ambient, shortfall, excess, below, above, derate = state
    return (
        soc[i],
        v1[i],
        v2[i],
        kelvin[i],
        factor[i],
        ambient[i],
        shortfall[i],
        excess[i],
        below[i],
        above[i],
        derate[i],
        variance[0, i],
        variance[3, i] + 2 * variance[4, i] + variance[5, i],
    )


_FLEET = "f8[:,::1], i8[::1], i8[::1], f8[::1], f8[::1], f8[:,::1], f8, UniTuple(f8[::1], 11), f8[:,::1]"


@compiled(f"void({_FLEET}, f8, i8[::1], i8[::1])")
def reach(figures, of, start, levels, slopes, steep, doubt, state, variance, seconds, floor, ceiling):
    """Fills floor and ceiling of the power that each unit can hold for some seconds."""
    derate = state[10]
    last = len(steep) - 1
    for i in range(len(of)):
        p = of[i]
        unit = _unit(state, variance, i)
        corners = _corners(seconds, doubt, unit, figures, p, start[p], levels, slopes, steep, last)
        floor[i], ceiling[i] = _range(corners, figures, p, derate[i])


@compiled(
    f"void({_FLEET}, f8, f8, i8, f8[::1], i8[::1], i8[::1], f8[:,::1], b1[::1], i1[::1], f8[::1])",
)
def look(
    figures,
    of,
    start,
    levels,
    slopes,
    steep,
    doubt,
    state,
    variance,
    seconds,
    rate,
    halvings,
    power,
    floor,
    ceiling,
    ends,
    ok,
    limit,
    after,
):
    """Fills in what each power would do: the range, both `ends` of charge, voltage, current and temperature (degC),
    whether it is `ok`, which limit it breaks and, found by halving the horizon, when. `rate` is how many steps of the
    curve a unit may come in a second."""
    kelvin, ambient, derate = state[3], state[5], state[10]
    last = len(steep) - 1
    for i in range(len(of)):
        p, asked = of[i], power[i]
        unit = _unit(state, variance, i)
        corners = _corners(seconds, doubt, unit, figures, p, start[p], levels, slopes, steep, last)
        floor[i], ceiling[i] = _range(corners, figures, p, derate[i])
        soc_lo, soc_hi, e, f, rho, rho_c, _, per_a, heat, heat_a, _, _, _ = corners
        strong, ok[i] = _judge(corners, figures, p, derate[i], asked)
        out, into = _more(strong, 0.0), _less(strong, 0.0)
        ends[0, i], ends[1, i] = soc_lo - out * per_a, soc_hi - into * per_a
        ends[2, i], ends[3, i] = e - rho * out, f - rho_c * into
        weak = asked / ends[3, i]
        ends[4, i], ends[5, i] = _less(weak, strong), _more(weak, strong)
        colder = seconds * figures[p, _COOLING] * _more(kelvin[i] - doubt - ambient[i], 0.0)
        ends[6, i] = kelvin[i] - KELVIN - doubt - colder
        ends[7, i] = kelvin[i] - KELVIN + doubt + heat + heat_a * strong * strong
        limit[i], after[i] = 0, np.nan
        if not ok[i]:
            early, late = 0.0, seconds
            for _ in range(halvings):
                t = 0.5 * (early + late)
                row = min(int(np.ceil(rate * t)), last)
                corners = _corners(t, doubt, unit, figures, p, start[p], levels, slopes, steep, row)
                if _judge(corners, figures, p, derate[i], asked)[1]:
                    early = t
                else:
                    late = t
            if halvings:
                row = min(int(np.ceil(rate * late)), last)
                corners = _corners(late, doubt, unit, figures, p, start[p], levels, slopes, steep, row)
            limit[i] = _broken(corners, figures, p, derate[i], asked)
            if halvings:
                after[i] = 0.0 if limit[i] == _UNKNOWN or early == 0.0 else late
