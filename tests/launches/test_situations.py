"""Every situation is named rightly, by the doctor before anybody signs in, by the callback, and on the consent."""

import json

import pytest

from emr import catalogue
from emr.models import AuditEvent, Enrolment, Grant, PatientInvitation
from tests.launches.place import Place
from tests.launches.situations import (
    ANSWERS,
    GRANTED,
    PAGES,
    REFRESHES,
    Answer,
    Page,
    Refresh,
    answer_code,
    closed_codes,
    page_code,
    refresh_outcomes,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


@pytest.mark.parametrize("page", [pytest.param(one, id=one.name) for one in PAGES])
def test_the_doctor_names_what_the_sign_in_page_says(place: Place, page: Page) -> None:
    assert page_code(place, page) == page.code


@pytest.mark.parametrize("situation", [pytest.param(one, id=one.name) for one in ANSWERS])
def test_the_callback_names_what_came(place: Place, situation: Answer) -> None:
    code = answer_code(place, situation)
    assert code == situation.code
    invitation = PatientInvitation.objects.get()
    if code == GRANTED:
        assert Grant.objects.get().state == "active"
        assert invitation.state == "used"
        return
    assert catalogue.explain(code).title != catalogue.explain("UNKNOWN").title
    assert not Grant.objects.exists()
    assert not Enrolment.objects.exists()
    assert invitation.state == "open"
    (told,) = AuditEvent.objects.filter(action="launch-refused").values_list("detail", flat=True)
    assert told.startswith(code)


@pytest.mark.parametrize("situation", [pytest.param(one, id=one.name) for one in REFRESHES])
def test_the_consent_says_what_became_of_it(place: Place, situation: Refresh) -> None:
    outcomes, grant = refresh_outcomes(place, situation)
    assert outcomes == situation.outcomes
    assert (grant.state, grant.reason_code) == (situation.state, situation.reason)
    assert grant.refresh_started_at is None
    # Tokens go with the consent, and with nothing else.
    assert bool(grant.refresh_token) is (grant.state == "active")
    (held,) = place.grants()
    if grant.state == "active":
        assert held["in_force"] is True
        assert held["refreshes"] == sum(not outcome for outcome in outcomes)


def test_what_our_own_side_closes_has_names_of_its_own(place: Place) -> None:
    wanted = ["LAUNCH_USED", "LAUNCH_EXPIRED", "LAUNCH_OTHER_ADDRESS", "LAUNCH_OTHER_BROWSER"]
    assert closed_codes(place) == wanted
    details = AuditEvent.objects.filter(action="launch-refused").order_by("at").values_list("detail", flat=True)
    assert [detail.split()[0] for detail in details] == wanted


def test_every_listed_code_of_an_answer_has_a_situation() -> None:
    """Whatever the catalogue can recognise at authorize, code and refresh is made by the sandbox."""
    for at, made in (
        ("authorize", {*(one.code for one in PAGES), *(one.code for one in ANSWERS)}),
        ("code", {one.code for one in ANSWERS}),
        ("refresh", {code for one in REFRESHES for code in one.outcomes}),
    ):
        signed = {entry.code for entry in catalogue.entries() if any(at in sign.at for sign in entry.signs)}
        unlisted = {entry.code for entry in catalogue.entries() if at in entry.fallback}
        assert signed | unlisted <= made, at


def test_names_are_told_apart() -> None:
    for table in (PAGES, ANSWERS, REFRESHES):
        names = [one.name for one in table]
        assert len(set(names)) == len(names)


def test_nothing_secret_is_in_what_is_kept(place: Place) -> None:
    """State, code, verifier, tokens and the invitation's link are in no audit row and in no column as they are."""
    invitation, link = place.invite()
    answer = place.come_back(invitation)
    refused = Answer("by order", "TOK_CODE_INVALID")
    assert answer_code(place, refused) == GRANTED
    kept = json.dumps([list(map(str, row)) for row in AuditEvent.objects.values_list()])
    for value in (answer["state"], answer["code"], link):
        assert value not in kept
