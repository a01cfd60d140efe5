"""What a practice says an unknown medication text means reaches its histories at the next rebuild."""

import pytest

from emr.models import Practice, User
from patients.bindings import normalised
from patients.models import DrugBinding, Entry
from patients.projection import rebuild
from tests.projection.bodies import PATIENT, put

pytestmark = pytest.mark.django_db

TEXT = "HA cocktail #3 (see scanned Rx)"


def order(practice: Practice) -> None:
    put(practice, {"resourceType": "Patient", "id": PATIENT})
    put(
        practice,
        {
            "resourceType": "MedicationRequest", "id": "m1", "status": "active", "intent": "order",
            "subject": {"reference": f"Patient/{PATIENT}"}, "medicationCodeableConcept": {"text": TEXT},
        },
    )  # fmt: skip


def bind(practice: Practice, user: User, *ingredients: str) -> None:
    DrugBinding.objects.create(
        practice=practice, text=normalised(TEXT), ingredients=list(ingredients), entered_by=user, written=TEXT
    )


def treatment(practice: Practice) -> Entry:
    rebuild(practice.pk, PATIENT)
    return Entry.objects.get(kind="treatment", practice=practice)


def test_an_unbound_text_is_unclassified(practice_a: Practice) -> None:
    order(practice_a)
    assert treatment(practice_a).detail["unclassified"] is True


def test_a_bound_text_is_classified_and_says_by_whom(practice_a: Practice, practice_b: Practice, alice: User) -> None:
    order(practice_a)
    order(practice_b)
    bind(practice_a, alice, "sumatriptan")
    found = treatment(practice_a)
    assert (found.group, found.role, found.title) == ("triptan", "acute", TEXT)
    assert found.detail["confidence"] == "practice"
    assert not found.detail.get("unclassified")
    assert treatment(practice_b).detail["unclassified"] is True


def test_a_text_said_to_be_no_drug_of_the_table_is_left_in_peace(practice_a: Practice, alice: User) -> None:
    order(practice_a)
    bind(practice_a, alice)
    found = treatment(practice_a)
    assert found.group == ""
    assert not found.detail.get("unclassified")
