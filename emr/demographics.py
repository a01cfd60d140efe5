"""Who somebody is, read from a FHIR Patient (R4 8.1): names, birth date, numbers. For finding, never for display alone.

Tolerant: what is not as FHIR says it is left out.
"""

import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from emr.models import Resource

# Social security numbers are on file but are nobody's account number (HL7 v2-0203 SS, SB).
_NOT_NUMBERS = {"SS", "SB"}
_SSN = "http://hl7.org/fhir/sid/us-ssn"


@dataclass(frozen=True)
class Person:
    """names: (family, given names …) of each name on file. birth_date: as sent (YYYY-MM-DD, or shorter)."""

    fhir_id: str
    names: tuple[tuple[str, ...], ...]
    birth_date: str
    numbers: tuple[str, ...]

    @property
    def label(self) -> str:
        """FAMILY, Given, of the first name."""
        family, *given = self.names[0] if self.names else ("",)
        return ", ".join(part for part in (family.upper(), " ".join(given)) if part) or "no name on file"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"label": self.label}


@dataclass(frozen=True)
class Sought:
    """Whom a row means. Blank: not said. birth_date: YYYY-MM-DD."""

    fhir_id: str = ""
    account_no: str = ""
    family: str = ""
    given: str = ""
    birth_date: str = ""

    @property
    def has_name(self) -> bool:
        return bool(self.family and self.given and self.birth_date)


def read(patient: dict[str, Any]) -> Person:
    """The person of a Patient resource."""
    return Person(
        fhir_id=_text(patient.get("id")),
        names=tuple(name for name in map(_name, _objects(patient.get("name"))) if any(name)),
        birth_date=_text(patient.get("birthDate")),
        numbers=tuple(dict.fromkeys(filter(None, map(_number, _objects(patient.get("identifier")))))),
    )


def on_file(practice_id: UUID) -> Iterator[Person]:
    """Everybody of whom the practice's EMR has sent a Patient that still stands."""
    rows = Resource.objects.filter(
        practice_id=practice_id, resource_type="Patient", entered_in_error=False, no_longer_sent_at=None
    )
    for body in rows.values_list("body", flat=True).iterator(chunk_size=200):
        yield read(json.loads(body))


class Directory:
    """Finds people among those on file: by FHIR id, by number, or by name and birth date."""

    def __init__(self, people: Iterable[Person]) -> None:
        self._by_id: dict[str, Person] = {}
        self._by_number: dict[str, list[Person]] = {}
        self._by_birth: dict[str, list[Person]] = {}
        for person in people:
            self._by_id[person.fhir_id] = person
            self._by_birth.setdefault(person.birth_date, []).append(person)
            for number in person.numbers:
                self._by_number.setdefault(folded(number), []).append(person)

    def find(self, sought: Sought) -> list[Person]:
        """All who fit everything that is said; nobody when nothing is said that tells people apart."""
        if sought.fhir_id:
            found = [self._by_id[sought.fhir_id]] if sought.fhir_id in self._by_id else []
        elif sought.account_no:
            found = list(self._by_number.get(folded(sought.account_no), []))
        elif sought.has_name:
            found = self._by_birth.get(sought.birth_date, [])
        else:
            found = []
        return [person for person in found if _fits(person, sought)]


def folded(text: str) -> str:
    """Without accents, case and what is no letter or digit: O'Brien and OBRIEN are one name."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(mark for mark in plain if mark.isalnum())


def _fits(person: Person, sought: Sought) -> bool:
    if sought.birth_date and person.birth_date and person.birth_date != sought.birth_date:
        return False
    if not sought.family:
        return True
    family, given = folded(sought.family), folded(sought.given)
    for own, *others in person.names:
        parts = {folded(each) for each in others} | {folded("".join(others))}
        parts |= {folded(word) for each in others for word in each.split()}
        if folded(own) == family and (not given or given in parts):
            return True
    return False


def _name(name: dict[str, Any]) -> tuple[str, ...]:
    given = name.get("given")
    return (_text(name.get("family")), *(_text(each) for each in (given if isinstance(given, list) else [])))


def _number(identifier: dict[str, Any]) -> str:
    kind = identifier.get("type")
    codings = _objects(kind.get("coding")) if isinstance(kind, dict) else []
    if identifier.get("system") == _SSN or any(coding.get("code") in _NOT_NUMBERS for coding in codings):
        return ""
    return _text(identifier.get("value"))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
