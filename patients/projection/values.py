"""value[x] of an Observation (FHIR R4 10.1.3) as text for people and, where it is one, a number."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from patients.headaches import dates
from patients.headaches.coding import Coding
from patients.projection.readers import (
    Body,
    codings,
    joined,
    node,
    number,
    quantity,
    quantity_words,
    range_words,
    text,
    words_of,
)

# UCUM codes that servers send for units people write differently.
_UNITS = {
    "mm[Hg]": "mmHg", "[lb_av]": "lb", "[in_i]": "in", "Cel": "°C", "[degF]": "°F", "kg/m2": "kg/m²",
    "10*3/uL": "10³/µL",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Value:
    """What was found.

    text: for display, unit included; digits: the number as recorded; number: None unless it is plainly one;
    unit: as recorded; codes: of a coded answer; is_words: words instead of a number, a string kept verbatim.
    """

    text: str = ""
    digits: str = ""
    number: Decimal | None = None
    unit: str = ""
    codes: tuple[Coding, ...] = ()
    is_words: bool = False


def pretty_unit(unit: str) -> str:
    return _UNITS.get(unit, unit)


def value_of(part: Body) -> Value:
    """The value of an Observation or component; an empty Value when it has none.

    An element value<Anything> that FHIR does not know is read for its words.
    """
    for name, stated in part.items():
        if name.startswith("value") and stated is not None:
            read = _READERS.get(name, _from_anything)(stated)
            if read.text:
                return read
    return Value()


def _from_quantity(stated: Any) -> Value:
    read = quantity(stated)
    shown = f"{read.text} {pretty_unit(read.unit)}".strip() if read.text else ""
    return Value(shown, read.text, read.value, read.unit)


def _from_concept(stated: Any) -> Value:
    return Value(words_of(stated), codes=codings(stated), is_words=True)


def _from_string(stated: Any) -> Value:
    words = text(stated)
    read = number(stated)
    return Value(words, words if read is not None else "", read, is_words=read is None)


def _from_boolean(stated: Any) -> Value:
    words = text(stated)
    return Value({True: "Yes", False: "No"}[stated] if isinstance(stated, bool) else words)


def _from_ratio(stated: Any) -> Value:
    ratio = node(stated)
    return Value(joined([quantity_words(ratio.get("numerator")), quantity_words(ratio.get("denominator"))], " : "))


def _from_moment(stated: Any) -> Value:
    read = dates.parse(text(stated))
    return Value(read.raw if read else text(stated))


def _from_period(stated: Any) -> Value:
    period = node(stated)
    ends = [dates.parse(text(period.get(end))) for end in ("start", "end")]
    return Value(joined([end.raw for end in ends if end], " – "))


def _from_anything(stated: Any) -> Value:
    if isinstance(stated, bool):
        return _from_boolean(stated)
    read = _from_quantity(stated)
    if read.number is not None:
        return read
    return Value(words_of(stated) or text(node(stated).get("value")), is_words=True)


_READERS: dict[str, Callable[[Any], Value]] = {
    "valueQuantity": _from_quantity,
    "valueCodeableConcept": _from_concept,
    "valueString": _from_string,
    "valueBoolean": _from_boolean,
    "valueInteger": _from_quantity,
    "valueDecimal": _from_quantity,
    "valueCoding": _from_concept,
    "valueRange": lambda stated: Value(range_words(stated)),
    "valueRatio": _from_ratio,
    "valueSampledData": lambda stated: Value("Recorded trace, not shown here" if node(stated) else ""),
    "valueTime": _from_string,
    "valueDateTime": _from_moment,
    "valueDate": _from_moment,
    "valuePeriod": _from_period,
}
