"""The fleet as operators hand it over: site configuration, battery data sheets, registration. Numbers stay exact.

The sample forms state their units in comments: power in kW, ramps in kW per minute, energy in kWh, shares in percent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from rules_dsl.units import UnitError, decimal, number

STANDARD_CHARGE_TABLE = (
    (Fraction(10), Fraction(1, 5)),
    (Fraction(30), Fraction(4, 5)),
    (Fraction(80), Fraction(1)),
)
"""State of charge (%) and share of the greatest charge power: the curve `lfp_charge_share` of the operator's pack."""


class FleetError(Exception):
    """A fleet or site file that cannot be used; the message names file and field."""


def _exact(value: object) -> Fraction:
    if not isinstance(value, str):
        raise ValueError("a number was expected")
    try:
        found = number(value)
    except UnitError as error:
        raise ValueError(str(error)) from error
    if abs(found) > 10**9:
        raise ValueError(f"`{value}` is beyond any battery")
    return found


Exact = Annotated[Fraction, BeforeValidator(_exact)]
Positive = Annotated[Exact, Field(gt=0)]
NotNegative = Annotated[Exact, Field(ge=0)]
Percent = Annotated[Exact, Field(ge=0, le=100)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, frozen=True)


Form = TypeVar("Form", bound=_Form)


class ModbusTcp(_Form):
    """Where a device answers."""

    host: str
    port: Annotated[int, BeforeValidator(lambda v: int(_exact(v))), Field(ge=1, le=65535)]
    unit_id: Annotated[int, BeforeValidator(lambda v: int(_exact(v))), Field(ge=0, le=255)]


class RealPower(_Form):
    """kW and kW per minute; charging is negative."""

    max_charge: Annotated[Exact, Field(le=0)]
    max_discharge: NotNegative
    ramp_rate: Positive


class ReactivePower(_Form):
    """kvar; inductive is negative."""

    max_cap: NotNegative
    max_ind: Annotated[Exact, Field(le=0)]


class DispatchLimits(_Form):
    """What a unit may be asked for."""

    real_power: RealPower
    reactive_power: ReactivePower | None = None


class SocSensor(_Form):
    """Where state of charge is measured."""

    measurement_point: str
    update_rate_ms: Positive


class SunSpecModel(_Form):
    """SunSpec models of inverter and meter."""

    inverter_model: Positive
    meter_model: Positive


class Asset(_Form):
    """One unit of a site configuration."""

    asset_id: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    topology: str
    protocol: Literal["iec_61850", "sunspec_modbus"]
    iec_goose_app_id: str | None = None
    iec_61850_ied_id: str | None = None
    modbus_tcp: ModbusTcp | None = None
    sunspec_model: SunSpecModel | None = None
    dispatch_limits: DispatchLimits
    soc_sensor: SocSensor | None = None


class Auth(_Form):
    """How the orchestrator authenticates."""

    method: str
    token_url: str
    scopes: list[str]


class Orchestrator(_Form):
    """Who sends plans; the dead band is kW."""

    endpoint: str
    auth: Auth
    aggregation_interval_ms: Positive
    command_setpoint_deadband: NotNegative


class VppGrid(_Form):
    """A site configuration."""

    site_id: str
    coordinator_version: str
    dispatch_scheduling: str
    assets: list[Asset]
    ai_orchestrator: Orchestrator


class GridFile(_Form):
    """The file form of a site configuration."""

    vpp_grid: VppGrid


class SocLimits(_Form):
    """Percent of usable energy."""

    min_soc_trip: Percent
    max_soc_trip: Percent
    recommended_window: tuple[Percent, Percent]

    @model_validator(mode="after")
    def _ordered(self) -> SocLimits:
        low, high = self.recommended_window
        if not self.min_soc_trip <= low < high <= self.max_soc_trip:
            raise ValueError("min_soc_trip, the recommended window and max_soc_trip do not ascend")
        return self


class Circuit(_Form):
    """Two resistor-capacitor pairs."""

    r0_mohm: Positive
    r1_mohm: Positive
    c1_farads: Positive
    r2_mohm: Positive
    c2_farads: Positive
    temperature_compensation: str


class ChargePoint(_Form):
    """Greatest charge power (kW) at a state of charge (%)."""

    soc: Percent
    max_charge_kw: NotNegative


class Constraints(_Form):
    """What the maker allows."""

    min_discharge_time_min: NotNegative
    max_charge_power_vs_soc: list[ChargePoint]


class Communications(_Form):
    """Registers of the battery's own interface."""

    modbus_register_soc: NotNegative
    modbus_register_voltage: NotNegative
    modbus_register_current: NotNegative


class TwinFigures(_Form):
    """What a twin needs beyond the data sheet's own form; each may be left out and is then assumed
    (`guardrails.cells`). Voltages and currents are the whole pack's, temperatures degC."""

    cells_in_series: Annotated[Exact, Field(ge=1, le=2000, multiple_of=Fraction(1))] | None = None
    cells_in_parallel: Annotated[Exact, Field(ge=1, le=2000, multiple_of=Fraction(1))] | None = None
    resistances_of: Literal["pack", "module", "cell"] | None = None
    min_voltage_v: Positive | None = None
    max_voltage_v: Positive | None = None
    max_discharge_current_a: Positive | None = None
    max_charge_current_a: Positive | None = None
    reference_temperature_c: Exact | None = None
    activation_energy_kj_per_mol: NotNegative | None = None
    charge_temperature_c: tuple[Exact, Exact] | None = None
    discharge_temperature_c: tuple[Exact, Exact] | None = None
    heat_capacity_kj_per_k: Positive | None = None
    cooling_time_min: Positive | None = None


class BatteryModel(_Form):
    """A battery data sheet."""

    chemistry: str
    nominal_capacity_kwh: Positive
    soh_pct: Annotated[Percent, Field(gt=0)]
    max_continuous_discharge_kw: Positive
    max_continuous_charge_kw: Positive
    doD_soc_limits: SocLimits
    equivalent_circuit_model: Circuit
    dispatch_constraints: Constraints
    communications: Communications
    twin: TwinFigures | None = None

    @model_validator(mode="after")
    def _covered(self) -> BatteryModel:
        """A charge table that no rule in force knows would go unguarded: it is refused."""
        points = self.dispatch_constraints.max_charge_power_vs_soc
        table = tuple((p.soc, p.max_charge_kw / self.max_continuous_charge_kw) for p in points)
        if table != STANDARD_CHARGE_TABLE:
            raise ValueError("dispatch_constraints.max_charge_power_vs_soc is a table that no rule covers")
        return self


class BatteryFile(_Form):
    """The file form of a battery data sheet."""

    battery_model: BatteryModel


class Registration(_Form):
    """What the operator registered for a unit: a battery data sheet, or energy (kWh) and window (%)."""

    battery: str | None = None
    usable_energy_kwh: Positive | None = None
    soc_min: Percent | None = None
    soc_max: Percent | None = None
    rfg_adopted: Annotated[bool, BeforeValidator(lambda v: {"yes": True, "no": False}.get(v, v))]
    fcr_reserved_kw: NotNegative = Fraction(0)
    fast_frequency: Annotated[bool, BeforeValidator(lambda v: {"yes": True, "no": False}.get(v, v))] = False
    twin: Annotated[bool, BeforeValidator(lambda v: {"yes": True, "no": False}.get(v, v))] = False
    phase: Literal["three_phase", "L1", "L2", "L3"] = "three_phase"
    pool: str | None = None
    modbus_tcp: ModbusTcp | None = None
    ramp_rate: Positive | None = None
    command_setpoint_deadband: NotNegative | None = None
    wset_sf: Annotated[int, BeforeValidator(lambda v: int(_exact(v))), Field(ge=-3, le=6)] = 0


class Site(_Form):
    """The file form of a site."""

    site: str
    country: Annotated[str, Field(pattern="^[A-Z]{2}$")]
    time_zone: str
    fleet_files: list[str]
    round_trip_efficiency: Annotated[Exact, Field(gt=0, le=1)]
    wear_eur_per_mwh: NotNegative
    units: dict[str, Registration]


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit with everything registered for it; power in W, energy in Wh, time in s, shares between 0 and 1."""

    id: str
    protocol: str
    phase: str
    pool: str | None
    address: ModbusTcp | None
    max_discharge_power: Fraction
    max_charge_power: Fraction
    ramp_limit: Fraction
    usable_energy: Fraction
    soc_min: Fraction
    soc_max: Fraction
    setpoint_deadband: Fraction
    charge_curve: str
    rfg_adopted: bool
    fcr_reserved: Fraction
    min_discharge_time: Fraction
    recommended: tuple[Fraction, Fraction]
    fast_frequency: bool
    wset_sf: int
    twin_required: bool = False
    battery: BatteryModel | None = None

    def inputs(self) -> dict[str, str | bool]:
        """The registration in the vocabulary's names, as texts with units."""
        return {
            "rated_power": f"{decimal(max(self.max_discharge_power, self.max_charge_power))} W",
            "max_discharge_power": f"{decimal(self.max_discharge_power)} W",
            "max_charge_power": f"{decimal(self.max_charge_power)} W",
            "ramp_limit": f"{decimal(self.ramp_limit)} W/min",
            "usable_energy": f"{decimal(self.usable_energy)} Wh",
            "soc_min": f"{decimal(self.soc_min * 100)} %",
            "soc_max": f"{decimal(self.soc_max * 100)} %",
            "setpoint_deadband": f"{decimal(self.setpoint_deadband)} W",
            "phase": self.phase,
            "charge_curve": self.charge_curve,
            "rfg_adopted": self.rfg_adopted,
            "fcr_reserved": f"{decimal(self.fcr_reserved)} W",
            "min_discharge_time": f"{decimal(self.min_discharge_time)} s",
            "soc_recommended_min": f"{decimal(self.recommended[0] * 100)} %",
            "soc_recommended_max": f"{decimal(self.recommended[1] * 100)} %",
            "fast_frequency_service": self.fast_frequency,
            "twin_required": self.twin_required,
        }


@dataclass(frozen=True, slots=True)
class Fleet:
    """The units of a site by identity, and what planning needs to know."""

    site: str
    country: str
    time_zone: str
    efficiency: Fraction
    wear: Fraction
    units: Mapping[str, Unit]

    def pool(self, name: str) -> tuple[Unit, ...]:
        """The members of a pool."""
        return tuple(u for u in self.units.values() if u.pool == name)

    def pools(self) -> tuple[str, ...]:
        """Names of the pools."""
        return tuple(sorted({u.pool for u in self.units.values() if u.pool is not None}))


def load_site(path: Path) -> Fleet:
    """The fleet of a site file and the files it names.

    Raises `FleetError` naming file and field for anything missing, unknown, out of range, twice, or not registered.
    """
    site = _read(path, Site)
    assets: dict[str, tuple[Asset, Fraction]] = {}
    for name in site.fleet_files:
        grid = _read(path.parent / name, GridFile).vpp_grid
        for asset in grid.assets:
            if asset.asset_id in assets:
                raise FleetError(f"{name}: asset_id `{asset.asset_id}` stands twice")
            assets[asset.asset_id] = asset, grid.ai_orchestrator.command_setpoint_deadband
    for identity in assets:
        if identity not in site.units:
            raise FleetError(f"{path.name}: units has no registration for `{identity}`")
    units = {
        identity: _unit(path, identity, registration, assets.get(identity))
        for identity, registration in site.units.items()
    }
    return Fleet(
        site.site,
        site.country,
        site.time_zone,
        site.round_trip_efficiency,
        site.wear_eur_per_mwh / 10**6,
        units,
    )


def _unit(path: Path, identity: str, reg: Registration, found: tuple[Asset, Fraction] | None) -> Unit:
    model = _read(path.parent / reg.battery, BatteryFile).battery_model if reg.battery else None
    asset, deadband = found if found else (None, None)
    limits = asset.dispatch_limits.real_power if asset else None

    def need(field: str, *values: Fraction | None) -> list[Fraction]:
        known = [v for v in values if v is not None]
        if not known:
            raise FleetError(f"{path.name}: units.{identity}.{field} is missing")
        return known

    discharge = need(
        "battery",
        limits.max_discharge if limits else None,
        model.max_continuous_discharge_kw if model else None,
    )
    charge = need("battery", -limits.max_charge if limits else None, model.max_continuous_charge_kw if model else None)
    capacity = model.nominal_capacity_kwh * model.soh_pct / 100 if model else None
    energy = need("usable_energy_kwh", reg.usable_energy_kwh, capacity)
    low = need("soc_min", reg.soc_min, model.doD_soc_limits.min_soc_trip if model else None)
    high = need("soc_max", reg.soc_max, model.doD_soc_limits.max_soc_trip if model else None)
    if max(low) >= min(high):
        raise FleetError(f"{path.name}: units.{identity}.soc_min is not below soc_max")
    ramp = need("ramp_rate", limits.ramp_rate if limits else None, reg.ramp_rate)
    dead = need("command_setpoint_deadband", reg.command_setpoint_deadband, deadband)
    window = model.doD_soc_limits.recommended_window if model else (max(low), min(high))
    if reg.twin and model is None:
        raise FleetError(f"{path.name}: units.{identity}.twin needs a battery data sheet, and battery is missing")
    # Where two papers limit the same thing, the tighter one counts.
    return Unit(
        identity,
        asset.protocol if asset else "sunspec_modbus",
        reg.phase,
        reg.pool,
        (asset.modbus_tcp if asset else None) or reg.modbus_tcp,
        min(discharge) * 1000,
        min(charge) * 1000,
        min(ramp) * 1000,
        min(energy) * 1000,
        max(low) / 100,
        min(high) / 100,
        dead[0] * 1000,
        "lfp_standard" if model else "none",
        reg.rfg_adopted,
        reg.fcr_reserved_kw * 1000,
        model.dispatch_constraints.min_discharge_time_min * 60 if model else Fraction(0),
        (window[0] / 100, window[1] / 100),
        reg.fast_frequency,
        reg.wset_sf,
        reg.twin,
        model,
    )


def _read(path: Path, form: type[Form]) -> Form:
    """A file in its form. Numbers arrive as the text they were written as."""
    try:
        text = path.read_text(encoding="utf-8")
        raw: Any
        if path.suffix == ".json":
            raw = json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_once)
        else:
            raw = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - the base loader makes texts, lists and maps only  # nosec B506  # the base loader makes texts, lists and maps only
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise FleetError(f"{path.name}: {error}") from error
    try:
        return form.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FleetError(f"{path.name}: {where or 'the file'}: {first['msg']}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
