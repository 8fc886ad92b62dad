"""Reads the worked examples about data, conduct and the Batteries Regulation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from jurisdictions.entsoe.worked_words import Given, decimal, first_of, has_any, moment_of, verdict_of
from jurisdictions.worked import AS_OF, NotRead, Question, Verdict, reader

_EEA = {
    *("AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV", "LT", "LU"),
    *("MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE", "IS", "LI", "EEA", "EU"),
}
_NAMED = {"GB": "UK", "UNITED KINGDOM": "UK", "NORWAY": "NO", "SWITZERLAND": "CH", "JAPAN": "JP", "USA": "US"}
_PLACES = {"UK", "NO", "CH", "JP", "NZ", "KR", "IL", "AR", "UY", "CA", "US", "FO", "GG", "IM", "JE", "AD", "GI"}


@reader(
    *("gdpr-44-transfer-gate", "gdpr-region-tag-eea", "gdpr-region-tag-adequate", "ffd-4-1-no-localisation"),
    needs=("data", "target_region"),
)
def transfer_of_data(given: Given, outcome: Any) -> Iterator[Question]:
    text = str(given["target_region"])
    code = re.sub(r"\(.*\)", "", text).strip().upper()
    code = _NAMED.get(code, code)
    region = "EEA" if code in _EEA else code if code in _PLACES else "other"
    personal = not re.search(r"non-personal|plant|operational|telemetry of|grid", str(given["data"]))
    lower = text.lower()

    def recorded(what: str) -> bool:
        told = given.get(what, re.search(rf"(?<!no )\b{what}", lower) is not None)
        return bool(told)

    safeguards, derogation = recorded("safeguards"), recorded("derogation")
    without = "without adequacy" in lower or "no adequacy" in lower
    claimed = given.get("adequacy", not without and region not in ("EEA", "NO") and not (safeguards or derogation))
    inputs: dict[str, Any] = {
        "subject_country": "EEA",
        "data_class": "personal" if personal else "operational",
        "storage_region": region,
        "gdpr_adequacy_claimed": bool(claimed),
        "safeguards_recorded": safeguards,
        "derogation_recorded": derogation,
        "certified_recipient": bool(given.get("certified", re.search(r"certified|dpf|commercial", lower) is not None)),
    }
    wanted = verdict_of(outcome)
    if not personal:
        told = " ".join(str(value).lower() for value in given.values())
        inputs["ffd_localisation_claimed"] = re.search(r"locali[sz]ation|must stay|has to stay", told) is not None
        inputs["ffd_public_security"] = "public security" in told
        yield Verdict("data_flow", inputs, ("entsoe/ffd_no_localisation",), wanted)
        return
    yield Verdict("data_flow", inputs, ("entsoe/gdpr_transfer", "entsoe/gdpr_adequate"), wanted)


@reader("remit-5a-records")
def records(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "eu_record_made_at": moment_of(first_of(given, "made", "record_date", "created"), AS_OF, "Europe/Brussels"),
        "eu_record_deleted_at": moment_of(first_of(given, "deleted", "deletion_date"), AS_OF, "Europe/Brussels"),
    }
    yield Verdict("eu_algo_trader", inputs, ("entsoe/remit_algo_records",), verdict_of(outcome))


_HEALTH = {
    "remaining_capacity": "bat_remaining_capacity",
    "remaining_power_capability": "bat_remaining_power",
    "remaining_round_trip_efficiency": "bat_round_trip",
    "self_discharge_evolution": "bat_self_discharge",
    "ohmic_resistance": "bat_resistance",
}
_LIFETIME = {
    "date_manufactured": "bat_made_on",
    "date_in_service": "bat_service_on",
    "energy_throughput": "bat_energy_throughput",
    "capacity_throughput": "bat_capacity_throughput",
    "harmful_events": "bat_harmful_events",
    "full_equivalent_cycles": "bat_full_cycles",
}


def _kind(text: str) -> str:
    for word, kind in (
        ("stationary", "stationary"),
        ("LMT", "light_transport"),
        ("light", "light_transport"),
        ("EV", "electric_vehicle"),
        ("electric vehicle", "electric_vehicle"),
        ("industrial", "other_industrial"),
    ):
        if word in text:
            return kind
    raise NotRead(f"the battery `{text}` is not understood")


@reader("bat-14-1-bms-data", "bat-annex7-a-soh", "bat-annex7-b-lifetime", needs=("battery", "bms_exposes"))
def battery_data(given: Given, outcome: Any) -> Iterator[Question]:
    shown = set(given["bms_exposes"])
    strange = shown - set(_HEALTH) - set(_LIFETIME)
    if strange:
        raise NotRead(f"the fields {', '.join(sorted(strange))} are not those of Annex VII")
    impossible = set(given.get("not_possible", ()))
    inputs: dict[str, Any] = {
        "bat_kind": _kind(str(given["battery"])),
        "bat_current_data": bool(given.get("up_to_date", True)),
        "bat_power_impossible": "remaining_power_capability" in impossible,
        "bat_round_trip_impossible": "remaining_round_trip_efficiency" in impossible,
        "bat_resistance_impossible": "ohmic_resistance" in impossible,
        "bat_service_inapt": "date_in_service" in impossible,
    }
    inputs |= {name: field in shown for field, name in (_HEALTH | _LIFETIME).items()}
    # A case that lists none of Part B asks about Part A alone.
    rules = ["entsoe/bat_data_current", "entsoe/bat_health_data"]
    if shown & set(_LIFETIME):
        rules += ["entsoe/bat_lifetime_data"]
    yield Verdict("bat_battery", inputs, tuple(rules), verdict_of(outcome), _in_service(given))


def _in_service(given: Given) -> date:
    """The day on which a battery is looked at: as the case says, or that of the fact files."""
    return date.fromisoformat(str(given["date"])) if "date" in given else AS_OF


@reader("bat-14-2-read-access", needs=("access",))
def access(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "bat_kind": _kind(str(given.get("battery", "stationary"))),
        "bat_asks_access": True,
        "bat_read_access": "read" in str(given["access"]) or "write" in str(given["access"]),
        "bat_write_access": "write" in str(given["access"]),
    }
    yield Verdict("bat_battery", inputs, ("entsoe/bat_access",), verdict_of(outcome), _in_service(given))


@reader("bat-10-1-datasheet", "bat-12-safety", needs=("battery",))
def papers(given: Given, outcome: Any) -> Iterator[Question]:
    inputs: dict[str, Any] = {"bat_kind": _kind(str(given["battery"])), "bat_rechargeable": True}
    rules = []
    if has_any(given, "datasheet", "performance_documented"):
        inputs["bat_capacity"] = f"{decimal(first_of(given, 'capacity_kWh', 'E_kWh'))} kWh"
        inputs["bat_datasheet"] = bool(first_of(given, "datasheet", "performance_documented"))
        rules += ["entsoe/bat_performance"]
    if has_any(given, "safety_documented", "annex_V_documented"):
        inputs["bat_safety_documented"] = bool(first_of(given, "safety_documented", "annex_V_documented"))
        rules += ["entsoe/bat_safety"]
    if not rules:
        raise NotRead("no paper is named")
    yield Verdict("bat_battery", inputs, tuple(rules), verdict_of(outcome), _in_service(given))
