"""What a launch gets at the token endpoint: a code for a grant, and refresh after refresh (SMART App Launch 2.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox import id_tokens
from sandbox.access_scopes import is_within
from sandbox.assertions import oauth_refusal
from sandbox.authentication import access_denied
from sandbox.clients import RegisteredClient
from sandbox.grants import Authorization, Codes, Grant, Grants
from sandbox.messages import Request
from sandbox.tokens import AccessToken, AccessTokens, without


@dataclass(frozen=True)
class Lives:
    """Seconds that things last.

    Attributes:
        token: an access token of a launch.
        offline: a grant with offline_access; refreshing does not prolong it.
        online: a grant with online_access, whose user is taken to stay that long.
    """

    token: float
    offline: float
    online: float


@dataclass(frozen=True)
class LaunchTokens:
    """The two grants of a launched app.

    Attributes:
        issuer: the FHIR base, which id_tokens name as ``iss``.
        style_url: answered as ``smart_style_url``.
        alg: what id_tokens are signed with.
    """

    issuer: str
    style_url: str
    alg: str
    lives: Lives
    codes: Codes
    grants: Grants
    tokens: AccessTokens
    clock: Callable[[], float]

    def exchange(self, client: RegisteredClient, form: dict[str, str], request: Request) -> dict[str, Any]:
        """Answers ``authorization_code``."""
        code, redirect_uri, verifier = (_required(form, name) for name in ("code", "redirect_uri", "code_verifier"))
        given = self.codes.redeem(code, client.client_id, redirect_uri, verifier)
        offline, online = (name in given.scopes for name in ("offline_access", "online_access"))
        life = self.lives.offline if offline else self.lives.online if online else self.lives.token
        grant = self.grants.open(given, life, refreshable=offline or online)
        answer = self._answer(grant, without(given.scopes, request.withheld_types))
        if "openid" in given.scopes:
            answer["id_token"] = self._id_token(given, request)
        return answer

    def refresh(self, client: RegisteredClient, form: dict[str, str], request: Request) -> dict[str, Any]:
        """Answers ``refresh_token``; a narrower ``scope`` is for this access token alone (RFC 6749 section 6)."""
        token = _required(form, "refresh_token")
        asked = tuple(dict.fromkeys(form.get("scope", "").split()))

        def check(grant: Grant) -> None:
            if not all(is_within(scope, grant.authorization.scopes) for scope in asked):
                raise oauth_refusal(400, "invalid_scope", "The requested scope exceeds the granted.", "scope widened")

        grant = self.grants.refresh(token, client.client_id, check, rotates=not request.keeps_refresh_token)
        scopes = without(asked or grant.authorization.scopes, request.withheld_types)
        answer = self._answer(grant, scopes)
        if request.keeps_refresh_token:
            del answer["refresh_token"]
        return answer

    def _answer(self, grant: Grant, scopes: tuple[str, ...]) -> dict[str, Any]:
        given, now = grant.authorization, self.clock()
        expires_at = min(now + self.lives.token, grant.ends_at)
        bearer = AccessToken(
            given.client_id, scopes, expires_at, given.id, patient=given.patient, patients=given.account.patients
        )
        context = {"patient": given.patient, "encounter": given.encounter, "refresh_token": grant.refresh_token}
        return {
            "access_token": self.tokens.keep(bearer),
            "token_type": "Bearer",
            "expires_in": int(expires_at - now),
            "scope": " ".join(scopes),
            "need_patient_banner": given.need_patient_banner,
            "smart_style_url": self.style_url,
            **{name: value for name, value in context.items() if value},
        }

    def _id_token(self, given: Authorization, request: Request) -> str:
        claims = id_tokens.claims(
            issuer=self.issuer,
            client_id=given.client_id,
            username=given.account.username,
            fhir_user=f"{self.issuer}/{given.account.fhir_user}" if "fhirUser" in given.scopes else None,
            nonce=given.nonce,
            now=self.clock(),
        )
        return id_tokens.sign(claims, self.alg, request.id_token)


def _required(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise access_denied(f"no {name}")
    return form[name]
