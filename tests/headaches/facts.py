"""Facts of made-up charts in one line each."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from patients.headaches import diagnoses, medications
from patients.headaches.coding import Coding
from patients.headaches.dates import PartialDate, parse
from patients.headaches.orders import Order
from patients.headaches.record import (
    Allergy,
    Assessment,
    Condition,
    Happening,
    Measure,
    Person,
    Record,
    Sex,
    Treatment,
)

TODAY = date(2026, 11, 21)
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"


def on(day: str) -> PartialDate:
    read = parse(day)
    assert read is not None
    return read


def ago(days: int) -> str:
    return (TODAY - timedelta(days)).isoformat()


def person(sex: Sex = "female", age: int | None = 34) -> Person:
    return Person(sex, on(f"{TODAY.year - age}-03-07") if age is not None else None)


def dx(code: str, day: str = "2026-03-02", *, title: str = "", snomed: bool = False, **more: Any) -> Condition:
    """A diagnosis by ICD-10-CM code (SNOMED CT if told so); code "" for one in words alone."""
    codings = (Coding(SNOMED if snomed else ICD10, code),) if code else ()
    headache = diagnoses.classify(codings, title)
    dated = on(day) if day else None
    fact = Condition(
        source=more.pop("source", f"dx {code or title} {day}"),
        title=title or code,
        codings=codings,
        dated=dated,
        meaning="recorded",
        recorded=dated,
        clinical="active",
        headache_class=headache.headache_class if headache else "",
        words=headache.words if headache else "",
    )
    return replace(fact, **more)


def rx(title: str, day: str = "2026-10-05", status: str = "active", **order: Any) -> Treatment:
    """An order, classified by its title as the projection does."""
    sig = order.get("sig", "")
    drug = medications.classify((), [title], sig=sig)
    more = {name: order.pop(name) for name in ("forbidden", "role") if name in order}
    authorised = Order(
        ingredients=drug.ingredients,
        product_class=drug.product_class,
        authored=on(day) if day else None,
        status=status,
        intent=order.pop("intent", "order"),
        key=order.pop("key", f"rx {title} {day}"),
    )
    fact = Treatment(
        order=replace(authorised, **order),
        title=title,
        role=drug.role,
        class_words=drug.class_words,
        moh_days=drug.moh_days,
        excluded_reason=drug.excluded_reason,
        unclassified=drug.unclassified,
    )
    return replace(fact, **more)


def pressure(day: str, systolic: int, diastolic: int) -> Measure:
    return Measure(
        f"bp {day}",
        "Blood pressure",
        group="blood-pressure",
        dated=on(day),
        value_text=f"{systolic}/{diastolic} mmHg",
        systolic=Decimal(systolic),
        diastolic=Decimal(diastolic),
    )


def lab(title: str, code: str, day: str, value: str, unit: str = "") -> Measure:
    number = Decimal(value) if value.replace(".", "").isdigit() else None
    return Measure(f"{code} {day}", title, code=code, dated=on(day), value=number, value_text=value, unit=unit)


def scale(group: str, day: str, value: str, **more: Any) -> Measure:
    fact = Measure(f"{group} {day}", group, group=group, dated=on(day), value=Decimal(value), value_text=value)
    return replace(fact, **more)


def allergy(title: str, **more: Any) -> Allergy:
    return replace(Allergy(f"allergy {title}", title, dated=on("2019-05-02"), clinical="active"), **more)


def happened(kind: str, title: str, day: str, **more: Any) -> Happening:
    return replace(Happening(f"{kind} {title} {day}", kind, title, dated=on(day) if day else None), **more)


def asked(day: str, **answers: Any) -> Assessment:
    return Assessment(f"assessment:{day}", date.fromisoformat(day), **answers)


_FIELDS = {
    Person: "person", Condition: "conditions", Treatment: "treatments", Allergy: "allergies",
    Measure: "measures", Assessment: "assessments",
}  # fmt: skip
_KINDS = {"visit": "visits", "appointment": "appointments", "procedure": "procedures", "report": "reports"}


def record(*facts: Any) -> Record:
    """A record of those facts; a woman of 34 unless a Person is among them."""
    parts: dict[str, Any] = {"person": person()}
    for fact in facts:
        if isinstance(fact, Person):
            parts["person"] = fact
            continue
        name = _KINDS[fact.kind] if isinstance(fact, Happening) else _FIELDS[type(fact)]
        parts[name] = (*parts.get(name, ()), fact)
    return Record(**parts)


def sources(facts: Iterable[Any]) -> list[str]:
    return [fact.source for fact in facts]
