"""What people post to the pages of their accounts, and the rows it leaves in the chain of their practice."""

import json
from typing import Any

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.usersessions.models import UserSession
from django.test import Client
from django.urls import reverse

from emr.accounts import second_factor
from emr.models import IdentityProvider, User
from tests.accounts.doors import PASSWORD, code, enrolled, give_password
from tests.conftest import signed_in, with_password_only
from tests.trust.acting import CLINICIAN, NOBODY, ROOT, Act, Filled, Stage, sends
from tests.trust.acts_of_staff import invited

ACCOUNT, FACTOR = "accounts/", "accounts/second-factor/"
RESET = r"accounts/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$"
_WEBAUTHN = "allauth.mfa.webauthn.internal.auth"


def fresh(stage: Stage) -> Client:
    return Client(raise_request_exception=False, REMOTE_ADDR="203.0.113.9")


def me(stage: Stage) -> User:
    return stage.person(CLINICIAN)


def password(word: str) -> Any:
    return lambda stage: Filled({"login": me(stage).email, "password": word})


def with_factor(stage: Stage) -> Filled:
    enrolled(me(stage))
    return Filled({"login": me(stage).email, "password": PASSWORD})


def second_step(typed: str) -> Any:
    def filled(stage: Stage) -> Filled:
        enrolled(me(stage))
        client = fresh(stage)
        give_password(client, me(stage).email)
        return Filled({"code": typed or code()}, client=client)

    return filled


def recovery_step(stage: Stage) -> Filled:
    enrolled(me(stage))
    client = fresh(stage)
    give_password(client, me(stage).email)
    request = client.get(reverse("mfa_authenticate")).wsgi_request
    request.user = me(stage)
    return Filled({"code": _recovery_codes(stage)[0]}, client=client)


def _recovery_codes(stage: Stage) -> list[str]:
    """Codes as they were before secrets were sealed would be of no use: these are sealed for their owner."""
    seed = str(second_factor._sealed(me(stage).pk, "ab" * 20))
    row = Authenticator.objects.create(
        user=me(stage), type=Authenticator.Type.RECOVERY_CODES, data={"seed": seed, "used_mask": 0}
    )
    found: list[str] = RecoveryCodes(Authenticator.objects.get(pk=row.pk)).get_unused_codes()
    return found


def signing_up(stage: Stage) -> Filled:
    client = fresh(stage)
    client.post(reverse("emr:invitation", args=[invited(stage)[1]]))
    word = "a quite long passphrase 7"
    return Filled({"full_name": "New", "email": "new@example.org", "password1": word, "password2": word}, client=client)


def changing(stage: Stage) -> Filled:
    word = "a quite long passphrase 7"
    return Filled({"oldpassword": PASSWORD, "password1": word, "password2": word})


def resetting(stage: Stage) -> Filled:
    client, word = fresh(stage), "a quite long passphrase 7"
    key = f"{user_pk_to_url_str(me(stage))}-{default_token_generator.make_token(me(stage))}"
    answer = client.get(f"/accounts/password/reset/key/{key}/")
    page = answer.headers["Location"]
    return Filled({"password1": word, "password2": word}, client=client, path=page)


def confirming(typed: str) -> Any:
    def filled(stage: Stage) -> Filled:
        enrolled(me(stage))
        return Filled({"code": typed or code()})

    return filled


def activating(stage: Stage) -> Filled:
    client = with_password_only(me(stage), fresh(stage))
    page = client.get(reverse("mfa_activate_totp"))
    return Filled({"code": code(page.context["form"].secret)}, client=client)


def of_codes(stage: Stage) -> Filled:
    enrolled(me(stage))
    return Filled()


def two_factors(stage: Stage) -> Authenticator:
    enrolled(me(stage))
    data = {"name": "Stick", "credential": {}}
    return Authenticator.objects.create(user=me(stage), type=Authenticator.Type.WEBAUTHN, data=data)


def without_app(stage: Stage) -> Filled:
    two_factors(stage)
    return Filled()


def of_key(**data: Any) -> Any:
    return lambda stage: Filled(data, {"pk": two_factors(stage).pk})


def _stick(stage: Stage) -> dict[str, Any]:
    """In place of a security key: what its answers would be found to say. The browser tests have a real one."""
    key = two_factors(stage)
    return {
        f"{_WEBAUTHN}.parse_registration_response": lambda told: None,
        f"{_WEBAUTHN}.complete_registration": lambda told: None,
        f"{_WEBAUTHN}.parse_authentication_response": lambda told: None,
        f"{_WEBAUTHN}.extract_user_from_response": lambda told: me(stage),
        f"{_WEBAUTHN}.complete_authentication": lambda user, told: Authenticator.objects.get(pk=key.pk),
    }


def with_stick(client: Any = None) -> Any:
    def filled(stage: Stage) -> Filled:
        patched = _stick(stage)
        return Filled(
            {"name": "Other", "credential": json.dumps({"id": "stick"})},
            client=client and client(stage),
            patched=patched,
        )

    return filled


def elsewhere(stage: Stage) -> Filled:
    """Signed in at two computers."""
    other = signed_in(me(stage), fresh(stage))
    other.get(reverse("usersessions_list"))
    stage.page(CLINICIAN, reverse("usersessions_list"))
    for client in (other, stage.client(CLINICIAN)):
        UserSession.objects.get_or_create(
            session_key=client.session.session_key, defaults={"user": me(stage), "ip": "203.0.113.9", "user_agent": ""}
        )
    return Filled()


def provider(stage: Stage) -> IdentityProvider:
    row: IdentityProvider = stage.rows.of(IdentityProvider)
    IdentityProvider.objects.filter(pk=row.pk).update(enabled=True)
    return row


def of_provider(stage: Stage) -> Filled:
    """Its issuer does not answer: that it was tried is recorded."""
    return Filled(ids={"pk": provider(stage).pk})


CONFIRMS = "confirms who sits there; what it is confirmed for leaves its own row"

ACTS = [
    Act(f"{ACCOUNT}login/", ("sign-in B -",), password(PASSWORD), NOBODY),
    Act(f"{ACCOUNT}login/", ("sign-in-refused B -",), password("not this one"), NOBODY, "wrong password"),
    Act(f"{ACCOUNT}login/", ("sign-in-refused - -",), sends(login="who@example.org", password="x"), NOBODY, "stranger"),
    Act(f"{ACCOUNT}login/", (), with_factor, NOBODY, "first of two steps",
        because="the sign-in is recorded with its second step"),
    Act(f"{FACTOR}authenticate/", ("sign-in B -",), second_step(""), NOBODY),
    Act(f"{FACTOR}authenticate/", ("sign-in-refused B -",), second_step("000000"), NOBODY, "wrong code"),
    Act(f"{FACTOR}authenticate/", ("second-factor B -", "sign-in B -"), recovery_step, NOBODY, "recovery code"),
    Act(f"{ACCOUNT}logout/", ("sign-out B -",)),
    Act("admin/logout/", ("sign-out - -",), who=ROOT),
    Act(f"{ACCOUNT}signup/", ("membership B -", "sign-in B -"), signing_up, NOBODY),
    Act(f"{ACCOUNT}reauthenticate/", (), sends(password=PASSWORD), because=CONFIRMS),
    Act(f"{ACCOUNT}reauthenticate/", ("sign-in-refused B -",), sends(password="not this one"), named="wrong password"),
    Act(f"{ACCOUNT}password/change/", ("password B -",), changing),
    Act(f"{ACCOUNT}password/reset/", (), lambda stage: Filled({"email": me(stage).email}), NOBODY,
        because="mails a link, the same answer for every address; the password set by it is recorded"),
    Act(RESET, ("password B -",), resetting, NOBODY),
    Act(f"{FACTOR}reauthenticate/", (), confirming(""), because=CONFIRMS),
    Act(f"{FACTOR}reauthenticate/", ("sign-in-refused B -",), confirming("000000"), named="wrong code"),
    Act(f"{FACTOR}totp/activate/", ("second-factor B -", "second-factor B -"), activating),
    Act(f"{FACTOR}totp/deactivate/", ("second-factor B -",), without_app),
    Act(f"{FACTOR}recovery-codes/generate/", ("second-factor B -",), of_codes),
    Act(f"{FACTOR}webauthn/add/", ("second-factor B -", "second-factor B -"), with_stick()),
    Act(f"{FACTOR}webauthn/keys/<int:pk>/remove/", ("second-factor B -",), of_key()),
    Act(f"{FACTOR}webauthn/keys/<int:pk>/edit/", (), of_key(name="Other"),
        because="gives a key another name for its owner; it opens what it opened"),
    Act(f"{FACTOR}webauthn/login/", ("sign-in B -",), with_stick(fresh), NOBODY),
    Act(f"{FACTOR}webauthn/reauthenticate/", (), with_stick(), because=CONFIRMS),
    Act(f"{ACCOUNT}sessions/", ("sessions B -",), elsewhere),
    Act(f"{ACCOUNT}openid/<uuid:pk>/", ("sign-in-refused B -",), of_provider, NOBODY, answers=(403,)),
    Act(f"{ACCOUNT}openid/<uuid:pk>/prove/", ("sign-in-refused B -",), of_provider, NOBODY, answers=(403,)),
]  # fmt: skip
