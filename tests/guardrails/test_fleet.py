"""Fleet files load exactly as they stand; bad ones are refused with file and field."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from guardrails.fleet import FleetError, load_site
from tests.packs import ROOT, fleet
from tests.shared_files import shared

EXAMPLES = ROOT / "examples"


def test_the_sample_files_stand_unchanged() -> None:
    for name in ("csan_microgrid.yaml", "lfp_250kwh.json"):
        assert (EXAMPLES / "fleet" / name).read_bytes() == shared("examples", "fleet", name).read_bytes()


@pytest.mark.parametrize(
    ("unit", "field", "value"),
    [
        ("MG11_BESS_01", "max_charge_power", 2_500_000),
        ("MG11_BESS_01", "max_discharge_power", 3_000_000),
        ("MG11_BESS_01", "ramp_limit", 600_000),
        ("MG11_BESS_01", "setpoint_deadband", 50_000),
        ("MG11_BESS_02", "max_charge_power", 500_000),
        ("LFP_250", "usable_energy", 230_750),
        ("LFP_250", "soc_min", Fraction(1, 10)),
        ("LFP_250", "soc_max", Fraction(19, 20)),
        ("LFP_250", "charge_curve", "lfp_standard"),
        ("HOME_5", "usable_energy", 14_700),
        ("HOME_5", "max_charge_power", 4_600),
        ("HOME_5", "phase", "L2"),
        ("HOME_1", "setpoint_deadband", 50),
        ("MG11_BESS_02", "charge_curve", "none"),
    ],
)
def test_values_are_exact(unit: str, field: str, value: object) -> None:
    assert getattr(fleet().units[unit], field) == value


BAD = {
    "a misspelt key": ("fleet/csan_microgrid.yaml", "max_charge: -500", "max_chrage: -500", "max_ch"),
    "charge that exports": ("fleet/csan_microgrid.yaml", "max_charge: -500", "max_charge: 500", "max_charge"),
    "not a number": ("fleet/csan_microgrid.yaml", "ramp_rate: 100", "ramp_rate: .nan", "ramp_rate"),
    "infinite": ("fleet/csan_microgrid.yaml", "ramp_rate: 100", "ramp_rate: .inf", "ramp_rate"),
    "absurd": ("fleet/csan_microgrid.yaml", "max_discharge: 500", "max_discharge: 1e30", "max_discharge"),
    "no protocol of ours": ("fleet/csan_microgrid.yaml", '"iec_61850"', '"morse"', "protocol"),
    "a unit twice": ("fleet/csan_microgrid.yaml", "MG11_BESS_02", "MG11_BESS_01", "stands twice"),
    "a unit nobody registered": ("fleet/csan_microgrid.yaml", "MG11_BESS_02", "MG11_BESS_03", "MG11_BESS_03"),
    "energy below nothing": ("fleet/lfp_250kwh.json", '_kwh": 250', '_kwh": -250', "nominal_capacity_kwh"),
    "NaN in JSON": ("fleet/lfp_250kwh.json", "92.3", "NaN", "soh_pct"),
    "a window upside down": ("fleet/lfp_250kwh.json", "[15.0, 90.0]", "[90.0, 15.0]", "window"),
    "a charge table no rule covers": ("fleet/lfp_250kwh.json", '"max_charge_kw": 80', '"max_charge_kw": 90', "no rule"),
    "a key twice": ("fleet/lfp_250kwh.json", '"soh_pct": 92.3', '"soh_pct": 92.3, "soh_pct": 9', "twice"),
    "broken YAML": ("site.yaml", "units:", "units: [", "site.yaml"),
    "a country of three letters": ("site.yaml", "country: AT", "country: AUT", "country"),
    "a phase of no grid": ("site.yaml", "phase: L1", "phase: L4", "phase"),
    "no energy": ("site.yaml", "usable_energy_kwh: 1000, ", "", "usable_energy_kwh"),
    "adoption left open": ("site.yaml", "rfg_adopted: no", "rfg_adopted: perhaps", "rfg_adopted"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, what: str) -> None:
    file, old, new, named = BAD[what]
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    path = tmp_path / "examples" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(FleetError, match=named):
        load_site(tmp_path / "examples" / "site.yaml")
