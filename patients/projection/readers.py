"""Reading FHIR R4 JSON that may be absent, of the wrong JSON type, or have elements nobody announced.

Every reader takes whatever json.loads gave and returns the wanted type, empty when there is nothing to read;
none raises. A string where FHIR wants an object counts as its text; an object where FHIR wants a list, as a
list of one. fhir.resources is not used here: it refuses a whole resource for one unknown element.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from patients.headaches.coding import Coding

Body = dict[str, Any]

# The zero dates of OLE, .NET and SQL Server, which servers send for "nothing" (eClinicalWorks: 1899-12-30).
_FILLER = re.compile(r"(?:0\d{3}|1[0-8]\d\d)-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:[T ].*)?\Z", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d{1,12}(?:\.\d{1,12})?|\.\d{1,12})\Z", re.ASCII)
_REFERENCE = re.compile(r"(?:(?P<base>\S*)/)?(?P<type>[A-Z]\w+)/(?P<id>[^/?#\s]+)(?:/_history/[^/?#\s]*)?\Z", re.ASCII)
_PRACTICE_CODE = re.compile(r"[A-Z]{6}")  # the end of a healow base URL
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_LARGEST = Decimal(10) ** 12  # Entry.value holds 12 digits before the point
_STEP = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, as stated. `value` is None when the number is missing, absurd or no number."""

    value: Decimal | None
    text: str
    unit: str


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a reference points: `contained` (the id after "#"), or type and id under a base."""

    base: str = ""
    type: str = ""
    id: str = ""
    contained: str = ""
    display: str = ""


def load(body: str) -> Body:
    """The resource in that JSON text, decimals exact; {} when it is no JSON object."""
    try:
        read = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def text(value: object) -> str:
    """A string or number (or the first of a list) as trimmed text that any database can store.

    "" for everything else, and for a lone date before 1900, which stands for nothing.
    """
    if value is None:  # by far the most frequent
        return ""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str):
        return _clean(value.strip())
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return number_text(value)
    return ""


def _clean(words: str) -> str:
    if not words.isascii():
        # A lone surrogate ("\ud800" in JSON) cannot be encoded.
        words = words.encode("utf-8", "replace").decode()
    if "\0" in words:  # PostgreSQL refuses it
        words = words.replace("\0", "").strip()
    return "" if words[4:5] == "-" and _FILLER.match(words) else words


def number_text(value: int | Decimal) -> str:
    """Digits as the record has them (7.10 stays 7.10), without exponents; "" for what no chart can mean."""
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > 18:
            return "0" if value == 0 else ""
        return format(value, "f")
    return str(value) if -(10**18) < value < 10**18 else ""


def number(value: object) -> Decimal | None:
    """A JSON number, or a string that is plainly one ("12", "7.5"), as Decimal with at most 6 decimals."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        stripped = value.strip()
        value = Decimal(stripped) if _NUMBER.match(stripped) else None
    elif isinstance(value, int):
        value = Decimal(value) if -(10**12) < value < 10**12 else None
    if not isinstance(value, Decimal) or not value.is_finite():
        return None
    try:
        return value.quantize(_STEP) if abs(value) < _LARGEST else None
    except InvalidOperation:
        return None


def node(value: object) -> Body:
    """An object; the first object of a list; {} otherwise."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return next((each for each in value if isinstance(each, dict)), {})
    return {}


def items(value: object) -> list[Any]:
    """A list without nulls; anything else as a list of one."""
    if value is None:
        return []
    if isinstance(value, list):
        return [each for each in value if each is not None]
    return [value]


def nodes(value: object) -> list[Body]:
    """The objects of a list, or a lone object as a list of one."""
    return [each for each in items(value) if isinstance(each, dict)]


def texts(value: object) -> list[str]:
    """The texts of a list of strings, or of a lone string."""
    return [found for each in items(value) if (found := text(each))]


def joined(parts: Iterator[str] | list[str] | tuple[str, ...], separator: str = ", ") -> str:
    """The parts that are not empty, each once, in order."""
    return separator.join(dict.fromkeys(filter(None, parts)))


def words_of(value: object) -> str:
    """A CodeableConcept, Coding or string in words: its text, else the first display, else a code."""
    found = text(value)
    if found:
        return found
    concept = node(value)
    codings = nodes(concept.get("coding"))
    return (
        text(concept.get("text"))
        or next((found for each in codings if (found := text(each.get("display")))), "")
        or text(concept.get("display"))
        or next((found for each in codings if (found := text(each.get("code")))), "")
        or text(concept.get("code"))
        or next(iter(texts(concept.get("coding"))), "")
    )


def named(value: object) -> str:
    """A CodeableConcept for a title: its words; a code without words says that it is one."""
    found = words_of(value)
    bare = found in {each.code for each in codings(value)} and found != text(node(value).get("text"))
    return f"Code {found} (no words in the record)" if found and bare and not text(value) else found


def codings(value: object) -> tuple[Coding, ...]:
    """The codings of a CodeableConcept; a lone Coding, or a list of code strings, counts too."""
    concept = node(value)
    found = [_coding(each) for each in items(concept.get("coding"))]
    if "coding" not in concept:
        found.append(_coding(concept))
    return tuple(each for each in found if each.code or each.display)


def _coding(value: object) -> Coding:
    coding = node(value)
    return Coding(
        system=text(coding.get("system")),
        code=text(value) or text(coding.get("code")),
        display=text(coding.get("display")),
    )


def best_coding(found: tuple[Coding, ...], *vocabularies: str) -> Coding:
    """The first coding of the earliest vocabulary named, else the first with a code, else an empty one."""
    for vocabulary in vocabularies:
        for coding in found:
            if coding.vocabulary == vocabulary and coding.code:
                return coding
    return next((coding for coding in found if coding.code), Coding())


def all_words_of(value: object) -> str:
    """The words of a list of CodeableConcepts, comma-separated."""
    return joined([words_of(each) for each in items(value)])


def keywords(value: object) -> set[str]:
    """The codes and words of a status-like CodeableConcept or code, in the form "entered-in-error"."""
    raw = [text(value), text(node(value).get("text"))]
    for coding in codings(value):
        raw += [coding.code, coding.display]
    return {_keyword(each) for each in raw if each}


def keyword(value: object) -> str:
    """The first code of a status-like CodeableConcept, else its words, in the form "entered-in-error"."""
    return _keyword(status_words(value))


def status_words(value: object) -> str:
    """The record's own word for a status, in lower case: the first code of a concept, else its words."""
    return (next((each.code for each in codings(value) if each.code), "") or words_of(value)).lower()


def _keyword(words: str) -> str:
    return "-".join(words.lower().replace("-", " ").split())


def quantity(value: object) -> Quantity:
    """A Quantity (or bare number or string) with its comparator in the text: "<5", "12.50"."""
    if not isinstance(value, dict):
        value = {"value": value} if not isinstance(value, list) else node(value)
    stated = value.get("value")
    words = text(stated)
    unit = text(value.get("unit")) or text(value.get("code"))
    comparator = text(value.get("comparator"))
    return Quantity(
        value=None if comparator else number(stated),
        text=f"{comparator}{words}" if words else "",
        unit="" if unit in {"1", "{score}", "{Score}"} else unit,
    )


def quantity_words(value: object) -> str:
    """A Quantity as read aloud: "50 mg"."""
    read = quantity(value)
    return f"{read.text} {read.unit}".strip() if read.text else ""


def range_words(value: object) -> str:
    """A Range (R4 2.24.0.11) as "1 – 2 tablets"."""
    low, high = quantity(node(value).get("low")), quantity(node(value).get("high"))
    if low.text and high.text:
        return f"{low.text} – {high.text} {high.unit or low.unit}".strip()
    if low.text:
        return f"at least {low.text} {low.unit}".strip()
    return f"up to {high.text} {high.unit}".strip() if high.text else ""


def reference(value: object) -> Reference:
    """A Reference (or its bare string): relative, absolute, versioned, or contained ("#id")."""
    target = text(value) or text(node(value).get("reference"))
    display = text(node(value).get("display"))
    if target.startswith("#"):
        return Reference(contained=target[1:], display=display)
    found = _REFERENCE.match(target)
    if found is None:
        return Reference(display=display)
    return Reference(base=found["base"] or "", type=found["type"], id=found["id"], display=display)


def own_id(value: object, resource_type: str, practice_code: str) -> str:
    """The id of the resource of that type to which a reference points; "" when it is another practice's.

    eCW writes references on another host (http://fhir4.eclinicalworks.com/fhir/r4/<CODE>/…), so the host says
    nothing; a practice code other than ours says that the id is not ours.
    """
    target = reference(value)
    end = target.base.rpartition("/")[2]
    foreign = _PRACTICE_CODE.fullmatch(end) and end != practice_code
    return target.id if target.type == resource_type and not foreign else ""


def absent_reason(body: Body, element: str) -> str:
    """Why an element has no value, by the data-absent-reason extension on it: "not-performed", "unknown"."""
    for holder in (body.get(f"_{element}"), body.get(element)):
        for extension in items(node(holder).get("extension")):
            if text(node(extension).get("url")) == _ABSENT:
                return text(node(extension).get("valueCode"))
    return ""


def displays(value: object) -> str:
    """The displays of a list of References."""
    return joined([reference(each).display for each in items(value)])


def contained(body: Body, wanted: str) -> Body:
    """The contained resource of that id; {} when there is none."""
    for each in nodes(body.get("contained")):
        if text(each.get("id")).removeprefix("#") == wanted:
            return each
    return {}


def notes_of(body: Body) -> str:
    """The Annotations (or bare strings) of `note`."""
    return joined([text(each) or text(node(each).get("text")) for each in items(body.get("note"))], " · ")


def has_unknown_modifier(body: Body) -> bool:
    """Whether a modifierExtension may change this resource's meaning (FHIR 2.5.1.3); we know none."""
    return bool(items(body.get("modifierExtension")))
