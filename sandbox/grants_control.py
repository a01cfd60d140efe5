"""Control of launches and consents: who can sign in, EHR launch handles, grants looked at, shortened and ended."""

from typing import Any

from sandbox.authorize_accounts import AccountError
from sandbox.authorize_launches import LaunchContext
from sandbox.grants import Grant
from sandbox.grants_apps import REASON
from sandbox.state import SandboxState


def accounts(state: SandboxState) -> dict[str, Any]:
    """``{"accounts": [{"username", "password", "name", "kind", "fhir_user", "patients"}]}``; no patients: all."""
    return {"accounts": state.accounts.as_json()}


def add_account(state: SandboxState, document: dict[str, Any]) -> dict[str, Any]:
    """Adds somebody who signs in for several patients: ``username`` and ``patients``, a list of ids.

    Raises:
        AccountError: one of them is unusable.
    """
    patients = document.get("patients")
    if not isinstance(document.get("username"), str) or not isinstance(patients, list):
        raise AccountError("an account has a username and a list of patients")
    account = state.accounts.add_proxy(document["username"], tuple(map(str, patients)))
    return {"username": account.username, "patients": list(account.patients or ())}


def issue_launch(state: SandboxState, document: dict[str, Any]) -> dict[str, Any]:
    """A launch from inside the EMR: ``{"launch", "iss", "username"}``, to be opened at the app's launch URL.

    Takes ``patient``, ``username`` (the first clinician), ``client_id``, ``encounter``, ``need_patient_banner`` and
    ``asks_consent`` (true shows the consent page, which EMRs leave out), all of them optional.

    Raises:
        AccountError: nobody of that name, or no chart of that patient.
    """
    everybody = state.accounts.all()
    wanted = document.get("username")
    account = next((one for one in everybody if one.username == wanted or (wanted is None and not one.patients)), None)
    if account is None:
        raise AccountError("username must be somebody’s; without one, the charts must have a Practitioner")
    patient = document.get("patient")
    if patient is not None and ("Patient", patient) not in state.charts:
        raise AccountError("patient must be the id of a chart")
    context = LaunchContext(
        account,
        patient,
        encounter=document.get("encounter"),
        client_id=document.get("client_id"),
        need_patient_banner=document.get("need_patient_banner") is True,
        asks_consent=document.get("asks_consent") is True,
    )
    return {"launch": state.launches.issue(context), "iss": state.fhir_base, "username": account.username}


def grants(state: SandboxState) -> dict[str, Any]:
    """``{"grants": […]}``, oldest first, without tokens."""
    return {"grants": [_as_json(state, grant) for grant in state.grants.all()]}


def shorten_grants(state: SandboxState, document: dict[str, Any]) -> dict[str, Any]:
    """Lets the grant ``id``, or every grant, expire ``ends_in`` seconds from now.

    Raises:
        AccountError: ends_in is no number.
    """
    seconds = document.get("ends_in")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise AccountError("ends_in must be a number of seconds")
    wanted = [document["id"]] if "id" in document else [grant.authorization.id for grant in state.grants.all()]
    return {"shortened": sum(state.grants.shorten(str(one), seconds) for one in wanted)}


def end_grants(state: SandboxState, grant_id: str | None) -> dict[str, Any]:
    """Ends one grant or all, as a patient does."""
    wanted = [grant_id] if grant_id else [grant.authorization.id for grant in state.grants.all()]
    return {"ended": sum(state.grants.end(one, REASON) for one in wanted)}


def _as_json(state: SandboxState, grant: Grant) -> dict[str, Any]:
    given = grant.authorization
    return {
        "id": given.id,
        "client_id": given.client_id,
        "username": given.account.username,
        "patient": given.patient,
        "scope": " ".join(given.scopes),
        "issued_at": grant.issued_at,
        "ends_at": grant.ends_at,
        "refreshes": grant.refreshes,
        "in_force": state.grants.is_in_force(grant),
        "ended": grant.ended,
    }
