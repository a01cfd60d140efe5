"""Every staff user has a second factor and shows it: who is led where, enrolment, recovery, secrets at rest."""

import json
import re
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.conf import settings
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from emr.accounts import second_factor
from emr.fields import SecretUnreadable
from emr.models import AuditEvent, Practice, User
from tests.accounts.doors import SECRET, code, enrolled, give_code, give_password, shown_key, through_both
from tests.conftest import signed_in, with_password_only
from tests.test_isolation import POLICY, PUBLIC, filled, routes

transactional = pytest.mark.django_db(transaction=True)


def where(client: Client, path: str, **headers: str) -> str:
    answer = client.get(path, headers=headers)
    return answer.headers.get("Location", "") or answer.headers.get("HX-Redirect", "") or str(answer.status_code)


# --- who is led where --------------------------------------------------------------------------------------


def addresses() -> list[str]:
    """Every address that a GET may ask for, ids filled in at random: the gate stands before the view."""
    uuid = "7e57ab1e-0000-4000-8000-000000000001"
    found = []
    for route, _ in routes():
        if POLICY.get(route) != PUBLIC and not route.startswith(("accounts/", "session/")):
            path = re.sub(r"<uuid:\w+>", uuid, filled(route, {}))
            path = re.sub(r"<int:\w+>", "1", re.sub(r"<(?:slug|str|path|int):\w+>|<\w+>", "x", path))
            if not re.search(r"[\^$()?\\]", path):
                found.append(path)
    return found


def test_with_a_password_alone_no_page_opens(alice: User, bob: User) -> None:
    fresh, known = with_password_only(alice), with_password_only(enrolled(bob))
    gated = 0
    for path in addresses():
        if where(fresh, path) == "404":  # a filled-in address that no route knows
            continue
        gated += 1
        for client, gate in ((fresh, "mfa_index"), (known, "mfa_reauthenticate")):
            assert where(client, path).split("?")[0] == reverse(gate), path
            assert where(client, path, **{"HX-Request": "true"}).split("?")[0] == reverse(gate), path
            assert client.post(path).headers.get("Location") == reverse(gate), path
    assert gated > 100


def test_who_has_a_factor_cannot_add_another_with_the_password_alone(alice: User) -> None:
    client = with_password_only(enrolled(alice))
    for page in ("mfa_activate_totp", "mfa_add_webauthn", "mfa_index", "mfa_generate_recovery_codes"):
        assert where(client, reverse(page)).startswith(reverse("mfa_reauthenticate")), page
    for page in ("mfa_add_webauthn", "mfa_deactivate_totp", "account_reauthenticate"):
        answer = client.post(reverse(page), {"password": "correct horse battery", "credential": "{}"})
        assert answer.headers["Location"].startswith(reverse("mfa_reauthenticate")), page
    assert Authenticator.objects.count() == 1


def test_showing_the_factor_opens_the_session(alice: User) -> None:
    client = with_password_only(enrolled(alice))
    answer = client.post(reverse("mfa_reauthenticate"), {"code": code()})
    assert answer.status_code == 302
    assert client.get("/", follow=True).status_code == 200


def test_a_proof_is_of_one_person(alice: User, bob: User) -> None:
    client = signed_in(alice)
    session = client.session
    session["_auth_user_id"], session["_auth_user_hash"] = str(bob.pk), bob.get_session_auth_hash()
    session.save()
    assert where(client, "/") == reverse("mfa_index")


def test_public_pages_and_sign_out_stay_open(alice: User) -> None:
    client = with_password_only(alice)
    for path in ("/healthz", "/.well-known/jwks.json", reverse("emr:session")):
        assert client.get(path).status_code == 200
    assert client.post(reverse("account_logout")).status_code == 302
    assert "_auth_user_id" not in client.session


# --- enrolment ---------------------------------------------------------------------------------------------


def set_up(client: Client) -> str:
    """Go through enrolment on the real pages. Returns the secret shown."""
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    secret = shown_key(page)
    answer = client.post(reverse("mfa_activate_totp"), {"code": code(secret)})
    assert answer.headers["Location"] == reverse("mfa_view_recovery_codes")
    return secret


@transactional
@time_machine.travel("2026-11-22 15:00+00:00", tick=False)  # all of it within the half minute of one code
def test_enrolment_after_the_first_sign_in_leads_to_where_one_was_going(alice: User, practice_a: Practice) -> None:
    client = Client()
    give_password(client)
    goal = reverse("patients:list", args=[practice_a.pk])
    assert where(client, goal) == reverse("mfa_index")
    secret = set_up(client)
    codes = client.get(reverse("mfa_view_recovery_codes")).content.decode()
    assert codes.count("<li><code>") == 10
    assert f'href="{goal}"' in codes
    assert client.get(goal).status_code == 200
    assert len(mail.outbox) == 1
    details = AuditEvent.objects.filter(action="second-factor").values_list("detail", flat=True)
    assert set(details) == {"added: totp", "added: recovery_codes"}
    again = Client()
    give_password(again)
    assert give_code(again, code(secret)).status_code == 200  # the code of enrolment was shown already


@transactional
def test_a_recovery_code_signs_in_once(alice: User) -> None:
    first = Client()
    give_password(first)
    set_up(first)
    page = first.get(reverse("mfa_view_recovery_codes")).content.decode()
    spare = re.findall(r"<li><code>(\d+)</code>", page)[0]
    for status in (302, 200):
        client = Client()
        give_password(client)
        assert give_code(client, spare).status_code == status
    assert AuditEvent.objects.filter(detail="a recovery code was used").count() == 1


@transactional
def test_enrolment_asks_anew_who_it_is_when_the_sign_in_is_old(alice: User) -> None:
    with time_machine.travel(1_800_000_000, tick=False) as now:
        client = with_password_only(alice)
        now.shift(settings.ACCOUNT_REAUTHENTICATION_TIMEOUT + 1)
        assert where(client, reverse("mfa_activate_totp")).startswith(reverse("account_reauthenticate"))


def test_the_last_factor_stays(alice: User) -> None:
    client = through_both(enrolled(alice))
    assert "only second factor" in client.get(reverse("mfa_deactivate_totp")).content.decode()
    client.post(reverse("mfa_deactivate_totp"))
    assert Authenticator.objects.filter(user=alice).count() == 1


def test_a_removed_last_passkey_leads_to_enrolment_at_once(alice: User) -> None:
    key = Authenticator.objects.create(user=alice, type="webauthn", data={"name": "Stick", "credential": {}})
    client = signed_in(alice)
    assert client.post(reverse("mfa_remove_webauthn", args=[key.pk])).status_code == 302
    assert where(client, "/") == reverse("mfa_index")
    assert AuditEvent.objects.filter(detail="removed: webauthn").exists()


def test_nobody_reaches_another_ones_passkey(alice: User, bob: User) -> None:
    key = Authenticator.objects.create(user=bob, type="webauthn", data={"name": "Stick", "credential": {}})
    for page in ("mfa_remove_webauthn", "mfa_edit_webauthn"):
        assert signed_in(alice).post(reverse(page, args=[key.pk]), {"name": "mine"}).status_code == 404


# --- a lost phone ------------------------------------------------------------------------------------------


def test_an_admin_resets_a_second_factor(alice: User) -> None:
    office = User.objects.create_superuser("office@example.org", "correct horse battery")
    theirs = through_both(enrolled(alice))
    listing = reverse("admin:emr_user_changelist")
    signed_in(office).post(listing, {"action": "reset_second_factor", "_selected_action": [str(alice.pk)]})
    assert not second_factor.enrolled(alice)
    assert where(theirs, "/").startswith(reverse("account_login"))
    row = AuditEvent.objects.get(action="second-factor")
    assert (row.user, row.object_id, row.detail) == (office, alice.pk, "reset: all removed")


# --- secrets at rest ---------------------------------------------------------------------------------------


def stored(user: User) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT data FROM mfa_authenticator WHERE type = 'totp' AND user_id = %s", [_key(user)])
        value = cursor.fetchone()[0]
    found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return found


def _key(user: User) -> str:
    return str(user.pk) if connection.vendor == "postgresql" else user.pk.hex


def test_the_secret_is_sealed_at_rest(alice: User) -> None:
    assert SECRET not in json.dumps(stored(enrolled(alice)))
    assert Authenticator.objects.get(user=alice).wrap().validate_code(code())


def test_the_secret_waits_sealed_while_it_is_shown(alice: User) -> None:
    client = with_password_only(alice)
    secret = shown_key(client.get(reverse("mfa_activate_totp")).content.decode())
    assert secret not in json.dumps(dict(client.session))


def test_a_secret_copied_to_another_ones_row_opens_nothing(alice: User, bob: User) -> None:
    enrolled(alice)
    copied = stored(alice)
    Authenticator.objects.create(user=bob, type="totp", data=copied)
    with pytest.raises(SecretUnreadable):
        Authenticator.objects.get(user=bob).wrap().validate_code(code())


def test_secrets_move_to_the_new_key_with_all_others(alice: User, settings: Any) -> None:
    before = stored(enrolled(alice))
    settings.FIELD_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_KEYS]
    call_command("rotate_keys", "fields")
    assert stored(alice) != before
    settings.FIELD_KEYS = settings.FIELD_KEYS[:1]
    assert Authenticator.objects.get(user=alice).wrap().validate_code(code())


def test_no_admin_page_shows_authenticators_or_sessions(db: None) -> None:
    office = signed_in(User.objects.create_superuser("office@example.org", "correct horse battery"))
    for path in ("/admin/mfa/authenticator/", "/admin/usersessions/usersession/"):
        assert office.get(path).status_code == 404
