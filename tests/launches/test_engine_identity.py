"""Is it the invited person's record? Tolerant of spelling, strict about the birth date; staff decide the rest."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone

from emr import grants, launches
from emr.bearers import NoAccess
from emr.demographics import Person
from emr.models import AuditEvent, Enrolment, Grant, PatientInvitation, TypeOutcome, User
from tests.launches.place import Place, finish, fresh

BORN = date(1984, 3, 17)


def person(*names: tuple[str, ...], born: str = "1984-03-17") -> Person:
    return Person("p1", names or (("García López", "María", "Elena"),), born, ())


FITS = [
    ("the very name", "María Elena", "García López", person()),
    ("without accents", "Maria", "Garcia Lopez", person()),
    ("in capitals", "MARIA ELENA", "GARCIA LOPEZ", person()),
    ("without the middle name", "María", "García López", person()),
    ("with a middle name that is not on file", "Maria Elena", "Garcia Lopez", person(("Garcia Lopez", "Maria"))),
    ("by the middle name", "Elena", "García López", person()),
    ("one of two family names", "María", "García", person()),
    ("a hyphen instead of a blank", "María", "García-López", person()),
    ("family and given names in the other order", "García López", "María", person()),
    ("an apostrophe more", "Sean", "O'Brien", person(("OBrien", "Sean"))),
    ("written apart", "Ann", "Mc Kinnon", person(("McKinnon", "Ann"))),
    ("another of the names on file", "Keisha", "Jefferson", person(("BAPTISTE", "KEISHA"), ("JEFFERSON", "KEISHA"))),
    ("all given names in one", "Mary Ann", "Lee", person(("Lee", "Maryann"))),
]
FITS_NOT = [
    ("another given name", "Ana", "García López", person(), "name"),
    ("another family name", "María", "Pérez", person(), "name"),
    ("a namesake born on another day", "María", "García López", person(born="1984-03-18"), "birth date"),
    ("day and month turned", "María", "García López", person(born="1984-17-03"), "birth date"),
    ("a birth date that is a year alone", "María", "García López", person(born="1984"), "birth date"),
    ("no birth date", "María", "García López", person(born=""), "birth date"),
    ("nothing fits", "John", "Smith", person(born="1950-01-01"), "name and birth date"),
    ("no name on file", "María", "García López", Person("p1", (), "1984-03-17", ()), "name"),
    ("a family name alone on file", "María", "García", person(("García",)), "name"),
    ("a beginning of the name", "Mar", "García", person(), "name"),
    ("a brother", "Mario", "García López", person(), "name"),
]


@pytest.mark.parametrize(("given", "family", "found"), [row[1:] for row in FITS], ids=[row[0] for row in FITS])
def test_a_name_fits(given: str, family: str, found: Person) -> None:
    assert launches.mismatch(found, given=given, family=family, birth_date=BORN) == ""


@pytest.mark.parametrize(
    ("given", "family", "found", "wrong"), [row[1:] for row in FITS_NOT], ids=[row[0] for row in FITS_NOT]
)
def test_a_name_or_birth_date_does_not_fit(given: str, family: str, found: Person, wrong: str) -> None:
    assert launches.mismatch(found, given=given, family=family, birth_date=BORN) == wrong


pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

OTHERS: list[tuple[str, dict[str, Any], str]] = [
    ("another name", {"given": "Somebody", "family": "Else"}, "name"),
    ("another birth date", {"birth_date": date(1950, 1, 1)}, "birth date"),
    ("another record of a namesake", {"patient_fhir_id": "another-record"}, "record"),
]


@pytest.mark.parametrize(("changed", "told"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS])
def test_another_persons_record_waits_for_staff(place: Place, changed: dict[str, Any], told: str) -> None:
    finished = place.granted(**changed)
    grant = fresh(finished.grant)
    assert finished.held is True
    assert (grant.state, grant.reason_code, grant.reason_detail) == ("held", "GRANT_IDENTITY", told)
    assert grant.returned["birth_date"] == place.people()[0]["birth_date"]
    assert grant.returned["label"]
    assert not Enrolment.objects.exists()
    with pytest.raises(NoAccess), place.door() as door:
        grants.access(grant, door)


def test_staff_accept_a_record(place: Place, alice: User) -> None:
    grant = place.granted(family="Else").grant
    assert launches.decide(grant, by=alice, accept=True) is True
    assert launches.decide(grant, by=alice, accept=True) is False
    assert launches.decide(grant, by=alice, accept=False) is False
    assert (fresh(grant).state, fresh(grant).returned) == ("active", {})
    assert Enrolment.objects.get().patient_fhir_id == grant.patient_fhir_id
    event = AuditEvent.objects.filter(action="consent").latest("at")
    assert (event.user, event.detail, event.object_id) == (alice, "accepted", grant.pk)


def test_staff_decline_a_record(place: Place, alice: User) -> None:
    grant = place.granted(family="Else").grant
    assert launches.decide(grant, by=alice, accept=False) is True
    row = fresh(grant)
    assert (row.state, row.reason_code, row.returned) == ("revoked", "GRANT_DECLINED", {})
    assert (row.access_token, row.refresh_token) == ("", "")
    assert not Enrolment.objects.exists()
    assert [one["in_force"] for one in place.grants()] == [False]


def test_a_record_that_cannot_be_read_yet_is_read_later(place: Place, published: list[Any]) -> None:
    invitation, _ = place.invite()
    answer = place.come_back(invitation)
    place.order("status", status=503, path="/Patient/")
    finished = finish(answer)
    assert finished.held is True
    assert finished.grant.reason_code == "GRANT_IDENTITY_UNREAD"
    assert finished.grant.reason_detail == "not read yet: FHIR_5XX"
    assert grants.refresh_due() == []
    Grant.objects.update(last_used_at=timezone.now() - timedelta(minutes=5))
    assert grants.refresh_due() == [finished.grant.pk]
    grants.keep(finished.grant.pk)
    assert fresh(finished.grant).state == "active"
    assert Enrolment.objects.count() == 1
    assert grants.refresh_due() == []


def test_a_token_refused_at_once_is_renewed_before_the_next_look(place: Place) -> None:
    invitation, _ = place.invite()
    answer = place.come_back(invitation)
    place.order("status", status=401, path="/Patient/")
    grant = finish(answer).grant
    assert grant.reason_detail == "not read yet: FHIR_401"
    Grant.objects.update(last_used_at=timezone.now() - timedelta(minutes=5))
    grants.keep(grant.pk)
    assert (fresh(grant).state, fresh(grant).generation) == ("active", 2)


def test_a_held_consent_that_ends_is_over_for_good(place: Place) -> None:
    """Nobody knows whose it was, so there is nobody to ask again; and it must not stand beside a good one."""
    grant = place.granted(family="Else").grant
    good = place.granted().grant
    Grant.objects.filter(pk=grant.pk).update(reason_code="GRANT_IDENTITY_UNREAD", access_expires_at=None)
    place.order("altered-json", path="/token", remove=["access_token"], times=1)
    place.order("status", status=400, path="/token", body='{"error": "invalid_grant"}', times=None)
    with place.door() as door:
        assert launches.identify(fresh(grant), door).state in {"held", "revoked"}
        launches.identify(fresh(grant), door)
    assert (fresh(grant).state, fresh(good).state) == ("revoked", "active")


def test_a_new_consent_replaces_the_one_before(place: Place) -> None:
    first, second = place.granted().grant, place.granted().grant
    assert (fresh(first).state, fresh(first).reason_code) == ("revoked", "GRANT_REPLACED")
    assert (fresh(first).access_token, fresh(first).refresh_token) == ("", "")
    assert fresh(second).state == "active"
    assert Enrolment.objects.count() == 1


def test_a_held_consent_leaves_the_one_before_alone(place: Place) -> None:
    first = place.granted().grant
    held = place.granted(family="Else").grant
    assert (fresh(first).state, fresh(held).state) == ("active", "held")
    assert TypeOutcome.objects.count() == 0
    assert PatientInvitation.objects.filter(used_at=None).count() == 0
