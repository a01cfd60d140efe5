"""An OpenID Connect provider on the wire: discovery, and the sign-in of one person with a code and PKCE.

Values in, dataclasses out; no database. The exchanges are those of SMART (`authorize`, `id_token`): OpenID Connect Core
1.0 sections 3.1.2 and 3.1.3, Discovery 1.0 sections 4.2 and 4.3, RFC 8176 (amr).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from emr.wire import authorize, id_token
from emr.wire.errors import NeverAgain, TryAgain
from emr.wire.http import Door
from emr.wire.token_endpoint import ClientAuthentication
from emr.wire.wellknown import MAX_DOCUMENT, SmartConfiguration, confirmed_hosts, json_object, string

# profile: for preferred_username, which Entra ID sends for accounts without a mailbox's address in email.
SCOPE = "openid email profile"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True)
class Client:
    """How we are known at a provider. hosts: those beside the issuer's own that an admin confirmed."""

    issuer: str
    client_id: str
    secret: str = field(repr=False)
    redirect_uri: str
    hosts: frozenset[str] = frozenset()
    insecure: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Attempt:
    """What must come back unchanged; all 256 random bits."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)

    @classmethod
    def new(cls) -> "Attempt":
        return cls(authorize.random_text(), authorize.random_text(), authorize.random_text())


@dataclass(frozen=True)
class Person:
    """Whom the provider has signed in.

    email: "" when none is named, or said not to be verified. Without any, the name of their sign-in there if that is
    an address: never verified. verified: the provider says that it is; some, Entra ID among them, say nothing about
    it, and then it is a claim that anybody with a say there could have made.
    """

    issuer: str
    subject: str = field(repr=False)
    email: str = field(repr=False)
    verified: bool
    by_mfa: bool


def address(client: Client, attempt: Attempt) -> str:
    """Where to send the browser. Raises NeverAgain and TryAgain of `discover`."""
    with Door(client.issuer, insecure=client.insecure) as door:
        configuration = discover(door, client.issuer)
    confirmed_hosts(configuration, _allowed(client))
    request = authorize.Request(
        client_id=client.client_id, redirect_uri=client.redirect_uri, scope=SCOPE, state=attempt.state,
        nonce=attempt.nonce, code_verifier=attempt.verifier, aud=client.issuer,
    )  # fmt: skip
    return authorize.address(configuration, request, {})


def sign_in(client: Client, attempt: Attempt, code: str) -> Person:
    """Trade the code for an identity token and believe it once it is proven.

    Raises NeverAgain OIDC_INVALID, TOK_* and all of `discover`, Door and the token endpoint.
    """
    with Door(client.issuer, insecure=client.insecure) as door:
        configuration = discover(door, client.issuer)
    hosts = confirmed_hosts(configuration, _allowed(client))
    with Door(client.issuer, other_hosts=hosts, insecure=client.insecure) as door:
        method = _method(configuration)
        answer = authorize.exchange(
            door, configuration, ClientAuthentication(method, client.client_id, secret=client.secret),
            code=code, code_verifier=attempt.verifier, redirect_uri=client.redirect_uri, extra={},
        )  # fmt: skip
        claims = id_token.proven_claims(
            door, configuration, answer.id_token, client_id=client.client_id, nonce=attempt.nonce
        )
    return _person(claims)


def discover(door: Door, issuer: str) -> SmartConfiguration:
    """GET [issuer]/.well-known/openid-configuration; the document names exactly this issuer (Discovery 4.3).

    Raises NeverAgain DISC_INCOMPLETE; TryAgain DISC_NOT_JSON, FHIR_5XX; and all of Door.get.
    """
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    answer = door.get(url, headers={"Accept": "application/json"}, max_bytes=MAX_DOCUMENT)
    if answer.status >= 500:
        raise answer.error(TryAgain, "FHIR_5XX", "the provider is not well")
    document = json_object(answer) if 200 <= answer.status < 300 else None
    if document is None:
        raise answer.error(TryAgain, "DISC_NOT_JSON", "the provider's configuration cannot be read")
    if document.get("issuer") != issuer:
        raise answer.error(NeverAgain, "DISC_INCOMPLETE", "the provider's configuration is another issuer's")
    missing = [name for name in _ENDPOINTS if not string(document.get(name))]
    if missing:
        raise answer.error(NeverAgain, "DISC_INCOMPLETE", f"the provider's configuration lacks {', '.join(missing)}")
    methods = document.get("token_endpoint_auth_methods_supported")
    return SmartConfiguration(
        issuer=issuer,
        authorization_endpoint=str(document["authorization_endpoint"]),
        token_endpoint=str(document["token_endpoint"]),
        jwks_uri=str(document["jwks_uri"]),
        token_endpoint_auth_methods_supported=tuple(methods) if isinstance(methods, list) else (),
    )


def _method(configuration: SmartConfiguration) -> str:
    """Basic is what a provider supports that says nothing (Discovery 1.0 section 3)."""
    methods = configuration.token_endpoint_auth_methods_supported
    return "client_secret_post" if "client_secret_post" in methods else "client_secret_basic"


def _allowed(client: Client) -> Collection[str]:
    host = client.issuer.partition("://")[2].partition("/")[0]
    return {host, *client.hosts}


def _person(claims: dict[str, Any]) -> Person:
    amr = claims.get("amr")
    said, email = claims.get("email_verified"), string(claims.get("email"))
    named = email or _address_like(claims.get("preferred_username"))
    return Person(
        issuer=str(claims["iss"]),
        subject=str(claims["sub"]),
        email=named if said is True or "email_verified" not in claims else "",
        verified=said is True and bool(email),
        by_mfa=isinstance(amr, list) and "mfa" in amr,
    )


def _address_like(claim: Any) -> str:
    """OpenID Connect Core 1.0, section 5.1: preferred_username may be any text, and is proof of nothing."""
    text = string(claim) or ""
    return text if re.fullmatch(r"[^@\s]+@[^@\s]+", text) else ""
