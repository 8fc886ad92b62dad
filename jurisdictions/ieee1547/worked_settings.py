"""Reads the worked examples about IEEE 1547 that ask whether a device may be set, or registered, as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jurisdictions.ieee1547.worked_words import Case, limit, number, reads, rounding, text, verdict, yes
from jurisdictions.worked import NotRead, Question


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its words in examples, the quantity and unit it is, the rules that hold it, given other settings."""

    words: tuple[str, ...]
    quantity: str
    unit: str
    rules: tuple[str, ...]
    given: Mapping[str, Any] | None = None
    scale: int = 1


def _s(
    words: str, quantity: str, unit: str, rules: str, given: Mapping[str, Any] | None = None, scale: int = 1
) -> Setting:
    return Setting(tuple(words.split()), f"ieee_{quantity}", unit, tuple(rules.split()), given, scale)


VREF = _s("v_ref_pu v_ref vref_pu", "vref", "pu", "vv_reference")
VOLT_VAR = (
    VREF,
    _s("v_ref_auto_time_s time_constant_s", "vref_time", "s", "vv_reference_time", {"ieee_vref_follows": True}),
    _s("v1_pu", "v1", "pu", "vv_first_point"),
    _s("v2_pu", "v2", "pu", "vv_no_deadband_low vv_deadband_low"),
    _s("v3_pu", "v3", "pu", "vv_no_deadband_high vv_deadband_high"),
    _s("v4_pu", "v4", "pu", "vv_last_point"),
    *(_s(f"q{i}_percent_of_kva q{i}_percent", f"q{i}", "%", f"vv_q{i}") for i in (1, 2, 3, 4)),
    _s("olrt_s", "olrt", "s", "vv_response_time"),
)
WATT_VAR = (
    _s("p1_pu", "p1", "pu", "wv_first_spacing"),
    _s("p2_pu", "p2", "pu", "wv_second_power"),
    _s("p3_pu", "p3", "pu", "wv_last_spacing"),
)
VOLT_WATT = (
    _s("v1_pu", "vw_v1", "pu", "vw_first_voltage"),
    _s("v2_pu", "vw_v2", "pu", "volt_watt_settings"),
    _s("p2_pu", "vw_p2", "pu", "vw_end"),
    _s("p2_prime_pu", "vw_p2_absorb", "pu", "vw_absorbing_end", {"ieee_storage": True}),
    _s("olrt_s", "olrt", "s", "vw_response_time"),
)


def _trips(rows: Sequence[tuple[str, str, str, str]]) -> tuple[Setting, ...]:
    """Trips: name, unit of the threshold, rules of the threshold, rules of the clearing time."""
    made: list[Setting] = []
    for name, unit, level, time in rows:
        word = "f" if unit == "Hz" else "v"
        made.append(_s(f"{name}_{word}_{unit.lower()} {name}_{unit.lower()}", f"{name}_{word}", unit, level))
        made.append(_s(f"{name}_clearing_time_s {name}_time_s {name}_s", f"{name}_time", "s", time))
    return tuple(made)


OVER_VOLTAGE = _trips([("ov1", "pu", "ov1_voltage", "ov1_clearing"), ("ov2", "pu", "ov2_v_fixed", "ov2_time_fixed")])
UNDER_VOLTAGE = _trips(
    [
        ("uv1", "pu", "uv1_voltage", "uv1_clearing uv1_clearing_2018"),
        ("uv2", "pu", "uv2_voltage", "uv2_clearing uv2_clearing_2018"),
    ]
)
OVER_FREQUENCY = _trips([(n, "Hz", f"{n}_frequency", f"{n}_clearing") for n in ("of1", "of2")])
UNDER_FREQUENCY = _trips([(n, "Hz", f"{n}_frequency", f"{n}_clearing") for n in ("uf1", "uf2")])
DROOP = (
    _s("db_of_hz", "db_of", "Hz", "droop_deadband_high"),
    _s("db_uf_hz", "db_uf", "Hz", "droop_deadband_low"),
    _s("db_hz", "db_of", "Hz", "droop_deadband_high"),
    _s("k_of", "k_of", "pu", "droop_slope_high"),
    _s("k_uf", "k_uf", "pu", "droop_slope_low"),
    _s("k", "k_of", "pu", "droop_slope_high"),
    _s("olrt_s", "olrt", "s", "droop_response_time"),
)
ENTER_SERVICE = (
    _s("v_min_pu", "es_v_min", "pu", "es_v_min_range"),
    _s("v_max_pu", "es_v_max", "pu", "es_v_max_range"),
    _s("f_min_hz", "es_f_min", "Hz", "es_f_min_range"),
    _s("f_max_hz", "es_f_max", "Hz", "es_f_max_range"),
    _s("delay_s", "es_delay", "s", "es_delay_range"),
    _s("period_s", "es_period", "s", "es_period_range"),
    _s("random_max_s", "es_random", "s", "es_random_range", {"ieee_es_random_used": True}),
)
TRANSITION = (_s("transition_s transition_time_s", "transition_time", "s", "mode_transition"),)
LIMIT = (_s("limit_percent", "limit_share", "%", "limit_range"),)

TABLES = tuple(f"table_{n}" for n in ("4", "8", "9", "10", "11", "12", "13", "18", "24"))
VERDICTS = ("accept", "accepted", "legal", "compliant", "allowed", "standard", *TABLES)


def _settings(case: Case, function: str, settings: Sequence[Setting], rules: Sequence[str] = ()) -> Iterator[Question]:
    """Whether settings are accepted by their rules, and the ends of a range where those are wanted."""
    category = case.take("category", otherwise=None)
    inputs: dict[str, Any] = {"ieee_function": function}
    if category is not None:
        inputs["ieee_normal" if category in ("A", "B") else "ieee_abnormal"] = category
    edition = str(case.take("edition", "certified_to", otherwise="2020"))
    if "2018" not in edition and "2020" not in edition:
        raise NotRead(f"edition `{edition}` is not understood")
    inputs["ieee_certified"] = "amendment_2020" if "2020" in edition else "edition_2018"
    for words, quantity in (
        (("q_inj_capability_percent", "q_injection_capability_percent"), "ieee_q_injectable"),
        (("q_abs_capability_percent", "q_absorption_capability_percent"), "ieee_q_absorbable"),
        (("p_min_pu",), "ieee_vw_p_min"),
    ):
        value = case.take(*words, otherwise=None)
        if value is not None:
            inputs[quantity] = text(value, "pu" if quantity.endswith("min") else "%")
    found: list[Setting] = []
    for setting in settings:
        if case.has(*setting.words):
            value = number(case.take(*setting.words))
            inputs[setting.quantity] = text(value, setting.unit)
            inputs |= setting.given or {}
            found.append(setting)
    if function == "volt_var":
        inputs.setdefault("ieee_vref", "1 pu")
    names = list(rules) or _asked(found, inputs)
    if not names:
        raise NotRead("no setting is given that a rule holds")
    holds = case.wanted(*VERDICTS)
    if holds is not None:
        yield verdict("ieee_device", inputs, names, holds)
    yield from _ends(case, found, settings, inputs)


def _asked(found: Sequence[Setting], inputs: Mapping[str, Any]) -> list[str]:
    """The rules whose other settings are there: a point alone cannot be held against its neighbour."""
    names: list[str] = []
    for setting in found:
        for rule in setting.rules:
            needs = {"vv_first_point": "ieee_v2", "vv_last_point": "ieee_v3", "volt_watt_settings": "ieee_vw_v1"}
            needs |= {"wv_first_spacing": "ieee_p2", "wv_last_spacing": "ieee_p2", "vw_end": "ieee_vw_p_min"}
            needs |= {f"vv_{end}deadband_{side}": "ieee_normal" for end in ("", "no_") for side in ("low", "high")}
            if needs.get(rule, "ieee_function") in inputs and not (
                rule.startswith("vv_q") and not {"ieee_q_injectable", "ieee_q_absorbable"} & set(inputs)
            ):
                names.append(rule)
    return names


def _ends(
    case: Case, found: Sequence[Setting], settings: Sequence[Setting], inputs: dict[str, Any]
) -> Iterator[Question]:
    for setting in settings:
        stem = setting.words[0].split("_")[0]
        values = case.want(f"allowed_{stem}", f"{stem}_range") or ()
        for word in (f"{stem}_min", f"{stem}_max", f"{stem}_least", f"{stem}_most"):
            one = case.want(word)
            values = (*values, one) if one is not None else values
        for end in values:
            for rule in setting.rules[:1] if len(setting.rules) == 1 else ():
                within = text(rounding(end) if len(str(end)) < 3 else 0)
                yield limit("ieee_device", inputs, rule, setting.quantity, text(end, setting.unit), within)


def _register(name: str, facts: Sequence[str], function: str, settings: Sequence[Setting], words: str) -> None:
    def read(case: Case) -> Iterator[Question]:
        return _settings(case, function, settings)

    read.__name__ = name
    reads(*facts, needs=(words,))(read)


def _words(settings: Sequence[Setting]) -> str:
    return "|".join(word for s in settings for word in s.words)


T8 = ("t8-vref", "t8-vref-auto", "t8-deadband", "t8-outer-points", "t8-q-range", "t8-olrt", "settings-in-range")
_register("volt_var_settings", T8, "volt_var", VOLT_VAR, _words(VOLT_VAR))
_register("watt_var_settings", ("t9-ranges",), "watt_var", WATT_VAR, _words(WATT_VAR))
_register("volt_watt_settings", ("t10-ranges", "t10-volt-watt-absorbing"), "volt_watt", VOLT_WATT, _words(VOLT_WATT))
_register("droop_settings", ("t24-db", "t24-k", "t24-response"), "droop", DROOP, _words(DROOP))
_register("mode_transition", ("c463-mode-transition",), "reactive_mode", TRANSITION, _words(TRANSITION))
_register("limit_settings", ("c462-limit-active-power",), "limit_active_power", LIMIT, _words(LIMIT))
ES_FACTS = ("t4-voltage-window", "t4-frequency-window", "c4103-delay", "c4103-ramp", "heco-enter-service")
_register("enter_service_settings", ES_FACTS, "enter_service", ENTER_SERVICE, _words(ENTER_SERVICE[:5]))
OV_FACTS = tuple(f"t-{k}-cat-{c}" for k in ("ov1", "ov2") for c in ("i", "ii", "iii"))
UV_FACTS = tuple(f"t-{k}-cat-{c}" for k in ("uv1", "uv2") for c in ("i", "ii", "iii"))
_register("over_voltage_settings", (*OV_FACTS, "psco-trip"), "over_voltage_trip", OVER_VOLTAGE, _words(OVER_VOLTAGE))
UV_ALL = (*UV_FACTS, "t13-2018-ranges", "psco-trip", "settings-in-range")
_register("under_voltage_settings", UV_ALL, "under_voltage_trip", UNDER_VOLTAGE, _words(UNDER_VOLTAGE))
_register(
    "over_frequency_settings", ("t18-of1", "t18-of2"), "over_frequency_trip", OVER_FREQUENCY, _words(OVER_FREQUENCY)
)
_register(
    "under_frequency_settings", ("t18-uf1", "t18-uf2"), "under_frequency_trip", UNDER_FREQUENCY, _words(UNDER_FREQUENCY)
)


@reads("t8-deadband", "t8-outer-points", "heco-volt-var", "t8-q-range", needs=("v_pu", "q_percent"), lists=True)
def whole_curve(case: Case) -> Iterator[Question]:
    volts, reactive = case.take("v_pu"), case.take("q_percent")
    if len(volts) != 4 or len(reactive) != 4:
        raise NotRead("a volt-var curve has four points")
    category = case.take("category", otherwise="B")
    inputs: dict[str, Any] = {"ieee_function": "volt_var", "ieee_normal": category}
    inputs["ieee_vref"] = text(case.take("v_ref_pu", otherwise=1), "pu")
    inputs |= {"ieee_q_injectable": "44 %", "ieee_q_absorbable": {"A": "25 %", "B": "44 %"}[category]}
    for i, (v, q) in enumerate(zip(volts, reactive, strict=True), 1):
        inputs |= {f"ieee_v{i}": text(v, "pu"), f"ieee_q{i}": text(q, "%")}
    rules = [
        rule for s in VOLT_VAR if s.quantity[5:] in ("v1", "v2", "v3", "v4", "q1", "q2", "q3", "q4") for rule in s.rules
    ]
    holds = case.wanted(*VERDICTS)
    if holds is not None:
        yield verdict("ieee_device", inputs, rules, holds)
    hawaii = case.wanted("hawaii", "heco")
    if hawaii is not None:
        yield verdict("ieee_device", {**inputs, "ieee_utility": "hawaiian_electric"}, ("heco_volt_var",), hawaii)


@reads("heco-frequency", "t18-of1", "t18-of2", "t18-uf1", "t18-uf2", needs=("f_hz", "clearing_time_s"))
def hawaii_frequency(case: Case) -> Iterator[Question]:
    frequency, time = number(case.take("f_hz")), case.take("clearing_time_s")
    high = frequency > 60
    trip = str(case.take("trip", "function", otherwise="of1" if high else "uf1"))
    function = "over_frequency_trip" if high else "under_frequency_trip"
    inputs = {
        "ieee_function": function,
        "ieee_utility": "hawaiian_electric",
        f"ieee_{trip}_f": text(frequency, "Hz"),
        f"ieee_{trip}_time": text(time, "s"),
    }
    standard, hawaii = case.wanted("table_18", "standard", "accept"), case.wanted("hawaii", "heco")
    if standard is not None:
        yield verdict("ieee_device", inputs, (f"{trip}_frequency", f"{trip}_clearing"), standard)
    if hawaii is not None:
        rule = {"of1": "heco_first_over_frequency", "uf1": "heco_first_under_frequency"}[trip]
        yield verdict("ieee_device", inputs, (rule,), hawaii)


@reads("heco-droop", "isone-2021", needs=("db_hz|db_of_hz", "k|k_of"))
def utility_droop(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"ieee_function": "droop", "ieee_droop_high": True, "ieee_droop_low": True}
    band, slope = text(case.take("db_hz", "db_of_hz"), "Hz"), text(case.take("k", "k_of"), "pu")
    inputs |= {"ieee_db_of": band, "ieee_db_uf": band, "ieee_k_of": slope, "ieee_k_uf": slope}
    inputs["ieee_olrt"] = text(case.take("olrt_s"), "s")
    inputs["ieee_abnormal"] = case.take("category", otherwise="III")
    utility = str(case.take("utility", otherwise="hawaii")).lower()
    standard, local = case.wanted("table_24", "accept"), case.wanted("hawaii", "heco", "isone", "new_england")
    if standard is not None:
        rules = (
            "droop_deadband_high",
            "droop_deadband_low",
            "droop_slope_high",
            "droop_slope_low",
            "droop_response_time",
        )
        yield verdict("ieee_device", inputs, rules, standard)
    if local is not None:
        hawaii = "haw" in utility or "heco" in utility
        inputs["ieee_utility"] = "hawaiian_electric" if hawaii else "new_england"
        yield verdict("ieee_device", inputs, ("heco_droop" if hawaii else "isone_droop",), local)


@reads("c4103-random-delay", needs=("aggregate_rating_kva",))
def random_delay(case: Case) -> Iterator[Question]:
    wish = str(case.take("wish", otherwise="random delay"))
    if "random" not in wish:
        raise NotRead(f"wish `{wish}` is not understood")
    site = case.take("aggregate_rating_kva")
    inputs: dict[str, Any] = {"ieee_function": "enter_service", "ieee_es_random_used": True}
    inputs["ieee_site_rating"] = text(number(site) * 1000, "VA")
    rules = ["es_random_site"]
    most = case.take("random_max_s", otherwise=None)
    if most is not None:
        inputs["ieee_es_random"] = text(most, "s")
        rules.append("es_random_range")
    drawn, delay = case.take("drawn_s", otherwise=None), case.take("delay_s", otherwise=300)
    holds = case.wanted("accept", "step_allowed", "allowed")
    if holds is not None:
        yield verdict("ieee_device", inputs, rules, holds)
    earliest = case.want("earliest_s")
    if earliest is not None:
        if drawn is None:
            raise NotRead("the time drawn is not given")
        for at, fine in ((number(earliest), True), (number(earliest) - number("0.001"), False)):
            samples = [_ready("0 s", False), _ready(text(at, "s"), True)]
            trace = {"der_random_entry": True, "der_random_drawn": text(drawn, "s"), "enter_delay": text(delay, "s")}
            yield verdict("trace", {**trace, "samples": samples}, ("random_entry",), fine)


def _ready(at: str, energized: bool) -> dict[str, Any]:
    here = {"elapsed": at, "voltage": "1 pu", "frequency": "60 Hz", "permit_service": True}
    return {**here, "energized": energized}


# ── registration
MODES = ("constant_pf", "volt_var", "constant_q", "watt_var", "volt_watt")


@reads("t6-modes", "cat-normal", needs=("category", "supported"), lists=True)
def modes(case: Case) -> Iterator[Question]:
    category, supported = case.take("category"), case.take("supported")
    wanted = case.take("wanted", "mode", otherwise=None)
    inputs: dict[str, Any] = {"ieee_function": "registration", "ieee_normal": category}
    lacking, accept = case.wanted("non_compliant_device"), case.wanted("accept")
    if not isinstance(supported, list):
        if wanted is None:
            raise NotRead("the mode that is wanted is not given")
        offers = {f"ieee_has_{m}": True for m in MODES} | {f"ieee_has_{wanted}": yes(supported)}
        if lacking is not None:
            yield verdict("ieee_device", {**inputs, **offers}, _mode_rules(category), not lacking)
        if accept is not None:
            asked = {**inputs, **offers, "ieee_function": wanted}
            yield verdict("ieee_device", asked, (f"{wanted}_supported",), accept)
        return
    inputs |= {f"ieee_has_{m}": m in supported for m in MODES}
    holds = not lacking if lacking is not None else accept if accept is not None else case.wanted("compliant")
    if holds is not None:
        yield verdict("ieee_device", inputs, _mode_rules(category), holds)


def _mode_rules(category: str) -> tuple[str, ...]:
    return ("mandatory_modes", "category_b_modes") if category == "B" else ("mandatory_modes",)


@reads("c531-default-mode", "t10-disabled", needs=("enabled",), lists=True)
def modes_together(case: Case) -> Iterator[Question]:
    enabled = case.take("enabled")
    unknown = set(enabled) - set(MODES)
    if unknown:
        raise NotRead(f"mode {', '.join(sorted(unknown))} is not understood")
    reactive = [m for m in enabled if m != "volt_watt"]
    inputs: dict[str, Any] = {"ieee_function": "reactive_mode", "ieee_reactive_modes": str(len(reactive))}
    inputs |= {"ieee_mode_specified": True, "ieee_volt_watt_specified": True}
    yield verdict("ieee_device", inputs, ("one_reactive_mode",), case.holds("accept", "compliant"))


@reads("c531-default-mode", needs=("operator_says_otherwise|specified",))
def default_mode(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"ieee_function": "reactive_mode", "ieee_mode_on": case.take("mode", "enabled")}
    inputs["ieee_mode_specified"] = yes(case.take("operator_says_otherwise", "specified"))
    inputs["ieee_power_factor"] = text(case.take("pf", otherwise=1), "pu")
    yield verdict(
        "ieee_device", inputs, ("default_reactive_mode", "default_power_factor"), case.holds("accept", "compliant")
    )


@reads("t22-droop-duty", needs=("category", "droop_low|droop_high"))
def droop_duty(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"ieee_function": "registration", "ieee_abnormal": case.take("category")}
    rules = []
    for side in ("low", "high"):
        value = case.take(f"droop_{side}", otherwise=None)
        if value is not None:
            inputs[f"ieee_droop_{side}"] = yes(value)
            rules += [f"droop_{side}_duty"] if side == "high" or inputs["ieee_abnormal"] in ("II", "III") else []
    yield verdict("ieee_device", inputs, rules or ("droop_low_duty",), case.holds("accept", "compliant"))


@reads("heco-categories", needs=("normal_category|category_normal", "abnormal_category|category_abnormal"))
def hawaii_categories(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"ieee_function": "registration", "ieee_utility": "hawaiian_electric"}
    inputs["ieee_normal"] = case.take("normal_category", "category_normal")
    inputs["ieee_abnormal"] = case.take("abnormal_category", "category_abnormal")
    certified = case.take("certification", "certified", otherwise="UL 1741 SB")
    inputs["ieee_certified_sb"] = "SB" in str(certified) if not isinstance(certified, bool) else certified
    yield verdict("ieee_device", inputs, ("heco_categories",), case.holds("accept", "compliant"))


@reads("c10-protocols", needs=("protocols",), lists=True)
def protocols(case: Case) -> Iterator[Question]:
    spoken = " ".join(map(str, case.take("protocols"))).lower()
    inputs: dict[str, Any] = {"ieee_function": "registration", "ieee_speaks_sunspec": "sunspec" in spoken}
    inputs |= {"ieee_speaks_dnp3": "1815" in spoken or "dnp3" in spoken, "ieee_speaks_2030_5": "2030.5" in spoken}
    yield verdict("ieee_device", inputs, ("local_protocol",), case.holds("accept", "compliant"))


@reads("rpa-choice", needs=("aggregate_kva|aggregate_rating_kva",))
def reference_point(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"ieee_function": "registration"}
    inputs["ieee_site_rating"] = text(number(case.take("aggregate_kva", "aggregate_rating_kva")) * 1000, "VA")
    share = case.take("average_load_percent", "average_load_share_percent", "load_share_percent", otherwise=0)
    inputs["ieee_load_share"] = text(share, "%")
    wanted = case.want("reference_point", "rpa")
    if wanted is None:
        raise NotRead("no reference point is wanted")
    rules = ("reference_point",)
    if str(wanted).lower() == "pcc":
        yield verdict("ieee_device", {**inputs, "ieee_reference_point": "pcc"}, rules, True)
        yield verdict("ieee_device", {**inputs, "ieee_reference_point": "poc"}, rules, False)
    else:
        raise NotRead("where the terminals may be used nothing is asked")


@reads("r21-reactive-priority", needs=("requested|request_date",))
def california_priority(case: Case) -> Iterator[Question]:
    day = str(case.take("requested", "request_date"))
    inputs: dict[str, Any] = {"ieee_function": "volt_var", "ieee_utility": "california_iou"}
    inputs["ieee_requested_at"] = f"{day[:10]}T12:00:00-08:00"
    inputs["ieee_reactive_priority"] = str(case.take("priority")) == "reactive"
    yield verdict("ieee_device", inputs, ("r21_reactive_priority",), case.holds("accept", "compliant"))
