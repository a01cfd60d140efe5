"""Authorization on the wire: the address a person is sent to, code and refresh exchange, revocation, introspection.

Values in, dataclasses out; no database. Sources: SMART App Launch 2.2 ("Launch and Authorization"), RFC 6749, RFC 7636
(PKCE, S256 alone), RFC 7009, RFC 7662, RFC 9700.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from emr.wire.answers import Answer
from emr.wire.errors import NeverAgain, TryAgain, WireError
from emr.wire.http import Door
from emr.wire.token_endpoint import ClientAuthentication, TokenAnswer, ask, post, refusal
from emr.wire.wellknown import SmartConfiguration, json_object, string

# 256 random bits each, as base64url: SMART asks for 122 of `state`, RFC 7636 for 43 characters of the verifier.
RANDOM_BYTES = 32
_OURS = frozenset(
    {
        "aud",
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "launch",
        "nonce",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
    }
)
_APP_CODES = {
    "invalid_scope": "AUTHZ_SCOPE",
    "unauthorized_client": "AUTHZ_UNAUTHORIZED_CLIENT",
    "unsupported_grant_type": "AUTHZ_UNAUTHORIZED_CLIENT",
}
_CODE_CODES = _APP_CODES | {"invalid_grant": "TOK_CODE_INVALID"}
# A consent ends only by a word about it, or by none at all. A server that refuses the client, or the request (as
# eClinicalWorks does with its fields swapped), refuses us: invalid_client and these do not end it.
_REFRESH_CODES = (
    _APP_CODES
    | dict.fromkeys(("invalid_grant", "access_denied", ""), "TOK_REFRESH_INVALID")
    | dict.fromkeys(("invalid_request", "server_error", "temporarily_unavailable"), "TOK_REFUSED")
)


def random_text() -> str:
    """A state, nonce, code verifier or link token: 256 random bits in 43 characters of base64url."""
    return secrets.token_urlsafe(RANDOM_BYTES)


def challenge(verifier: str) -> str:
    """The S256 code challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Request:
    """What one authorization request asks. redirect_uri: byte for byte as registered. aud: the FHIR base URL.

    nonce: sent when the scope holds `openid`. launch: the EMR's parameter of an EHR launch, "" in a standalone one.
    """

    client_id: str
    redirect_uri: str
    scope: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    code_verifier: str = field(repr=False)
    aud: str
    launch: str = field(default="", repr=False)


def address(configuration: SmartConfiguration, request: Request, extra: Mapping[str, str]) -> str:
    """Where to send the browser. `extra`: the registration's whitelisted parameters; ValueError if they replace ours.

    `aud` loses a trailing slash: with one, eClinicalWorks answers 403. Raises NeverAgain DISC_INCOMPLETE without an
    authorization endpoint, or when the server does not offer PKCE with S256.
    """
    if not configuration.authorization_endpoint:
        raise NeverAgain("DISC_INCOMPLETE", "the SMART configuration lacks authorization_endpoint")
    methods = configuration.code_challenge_methods_supported
    if methods and "S256" not in methods:
        raise NeverAgain("DISC_INCOMPLETE", "the server does not offer PKCE with S256")
    if not _OURS.isdisjoint(extra):
        raise ValueError("extra parameters cannot replace those of the request")
    ours = {
        "response_type": "code",
        "client_id": request.client_id,
        "redirect_uri": request.redirect_uri,
        "scope": request.scope,
        "state": request.state,
        "aud": request.aud.rstrip("/"),
        "code_challenge": challenge(request.code_verifier),
        "code_challenge_method": "S256",
    }
    if "openid" in request.scope.split():
        ours["nonce"] = request.nonce
    if request.launch:
        ours["launch"] = request.launch
    parts = urlsplit(configuration.authorization_endpoint)
    # RFC 6749 section 3.1: a query the endpoint already has is kept, and no parameter is sent twice.
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in ours]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode([*kept, *ours.items(), *extra.items()]), ""))


def exchange(
    door: Door,
    configuration: SmartConfiguration,
    client: ClientAuthentication,
    *,
    code: str,
    code_verifier: str,
    redirect_uri: str,
    extra: Mapping[str, str],
) -> TokenAnswer:
    """Trade a code for tokens, once: it is spent whatever comes back (RFC 6749 section 4.1.3).

    Raises TokenRefused (TOK_CODE_INVALID, AUTHZ_SCOPE and those of token_endpoint.ask), and all of `ask`.
    """
    grant = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": code_verifier,
    }
    hidden = (code, code_verifier)
    return ask(door, configuration.token_endpoint, grant, client, extra=extra, codes=_CODE_CODES, secrets=hidden)


def refresh(
    door: Door,
    configuration: SmartConfiguration,
    client: ClientAuthentication,
    *,
    refresh_token: str,
    extra: Mapping[str, str],
) -> TokenAnswer:
    """The next generation of a grant's tokens, asked for once. No scope is sent: what was granted stays granted.

    An answer without refresh_token means: keep the old one (RFC 6749 section 6). Raises TokenRefused
    (TOK_REFRESH_INVALID: the consent has ended; others of `ask`: we are refused, the consent stands), and all of `ask`.
    After a TryAgain whose `sent` is true the server may have used up the refresh token.
    """
    grant = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return ask(
        door, configuration.token_endpoint, grant, client, extra=extra, codes=_REFRESH_CODES, secrets=(refresh_token,)
    )


def revoke(
    door: Door, configuration: SmartConfiguration, client: ClientAuthentication, *, token: str, hint: str
) -> bool:
    """Revoke a token (RFC 7009); hint: refresh_token or access_token. False where the server has no such endpoint.

    An unknown token counts as revoked (section 2.2). Raises TokenRefused, TryAgain FHIR_5XX and all of Door.post_form.
    """
    if not configuration.revocation_endpoint:
        return False
    form = {"token": token, "token_type_hint": hint, **client.form()}
    answer = post(door, configuration.revocation_endpoint, form, client)
    if not 200 <= answer.status < 300:
        raise _refused(answer, client, token)
    return True


@dataclass(frozen=True)
class Introspection:
    """What the server says of a token (RFC 7662 section 2.2). expires_at: seconds since 1970, None when not said."""

    active: bool
    scope: str | None
    expires_at: int | None
    patient: str = field(repr=False)


def introspect(
    door: Door, configuration: SmartConfiguration, client: ClientAuthentication, *, token: str
) -> Introspection | None:
    """Ask how a token stands; None where the server has no such endpoint.

    Raises TokenRefused, TryAgain (TOK_NOT_JSON: no answer as RFC 7662 has it) and all of Door.post_form.
    """
    if not configuration.introspection_endpoint:
        return None
    answer = post(door, configuration.introspection_endpoint, {"token": token, **client.form()}, client)
    document = json_object(answer)
    if not 200 <= answer.status < 300:
        raise _refused(answer, client, token)
    if document is None or not isinstance(document.get("active"), bool):
        raise answer.error(TryAgain, "TOK_NOT_JSON", "the answer does not say whether the token is active")
    expires_at = document.get("exp")
    return Introspection(
        active=document["active"],
        scope=document["scope"] if isinstance(document.get("scope"), str) else None,
        expires_at=expires_at if isinstance(expires_at, int) and not isinstance(expires_at, bool) else None,
        patient=string(document.get("patient")) or "",
    )


def _refused(answer: Answer, client: ClientAuthentication, token: str) -> WireError:
    return refusal(answer, json_object(answer), codes={}, echoes=(client.assertion, client.secret, token))
