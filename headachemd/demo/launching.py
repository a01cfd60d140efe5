"""The demo's apps for people: one patients sign in to, and one that clinicians open inside the EMR.

The sandbox plays the vendor's portal, the patient's sign-in and the EMR's own screen.
"""

from dataclasses import dataclass

from emr import keys
from emr.launches import consents
from emr.models import ClientRegistration, Connection, Environment, FhirUser, User
from headachemd.demo import loopback
from headachemd.demo.place import Place

AppType = ClientRegistration.AppType
# What a patient reads before going on (emr.models.registrations.DataUse).
DATA_USE = {
    "purpose": "To show your headache history to the people who treat you. This is a demo: nobody's data is real.",
    "sharing": "With nobody outside the clinic.",
    "sale": "No.",
    "storage": "On this computer. Tokens are encrypted.",
    "erasure": "Ask the clinic, or remove the app under “My apps” of the sandbox.",
    "contact": "The clinic.",
}


@dataclass(frozen=True)
class App:
    app_type: AppType
    client_id: str
    name: str
    context: str
    words: str


APPS = (
    App(
        AppType.PATIENT,
        "demo-patient-app",
        "Demo patient app",
        "patient",
        "launch/patient openid fhirUser offline_access",
    ),
    App(AppType.PROVIDER, "demo-provider-app", "Demo app in the EMR", "user", "launch openid fhirUser"),
)


@dataclass(frozen=True)
class Newcomer:
    """A patient of the sandbox whom nobody has enrolled."""

    given: str
    family: str
    birth_date: str

    @property
    def label(self) -> str:
        return f"{self.given} {self.family}, born {consents.born(self.birth_date)}"


def furnish(place: Place, beside: Connection, control: str) -> None:
    """Both apps: registered here and at the sandbox's portal, and connected beside the backend app's connection."""
    for app in APPS:
        registration, _ = ClientRegistration.objects.get_or_create(
            client_id=app.client_id,
            defaults={
                "name": app.name, "portal": "Sandbox", "environment": Environment.SANDBOX, "app_type": app.app_type,
                "data_use": DATA_USE,
            },
        )  # fmt: skip
        registration.scopes = f"{app.words} {registration.profile.default_scopes.replace('system/', f'{app.context}/')}"
        registration.redirect_uris = f"{place.address}/emr/callback"
        registration.save()
        connection, _ = Connection.objects.get_or_create(
            practice=beside.practice, registration=registration, defaults={"state": Connection.State.ACTIVE}
        )
        connection.base_url = beside.base_url
        connection.save()
        _register(place, registration, control)


def _register(place: Place, registration: ClientRegistration, control: str) -> None:
    client = {
        "client_id": registration.client_id, "name": "HeadacheMD", "app_type": registration.app_type,
        "jwks_url": keys.jwks_url(Environment.SANDBOX), "alg": registration.signing_algorithm,
        "scopes": registration.scopes, "redirect_uris": registration.redirect_list,
    }  # fmt: skip
    if registration.app_type == AppType.PROVIDER:
        client["launch_url"] = f"{place.address}/emr/launch"
    loopback.post_json(f"{control}/clients", client)


def know_clinicians(control: str, staff: User) -> None:
    """As an admin enters it beforehand: whoever signs in to the sandbox as a clinician is our staff user."""
    connection = Connection.objects.get(registration__client_id=APPS[1].client_id)
    for account in loopback.get_json(f"{control}/accounts")["accounts"]:
        if account["kind"] == "clinician":
            FhirUser.objects.get_or_create(
                connection=connection, fhir_user=account["fhir_user"], defaults={"user": staff}
            )


def newcomer(control: str) -> tuple[str, Newcomer | None]:
    """(id, who) of the patient who is left for the visitor to invite: the last with a whole name and birth date."""
    for patient in reversed(loopback.get_json(f"{control}/patients")["patients"]):
        name = patient["names"][0] if patient["names"] else {}
        if name.get("given") and name.get("family") and len(patient["birth_date"] or "") == 10:
            return patient["id"], Newcomer(name["given"][0], name["family"], patient["birth_date"])
    return "", None
