"""A reference without a display shows the name of the practice's own record."""

import json

import pytest
from django.utils import timezone

from emr.models import Practice, Resource
from patients.models import Entry
from patients.projection import rebuild
from patients.projection.names import name_of

NAMES = [
    ("a person", {"name": [{"family": "Okonkwo", "given": ["Adaeze", "N"], "suffix": ["MD"]}]}, "Okonkwo, Adaeze N MD"),
    ("its text first", {"name": [{"text": "Dr. A. Okonkwo", "family": "Okonkwo"}]}, "Dr. A. Okonkwo"),
    ("the official one", {"name": [{"use": "old", "family": "Ray"}, {"use": "official", "family": "Roy"}]}, "Roy"),
    ("a place", {"name": "Headache Center"}, "Headache Center"),
    ("an object for a list", {"name": {"family": "Solo"}}, "Solo"),
    ("no name", {"id": "x"}, ""),
]


@pytest.mark.parametrize(("body", "said"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_the_name_of_a_person_or_place(body: dict[str, object], said: str) -> None:
    assert name_of(body) == said


def keep(practice: Practice, body: dict[str, object], patient: str = "p1") -> None:
    now = timezone.now()
    Resource.objects.create(
        practice=practice, resource_type=body["resourceType"], fhir_id=body["id"], patient_fhir_id=patient,
        body=json.dumps(body), content_hash="0", query="q", first_seen_at=now, changed_at=now,
    )  # fmt: skip


ORDERS = [
    ("no display", {"reference": "Practitioner/d1"}, "Okonkwo, Adaeze MD"),
    ("its own display", {"reference": "Practitioner/d1", "display": "As written"}, "As written"),
    ("not on file", {"reference": "Practitioner/d9"}, None),
    ("another practice's", {"reference": "https://x.example/fhir/r4/ZZZZZZ/Practitioner/d1"}, None),
]


@pytest.mark.parametrize(("requester", "said"), [row[1:] for row in ORDERS], ids=[row[0] for row in ORDERS])
def test_who_prescribed(
    practice_a: Practice, practice_b: Practice, requester: dict[str, str], said: str | None
) -> None:
    doctor = {"resourceType": "Practitioner", "id": "d1"}
    keep(practice_a, doctor | {"name": [{"family": "Okonkwo", "given": ["Adaeze"], "suffix": ["MD"]}]}, "")
    keep(practice_b, {"resourceType": "Practitioner", "id": "d9", "name": [{"family": "Elsewhere"}]}, "")
    order = {"resourceType": "MedicationRequest", "id": "o1", "medicationCodeableConcept": {"text": "topiramate"}}
    keep(practice_a, order | {"requester": requester})
    rebuild(practice_a.pk, "p1")
    assert Entry.objects.get(kind="treatment").detail.get("prescriber") == said
