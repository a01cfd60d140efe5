"""The pages of launches and consents: what patients see, what staff see, who sees nothing, and what is written down."""

import json
import logging
import re
from datetime import date, timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from emr import catalogue, launches, qr
from emr.launches import browser as launch_browser
from emr.launches import words as launch_words
from emr.launches.links import address_of
from emr.models import (
    AuditEvent,
    ClientRegistration,
    Connection,
    Enrolment,
    FhirUser,
    Grant,
    Launch,
    Membership,
    PatientInvitation,
    Practice,
    Resource,
    User,
)
from tests.conftest import member, signed_in
from tests.launches import signing_in
from tests.launches.place import Place
from tests.pages import charts

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

SITE = "https://app.example.org"
CANARY = "Zyxwcanary"
PERSON: dict[str, Any] = {"given": "Ada", "family": CANARY, "birth_date": date(1989, 3, 7)}


def path_of(token: str) -> str:
    return address_of(token).removeprefix(SITE)


@pytest.fixture
def app(practice_a: Practice, settings: Any) -> Connection:
    """A patient app's connection; nothing is asked of its server."""
    settings.PUBLIC_URL = SITE
    return connection(practice_a)


def connection(practice: Practice, app_type: str = "patient") -> Connection:
    registration = ClientRegistration.objects.create(
        name=f"{app_type} app", client_id=f"a-{app_type}-client-{practice.code}", app_type=app_type,
        redirect_uris=f"{SITE}/emr/callback",
        scopes="launch/patient openid fhirUser offline_access patient/Condition.read patient/Observation.read",
        data_use={"purpose": "To show your headache history to those who treat you."},
    )  # fmt: skip
    return Connection.objects.create(
        practice=practice, registration=registration, state=Connection.State.ACTIVE,
        base_url=f"https://fhir.example.org/fhir/r4/{practice.code}",
    )  # fmt: skip


def invited(app: Connection, **more: Any) -> tuple[PatientInvitation, str]:
    return launches.invite(app.practice, app, None, **(PERSON | more))


def grant(app: Connection, **more: Any) -> Grant:
    now = timezone.now()
    columns = {
        "patient_fhir_id": "p1", "requested_scope": app.registration.scopes, "scope": "patient/Condition.read",
        "consent_ends_at": now + timedelta(days=60), "access_token": "a-secret", "refresh_token": "another-secret",
    }  # fmt: skip
    return Grant.objects.create(connection=app, **(columns | more))


def text_of(answer: Any) -> str:
    return unescape(re.sub(r"\s+", " ", answer.content.decode()))


# --- the patient ---


def test_the_invitation_says_what_is_read_by_whom_and_for_how_long(app: Connection) -> None:
    _, token = invited(app)
    answer = Client().get(path_of(token))
    page = text_of(answer)
    assert answer.status_code == 200
    for words in (
        "Alder Headache Clinic", "Your health problems and diagnoses", "Your test results and measures",
        "For up to 90 days", "remove HeadacheMD", "What is the data used for?", "To show your headache history",
        "Continue to healow sign-in",
    ):  # fmt: skip
        assert words in page
    assert "Your medicines" not in page  # not asked for
    assert CANARY not in page
    assert "1989" not in page
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert not answer.cookies.keys() - {"headachemd_csrf"}
    assert not Launch.objects.exists()


LANGUAGES = [
    ("as staff chose", "es", {}, {}, "es"),
    ("as chosen on the page", "es", {"lang": "en"}, {}, "en"),
    ("as chosen before", "en", {}, {launch_browser.LANGUAGE_COOKIE: "es"}, "es"),
    ("a language we do not have", "es", {"lang": "fr"}, {}, "es"),
    ("something else altogether", "en", {"lang": '"><script>'}, {}, "en"),
]


@pytest.mark.parametrize(
    ("invited_in", "query", "cookies", "shown"), [row[1:] for row in LANGUAGES], ids=[row[0] for row in LANGUAGES]
)
def test_the_page_speaks_the_patients_language(
    app: Connection, invited_in: str, query: dict[str, str], cookies: dict[str, str], shown: str
) -> None:
    _, token = invited(app, language=invited_in)
    client = Client()
    client.cookies.load(cookies)
    page = text_of(client.get(path_of(token), query))
    assert f'<html lang="{shown}">' in page
    assert ("Comparta su historia clínica" in page) is (shown == "es")
    assert translation.get_language() == "en-us"


CLOSED = [
    ("expired", {"expires_at": timezone.now() - timedelta(days=1)}, 410),
    ("used", {"used_at": timezone.now()}, 410),
    ("revoked", {"revoked_at": timezone.now()}, 410),
    ("unknown", {"token_digest": "0" * 64}, 404),
]


@pytest.mark.parametrize(("why", "columns", "status"), CLOSED, ids=[row[0] for row in CLOSED])
def test_a_closed_link_says_why_in_both_languages_and_is_in_no_log(
    app: Connection, caplog: pytest.LogCaptureFixture, why: str, columns: dict[str, Any], status: int
) -> None:
    _, token = invited(app)
    PatientInvitation.objects.update(**columns)
    with caplog.at_level(logging.DEBUG):
        answer = Client().get(path_of(token))
    assert answer.status_code == status
    assert_told(answer, launch_words.CLOSED[why])
    assert token not in caplog.text
    assert 'name="token"' not in text_of(answer)


def assert_told(answer: Any, ending: launch_words.Ending, practice: str = "", portal: str = "") -> None:
    """The ending stands there, in English and in Spanish."""
    page = text_of(answer)
    for language in ("en", "es"):
        with translation.override(language):
            told = ending.about(practice, portal)
            for words in (told.title, told.text, told.todo):
                assert str(words)[1:] in page, words
    assert answer.headers["Cache-Control"] == "no-store"


def test_every_refusal_of_a_launch_has_a_page_of_its_own() -> None:
    own = [
        "AUTHZ_DENIED", "AUTHZ_STATE", "AUTHZ_NO_PATIENT", "FHIR_429", "LAUNCH_ANSWER", "LAUNCH_EXPIRED",
        "LAUNCH_INVITATION", "LAUNCH_OTHER_ADDRESS", "LAUNCH_OTHER_BROWSER", "LAUNCH_OTHER_SERVER",
        "LAUNCH_STATE_MISSING", "LAUNCH_USED", "OIDC_INVALID", "TOK_CODE_INVALID", "AUTHZ_APP_NOT_ACTIVATED",
        "AUTHZ_SCOPE", "NET_TIMEOUT",
    ]  # fmt: skip
    assert set(own) <= catalogue.codes()
    with translation.override("en"):
        titles = [str(launch_words.of_code(code).title) for code in own]
    assert len(set(titles)) == len(own)


KINDS = [
    ("an outage passes", "FHIR_5XX", launch_words.TRY_LATER),
    ("a timeout passes", "NET_TIMEOUT", launch_words.TRY_LATER),
    ("a setting does not", "TOK_INVALID_CLIENT", launch_words.CLINIC_MUST_ACT),
    ("nor a scope", "AUTHZ_SCOPE", launch_words.CLINIC_MUST_ACT),
    ("nor what nobody listed", "NEVER_HEARD_OF", launch_words.CLINIC_MUST_ACT),
]


@pytest.mark.parametrize(("code", "ending"), [row[1:] for row in KINDS], ids=[row[0] for row in KINDS])
def test_other_codes_go_by_the_catalogue(code: str, ending: launch_words.Ending) -> None:
    assert launch_words.of_code(code) is ending


def test_going_on_is_a_post_that_leaves_by_a_page(place: Place) -> None:
    _, token = place.invite()
    client = Client(enforce_csrf_checks=True)
    client.get(path_of(token))
    assert client.post("/i/", {"token": token}).status_code == 403
    assert not Launch.objects.exists()
    csrf = client.cookies["headachemd_csrf"].value
    answer = client.post(
        "/i/", {"token": token, "lang": "es", "csrfmiddlewaretoken": csrf}, headers={"Origin": "http://testserver"}
    )
    assert answer.status_code == 200
    address = unescape(re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.content.decode())[1])
    assert address.startswith(place.connection.base_url.split("/fhir/")[0])
    cookie = answer.cookies[launch_browser.COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert len(cookie.value) >= 43
    assert "Vamos a healow" in text_of(answer)
    assert Client().get("/i/").status_code == 405


def walk(place: Place, *, number: int = 0, who: int | None = None, client: Client | None = None, **choices: Any) -> Any:
    """The patient's whole way through our pages and the sandbox's; returns the last page."""
    client = client or Client()
    _, token = place.invite(number)
    left = client.post("/i/", {"token": token})
    address = unescape(re.search(r'content="0; url=([^"]+)"', left.content.decode())[1])
    username = signing_in.username_of(place.control_url, place.people()[number if who is None else who]["id"])
    location = signing_in.sign_in(address, username=username, **choices)
    return client.get(location.removeprefix(SITE))


def test_a_patient_is_thanked_and_the_browser_forgets(place: Place) -> None:
    client = Client()
    answer = walk(place, client=client)
    assert answer.status_code == 200
    assert_told(answer, launch_words.THANKS, "Alder Headache Clinic", "healow")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.cookies[launch_browser.COOKIE].value == ""
    assert Grant.objects.get().state == Grant.State.ACTIVE


def test_a_patient_who_declines_reads_that_it_is_all_right(place: Place) -> None:
    answer = walk(place, refuses=True)
    assert_told(answer, launch_words.DENIED, "Alder Headache Clinic", "healow")
    assert not Grant.objects.exists()


def test_another_persons_record_is_held_and_named_to_nobody(place: Place, alice: User) -> None:
    answer = walk(place, number=0, who=1)
    assert_told(answer, launch_words.HELD, "Alder Headache Clinic", "healow")
    invited_one, came = (person["names"][0]["family"] for person in place.people()[:2])
    listing = text_of(signed_in(alice).get(reverse("emr:consents", args=[place.connection.practice_id])))
    assert invited_one.upper() in listing
    assert came.upper() not in listing.upper()
    held = Grant.objects.get()
    decision = signed_in(alice).get(reverse("emr:consent-decide", args=[held.pk]))
    page = text_of(decision)
    assert came.upper() in page.upper()
    assert "Differs" in page
    assert AuditEvent.objects.filter(action="consent", user=alice, object_id=held.pk).exists()
    assert not Enrolment.objects.exists()


@pytest.mark.parametrize("accept", [True, False], ids=["accept", "reject"])
def test_a_held_consent_is_decided_once_by_a_person(place: Place, alice: User, accept: bool) -> None:
    walk(place, number=0, who=1)
    held = Grant.objects.get()
    client = signed_in(alice)
    url = reverse("emr:consent-decide", args=[held.pk])
    assert client.post(url, {"do": "something else"}).status_code == 200
    assert Grant.objects.get().state == Grant.State.HELD
    client.post(url, {"do": "accept" if accept else "reject"})
    held.refresh_from_db()
    assert held.state == (Grant.State.ACTIVE if accept else Grant.State.REVOKED)
    assert held.returned == {}
    assert Enrolment.objects.exists() is accept
    assert AuditEvent.objects.filter(action="consent", user=alice).count() >= 1
    assert client.post(url, {"do": "accept"}).status_code == 302  # no second word


def test_what_the_emr_has_not_said_cannot_be_accepted(app: Connection, alice: User) -> None:
    made, _ = invited(app)
    held = grant(app, invitation=made, state=Grant.State.HELD, reason_code="GRANT_IDENTITY_UNREAD")
    client = signed_in(alice)
    url = reverse("emr:consent-decide", args=[held.pk])
    assert "has not said yet who it is" in text_of(client.post(url, {"do": "accept"}))
    held.refresh_from_db()
    assert held.state == Grant.State.HELD
    client.post(url, {"do": "reject"})
    held.refresh_from_db()
    assert held.state == Grant.State.REVOKED


ABUSE = [
    ("no state", {"state": None}, launch_words.NO_STATE),
    ("a state nobody gave out", {"state": "x" * 43}, launch_words.NOT_OPEN),
    ("neither code nor error", {"code": None}, launch_words.NO_ANSWER),
    ("an error that is markup", {"code": None, "error": "<script>alert(1)</script>"}, launch_words.CLINIC_MUST_ACT),
]


@pytest.mark.parametrize(("changes", "ending"), [row[1:] for row in ABUSE], ids=[row[0] for row in ABUSE])
def test_an_abused_callback_gets_a_plain_page(
    place: Place, changes: dict[str, str | None], ending: launch_words.Ending
) -> None:
    client = Client()
    _, token = place.invite()
    left = client.post("/i/", {"token": token}).content.decode()
    address = unescape(re.search(r'content="0; url=([^"]+)"', left)[1])
    query = place.sign_in(address).dict() | changes
    answer = client.get("/emr/callback", {name: value for name, value in query.items() if value is not None})
    assert answer.status_code >= 400
    page = text_of(answer)
    assert "<script>alert" not in page
    known = ending in {launch_words.NO_ANSWER, launch_words.CLINIC_MUST_ACT}
    assert_told(answer, ending, *(("Alder Headache Clinic", "healow") if known else ("", "")))
    assert AuditEvent.objects.filter(action="launch-refused").count() == 1
    assert not Grant.objects.exists()


def test_a_callback_in_another_browser_is_told_so(place: Place) -> None:
    _, token = place.invite()
    left = Client().post("/i/", {"token": token}).content.decode()
    query = place.sign_in(unescape(re.search(r'content="0; url=([^"]+)"', left)[1]))
    answer = Client().get("/emr/callback", query.dict())
    assert answer.status_code == 403
    assert "You came back in another browser" in text_of(answer)


def test_a_page_loaded_again_says_that_it_was_done(place: Place) -> None:
    client = Client()
    _, token = place.invite()
    left = client.post("/i/", {"token": token}).content.decode()
    query = place.sign_in(unescape(re.search(r'content="0; url=([^"]+)"', left)[1])).dict()
    key = client.cookies[launch_browser.COOKIE].value
    assert "Thank you" in text_of(client.get("/emr/callback", query))
    client.cookies[launch_browser.COOKIE] = key
    assert "This was done before" in text_of(client.get("/emr/callback", query))


# --- staff ---


def test_staff_invite_by_name_and_see_the_link_once(app: Connection, bob: User) -> None:
    client = signed_in(bob)
    url = reverse("emr:consent-invite", args=[app.practice_id])
    form = {"family": CANARY, "given": "Ada", "birth_date": "03/07/1989", "language": "es", "connection": app.pk}
    answer = client.post(url, form)
    page = text_of(answer)
    link = re.search(r'value="(https://app\.example\.org/i/[\w-]{43}/)"', page)[1]
    assert "Para Ada Zyxwcanary" in page  # the letter is in the patient's language
    assert "<svg" in page
    assert "style=" not in answer.content.decode()
    assert answer.headers["Cache-Control"] == "no-store"
    token = link.split("/")[-2]
    stored = json.dumps([list(map(str, row)) for row in PatientInvitation.objects.values_list()])
    stored += json.dumps([list(map(str, row)) for row in AuditEvent.objects.values_list()])
    assert token not in stored
    assert CANARY not in json.dumps([list(map(str, row)) for row in AuditEvent.objects.values_list()])
    assert Client().get(link.removeprefix(SITE)).status_code == 200
    listing = text_of(client.get(reverse("emr:consents", args=[app.practice_id])))
    assert CANARY.upper() in listing
    assert token not in listing
    assert AuditEvent.objects.filter(action="invite", user=bob).count() == 1


WRONG = [
    ("no name", {"family": ""}),
    ("a birth date that is none", {"birth_date": "yesterday"}),
    ("a language we do not have", {"language": "fr"}),
    ("another practice's connection", {"connection": "other"}),
]


@pytest.mark.parametrize("change", [row[1] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_invitation_form_makes_no_link(
    app: Connection, practice_b: Practice, alice: User, change: dict[str, str]
) -> None:
    form = {"family": CANARY, "given": "Ada", "birth_date": "03/07/1989", "language": "en", "connection": app.pk}
    if change.get("connection"):
        change = {"connection": str(connection(practice_b).pk)}
    answer = signed_in(alice).post(reverse("emr:consent-invite", args=[app.practice_id]), form | change)
    assert "There is a problem" in text_of(answer)
    assert not PatientInvitation.objects.exists()


def test_a_practice_without_a_patient_app_is_told_so(practice_a: Practice, alice: User) -> None:
    for name in ("emr:consents", "emr:consent-invite"):
        page = text_of(signed_in(alice).get(reverse(name, args=[practice_a.pk])))
        assert "asks patients for their consent" in page


def test_an_open_invitation_is_withdrawn_and_only_then_closed(app: Connection, alice: User) -> None:
    made, token = invited(app)
    client = signed_in(alice)
    url = reverse("emr:invitation-withdraw", args=[made.pk])
    assert client.get(url).status_code == 405
    client.post(url)
    assert "was taken back" in text_of(Client().get(path_of(token)))
    assert "Nothing to withdraw" in text_of(client.post(url, follow=True))


def record(practice: Practice, **body: Any) -> Resource:
    person = {
        "resourceType": "Patient", "id": "p1", "name": [{"family": CANARY, "given": ["Ada", "May"]}],
        "birthDate": "1989-03-07",
    }  # fmt: skip
    return Resource.objects.create(
        practice=practice, resource_type="Patient", fhir_id="p1", patient_fhir_id="p1", body=json.dumps(person | body),
        content_hash="0", query="Patient/{id}", first_seen_at=charts.NOW, changed_at=charts.NOW,
    )  # fmt: skip


def test_a_patients_panel_compares_granted_with_asked_for_and_invites(app: Connection, alice: User) -> None:
    source = record(app.practice)
    grant(app)
    grant(app, patient_fhir_id="somebody-else", scope="patient/Coverage.read")
    client = signed_in(alice)
    url = reverse("emr:consent", args=[source.pk])
    page = text_of(client.get(url))
    assert f"Consent of {CANARY.upper()}, Ada May" in page
    assert "Born 07-Mar-1989" in page
    assert re.search(r"Your health problems and diagnoses.{0,80}Granted", page)
    assert re.search(r"Your test results and measures.{0,80}Not permitted", page)
    assert "health insurance" not in page
    answer = client.post(url, {"language": "en", "connection": app.pk})
    assert "For Ada Zyxwcanary" in text_of(answer)
    made = PatientInvitation.objects.get()
    assert (made.patient_fhir_id, made.family, made.birth_date) == ("p1", CANARY, date(1989, 3, 7))
    assert AuditEvent.objects.filter(action="consent", user=alice, object_id=source.pk).count() == 1


LACKING: list[tuple[str, dict[str, Any]]] = [
    ("no birth date", {"birthDate": None}),
    ("a year alone", {"birthDate": "1989"}),
    ("no first name", {"name": [{"family": CANARY}]}),
    ("no name", {"name": []}),
]


@pytest.mark.parametrize("body", [row[1] for row in LACKING], ids=[row[0] for row in LACKING])
def test_who_cannot_be_compared_is_not_invited_from_the_chart(
    app: Connection, alice: User, body: dict[str, Any]
) -> None:
    source = record(app.practice, **body)
    answer = signed_in(alice).post(reverse("emr:consent", args=[source.pk]), {"language": "en", "connection": app.pk})
    assert "invite by name and birth date instead" in text_of(answer)
    assert not PatientInvitation.objects.exists()


def test_another_record_of_the_practice_has_no_consent_panel(app: Connection, alice: User) -> None:
    source = record(app.practice)
    Resource.objects.update(resource_type="Condition")
    assert signed_in(alice).get(reverse("emr:consent", args=[source.pk])).status_code == 404


def days(number: float) -> Any:
    return timezone.now() + timedelta(days=number)


ENDS = [
    ("far away", {"consent_ends_at": 60}, "", ""),
    ("within 14 days", {"consent_ends_at": 13.5}, "14 days left", "warn"),
    ("within 7 days", {"consent_ends_at": 6.5}, "7 days left", "warn"),
    ("on the last day", {"consent_ends_at": 0.5}, "1 day left", "bad"),
    ("by idleness first", {"consent_ends_at": 60, "idle_ends_at": 5.5}, "unless it is used before", "warn"),
]


@pytest.mark.parametrize(("ends", "words", "mark"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_the_calendar_warns(app: Connection, alice: User, ends: dict[str, float], words: str, mark: str) -> None:
    grant(app, **{name: days(number) for name, number in ends.items()})
    page = text_of(signed_in(alice).get(reverse("emr:consents", args=[app.practice_id])))
    if words:
        assert words in page
        assert f'class="tag {mark}"' in page
    else:
        assert "left</span>" not in page


def test_an_ended_consent_can_be_connected_again(app: Connection, alice: User) -> None:
    made, _ = invited(app)
    over = grant(
        app, invitation=made, state=Grant.State.NEEDS_CONSENT, reason_code="TOK_REFRESH_INVALID", ended_at=days(-1)
    )
    client = signed_in(alice)
    page = text_of(client.get(reverse("emr:consents", args=[app.practice_id])))
    assert "Needs consent" in page
    assert "The consent has ended" in page
    answer = client.post(reverse("emr:consent-reconnect", args=[over.pk]))
    assert re.search(r"/i/[\w-]{43}/", answer.content.decode())
    assert PatientInvitation.objects.count() == 2


def test_a_consent_no_invitation_led_to_is_not_connected_again_here(app: Connection, alice: User) -> None:
    over = grant(app, state=Grant.State.NEEDS_CONSENT)
    answer = signed_in(alice).post(reverse("emr:consent-reconnect", args=[over.pk]), follow=True)
    assert "invite the patient from the chart" in text_of(answer)


def test_disconnect_asks_once_more_and_deletes_the_tokens(place: Place, alice: User) -> None:
    walk(place)
    held = Grant.objects.get()
    client = signed_in(alice)
    url = reverse("emr:consent-disconnect", args=[held.pk])
    page = text_of(client.get(url))
    assert "What was fetched stays on file" in page
    held.refresh_from_db()
    assert held.state == Grant.State.ACTIVE
    assert "Disconnected" in text_of(client.post(url, follow=True))
    held.refresh_from_db()
    assert (held.state, held.access_token, held.refresh_token) == (Grant.State.REVOKED, "", "")
    assert AuditEvent.objects.filter(action="consent", user=alice, detail__startswith="ended").exists()


def test_where_the_emr_cannot_be_told_the_page_says_what_to_do(app: Connection, alice: User) -> None:
    own = grant(app)
    page = text_of(signed_in(alice).get(reverse("emr:consent-disconnect", args=[own.pk])))
    assert "signs in to healow and removes HeadacheMD" in page


# --- who sees nothing ---


def staff_addresses(app: Connection) -> dict[str, list[str]]:
    made, _ = invited(app)
    over = grant(
        app, invitation=made, state=Grant.State.HELD, patient_fhir_id="id-at-the-emr", returned={"label": CANARY}
    )
    source = record(app.practice)
    active = grant(app, invitation=made)
    return {
        "get": [
            reverse("emr:consents", args=[app.practice_id]), reverse("emr:consent-invite", args=[app.practice_id]),
            reverse("emr:consent", args=[source.pk]), reverse("emr:consent-decide", args=[over.pk]),
            reverse("emr:consent-disconnect", args=[active.pk]),
        ],
        "post": [
            reverse("emr:invitation-withdraw", args=[made.pk]), reverse("emr:consent-reconnect", args=[active.pk]),
            reverse("emr:consent-decide", args=[over.pk]), reverse("emr:consent-disconnect", args=[active.pk]),
            reverse("emr:consent", args=[source.pk]), reverse("emr:consent-invite", args=[app.practice_id]),
        ],
    }  # fmt: skip


def state() -> list[Any]:
    return [*Grant.objects.values_list("pk", "state"), *PatientInvitation.objects.values_list("pk", "revoked_at")]


def test_a_stranger_gets_404_and_changes_nothing(app: Connection, charlie: User) -> None:
    addresses = staff_addresses(app)
    before = state()
    for method, urls in addresses.items():
        for url in urls:
            answer = getattr(signed_in(charlie), method)(url, {"do": "accept", "language": "en", "connection": app.pk})
            assert answer.status_code == 404, (method, url)
            assert CANARY.lower() not in answer.content.decode().lower()
    assert state() == before


def test_nobody_unknown_gets_in(app: Connection) -> None:
    for method, urls in staff_addresses(app).items():
        for url in urls:
            assert getattr(Client(), method)(url).headers["Location"].startswith("/accounts/login/")


def test_a_privacy_officer_is_told_that_the_role_does_not_open_it(app: Connection, practice_a: Practice) -> None:
    officer = member("officer@example.org", practice_a, Membership.Role.PRIVACY_OFFICER)
    for url in staff_addresses(app)["get"]:
        answer = signed_in(officer).get(url)
        assert answer.status_code == 403
        assert CANARY.lower() not in answer.content.decode().lower()


def test_the_admin_shows_no_name_no_token_and_no_id_at_the_emr(app: Connection) -> None:
    staff_addresses(app)
    row = Launch.objects.create(
        connection=app, practice=app.practice, kind="patient", invitation=PatientInvitation.objects.first(),
        state_digest="1" * 64, browser_digest="2" * 64, nonce=CANARY, code_verifier=CANARY, scope="openid",
        redirect_uri=f"{SITE}/emr/callback", expires_at=timezone.now(),
    )  # fmt: skip
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    client = signed_in(root)
    for model, pk in (
        ("grant", Grant.objects.first().pk),
        ("launch", row.pk),
        ("patientinvitation", PatientInvitation.objects.first().pk),
    ):
        for url in (f"/admin/emr/{model}/", f"/admin/emr/{model}/{pk}/change/"):
            answer = client.get(url)
            assert answer.status_code == 200
            page = answer.content.decode()
            for secret in (CANARY, "a-secret", "another-secret", "id-at-the-emr", "1989", "1" * 64, "2" * 64):
                assert secret not in page, (url, secret)


def test_an_admin_enters_whom_a_sign_in_stands_for(practice_a: Practice, alice: User, charlie: User) -> None:
    provider = connection(practice_a, "provider")
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    form = {"connection": provider.pk, "fhir_user": "Practitioner/1", "user": charlie.pk}
    client = signed_in(root)
    assert "no member" in text_of(client.post("/admin/emr/fhiruser/add/", form))
    assert client.post("/admin/emr/fhiruser/add/", form | {"user": alice.pk}).status_code == 302
    assert FhirUser.objects.get().user == alice
    assert AuditEvent.objects.filter(action="configuration", detail__startswith="FhirUser added").exists()


# --- the QR code ---


def test_the_qr_code_is_a_drawing_of_attributes_alone() -> None:
    made = qr.code(f"{SITE}/i/{'x' * 43}/")
    dark = {(x + step, y) for x, y, width in runs(made.path) for step in range(width)}
    corner = {(x, y) for x in range(7) for y in range(7) if x in {0, 6} or y in {0, 6} or (2 <= x <= 4 and 2 <= y <= 4)}
    quiet = qr.QUIET_ZONE
    for left, top in ((quiet, quiet), (made.side - quiet - 7, quiet), (quiet, made.side - quiet - 7)):
        assert {(x - left, y - top) for x, y in dark if left <= x < left + 7 and top <= y < top + 7} == corner
    assert all(quiet <= x < made.side - quiet and quiet <= y < made.side - quiet for x, y in dark)
    assert qr.code("another text of another length").path != made.path


def runs(path: str) -> list[tuple[int, int, int]]:
    return [(int(x), int(y), int(width)) for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", path)]


# --- EHR launch ---


def open_launch(client: Client, iss: str, launch: str = "a-context") -> Any:
    return client.get("/emr/launch", {"iss": iss, "launch": launch})


UNKNOWN = [
    ("another server", lambda base: "https://evil.example/fhir/r4/AAAAAA"),
    ("the base as a prefix", lambda base: base + ".evil.example"),
    ("the base with user information", lambda base: base.replace("https://", "https://evil@")),
    ("another practice's path", lambda base: base.replace("AAAAAA", "BBBBBB")),
    ("a path below", lambda base: base + "/Patient"),
    ("no iss", lambda base: ""),
    ("markup", lambda base: '"><script>'),
]


@pytest.mark.parametrize("iss", [row[1] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN])
def test_a_launch_of_an_unknown_server_asks_nobody(practice_a: Practice, alice: User, iss: Any) -> None:
    provider = connection(practice_a, "provider")
    answer = open_launch(signed_in(alice), iss(provider.base_url))
    assert answer.status_code == 403
    assert "LAUNCH_UNKNOWN_SERVER" in text_of(answer)
    assert "Location" not in answer.headers
    assert not Launch.objects.exists()
    assert AuditEvent.objects.filter(action="launch-refused").count() == 1


def test_a_launch_without_a_session_goes_to_our_sign_in_and_comes_back(practice_a: Practice) -> None:
    provider = connection(practice_a, "provider")
    answer = open_launch(Client(), provider.base_url)
    assert answer.headers["Location"].startswith("/accounts/login/?next=%2Femr%2Flaunch%3Fiss%3D")
    assert not Launch.objects.exists()


def test_a_stranger_does_not_launch(practice_a: Practice, charlie: User) -> None:
    provider = connection(practice_a, "provider")
    answer = open_launch(signed_in(charlie), provider.base_url)
    assert answer.status_code == 403
    assert "Alder" not in text_of(answer)
    assert not Launch.objects.exists()
    assert AuditEvent.objects.filter(action="launch-refused", user=charlie).count() == 1


def launched(ehr: Place, client: Client, number: int = 0) -> Any:
    """The clinician's whole way; returns our answer to the callback."""
    patient = ehr.people()[number]["id"]
    told = signing_in.ehr_launch(ehr.control_url, patient)
    left = open_launch(client, told["iss"] + "/", told["launch"])
    assert left.status_code == 302, text_of(left)
    location = signing_in.sign_in(left.headers["Location"])
    return client.get(location.removeprefix(SITE))


def test_a_clinician_lands_on_that_patient(ehr: Place, alice: User) -> None:
    client = signed_in(alice)
    answer = launched(ehr, client)
    enrolment = Enrolment.objects.get()
    assert answer.headers["Location"] == f"/enrolments/{enrolment.pk}/history/"
    waiting = client.get(answer.headers["Location"])
    assert "This patient is new here" in text_of(waiting)
    assert "being fetched" in text_of(waiting)
    person = charts.patient(ehr.connection.practice, ehr.people()[0]["id"], family=CANARY)
    assert client.get(answer.headers["Location"]).headers["Location"] == f"/patients/{person.pk}/"
    by_htmx = client.get(answer.headers["Location"], headers={"HX-Request": "true"})
    assert by_htmx.headers["HX-Redirect"] == f"/patients/{person.pk}/"


def test_a_launch_by_the_emrs_sign_in_takes_whom_an_admin_entered(ehr: Place, alice: User, charlie: User) -> None:
    patient = ehr.people()[0]["id"]
    account = next(
        one for one in signing_in.control(ehr.control_url, "accounts")["accounts"] if one["kind"] == "clinician"
    )
    somebody = FhirUser.objects.create(connection=ehr.connection, fhir_user="Practitioner/nobody", user=alice)
    refused = launched(ehr, Client())
    assert "LAUNCH_UNKNOWN_USER" in text_of(refused)
    somebody.fhir_user = account["fhir_user"]
    somebody.save()
    client = Client()
    answer = launched(ehr, client)
    assert answer.status_code == 302
    assert client.session["_auth_user_id"] == str(alice.pk)
    # The EMR's word is the first factor; ours is still asked for before any chart.
    page = client.get(f"/enrolments/{Enrolment.objects.get(patient_fhir_id=patient).pk}/history/")
    assert page.headers["Location"].startswith("/accounts/second-factor/")
    somebody.user = charlie
    somebody.save()
    stranger = Client()
    assert "LAUNCH_NOT_A_MEMBER" in text_of(launched(ehr, stranger))
    assert "_auth_user_id" not in stranger.session


def test_an_arrival_is_another_practices_404(ehr: Place, alice: User, charlie: User) -> None:
    launched(ehr, signed_in(alice))
    url = f"/enrolments/{Enrolment.objects.get().pk}/history/"
    assert signed_in(charlie).get(url).status_code == 404
    assert signed_in(alice).get(f"/enrolments/{uuid4()}/history/").status_code == 404


def test_an_arrival_that_brings_nothing_says_why(ehr: Place, alice: User) -> None:
    client = signed_in(alice)
    launched(ehr, client)
    enrolment = Enrolment.objects.get()
    pull = enrolment.connection.pulls.create(practice=enrolment.connection.practice)
    pull.items.create(enrolment=enrolment, state="failed", reason="the EMR was down")
    page = text_of(client.get(f"/enrolments/{enrolment.pk}/history/"))
    assert "Ended without a history. the EMR was down" in page
    assert "hx-get" not in page
