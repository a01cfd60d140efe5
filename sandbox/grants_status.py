"""Token introspection (RFC 7662, SMART App Launch 2.2) and revocation (RFC 7009), for the app whose token it is."""

from typing import Any

from sandbox.assertions import oauth_refusal
from sandbox.clients import RegisteredClient
from sandbox.grants import Grant
from sandbox.id_tokens import subject
from sandbox.messages import Request, Response, json_response
from sandbox.state import SandboxState
from sandbox.tokens import NO_STORE, AccessToken, read_form


def _asker(state: SandboxState, request: Request) -> tuple[RegisteredClient, str]:
    """The proved client and the token it asks about."""
    form = read_form(request)
    client = state.authentication.client(request, form)
    if not form.get("token"):
        raise oauth_refusal(400, "invalid_request", "The token is missing.", "no token")
    return client, form["token"]


def introspect(state: SandboxState, request: Request) -> Response:
    """Whether a token is in force, and what it may do; another app's token is told nothing of.

    Raises:
        Refusal: invalid_client or invalid_request.
    """
    client, text = _asker(state, request)
    token, grant = state.tokens.find(text), state.grants.by_refresh_token(text)
    document: dict[str, Any] = {"active": False}
    if token is not None and token.client_id == client.client_id:
        document = _of_access(state, token)
    elif grant is not None and grant.authorization.client_id == client.client_id:
        document = _of_refresh(state, grant, text)
    return json_response(200, document, headers=NO_STORE)


def _of_access(state: SandboxState, token: AccessToken) -> dict[str, Any]:
    grant = next((one for one in state.grants.all() if one.authorization.id == token.grant_id), None)
    return {
        "active": True,
        "scope": " ".join(token.scopes),
        "client_id": token.client_id,
        "exp": int(token.expires_at),
        "iss": state.fhir_base,
        **(_about(state, grant) if grant else {}),
    }


def _of_refresh(state: SandboxState, grant: Grant, text: str) -> dict[str, Any]:
    if grant.refresh_token != text or not state.grants.is_in_force(grant):
        return {"active": False}
    given = grant.authorization
    return {
        "active": True,
        "scope": " ".join(given.scopes),
        "client_id": given.client_id,
        "exp": int(grant.ends_at),
        "iss": state.fhir_base,
        **_about(state, grant),
    }


def _about(state: SandboxState, grant: Grant) -> dict[str, Any]:
    given = grant.authorization
    found = {"patient": given.patient, "sub": subject(state.fhir_base, given.account.username)}
    if "fhirUser" in given.scopes:
        found["fhirUser"] = f"{state.fhir_base}/{given.account.fhir_user}"
    return {name: value for name, value in found.items() if value is not None}


def revoke(state: SandboxState, request: Request) -> Response:
    """Ends the consent that a token belongs to, or a backend app's token; 200 for an unknown one, too.

    Raises:
        Refusal: invalid_client or invalid_request.
    """
    client, text = _asker(state, request)
    token, grant = state.tokens.find(text), state.grants.by_refresh_token(text)
    if token is not None and token.client_id == client.client_id:
        state.tokens.end(text)
        state.grants.end(token.grant_id, "revoked by the app")
    elif grant is not None and grant.authorization.client_id == client.client_id:
        state.grants.end(grant.authorization.id, "revoked by the app")
    return Response(200, headers=tuple(NO_STORE.items()))
