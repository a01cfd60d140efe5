"""A practice with a patient app and an EHR-launch app at a sandbox of its own: launches from both sides."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.http import QueryDict

from emr import calls, launches
from emr.launches import Finished
from emr.models import ClientRegistration, Connection, Environment, Grant, PatientInvitation, Practice
from emr.wire.http import Door
from sandbox.config import SandboxConfig
from sandbox.server import Sandbox
from tests.launches import signing_in
from tests.launches.apps import BROWSER, PATIENT_SCOPES, PROVIDER_SCOPES, REDIRECT
from tests.launches.signing_in import control


@dataclass
class Place:
    sandbox: Sandbox
    connection: Connection
    jwks_url: str

    @property
    def control_url(self) -> str:
        return self.sandbox.control_url

    def people(self) -> list[dict[str, Any]]:
        return control(self.control_url, "patients")["patients"]

    def invite(self, number: int = 0, **changed: Any) -> tuple[PatientInvitation, str]:
        """An invitation of the chart's own person, or of somebody a little or quite different."""
        person = self.people()[number]
        values = {
            "given": " ".join(person["names"][0]["given"]),
            "family": person["names"][0]["family"],
            "birth_date": date.fromisoformat(person["birth_date"]),
        }
        return launches.invite(self.connection.practice, self.connection, None, **(values | changed))

    def sign_in(self, address: str, number: int = 0, **choices: Any) -> QueryDict:
        """The patient at the EMR's pages; returns the query with which the browser comes back."""
        username = signing_in.username_of(self.control_url, self.people()[number]["id"])
        location = signing_in.sign_in(address, username=username, **choices)
        assert location.partition("?")[0] == REDIRECT
        return QueryDict(location.partition("?")[2])

    def come_back(self, invitation: PatientInvitation, number: int = 0, **choices: Any) -> QueryDict:
        return self.sign_in(launches.begin(invitation, browser_key=BROWSER), number, **choices)

    def granted(self, number: int = 0, **changed: Any) -> Finished:
        invitation, _ = self.invite(number, **changed)
        return finish(self.come_back(invitation, number))

    def order(self, kind: str, **arguments: Any) -> None:
        signing_in.order(self.control_url, kind, **arguments)

    def door(self) -> Door:
        return calls.door_to(Connection.objects.select_related("practice", "registration").get(pk=self.connection.pk))

    def seen(self) -> dict[str, Any]:
        return control(self.control_url, "calls")

    def grants(self) -> list[dict[str, Any]]:
        return control(self.control_url, "grants")["grants"]

    def register(self, **more: Any) -> None:
        """Make the app known at the vendor's portal, as the connection's registration has it."""
        registration = self.connection.registration
        values = {
            "client_id": registration.client_id, "app_type": registration.app_type, "scopes": registration.scopes,
            "redirect_uris": [REDIRECT], "auth_method": registration.auth_method, "jwks_url": self.jwks_url,
        }  # fmt: skip
        control(self.control_url, "clients", values | more)


def finish(answer: QueryDict, *, browser: str = BROWSER, at: str = REDIRECT) -> Finished:
    return launches.finish(answer, browser_key=browser, redirect_uri=at)


def fresh(grant: Grant) -> Grant:
    return Grant.objects.select_related("connection__practice", "connection__registration", "invitation").get(
        pk=grant.pk
    )


@contextmanager
def place(
    practice: Practice, jwks_url: str, *, app_type: str = "patient", patients: int = 2, **options: Any
) -> Iterator[Place]:
    """A sandbox, and the practice's connection to it for an app of this type, known at the sandbox's portal."""
    options.setdefault("limit", 100_000)
    with Sandbox(SandboxConfig(practice=practice.code, patients=patients, **options)) as sandbox:
        registration = ClientRegistration.objects.create(
            name=f"{app_type} app",
            client_id=f"a-{app_type}-app",
            app_type=app_type,
            environment=Environment.SANDBOX,
            scopes=PATIENT_SCOPES if app_type == "patient" else PROVIDER_SCOPES,
            redirect_uris=f"https://other.example/emr/callback\n{REDIRECT}",
        )
        connection = Connection.objects.create(
            practice=practice, registration=registration, base_url=sandbox.fhir_base, state=Connection.State.REGISTERED
        )
        made = Place(sandbox, connection, jwks_url)
        made.register()
        yield made
