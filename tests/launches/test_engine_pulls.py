"""Pulls with a person's token: what was granted is pulled, what was not says so, and no consent is a state."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emr import grants, refreshing, schedule
from emr.models import Connection, Enrolment, Grant, Resource, TypeOutcome, User, WorkItem
from emr.pulling import asking
from tests.launches import signing_in
from tests.launches.place import Place, finish, fresh
from tests.pulls.conftest import work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


def outcomes() -> dict[str, str]:
    """Of every type, with those that are read by reference alone."""
    return dict(TypeOutcome.objects.values_list("resource_type", "outcome"))


def test_a_consent_fills_the_history(place: Place) -> None:
    grant = place.granted().grant
    waiting = schedule.open_pulls(), WorkItem.objects.get()
    assert waiting[1].rank == WorkItem.Rank.ASKED
    work(place.connection)
    assert Resource.objects.filter(patient_fhir_id=grant.patient_fhir_id, resource_type="Condition").exists()
    told = outcomes()
    assert {told[kind] for kind in ("Patient", "Condition", "Encounter", "MedicationRequest")} == {"complete"}
    # Not among the registration's scopes.
    assert told["Procedure"] == "not-permitted"
    assert fresh(grant).last_used_at is not None


def test_what_was_unticked_is_not_permitted(place: Place) -> None:
    invitation, _ = place.invite()
    finish(place.come_back(invitation, without=["patient/Condition.read"]))
    work(place.connection)
    assert (outcomes()["Condition"], outcomes()["Encounter"]) == ("not-permitted", "complete")
    assert not Resource.objects.filter(resource_type="Condition").exists()


def test_a_held_consent_is_not_pulled_with(place: Place) -> None:
    held = place.granted(family="Else").grant
    Enrolment.objects.create(
        connection=place.connection, patient_fhir_id=held.patient_fhir_id, known_by="list", due_at=timezone.now()
    )
    Connection.objects.update(state="active")
    before = place.seen()["by_kind"]
    work(place.connection)
    assert set(outcomes().values()) == {"not-fetched"}
    assert set(TypeOutcome.objects.values_list("reason", flat=True)) == {"needs consent"}
    assert place.seen()["by_kind"] == before, "nothing was asked"
    assert not Resource.objects.exists()


def test_each_patient_is_read_with_their_own_consent(place: Place) -> None:
    place.granted(0)
    place.granted(1)
    Grant.objects.filter(patient_fhir_id=place.people()[1]["id"]).update(state="needs-consent")
    work(place.connection)
    first, second = (person["id"] for person in place.people())
    of = {
        one: set(TypeOutcome.objects.filter(enrolment__patient_fhir_id=one).values_list("outcome", flat=True))
        for one in (first, second)
    }
    assert "complete" in of[first]
    assert of[second] == {"not-fetched"}
    assert Connection.objects.get().state == "active"


def test_a_consent_withdrawn_is_no_error_of_the_connection(place: Place) -> None:
    place.granted()
    work(place.connection)
    kept = Resource.objects.count()
    dated = dict(TypeOutcome.objects.values_list("resource_type", "confirmed_at"))
    signing_in.control(place.control_url, "grants", method="DELETE")
    asking.request_pull(place.connection, "again")
    work(place.connection)
    connection = Connection.objects.get()
    assert (connection.state, connection.reason_code) == ("active", "")
    assert (Grant.objects.get().state, Grant.objects.get().access_token) == ("needs-consent", "")
    told = TypeOutcome.objects.get(resource_type="Condition")
    assert (told.outcome, told.reason, told.confirmed_at) == ("not-fetched", "needs consent", dated["Condition"])
    assert Resource.objects.count() == kept
    assert WorkItem.objects.filter(state="queued").count() == 0


def test_a_token_refused_before_its_end_is_renewed_and_the_pull_goes_on(place: Place) -> None:
    grant = place.granted().grant
    place.order("status", status=401, path="/Condition")
    work(place.connection)
    assert fresh(grant).generation == 2
    assert outcomes()["Condition"] == "complete"


def test_a_renewed_token_that_is_refused_too_needs_consent(place: Place) -> None:
    grant = place.granted().grant
    place.order("status", status=401, path="/fhir/r4", times=None)
    work(place.connection)
    assert (fresh(grant).state, fresh(grant).reason_code) == ("needs-consent", "GRANT_REFUSED")
    assert set(outcomes().values()) == {"not-fetched"}
    assert Connection.objects.get().state == "active"


def test_a_token_that_runs_out_midway_is_renewed(place: Place) -> None:
    grant = place.granted().grant
    Grant.objects.update(access_expires_at=timezone.now() + refreshing.MARGIN)
    work(place.connection)
    assert fresh(grant).generation == 2
    assert outcomes()["Condition"] == "complete"


def test_an_outage_of_the_token_endpoint_ends_in_words_and_is_tried_later(place: Place) -> None:
    grant = place.granted().grant
    place.order("status", status=503, path="/token", times=None)
    Grant.objects.update(access_expires_at=None)
    work(place.connection)
    assert set(outcomes().values()) == {"not-fetched"}
    assert set(TypeOutcome.objects.values_list("code", flat=True)) == {"TOK_UNCERTAIN"}
    assert fresh(grant).state == "active"
    signing_in.control(place.control_url, "faults", method="DELETE")
    Grant.objects.update(uncertain_at=timezone.now() - timedelta(hours=1))
    asking.request_pull(place.connection, "again")
    work(place.connection)
    assert outcomes()["Condition"] == "complete"
    assert not fresh(grant).is_uncertain


def test_a_disconnected_patient_is_not_asked_for(place: Place, alice: User) -> None:
    grant = place.granted().grant
    work(place.connection)
    grants.disconnect(grant, alice)
    assert set(TypeOutcome.objects.values_list("reason", flat=True)) == {"needs consent"}
    before: dict[str, Any] = place.seen()["by_kind"]
    asking.request_pull(place.connection, "again")
    work(place.connection)
    assert place.seen()["by_kind"] == before


def test_what_is_read_by_reference_waits_for_the_consent_too(place: Place) -> None:
    """Without the orders nobody knows which medicines they name: nothing is confirmed, and the earlier date stays."""
    registration = place.connection.registration
    registration.scopes += " patient/Medication.read"
    registration.save()
    place.register()
    place.granted()
    work(place.connection)
    medication = TypeOutcome.objects.get(resource_type="Medication")
    assert (medication.outcome, medication.code) == ("complete", "")
    confirmed_at = medication.confirmed_at
    signing_in.control(place.control_url, "grants", method="DELETE")
    asking.request_pull(place.connection, "again")
    work(place.connection)
    medication.refresh_from_db()
    assert (medication.outcome, medication.reason) == ("not-fetched", "needs consent")
    assert medication.code == "TOK_REFRESH_INVALID"
    assert medication.confirmed_at == confirmed_at
