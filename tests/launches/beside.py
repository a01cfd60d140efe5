"""More apps at a running sandbox, beside the backend's, and the people of its charts."""

from dataclasses import dataclass
from datetime import date

from emr.models import ClientRegistration, Connection, Environment
from tests.emr.conftest import Control, JwksServer
from tests.launches.apps import PATIENT_SCOPES, PROVIDER_SCOPES

SCOPES = {"patient": PATIENT_SCOPES, "provider": PROVIDER_SCOPES}
DATA_USE = {
    "purpose": "To show your headache history to the people who treat you.",
    "sharing": "With nobody outside the clinic.",
    "sale": "No.",
    "contact": "privacy@example.org",
}


def add_app(beside: Connection, control: Control, jwks: JwksServer, app_type: str, site: str) -> Connection:
    """An app of this type at the sandbox of another connection, and this practice's connection over it.

    site: where we are reached, such as http://127.0.0.1:1234.
    """
    registration = ClientRegistration.objects.create(
        name=f"Headache {app_type} app", client_id=f"a-{app_type}-client", environment=Environment.SANDBOX,
        app_type=app_type, scopes=SCOPES[app_type], redirect_uris=f"{site}/emr/callback", data_use=DATA_USE,
    )  # fmt: skip
    client = {
        "client_id": registration.client_id, "jwks_url": jwks.url, "scopes": registration.scopes, "alg": "RS384",
        "app_type": app_type, "active": True, "redirect_uris": registration.redirect_list, "name": "HeadacheMD",
    }  # fmt: skip
    control.post("clients", client)
    return Connection.objects.create(
        practice=beside.practice, registration=registration, base_url=beside.base_url, state=Connection.State.ACTIVE
    )


@dataclass(frozen=True)
class Person:
    """A patient of the sandbox. birth_date: YYYY-MM-DD."""

    fhir_id: str
    username: str
    family: str
    given: str
    birth_date: str

    @property
    def born(self) -> date:
        return date.fromisoformat(self.birth_date)

    @property
    def typed_birth_date(self) -> str:
        """As staff type it: 03/07/1989."""
        return f"{self.born:%m/%d/%Y}"


def people(control: Control) -> list[Person]:
    """Everybody with a chart, a whole name and a whole birth date, who signs in for themselves."""
    charts = {chart["id"]: chart for chart in control.get("patients")["patients"]}
    found = []
    for account in control.get("accounts")["accounts"]:
        chart = charts.get(account["patients"][0]) if account["kind"] == "patient" else None
        if chart and chart["names"] and chart["names"][0]["given"] and len(chart["birth_date"] or "") == 10:
            name = chart["names"][0]
            person = Person(chart["id"], account["username"], name["family"], name["given"][0], chart["birth_date"])
            found.append(person)
    return found
