"""Registrations and signing keys: secrets go in and never come out."""

import pytest
from cryptography.fernet import Fernet
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from emr import keys, profiles
from emr.models import AuditEvent, ClientRegistration, Connection, SigningKey

FORM = {
    "name": "Backend app",
    "vendor_profile": "ecw",
    "portal": "vendor portal",
    "environment": "sandbox",
    "app_type": "backend-single",
    "client_id": "id-of-ours",
    "auth_method": "private_key_jwt",
    "signing_algorithm": "RS384",
    "scopes": "system/Patient.read",
    "redirect_uris": "",
    "extra_authorize_params": "{}",
    "extra_token_params": "{}",
}


def save(office: Client, registration: ClientRegistration | None = None, **changes: str) -> ClientRegistration:
    page, args = ("change", [registration.pk]) if registration else ("add", [])
    address = reverse(f"admin:emr_clientregistration_{page}", args=args)
    response = office.post(address, FORM | changes)
    assert response.status_code == 302, response.context["adminform"].form.errors
    return ClientRegistration.objects.get()


def errors(office: Client, **changes: str) -> dict[str, list[str]]:
    response = office.post(reverse("admin:emr_clientregistration_add"), FORM | changes)
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def last_detail() -> str:
    return AuditEvent.objects.filter(action="configuration").order_by("-at")[0].detail


def test_registration_secret_kept_replaced_and_forgotten(office: Client) -> None:
    registration = save(office, new_client_secret="first secret")
    assert registration.client_secret == "first secret"
    assert "new_client_secret" in last_detail()
    assert save(office, registration, name="Renamed").client_secret == "first secret"
    assert last_detail() == "ClientRegistration changed: name"
    assert save(office, registration, new_client_secret="second secret").client_secret == "second secret"
    assert save(office, registration, clear_client_secret="on").client_secret == ""
    assert not AuditEvent.objects.filter(detail__contains="secret ").exists()


def test_registration_secret_and_forget_together_are_refused(office: Client) -> None:
    assert "new_client_secret" in errors(office, new_client_secret="x", clear_client_secret="on")


@pytest.mark.parametrize(("secret", "word"), [("", "Not set."), ("first secret", "Set. Leave blank")])
def test_registration_page_says_whether_a_secret_is_set(secret: str, word: str, office: Client) -> None:
    registration = save(office, new_client_secret=secret)
    html = office.get(reverse("admin:emr_clientregistration_change", args=[registration.pk])).content.decode()
    assert word in html
    assert "first secret" not in html


def test_registration_secret_is_not_echoed_when_the_form_has_errors(office: Client) -> None:
    data = FORM | {"name": "", "new_client_secret": "typed secret"}
    response = office.post(reverse("admin:emr_clientregistration_add"), data)
    assert response.status_code == 200
    assert b"typed secret" not in response.content


def test_registration_page_opens_and_saves_when_the_field_key_is_lost(office: Client, settings: Settings) -> None:
    registration = save(office, new_client_secret="first secret")
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    assert office.get(reverse("admin:emr_clientregistration_change", args=[registration.pk])).status_code == 200
    assert save(office, registration, name="Renamed").name == "Renamed"


def test_registration_scopes_blank_take_the_profiles(office: Client) -> None:
    assert save(office, scopes="").scopes == profiles.get("ecw").default_scopes


def test_registration_scopes_are_kept_as_one_line(office: Client) -> None:
    assert save(office, scopes=" system/Patient.read\r\n system/Condition.read ").scopes == (
        "system/Patient.read system/Condition.read"
    )


def test_registration_scopes_of_an_app_for_people_are_not_guessed(office: Client) -> None:
    assert save(office, app_type="patient", auth_method="none", scopes="").scopes == ""


def test_registration_client_id_loses_pasted_blanks_and_may_be_long(office: Client) -> None:
    assert save(office, client_id=" " + "k" * 500 + "\n").client_id == "k" * 500


REFUSED = [
    ("an algorithm the vendor does not take", {"signing_algorithm": "RS256"}, "signing_algorithm"),
    ("a backend app with a shared secret", {"auth_method": "client_secret_basic"}, "auth_method"),
    ("an unknown profile", {"vendor_profile": "nobody"}, "vendor_profile"),
]


@pytest.mark.parametrize(("change", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_registration_form_refuses(change: dict[str, str], field: str, office: Client) -> None:
    assert field in errors(office, **change)


def test_registration_deleted_is_audited(office: Client) -> None:
    registration = save(office)
    address = reverse("admin:emr_clientregistration_delete", args=[registration.pk])
    assert office.post(address, {"post": "yes"}).status_code == 302
    assert not ClientRegistration.objects.exists()
    assert last_detail() == "ClientRegistration deleted"


def test_registration_in_use_cannot_be_deleted(office: Client, connection: Connection) -> None:
    address = reverse("admin:emr_clientregistration_delete", args=[connection.registration_id])
    office.post(address, {"post": "yes"})
    assert ClientRegistration.objects.filter(pk=connection.registration_id).exists()


def test_registrations_deleted_together_are_audited_each(office: Client) -> None:
    rows = [ClientRegistration.objects.create(name=name) for name in ("one", "two")]
    data = {"action": "delete_selected", "_selected_action": [str(row.pk) for row in rows], "post": "yes"}
    office.post(reverse("admin:emr_clientregistration_changelist"), data)
    events = AuditEvent.objects.filter(detail="ClientRegistration deleted")
    assert {event.object_id for event in events} == {row.pk for row in rows}


def act(office: Client, action: str, *rows: SigningKey) -> str:
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    response = office.post(reverse("admin:emr_signingkey_changelist"), data, follow=True)
    return " ".join(str(message) for message in response.context["messages"])


def test_key_is_generated_by_saving_the_form(office: Client) -> None:
    data = {"environment": "production", "algorithm": "ES384", "kid": "mine", "private_pem": "mine"}
    assert office.post(reverse("admin:emr_signingkey_add"), data).status_code == 302
    key = SigningKey.objects.get()
    assert (key.environment, key.algorithm, key.state) == ("production", "ES384", "next")
    assert key.public_jwk in keys.jwks("production")["keys"]
    assert "mine" not in {key.kid, key.private_pem}
    assert last_detail() == "SigningKey generated"


def test_key_page_shows_the_public_half_only_and_takes_nothing(office: Client) -> None:
    key = keys.generate(environment="sandbox", algorithm="ES384")
    address = reverse("admin:emr_signingkey_change", args=[key.pk])
    html = office.get(address).content.decode()
    assert key.public_jwk["x"] in html
    assert keys.jwks_url("sandbox") in html
    secret_lines = [line for line in key.private_pem.splitlines() if len(line) > 20]
    assert [line for line in secret_lines if line in html] == []
    assert office.post(address, {"state": "active"}).status_code == 403


def test_key_activated_and_retired_by_actions(office: Client) -> None:
    old, new = (keys.generate(environment="sandbox", algorithm="ES384") for _ in range(2))
    act(office, "activate", old)
    assert "signs from now on" in act(office, "activate", new)
    states = dict(SigningKey.objects.values_list("pk", "state"))
    assert states == {old.pk: "retiring", new.pk: "active"}
    act(office, "retire", old)
    assert "activate another" in act(office, "retire", new)
    assert set(SigningKey.objects.values_list("state", flat=True)) == {"retired"}
    assert keys.jwks("sandbox") == {"keys": []}
    assert AuditEvent.objects.filter(detail="SigningKey activated").count() == 2
    assert AuditEvent.objects.filter(detail="SigningKey retired").count() == 2


def test_key_retired_cannot_be_activated_again(office: Client) -> None:
    key = keys.generate(environment="sandbox", algorithm="ES384")
    keys.retire(key)
    assert "no private half" in act(office, "activate", key)
    key.refresh_from_db()
    assert key.state == "retired"


def test_keys_are_activated_one_at_a_time(office: Client) -> None:
    both = [keys.generate(environment="sandbox", algorithm="ES384") for _ in range(2)]
    assert "exactly one" in act(office, "activate", *both)
    assert not SigningKey.objects.filter(state="active").exists()


def change_page(office: Client, registration: ClientRegistration) -> str:
    return office.get(reverse("admin:emr_clientregistration_change", args=[registration.pk])).content.decode()


def test_registration_scopes_are_picked_from_what_the_vendor_advertises(office: Client) -> None:
    registration = save(office, scopes="system/Patient.read system/Immunization.read")
    form = office.get(reverse("admin:emr_clientregistration_change", args=[registration.pk])).context["adminform"].form
    assert form.initial["picked_scopes"] == ["system/Patient.read"]
    assert form.initial["scopes"] == "system/Immunization.read"
    address = reverse("admin:emr_clientregistration_change", args=[registration.pk])
    picked = {"picked_scopes": ["system/Condition.read", "system/Patient.read"], "scopes": "system/Immunization.read"}
    response = office.post(address, FORM | picked, follow=True)
    registration.refresh_from_db()
    assert registration.scopes == "system/Condition.read system/Patient.read system/Immunization.read"
    assert last_detail() == "ClientRegistration changed: scopes"
    told = " ".join(str(message) for message in response.context["messages"])
    assert "system/Immunization.read is not among the scopes" in told
    assert "not among the scopes" in change_page(office, registration)


def test_registration_scopes_not_on_offer_cannot_be_picked(office: Client) -> None:
    registration = save(office)
    address = reverse("admin:emr_clientregistration_change", args=[registration.pk])
    response = office.post(address, FORM | {"picked_scopes": ["system/Appointment.read"]})
    assert "picked_scopes" in response.context["adminform"].form.errors


def test_registration_of_a_bulk_app_gets_the_group_scope(office: Client) -> None:
    assert save(office, app_type="backend-bulk", scopes="").scopes.endswith(" system/Group.read")


URIS = "https://app.example.org/callback\r\nhttps://app.example.org/Callback/"


def test_registration_redirect_uris_are_shown_byte_for_byte(office: Client) -> None:
    scopes = "openid fhirUser launch/patient"
    registration = save(office, app_type="patient", auth_method="none", scopes=scopes, redirect_uris=f"  {URIS} ")
    html = change_page(office, registration)
    for uri in URIS.split():
        assert f'<code class="to-copy">{uri}</code>' in html
        assert f"{len(uri)} characters" in html


WRONG_URIS = [
    ("plain http", "http://app.example.org/callback", "https://"),
    ("a fragment", "https://app.example.org/#callback", "Line 1"),
    ("no address", "app.example.org/callback", "Line 1"),
    ("a wrong second line", "https://app.example.org/a\njavascript:alert(1)", "Line 2"),
]


@pytest.mark.parametrize(("text", "told"), [row[1:] for row in WRONG_URIS], ids=[row[0] for row in WRONG_URIS])
def test_registration_redirect_uris_refused(text: str, told: str, office: Client) -> None:
    assert told in errors(office, redirect_uris=text)["redirect_uris"][0]


EXTRA = [
    ("on the whitelist", '{"practice_code": "{practice_code}"}', ""),
    ("blank", "", ""),
    ("not on the whitelist", '{"aud": "x"}', "takes practice_code here, not aud"),
    ("a field of the grant", '{"client_assertion": "x"}', "not client_assertion"),
    ("a number", '{"practice_code": 7}', "text of up to 200"),
    ("a list", '["practice_code"]', "Write an object"),
    ("no JSON", "practice_code=AAAAAA", "valid JSON"),
]


@pytest.mark.parametrize(("text", "told"), [row[1:] for row in EXTRA], ids=[row[0] for row in EXTRA])
@pytest.mark.parametrize("field", ["extra_authorize_params", "extra_token_params"])
def test_registration_extra_parameters(field: str, text: str, told: str, office: Client) -> None:
    if told:
        assert told in errors(office, **{field: text})[field][0]
    else:
        assert getattr(save(office, **{field: text}), field) == ({"practice_code": "{practice_code}"} if text else {})


def test_registration_keeps_the_answers_of_the_data_use_questionnaire(office: Client) -> None:
    registration = save(office, data_use_sale="Never.", data_use_contact="  privacy@example.org ")
    assert registration.data_use == {"sale": "Never.", "contact": "privacy@example.org"}
    assert registration.data_use_statements[0] == ("Is it sold, identifiable or not?", "Never.")
    assert "privacy@example.org" in change_page(office, registration)
    assert save(office, registration, data_use_sale="").data_use == {}


def test_registration_notes_when_its_client_id_was_entered(office: Client) -> None:
    registration = save(office, client_id="")
    assert registration.client_id_at is None
    first = save(office, registration, client_id="one").client_id_at
    assert first is not None
    assert save(office, registration, client_id="one", name="Renamed").client_id_at == first
    second = save(office, registration, client_id="two").client_id_at
    assert second is not None
    assert second > first
