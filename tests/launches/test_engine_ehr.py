"""A launch from inside the EMR: the server is known, the clinician is who we were told, the patient is pulled."""

from typing import Any

import pytest
from django.http import QueryDict

from emr import launches
from emr.launches import LaunchRefused
from emr.models import AuditEvent, Connection, Enrolment, FhirUser, Grant, Launch, User
from tests.launches import signing_in
from tests.launches.apps import BROWSER, REDIRECT
from tests.launches.place import Place, finish, fresh

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


def launched(ehr: Place, user: User | None, number: int = 0, **options: Any) -> QueryDict:
    """The EMR opens us for a chart, and the browser has been to its authorization server."""
    begun = signing_in.ehr_launch(ehr.control_url, ehr.people()[number]["id"], **options)
    connection = launches.connection_of_server(begun["iss"])
    assert connection == ehr.connection
    address = launches.begin_ehr(connection, begun["launch"], user=user, browser_key=BROWSER)
    location = signing_in.sign_in(address, username=begun["username"])
    assert location.partition("?")[0] == REDIRECT
    return QueryDict(location.partition("?")[2])


def fhir_user(ehr: Place) -> str:
    accounts = signing_in.control(ehr.control_url, "accounts")["accounts"]
    username = signing_in.ehr_launch(ehr.control_url, ehr.people()[0]["id"])["username"]
    return next(str(one["fhir_user"]) for one in accounts if one["username"] == username)


def test_a_clinician_who_is_signed_in_lands_on_the_patient(ehr: Place, alice: User) -> None:
    finished = finish(launched(ehr, alice))
    grant = fresh(finished.grant)
    assert (finished.user, finished.held) == (alice, False)
    assert (grant.user, grant.state, grant.patient_fhir_id) == (alice, "active", ehr.people()[0]["id"])
    assert grant.fhir_user == fhir_user(ehr)
    enrolment = Enrolment.objects.get()
    assert (enrolment.known_by, enrolment.asked_at is not None) == ("launch", True)
    assert AuditEvent.objects.get(action="consent").user == alice
    launch = Launch.objects.get()
    assert (launch.launch_context, launch.code_verifier, launch.outcome_code) == ("", "", "GRANTED")


@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])
def test_a_sign_in_of_the_emr_stands_for_whom_an_admin_said(ehr: Place, alice: User, absolute: bool) -> None:
    named = fhir_user(ehr)
    FhirUser.objects.create(
        connection=ehr.connection, user=alice, fhir_user=f"{ehr.connection.base_url}/{named}" if absolute else named
    )
    assert finish(launched(ehr, None)).user == alice


def refused(answer: QueryDict) -> str:
    with pytest.raises(LaunchRefused) as met:
        finish(answer)
    assert not Grant.objects.exists()
    assert not Enrolment.objects.exists()
    return met.value.code


def test_a_sign_in_that_stands_for_nobody_is_refused(ehr: Place) -> None:
    assert refused(launched(ehr, None)) == "LAUNCH_UNKNOWN_USER"


def test_whoever_is_signed_in_here_must_be_the_one_in_the_emr(ehr: Place, alice: User, bob: User) -> None:
    FhirUser.objects.create(connection=ehr.connection, user=alice, fhir_user=fhir_user(ehr))
    assert refused(launched(ehr, bob)) == "LAUNCH_OTHER_USER"


def test_a_sign_in_of_somebody_who_left_is_refused(ehr: Place, alice: User, charlie: User) -> None:
    row = FhirUser.objects.create(connection=ehr.connection, user=charlie, fhir_user=fhir_user(ehr))
    assert refused(launched(ehr, None)) == "LAUNCH_NOT_A_MEMBER"
    row.user = alice
    row.save()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert refused(launched(ehr, None)) == "LAUNCH_NOT_A_MEMBER"


def test_a_member_of_another_practice_cannot_begin(ehr: Place, charlie: User) -> None:
    with pytest.raises(LaunchRefused, match="LAUNCH_NOT_A_MEMBER"):
        launches.begin_ehr(ehr.connection, "context", user=charlie, browser_key=BROWSER)
    assert not Launch.objects.exists()


def test_a_launch_without_a_context_is_refused(ehr: Place, alice: User) -> None:
    with pytest.raises(LaunchRefused, match="LAUNCH_UNKNOWN_SERVER"):
        launches.begin_ehr(ehr.connection, "", user=alice, browser_key=BROWSER)


def test_a_launch_context_of_nobody_is_refused_by_the_emr(ehr: Place, alice: User) -> None:
    address = launches.begin_ehr(ehr.connection, "made-up", user=alice, browser_key=BROWSER)
    try:
        location = signing_in.sign_in(address, username=signing_in.clinician(ehr.control_url))
    except signing_in.Stuck:
        return
    with pytest.raises(LaunchRefused):
        finish(QueryDict(location.partition("?")[2]))


def test_a_second_launch_replaces_the_first(ehr: Place, alice: User, bob: User) -> None:
    first, second = finish(launched(ehr, alice)).grant, finish(launched(ehr, alice)).grant
    other = finish(launched(ehr, bob)).grant
    assert [fresh(one).state for one in (first, second, other)] == ["revoked", "active", "active"]
    assert Enrolment.objects.count() == 1


def test_a_patient_whom_another_connection_pulls_is_not_enrolled_twice(ehr: Place, alice: User) -> None:
    registration = ehr.connection.registration
    registration.pk, registration.name, registration.app_type = None, "Backend", "backend-single"
    registration.id = type(ehr.connection)().id
    registration.save(force_insert=True)
    backend = Connection.objects.create(
        practice=ehr.connection.practice, registration=registration, base_url=ehr.connection.base_url, state="active"
    )
    Enrolment.objects.create(connection=backend, patient_fhir_id=ehr.people()[0]["id"], known_by="list")
    ehr.connection.refresh_from_db()
    assert finish(launched(ehr, alice)).grant.state == "active"
    assert Enrolment.objects.get().connection == backend


def test_without_an_identity_nobody_is_signed_in(ehr: Place, alice: User) -> None:
    FhirUser.objects.create(connection=ehr.connection, user=alice, fhir_user=fhir_user(ehr))
    answer = launched(ehr, None)
    ehr.order("altered-json", path="/token", remove=["id_token"])
    assert refused(answer) == "LAUNCH_UNKNOWN_USER"


SERVERS = [
    ("another host", lambda base: base.replace("127.0.0.1", "localhost")),
    ("another practice", lambda base: base.replace("AAAAAA", "BBBBBB")),
    ("another scheme", lambda base: base.replace("http:", "https:")),
    ("below the base", lambda base: f"{base}/Patient"),
    ("above the base", lambda base: base.rpartition("/")[0]),
    ("a path that climbs", lambda base: f"{base}/../BBBBBB"),
    ("somebody's name before the host", lambda base: base.replace("//", "//user@")),
    ("the base as somebody's query", lambda base: f"https://evil.example/?{base}"),
    ("a beginning of the base", lambda base: f"{base}A"),
    ("small letters", lambda base: base.replace("AAAAAA", "aaaaaa")),
    ("nothing", lambda base: ""),
    ("no URL", lambda base: "javascript:alert(1)"),
]


@pytest.mark.parametrize("other", [row[1] for row in SERVERS], ids=[row[0] for row in SERVERS])
def test_a_server_nobody_knows_is_never_asked(ehr: Place, other: Any) -> None:
    with pytest.raises(LaunchRefused, match="LAUNCH_UNKNOWN_SERVER"):
        launches.connection_of_server(other(ehr.connection.base_url))
    assert AuditEvent.objects.filter(action="launch-refused").count() == 1
    assert ehr.seen()["by_kind"] == {}


@pytest.mark.parametrize("same", [lambda base: base, lambda base: base + "/"], ids=["exactly", "with a slash"])
def test_a_known_server_is_known(ehr: Place, same: Any) -> None:
    assert launches.connection_of_server(same(ehr.connection.base_url)) == ehr.connection


def test_a_server_is_known_for_ehr_launches_alone(place: Place) -> None:
    with pytest.raises(LaunchRefused, match="LAUNCH_UNKNOWN_SERVER"):
        launches.connection_of_server(place.connection.base_url)
