"""Battery data sheets to the figures of an equivalent circuit: open-circuit voltage by chemistry, resistances, limits.

What a sheet does not say is assumed, and each assumption is kept as a sentence in `Pack.assumed`. These are floats: a
twin proposes a range of power, and the rules decide.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final

from guardrails.fleet import BatteryModel, FleetError

KELVIN: Final = 273.15
GAS: Final = 8.314462618
"""J/(mol K), CODATA 2018."""


@dataclass(frozen=True, slots=True)
class Chemistry:
    """One kind of cell. `ocv` is open-circuit voltage (V) at state of charge (%), strictly rising.

    `ocv_error` (V) is the greatest error of that curve for a cell of this kind, hysteresis included. Temperatures are
    degC, `activation` kJ/mol, `specific_energy` Wh/kg. `sources` says where each figure comes from and how good it is.
    """

    name: str
    ocv: tuple[tuple[float, float], ...]
    nominal_v: float
    min_v: float
    max_v: float
    ocv_error: float
    activation: float
    charge_c: tuple[float, float]
    discharge_c: tuple[float, float]
    specific_energy: float
    sources: tuple[str, ...]


LFP: Final = Chemistry(
    "LFP",
    (
        (0, 2.1817), (1, 2.8743), (2, 2.9902), (3, 3.0648), (4, 3.1193), (5, 3.1615), (6, 3.1909), (7, 3.2001),
        (8, 3.2031), (10, 3.2065), (12, 3.2098), (14, 3.2142), (15, 3.2178), (16, 3.2245), (18, 3.2389), (20, 3.2520),
        (22, 3.2627), (25, 3.2755), (28, 3.2837), (30, 3.2878), (32, 3.2910), (34, 3.2940), (36, 3.2952), (40, 3.2966),
        (45, 3.2982), (50, 3.2998), (55, 3.3022), (58, 3.3044), (60, 3.3067), (62, 3.3110), (63, 3.3148), (64, 3.3215),
        (65, 3.3302), (66, 3.3350), (67, 3.3366), (70, 3.3378), (75, 3.3389), (80, 3.3399), (85, 3.3409), (90, 3.3421),
        (95, 3.3438), (98, 3.3460), (99, 3.3567), (100, 3.6355),
    ),
    3.2, 2.5, 3.65, 0.033, 17.4, (0, 45), (-20, 60), 164,
    (
        "open-circuit voltage: measured, mean of charge and discharge at C/100 of an 18650 LFP cell, reduced from "
        "haidi_ocv_hys.csv of SimSES (github.com/tum-ees/simses), BSD-3-Clause, copyright (c) 2024 Chair of Electrical "
        "Energy Storage Technology, Technical University of Munich; its error: the greatest half gap between the two "
        "branches in that file",
        "activation energy: from the discharge resistances at 10 and 25 degC, half charged, in "
        "CLFP_Sony_US26650_Rint.csv of the same project (0.0694 and 0.0478 Ohm); between 25 and 40 degC they give 11.4",
        "voltage limits, mass: data sheet Lishen LP54173207 (202 Ah, 3.2 V, 3.95 kg, 2.5 V to 3.65 V)",
        "temperature limits: the narrower of that sheet (charge 0 to 60 degC, discharge -35 to 60) and of LiFePO4 pack "
        "sheets (0 to 45, -20 to 60)",
    ),
)  # fmt: skip

NMC: Final = Chemistry(
    "NMC",
    (
        (0, 2.8723), (1, 2.9605), (2, 3.0280), (3, 3.0956), (4, 3.1631), (5, 3.2001), (6, 3.2268), (7, 3.2536),
        (8, 3.2803), (9, 3.3037), (10, 3.3239), (11, 3.3442), (12, 3.3644), (13, 3.3834), (14, 3.3959), (15, 3.4081),
        (17, 3.4331), (20, 3.4647), (22, 3.4858), (25, 3.5198), (27, 3.5401), (30, 3.5688), (33, 3.5915), (36, 3.6096),
        (40, 3.6312), (44, 3.6530), (48, 3.6789), (50, 3.6935), (52, 3.7118), (55, 3.7428), (58, 3.7805), (60, 3.8064),
        (62, 3.8331), (65, 3.8640), (68, 3.8911), (70, 3.9074), (72, 3.9240), (75, 3.9496), (78, 3.9800), (80, 4.0013),
        (82, 4.0234), (84, 4.0438), (86, 4.0618), (88, 4.0763), (90, 4.0848), (92, 4.0935), (94, 4.1032), (96, 4.1156),
        (98, 4.1425), (100, 4.1753),
    ),
    3.63, 2.5, 4.2, 0.025, 8.3, (0, 45), (-20, 60), 267,
    (
        "open-circuit voltage: measured, LG M50 (5 Ah) at 25 degC, reduced to 50 of 101 points (within 2 mV of them), "
        "LGM50_5Ah_OCV.mat of WDWidanage/Simscape-Battery-Library, MIT, Copyright (c) 2021 Dhammika Widanage; its error: "
        "assumed (illustrative)",
        "activation energy: from ten-second pulses of the same cells at 10 and 25 degC, LGM50_5Ah_Pulse.mat of the same "
        "library: 8.1 to 9.7 over the states of charge, 8.3 in the middle",
        "voltage limits: the cut-offs of the parameter set Chen2020 of PyBaMM for the same cell",
        "temperature limits and specific energy (18.2 Wh in 68 g): assumed (illustrative)",
    ),
)  # fmt: skip

LTO: Final = Chemistry(
    "LTO",
    (
        (0, 2.000), (5, 2.105), (10, 2.125), (15, 2.141), (20, 2.154), (25, 2.166), (30, 2.177), (35, 2.187),
        (40, 2.198), (45, 2.210), (50, 2.224), (55, 2.240), (60, 2.259), (65, 2.282), (70, 2.309), (75, 2.340),
        (80, 2.376), (85, 2.415), (90, 2.458), (95, 2.513), (100, 2.800),
    ),
    2.3, 1.7, 2.8, 0.045, 17.4, (-30, 55), (-30, 55), 72,
    (
        "open-circuit voltage: points that the firmware of Libre Solar (bms-firmware, Apache-2.0) takes from DOI "
        "10.3390/batteries5010031 (CC BY 4.0); both ends look like limits of the cell, not measurements; its error: the "
        "greatest difference, between 5 and 95 per cent, from a second published table (data sheet of a 36-cell LTO pack)",
        "voltage limits: Toshiba SCiB, 1.7 V to 2.8 V above 0 degC (Advanced Automotive Battery Conference, 2008)",
        "specific energy: data sheet Enero 40 Ah (88 Wh, 72 Wh/kg)",
        "temperature limits, and the activation energy, which is that of LFP: assumed (illustrative)",
    ),
)  # fmt: skip

CHEMISTRIES: Final = {c.name: c for c in (LFP, NMC, LTO)}

SMALL_KWH: Final = 30.0
MODULE_CELLS: Final = 16
HEAT_CAPACITY: Final = 1000.0
"""J/(kg K) of a cell; assumed (illustrative)."""
COOLING_S: Final = 7200.0
"""Time constant of a pack's cooling; assumed (illustrative)."""


@dataclass(frozen=True, slots=True)
class Pack:
    """One battery as its twin sees it, whole pack, in SI units and K; shares between 0 and 1.

    `capacity` is the charge (A s) between empty and full at the present state of health. Currents and powers are
    greatest magnitudes. `ocv_error` is that of one cell. `assumed` are the sentences of what the sheet did not say.
    """

    chemistry: str
    series: int
    capacity: float
    r0: float
    r1: float
    c1: float
    r2: float
    c2: float
    activation: float
    reference: float
    min_v: float
    max_v: float
    discharge_a: float
    charge_a: float
    discharge_w: float
    charge_w: float
    soc_min: float
    soc_max: float
    charge_k: tuple[float, float]
    discharge_k: tuple[float, float]
    heat_capacity: float
    conductance: float
    ocv_error: float
    assumed: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """`sha256:` over the figures and the open-circuit curve: which model a twin ran on."""
        shown = {k: v for k, v in asdict(self).items() if k != "assumed"}
        text = json.dumps([shown, CHEMISTRIES[self.chemistry].ocv], sort_keys=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def pack_of(model: BatteryModel) -> Pack:
    """The pack that a data sheet describes, with whatever it leaves out assumed and said.

    Resistances: 5.2 mOhm for a pack of 250 kWh at some 790 V would lose 0.1 per cent of the voltage at 150 kW, a tenth
    of what such packs show; for each of its 240 cells it would lose a third, more than any cell bears. For a module of
    16 cells it is 0.33 mOhm a cell of 320 Ah (makers give 0.2 to 0.7 mOhm), so without a word of the sheet it is read
    so, which is also worse than the reading by pack.

    Raises `FleetError` naming the field for a chemistry that has no curve, or limits that leave nothing.
    """
    chemistry = CHEMISTRIES.get(model.chemistry)
    if chemistry is None:
        raise FleetError(
            f"battery_model.chemistry: `{model.chemistry}` has no curve; known are {', '.join(CHEMISTRIES)}"
        )
    if model.equivalent_circuit_model.temperature_compensation != "arrhenius":
        raise FleetError("battery_model.equivalent_circuit_model.temperature_compensation: only `arrhenius` is known")
    more, assumed = model.twin, []

    def given(field: str, otherwise: float, said: str) -> float:
        value = getattr(more, field) if more else None
        if value is None:
            assumed.append(f"{field}: {said}")
            return otherwise
        return float(value)

    nominal_wh = float(model.nominal_capacity_kwh) * 1000
    module = MODULE_CELLS if nominal_wh <= SMALL_KWH * 1000 else 15 * MODULE_CELLS
    series = int(
        given("cells_in_series", module, f"{module}, a low-voltage battery up to {SMALL_KWH:g} kWh, 240 above")
    )
    parallel = int(given("cells_in_parallel", 1, "1"))
    if not more or more.resistances_of is None:
        assumed.append(f"resistances_of: a module of {MODULE_CELLS} cells in series")
    level = more.resistances_of if more and more.resistances_of else "module"
    scale = {"pack": 1.0, "module": max(1.0, series / MODULE_CELLS), "cell": series / parallel}[level]
    circuit = model.equivalent_circuit_model
    energy = nominal_wh * float(model.soh_pct) / 100
    mean_v = _mean(chemistry) * series
    low = given("min_voltage_v", chemistry.min_v * series, f"{chemistry.min_v:g} V a cell")
    high = given("max_voltage_v", chemistry.max_v * series, f"{chemistry.max_v:g} V a cell")
    if not 0 < low < mean_v < high:
        raise FleetError(
            f"battery_model.twin.min_voltage_v: {low:g} V, {mean_v:g} V at rest and {high:g} V do not ascend"
        )
    if low < high / 2:
        raise FleetError(f"battery_model.twin.min_voltage_v: {low:g} V is below half of the highest, {high:g} V")
    discharge_w = float(model.max_continuous_discharge_kw) * 1000
    charge_w = float(model.max_continuous_charge_kw) * 1000
    # A current that the sheet does not name must not take away the power that it does name.
    said = "what the greatest power draws at the lowest voltage, so that the power limits"
    discharge_a = given("max_discharge_current_a", discharge_w / low, said)
    charge_a = given("max_charge_current_a", charge_w / low, said)
    mass = nominal_wh / chemistry.specific_energy
    heat = given(
        "heat_capacity_kj_per_k", mass * HEAT_CAPACITY / 1000, "1 kJ/(kg K) at the specific energy of the cell"
    )
    cooling = given("cooling_time_min", COOLING_S / 60, "two hours to cool down by the factor e")

    def span(field: str, otherwise: tuple[float, float]) -> tuple[float, float]:
        found = getattr(more, field) if more else None
        if found is None:
            assumed.append(f"{field}: {otherwise[0]:g} to {otherwise[1]:g} degC")
        cold, hot = found or otherwise
        if not cold < hot:
            raise FleetError(f"battery_model.twin.{field}: {cold} and {hot} degC do not ascend")
        return float(cold) + KELVIN, float(hot) + KELVIN

    limits = model.doD_soc_limits
    return Pack(
        chemistry.name,
        series,
        energy * 3600 / mean_v,
        *(float(r) / 1000 * scale for r in (circuit.r0_mohm, circuit.r1_mohm)),
        float(circuit.c1_farads) / scale,
        float(circuit.r2_mohm) / 1000 * scale,
        float(circuit.c2_farads) / scale,
        given("activation_energy_kj_per_mol", chemistry.activation, f"{chemistry.activation:g}, of the chemistry")
        * 1000,
        given("reference_temperature_c", 25, "25") + KELVIN,
        low,
        high,
        discharge_a,
        charge_a,
        discharge_w,
        charge_w,
        float(limits.min_soc_trip) / 100,
        float(limits.max_soc_trip) / 100,
        span("charge_temperature_c", chemistry.charge_c),
        span("discharge_temperature_c", chemistry.discharge_c),
        heat * 1000,
        heat * 1000 / (cooling * 60),
        chemistry.ocv_error,
        tuple(assumed),
    )


def _mean(chemistry: Chemistry) -> float:
    """Mean open-circuit voltage (V): energy between empty and full for each unit of charge."""
    pairs = zip(chemistry.ocv, chemistry.ocv[1:], strict=False)
    return sum((b[0] - a[0]) / 100 * (a[1] + b[1]) / 2 for a, b in pairs)
