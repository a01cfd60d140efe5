"""Scopes and base URLs: what the vendor is known to refuse, what is doubtful, and what is well."""

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from emr import profiles
from emr.connecting import base_urls, scopes_advice
from emr.models import AuditEvent, ClientRegistration, Connection, DirectoryEntry, Practice
from sandbox.access_scopes import SCOPES_SUPPORTED

ECW = profiles.get("ecw")
PLAN = ECW.default_scopes

SCOPES = [
    # what, app type, scopes, in the text ("" for nothing said), refused
    ("the profile's own", "backend-single", PLAN, "", False),
    ("version 2 throughout", "backend-single", PLAN.replace(".read", ".rs"), "", False),
    ("Appointment", "backend-single", f"{PLAN} system/Appointment.read", "no Appointment scope", True),
    ("Slot, version 2", "backend-single", f"{PLAN} system/Slot.rs", "no Slot scope", True),
    (".search", "backend-single", f"{PLAN} system/Patient.search", ".search is no SMART scope", True),
    ("a word", "backend-single", f"{PLAN} system/Patient", "not a SMART scope", True),
    ("letters out of order", "backend-single", f"{PLAN} system/Patient.sr", "not a SMART scope", True),
    ("a type in small letters", "backend-single", f"{PLAN} system/patient.read", "not a SMART scope", True),
    ("versions mixed", "backend-single", f"{PLAN} system/Location.rs", "are mixed", False),
    ("Group in a single-patient app", "backend-single", f"{PLAN} system/Group.read", "must not be in", True),
    ("no Group in a bulk app", "backend-bulk", PLAN, "must be in every token request of a bulk", True),
    ("Group in a bulk app", "backend-bulk", f"{PLAN} system/Group.read", "", False),
    ("a patient's scope for backend", "backend-single", f"{PLAN} patient/Patient.read", "begin with system/", True),
    ("a sign-in in a backend app", "backend-single", f"{PLAN} openid", "has none", True),
    ("offline_access in a backend app", "backend-single", f"{PLAN} offline_access", "has none", True),
    ("an unlisted type", "backend-single", f"{PLAN} system/Immunization.read", "not among the scopes", False),
    ("the .r form alone", "backend-single", f"{PLAN.replace('.read', '.r')} system/Coverage.r", "", False),
    ("a type listed as .r only", "backend-single", f"{PLAN} system/Coverage.read", "not among the scopes", False),
    ("an unlisted wildcard", "backend-single", f"{PLAN} system/*.read", "not among the scopes", False),
    ("a listed wildcard", "backend-single", "system/*.r", "asks for everything", False),
    ("leave to write", "backend-single", f"{PLAN} system/Observation.write", "leave to write", False),
    ("twice the same", "backend-single", f"{PLAN} system/Patient.read", "listed 2 times", False),
    ("a planned type left out", "backend-single", PLAN.replace("system/Condition.read", ""), "Not asked for", False),
    ("a patient's app", "patient", "openid fhirUser launch/patient patient/Patient.read", "", False),
    ("a patient's app without launch/patient", "patient", "openid fhirUser patient/Patient.read", "names no patient",
     False),
    ("a patient's app that only asks for profile", "patient", "openid profile launch/patient", "openid and fhirUser",
     False),
    ("online_access", "patient", "openid fhirUser launch/patient online_access", "not among the scopes", False),
    ("a system scope in a patient's app", "patient", "openid fhirUser launch/patient system/Patient.read",
     "begin with patient/", True),
    ("a clinician's app", "provider", "openid fhirUser launch user/Patient.read", "", False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("app_type", "words", "told", "refused"), [row[1:] for row in SCOPES], ids=[row[0] for row in SCOPES]
)
def test_scopes_advice(app_type: str, words: str, told: str, refused: bool) -> None:
    said = scopes_advice.advise(words.split(), ECW, app_type)
    if not told:
        assert said == ()
        return
    assert any(told in advice.text and advice.refused is refused for advice in said), said
    if not refused:
        assert not any(advice.refused for advice in said)


def test_scopes_on_offer_are_advertised_and_well_together() -> None:
    for app_type in ("backend-single", "backend-bulk", "patient", "provider"):
        for heading, listed in scopes_advice.offered(ECW, app_type):
            assert listed, heading
            # The strict stand-in's own list, written from the same publication.
            assert set(listed) <= SCOPES_SUPPORTED


def registration(**values: str) -> ClientRegistration:
    return ClientRegistration(**({"environment": "production", "app_type": "backend-single"} | values))


PROD, HEALOW, STAGING = "fhir4.eclinicalworks.com", "fhir4.healow.com", "staging-fhir.ecwcloud.com"
HOSTS = [
    # what, host, code, environment, app type, warning ("" for none), refused
    ("backend at the eCW host", PROD, "AAAAAA", "production", "backend-single", "", False),
    ("bulk at the eCW host", PROD, "AAAAAA", "production", "backend-bulk", "", False),
    ("backend at healow", HEALOW, "AAAAAA", "production", "backend-single", "healow portal", False),
    ("a patient's app at healow", HEALOW, "AAAAAA", "production", "patient", "", False),
    ("a patient's app at the eCW host", PROD, "AAAAAA", "production", "patient", "eClinicalWorks portal", False),
    ("staging in the sandbox", STAGING, "FFBJCD", "sandbox", "backend-single", "", False),
    ("staging in production", STAGING, "AAAAAA", "production", "backend-single", "vendor's sandbox", True),
    ("the test practice in production", HEALOW, "JAFJCD", "production", "patient", "vendor's sandbox", True),
    ("the test practice in the sandbox", HEALOW, "JAFJCD", "sandbox", "patient", "", False),
    ("a real practice in the sandbox", PROD, "AAAAAA", "sandbox", "backend-single", "no test practice", False),
    ("a host nobody knows", "fhir.example.org", "AAAAAA", "production", "backend-single", "not a host we know", False),
    ("a look-alike", "fhir4.eclinicalworks.com.example.org", "AAAAAA", "production", "backend-single",
     "not a host we know", False),
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("host", "code", "environment", "app_type", "told", "refused"),
    [row[1:] for row in HOSTS],
    ids=[row[0] for row in HOSTS],
)
def test_base_url_host_against_portal_and_environment(
    host: str, code: str, environment: str, app_type: str, told: str, refused: bool
) -> None:
    url, asked = f"https://{host}/fhir/r4/{code}", registration(environment=environment, app_type=app_type)
    if refused:
        with pytest.raises(ValidationError, match=told):
            base_urls.doubts(url, asked)
        return
    said = base_urls.doubts(url, asked)
    assert (told in " ".join(said)) if told else said == []


def test_base_url_of_our_own_sandbox_is_not_doubted(settings: Settings) -> None:
    settings.INSECURE_FHIR_HOSTS = frozenset({"127.0.0.1:8700"})
    assert base_urls.doubts("http://127.0.0.1:8700/fhir/r4/AAAAAA", registration()) == []


def listed(code: str, host: str = PROD) -> DirectoryEntry:
    return DirectoryEntry.objects.create(
        name=f"Practice {code}", city="Salem", state="OR", code=code, base_url=f"https://{host}/fhir/r4/{code}",
        vendor_profile="ecw", portal="eClinicalWorks", seen_at=timezone.now(),
    )  # fmt: skip


@pytest.mark.django_db
def test_base_url_is_looked_up_in_the_directory_where_there_is_one() -> None:
    url = f"https://{PROD}/fhir/r4/AAAAAA"
    listed("BBBBBB")
    assert "not in the imported directory" in base_urls.doubts(url, registration())[0]
    listed("AAAAAA", "fhir4.other.example")
    assert "https://fhir4.other.example/fhir/r4/AAAAAA" in base_urls.doubts(url, registration())[0]
    listed("AAAAAA")
    assert base_urls.doubts(url, registration()) == []


def add(office: Client, **data: str) -> list[str]:
    """Post the add form; the errors of the base URL, [] when it was saved."""
    app, _ = ClientRegistration.objects.get_or_create(
        name="App", defaults={"environment": "production", "client_id": "x"}
    )
    form = {"registration": str(app.pk), "practice": "", "base_url": "", "group_id": "", "directory_entry": ""}
    response = office.post(reverse("admin:emr_connection_add"), form | data)
    if response.status_code == 302:
        return []
    errors = response.context["adminform"].form.errors
    return [f"{name}: {text}" for name, texts in errors.items() for text in texts]


def test_practice_picked_from_the_directory_fills_code_and_address(office: Client) -> None:
    entry = listed("CCCCCC")
    assert add(office, directory_entry=str(entry.pk)) == []
    connection = Connection.objects.get()
    assert (connection.practice.name, connection.practice.code) == ("Practice CCCCCC", "CCCCCC")
    assert (connection.base_url, connection.directory_entry) == (entry.base_url, entry)
    details = set(AuditEvent.objects.values_list("detail", flat=True))
    assert "Practice added" in details


def test_practice_picked_from_the_directory_that_is_here_already(office: Client, practice_a: Practice) -> None:
    assert add(office, directory_entry=str(listed("AAAAAA").pk)) == []
    assert Connection.objects.get().practice == practice_a
    assert Practice.objects.count() == 1


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"base_url": f"https://{PROD}/fhir/r4/DDDDDD"}, "base_url: The directory has"),
        ({"practice": "A"}, "base_url: The address ends with the practice code CCCCCC"),
    ],
    ids=["another address typed", "another practice chosen"],
)
def test_practice_picked_from_the_directory_and_something_else(
    more: dict[str, str], told: str, office: Client, practice_a: Practice
) -> None:
    if "practice" in more:
        more = {"practice": str(practice_a.pk)}
    said = add(office, directory_entry=str(listed("CCCCCC").pk), **more)
    assert any(text.startswith(told) for text in said), said
    assert not Practice.objects.filter(code="CCCCCC").exists()
    assert not Connection.objects.exists()


def test_connection_form_left_empty_says_what_to_do(office: Client) -> None:
    said = add(office)
    assert {text.partition(":")[0] for text in said} == {"practice", "base_url"}


def test_connection_form_opens_filled_from_the_directory_list(office: Client, practice_a: Practice) -> None:
    entry = listed("AAAAAA")
    html = office.get(reverse("admin:emr_directoryentry_changelist")).content.decode()
    link = f"{reverse('admin:emr_connection_add')}?directory_entry={entry.pk}"
    assert link in html
    form = office.get(link).context["adminform"].form
    assert form.initial["base_url"] == entry.base_url
    assert form.initial["practice"] == practice_a.pk
    assert office.get(f"{reverse('admin:emr_connection_add')}?directory_entry=nonsense").status_code == 200


def test_doubtful_address_is_saved_when_confirmed_for_itself_only(office: Client, practice_a: Practice) -> None:
    first, second = (f"https://{host}/fhir/r4/AAAAAA" for host in ("one.example.org", "two.example.org"))
    data = {"practice": str(practice_a.pk), "base_url": first}
    assert "one.example.org is not a host we know" in add(office, **data)[0]
    page = office.post(
        reverse("admin:emr_connection_add"),
        data | {"registration": str(ClientRegistration.objects.get().pk), "group_id": "", "directory_entry": ""},
    ).content.decode()
    assert f'type="checkbox" name="confirmed_address" value="{first}"' in page
    assert "checked" not in page[page.index('name="confirmed_address"') :][:200]
    assert "two.example.org" in add(office, **data | {"base_url": second, "confirmed_address": first})[0]
    assert not Connection.objects.exists()
    assert add(office, **data | {"confirmed_address": first}) == []
    assert Connection.objects.get().base_url == first


def test_address_of_the_other_environment_cannot_be_confirmed(office: Client, practice_a: Practice) -> None:
    url = f"https://{STAGING}/fhir/r4/AAAAAA"
    said = add(office, practice=str(practice_a.pk), base_url=url, confirmed_address=url)
    assert "separate registrations" in said[0]
    assert not Connection.objects.exists()
