"""The second factor every staff user must have and show: what counts as shown, who is led where, secrets at rest.

A session that has not passed one reaches only the pages of enrolment (nobody of this account has one yet) or of showing
it. The proof lies in the session, bound to the user. ASVS 5 6.3.3; NIST SP 800-63B 5.1.4.2 (a code is used once).
"""

import re
import secrets
from base64 import b32encode
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.stages import AuthenticateStage
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from emr.accounts import people_audit, sessions
from emr.audit import Action
from emr.fields import Sealed, SecretUnreadable, is_newest, seal, unseal
from emr.models import User

PROOF, PENDING, NEXT = "second_factor", "second_factor_pending", "second_factor_next"
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
# A code is right for its own 30 s and one period before and after (MFA_TOTP_TOLERANCE), so long it must be refused.
CODE_LIFE_SECONDS = 120
_SEALED_KEYS = ("secret", "seed")

_ALWAYS = sessions.PUBLIC | {sessions.STATUS, "account_login", "account_logout"}
ENROLMENT = _ALWAYS | {"mfa_index", "mfa_activate_totp", "mfa_add_webauthn", "account_reauthenticate"}
SHOWING = _ALWAYS | {"mfa_reauthenticate", "mfa_reauthenticate_webauthn"}
# What reaches as far as the account, all of allauth's pages of factors among it: see `_beyond_its_practice`.
OF_ACCOUNT = frozenset({"account_change_password", "usersessions_list"})
FIRST_FACTOR = frozenset({"mfa_index", "mfa_activate_totp"})


def prove(request: HttpRequest, user: User, how: str) -> None:
    """This session has passed a second factor of that user."""
    request.session[PROOF] = {"user": str(user.pk), "how": how}


def forget_proof(request: HttpRequest) -> None:
    request.session.pop(PROOF, None)


def proven(request: HttpRequest, user: User | AnonymousUser) -> bool:
    """Whether this session has passed a second factor of that user."""
    proof = request.session.get(PROOF)
    return isinstance(proof, dict) and proof.get("user") == str(user.pk)


def enrolled(user: User) -> bool:
    """Whether the account has an authenticator app or passkey (recovery codes alone are none)."""
    return bool(holders([user.pk]))


def holders(users: Iterable[UUID]) -> set[UUID]:
    """Those of the users who have one."""
    rows = Authenticator.objects.filter(user__in=list(users), type__in=FACTORS)
    return set(rows.values_list("user_id", flat=True))


class SecondFactorRequired:
    """Middleware: a signed-in session without proof is led to enrolment, or to showing the factor it has."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        route = sessions.route_of(request)
        if route in sessions.PUBLIC or not isinstance(request.user, User):
            return None
        if _beyond_its_practice(request.user, route):
            messages.info(request, ELSEWHERE)
            return sessions.leave_for(request, "/")
        if proven(request, request.user):
            return None
        has_one = enrolled(request.user)
        # Whoever knows the password alone must not add a factor to an account that has one.
        if route in (SHOWING if has_one else ENROLMENT):
            return None
        path = request.get_full_path()
        if has_one:
            query = {"next": path} if request.method == "GET" else {}
            return sessions.leave_for(request, reverse("mfa_reauthenticate"), **query)
        if request.method == "GET" and "HX-Request" not in request.headers:
            request.session[NEXT] = path
        return sessions.leave_for(request, reverse("mfa_index"))


ELSEWHERE = (
    "You signed in by your practice's identity provider. To see or change passkeys, codes, password or sessions of "
    "your account, sign in with your email and password."
)


def _beyond_its_practice(user: User, route: str) -> bool:
    """Whether a session that an identity provider began asks for what outlives it.

    Whoever runs a practice's provider could else add a passkey to a member's account, and sign in by it elsewhere. A
    first authenticator app they may set up there: it opens nothing without the password or the provider.
    """
    of_account = route in OF_ACCOUNT or (route.startswith("mfa_") and route not in SHOWING)
    if user.only_practice is None or not of_account:
        return False
    return route not in FIRST_FACTOR or enrolled(user)


class SecondFactorStage(AuthenticateStage):
    """allauth's stage, passed already where the practice's identity provider has asked for a second factor."""

    def _should_handle(self, request: HttpRequest) -> bool:
        if self.login.user is not None and proven(request, self.login.user):
            return False
        return bool(super()._should_handle(request))


def claim_code(user: User, code: str) -> bool:
    """True the first time this user shows this code; shared by all processes."""
    digits = re.sub(r"\D", "", code)
    return bool(cache.add(f"code-shown:{user.pk}:{digits}", 1, timeout=CODE_LIFE_SECONDS))


# --- secrets at rest ---------------------------------------------------------------------------------------


class OwnedCipher(str):
    """A sealed secret of an authenticator, which knows whose row it was read from."""

    owner: object

    @classmethod
    def of(cls, text: str, owner: object) -> "OwnedCipher":
        cipher = cls(text)
        cipher.owner = owner
        return cipher


def know_owner(authenticator: Authenticator) -> None:
    """Tell the ciphers of a loaded row whose they are; the adapter's `decrypt` sees the text alone."""
    if {"data", "user_id"} <= authenticator.__dict__.keys():
        for key in _SEALED_KEYS:
            if isinstance(authenticator.data.get(key), str):
                authenticator.data[key] = OwnedCipher.of(authenticator.data[key], authenticator.user_id)


class SealedSecrets(DefaultMFAAdapter):
    """TOTP secrets and recovery seeds under FIELD_KEYS, bound to their owner: another's row opens nothing."""

    def get_totp_issuer(self) -> str:
        return "HeadacheMD"

    def _get_site_name(self) -> str:
        return "HeadacheMD"

    def encrypt(self, text: str) -> str:
        owner = context.request.user.pk
        return OwnedCipher.of(_sealed(owner, text), owner)

    def decrypt(self, encrypted_text: str) -> str:
        if not isinstance(encrypted_text, OwnedCipher):
            raise SecretUnreadable("an authenticator's secret was read without its row")
        return unseal(Authenticator, "data", encrypted_text.owner, encrypted_text)

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """The last one stays: add another first."""
        others = Authenticator.objects.filter(user=authenticator.user_id, type__in=FACTORS)
        return others.exclude(pk=authenticator.pk).exists()


def _sealed(owner: object, text: str) -> Sealed:
    return seal(Authenticator, "data", owner, text)


def pending_secret(request: HttpRequest, *, renew: bool) -> str:
    """The TOTP secret (base32, 160 bits, RFC 4226 4 R6) shown for enrolment, kept sealed in the session."""
    owner = request.user.pk
    kept = request.session.get(PENDING)
    if kept and not renew:
        return unseal(Authenticator, "pending", owner, kept)
    secret = b32encode(secrets.token_bytes(20)).decode()
    request.session[PENDING] = str(seal(Authenticator, "pending", owner, secret))
    return secret


def enrol_totp(user: User, secret: str) -> None:
    """Give the account this TOTP secret (base32), in place of any it has."""
    data = {"secret": str(_sealed(user.pk, secret))}
    Authenticator.objects.update_or_create(user=user, type=Authenticator.Type.TOTP, defaults={"data": data})


def reset(user: User, *, by: User) -> None:
    """For a lost phone: take all factors and recovery codes away and end the sessions; the next sign-in enrols anew."""
    Authenticator.objects.filter(user=user).delete()
    people_audit.record(Action.SECOND_FACTOR, user, by=by, detail="reset: all removed")
    sessions.end_all(user, "second factor reset", by=by)


def reseal() -> tuple[int, int, int]:
    """(sealed anew with the first of FIELD_KEYS, sealed with it already, unreadable) of all authenticators.

    A row that changes meanwhile is left as it is, and found by the next time.
    """
    done = kept = unreadable = 0
    for row in Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN):
        old = dict(row.data)
        try:
            new = {key: _renewed(row.user_id, key, value) for key, value in old.items()}
        except SecretUnreadable:
            unreadable += 1
            continue
        if new == old:
            kept += 1
            continue
        done += Authenticator.objects.filter(pk=row.pk, data=old).update(data=new)
    return done, kept, unreadable


def _renewed(owner: object, key: str, value: Any) -> Any:
    if key not in _SEALED_KEYS:
        return value
    plaintext = unseal(Authenticator, "data", owner, value)
    return value if is_newest(value) else str(_sealed(owner, plaintext))
