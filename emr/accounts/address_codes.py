"""A code mailed to an account's own address, where a provider does not say that its addresses are verified.

Whoever runs such a provider, or may edit a profile there, could name anybody's address. So the first time the person
shows, in the browser that came back from the provider, that they read the account's mail. The code is bound to the
provider, the account and the subject; it is good for ten minutes and five tries.
"""

import hmac
import json
import re
import secrets
import time
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest

from emr.accounts import identity_providers, mails
from emr.accounts.identity_providers import Arrival, NotSignedIn
from emr.fields import SecretUnreadable, seal, unseal
from emr.models import IdentityProvider, User

SESSION_KEY = "openid_unproven"
LIFE_SECONDS = 600
DIGITS, TRIES, MAILS_AN_HOUR = 8, 5, 5


class WrongCode(Exception):
    """The code typed is not the one mailed; there are tries left."""


def ask(request: HttpRequest, provider: IdentityProvider, arrival: Arrival) -> None:
    """Mail a code to the account's address and keep what it would prove, sealed, in the session. Raises NotSignedIn."""
    if not _free_slot(f"address-code-mails:{arrival.user.pk}", MAILS_AN_HOUR, 3600):
        raise NotSignedIn("too many codes were mailed to this address: try again in an hour")
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    context = {"provider": provider, "code": f"{code[:4]} {code[4:]}", "minutes": LIFE_SECONDS // 60}
    if not mails.send("address_code", "Your code for HeadacheMD", context, [arrival.user.email]):
        raise NotSignedIn("the code could not be mailed: try again in a few minutes")
    kept = {
        "at": int(time.time()), "id": secrets.token_hex(16), "code": code, "user": str(arrival.user.pk),
        "subject": arrival.unproven, "by_mfa": arrival.by_mfa,
    }  # fmt: skip
    request.session[SESSION_KEY] = str(seal(IdentityProvider, "unproven", provider.pk, json.dumps(kept)))


def address(request: HttpRequest, provider: IdentityProvider) -> str:
    """Where the code was mailed. Raises NotSignedIn when none is awaited in this browser."""
    return _user(_kept(request, provider)).email


def prove(request: HttpRequest, provider: IdentityProvider, typed: str) -> Arrival:
    """Link the account by the code that was mailed. Raises WrongCode, and NotSignedIn when it is too late for any."""
    kept = _kept(request, provider)
    if not _free_slot(f"address-code:{kept['id']}", TRIES, LIFE_SECONDS):
        request.session.pop(SESSION_KEY)
        raise NotSignedIn("too many wrong codes")
    if not hmac.compare_digest(re.sub(r"\D", "", typed).encode(), kept["code"].encode()):
        raise WrongCode
    request.session.pop(SESSION_KEY)
    user = _user(kept)
    identity_providers.link(provider, user, kept["subject"], "address proven by a mailed code")
    return Arrival(user, kept["by_mfa"])


def _kept(request: HttpRequest, provider: IdentityProvider) -> dict[str, Any]:
    sealed = request.session.get(SESSION_KEY, "")
    try:
        kept = json.loads(unseal(IdentityProvider, "unproven", provider.pk, sealed) or "{}")
    except SecretUnreadable:  # mailed for another provider
        kept = {}
    if not kept or time.time() - kept["at"] > LIFE_SECONDS:
        raise NotSignedIn("no code is awaited in this browser, or it is too late for it")
    found: dict[str, Any] = kept
    return found


def _user(kept: dict[str, Any]) -> User:
    return User.objects.get(pk=kept["user"])  # accounts are never deleted


def _free_slot(name: str, slots: int, seconds: int) -> bool:
    """Take one of so many slots, shared by all processes: two requests at once never take the same."""
    return any(cache.add(f"{name}:{number}", 1, timeout=seconds) for number in range(slots))
