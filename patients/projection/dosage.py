"""Dosage and supply of an order (FHIR R4 2.38 Dosage, 11.1 dispenseRequest) as stated.

Numbers are kept as the strings of the record: an Entry's detail is JSON, which has no decimals.
"""

from datetime import date
from typing import Any

from patients.projection.facts import date_words, stated, whole_day
from patients.projection.readers import (
    Body,
    all_words_of,
    items,
    joined,
    node,
    nodes,
    number,
    quantity,
    quantity_words,
    text,
    words_of,
)

_PERIODS = {"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year"}
_DAYS = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7}


def lines(order: Body) -> list[dict[str, Any]]:
    """One dict per dosageInstruction, with what it states of: text, dose, dose_low, dose_high, dose_unit,
    frequency, frequency_max, period, period_max, period_unit, when, code, count, as_needed,
    as_needed_for, also, route, maximum, days, from, until."""
    found = [_line(each) for each in items(order.get("dosageInstruction"))]
    return [each for each in found if each]


def _line(value: Any) -> dict[str, Any]:
    dosage = node(value)
    repeat = node(node(dosage.get("timing")).get("repeat"))
    for_what = words_of(dosage.get("asNeededCodeableConcept"))
    bounds = node(repeat.get("boundsPeriod"))
    return stated(
        text=text(value) or text(dosage.get("text")) or text(dosage.get("patientInstruction")),
        also=all_words_of(dosage.get("additionalInstruction")),
        **_dose(dosage),
        frequency=text(repeat.get("frequency")),
        frequency_max=text(repeat.get("frequencyMax")),
        period=text(repeat.get("period")),
        period_max=text(repeat.get("periodMax")),
        period_unit=text(repeat.get("periodUnit")),
        when=joined([text(each) for each in items(repeat.get("when"))]),
        code=words_of(node(dosage.get("timing")).get("code")),
        count=text(repeat.get("count")),
        as_needed=True if dosage.get("asNeededBoolean") is True or for_what else None,
        as_needed_for=for_what,
        route=words_of(dosage.get("route")),
        maximum=_maximum(dosage),
        days=_days(repeat.get("boundsDuration")),
        **{"from": date_words(bounds.get("start")), "until": date_words(bounds.get("end"))},
    )


def _dose(dosage: Body) -> dict[str, str]:
    for each in nodes(dosage.get("doseAndRate")):
        exact = quantity(each.get("doseQuantity"))
        if exact.text:
            return {"dose": exact.text, "dose_unit": exact.unit}
        limits = node(each.get("doseRange"))
        low, high = quantity(limits.get("low")), quantity(limits.get("high"))
        if low.text or high.text:
            return {"dose_low": low.text, "dose_high": high.text, "dose_unit": high.unit or low.unit}
    return {}


def _maximum(dosage: Body) -> str:
    ratio = node(dosage.get("maxDosePerPeriod"))
    return joined([quantity_words(ratio.get("numerator")), quantity_words(ratio.get("denominator"))], " per ")


def _days(value: Any) -> str:
    """A Duration in days when stated in days or weeks; months differ in length and are not converted."""
    duration = quantity(value)
    factor = _DAYS.get(text(node(value).get("code")).lower()) or _DAYS.get(duration.unit.lower())
    if duration.value is None or factor is None:
        return ""
    return format((duration.value * factor).normalize(), "f")


def sig(found: list[dict[str, Any]]) -> str:
    """The instructions as written; what is stated only in structure is put into words."""
    return joined([each.get("text") or _in_words(each) for each in found], " · ")


def _in_words(line: dict[str, Any]) -> str:
    words = [dose_words(line), _often(line), line.get("when", ""), line.get("code", "")]
    if line.get("as_needed"):
        words.append(f"as needed for {line['as_needed_for']}" if "as_needed_for" in line else "as needed")
    return joined([*words, line.get("also", "")])


def dose_words(line: dict[str, Any]) -> str:
    """The dose of one line: "1 tablet", "1 – 2 tablet"."""
    amount = line.get("dose") or joined([line.get("dose_low", ""), line.get("dose_high", "")], " – ")
    return f"{amount} {line.get('dose_unit', '')}".strip() if amount else ""


def _often(line: dict[str, Any]) -> str:
    if "frequency" not in line or "period_unit" not in line:
        return ""
    times = joined([line["frequency"], line.get("frequency_max", "")], "–")
    period = joined([line.get("period", "1"), line.get("period_max", "")], "–")
    unit = _PERIODS.get(line["period_unit"], line["period_unit"])
    return f"{times} × per {unit}" if period == "1" else f"{times} × per {period} {unit}s"


def end(order: Body) -> date | None:
    """The last day that every instruction names as its end; None as soon as one names none."""
    ends = [
        whole_day(node(node(node(each.get("timing")).get("repeat")).get("boundsPeriod")).get("end"))
        for each in nodes(order.get("dosageInstruction"))
    ]
    known = [each for each in ends if each is not None]
    return max(known) if known and len(known) == len(ends) else None


def supply(order: Body) -> dict[str, Any]:
    """What one fill holds and how often it may be repeated: quantity, quantity_unit, repeats, supply_days,
    valid_until."""
    request = node(order.get("dispenseRequest"))
    amount = quantity(request.get("quantity"))
    repeats = number(request.get("numberOfRepeatsAllowed"))
    return stated(
        quantity=amount.text,
        quantity_unit=amount.unit,
        repeats=int(repeats) if repeats is not None and repeats == repeats.to_integral_value() else None,
        supply_days=_days(request.get("expectedSupplyDuration")),
        valid_until=date_words(node(request.get("validityPeriod")).get("end")),
    )


def routes(found: list[dict[str, Any]]) -> str:
    return joined([each.get("route", "") for each in found])
