"""What is posted in the admin, and the rows it leaves: in the chain of the practice it is about, or of none."""

import uuid
from typing import Any

from django.db.models import Model

from emr import keys
from emr.models import (
    ClientRegistration,
    Connection,
    FhirUser,
    IdentityProvider,
    Invitation,
    Letter,
    Practice,
    SigningKey,
    User,
)
from tests.trust.acting import CLINICIAN, ROOT, Act, Filled, Filling, Stage, as_shown
from tests.trust.acts_of_staff import colleague, invited

SITE = "admin/emr/"


def at(model: type[Model], page: str = "") -> str:
    meta = model._meta
    return f"admin/{meta.app_label}/{meta.model_name}/{page}"


def row_of(stage: Stage, model: type[Model]) -> Any:
    if model is Connection:
        return known_connection(stage)
    if model is User:
        return colleague(stage).user
    if model is Invitation:
        return invited(stage)[0]
    if model is FhirUser:
        return fhir_user(stage)
    if model is IdentityProvider:
        return provider(stage)
    if model is ClientRegistration:
        return ClientRegistration.objects.create(name="Spare", vendor_profile="generic")
    return stage.practice if model is Practice else stage.rows.of(model)


def known_connection(stage: Stage) -> Connection:
    registration = ClientRegistration.objects.create(
        name="Backend app", client_id="ours", scopes="system/Patient.read", vendor_profile="generic"
    )
    base = f"https://fhir.example.org/fhir/r4/{stage.practice.code}"
    return Connection.objects.create(practice=stage.practice, registration=registration, base_url=base)


def provider(stage: Stage) -> IdentityProvider:
    return IdentityProvider.objects.create(
        practice=Practice.objects.create(name="Cedar", code="CCCCCC"), issuer="https://login.example.org",
        client_id="ours", email_domains="example.org", client_secret="secret",
    )  # fmt: skip


def of_providers_app(stage: Stage) -> Connection:
    registration = ClientRegistration.objects.create(name="EHR app", client_id="ours", app_type="provider")
    base = f"https://fhir.example.org/fhir/r4/{stage.practice.code}"
    return Connection.objects.create(practice=stage.practice, registration=registration, base_url=base)


def fhir_user(stage: Stage) -> FhirUser:
    link = of_providers_app(stage)
    return FhirUser.objects.create(connection=link, fhir_user="Practitioner/1", user=stage.person(CLINICIAN))


def adding(model: type[Model], values: Any) -> Filling:
    def filled(stage: Stage) -> Filled:
        shown = as_shown(stage.page(ROOT, "/" + at(model, "add/")))
        return Filled(shown | (values(stage) if callable(values) else values))

    return filled


def changing(model: type[Model], **values: Any) -> Filling:
    def filled(stage: Stage) -> Filled:
        row = row_of(stage, model)
        shown = as_shown(stage.page(ROOT, f"/{at(model)}{row.pk}/change/"))
        data = {name: value(stage, row) if callable(value) else value for name, value in values.items()}
        return Filled(shown | data, {"object_id": row.pk})

    return filled


def deleting(model: type[Model]) -> Filling:
    return lambda stage: Filled({"post": "yes"}, {"object_id": row_of(stage, model).pk})


def choosing(model: type[Model], action: str, row: Any = None) -> Filling:
    def filled(stage: Stage) -> Filled:
        chosen = row(stage) if row else row_of(stage, model)
        return Filled({"action": action, "_selected_action": [str(chosen.pk)], "post": "yes"})

    return filled


def key(state: SigningKey.State) -> Any:
    def made(stage: Stage) -> SigningKey:
        SigningKey.objects.all().delete()
        row = keys.generate(environment="sandbox", algorithm="ES384")
        if state == SigningKey.State.ACTIVE:
            keys.activate(row)
        return row

    return made


def pressing(what: str, **data: Any) -> Filling:
    def filled(stage: Stage) -> Filled:
        return Filled(data, {"pk": known_connection(stage).pk, "what": what})

    return filled


def asking_about_a_host(stage: Stage) -> Filled:
    link, origin = known_connection(stage), "https://login.example.org"
    Connection.objects.filter(pk=link.pk).update(pending_hosts=[origin])
    return Filled({"origin": origin}, {"pk": link.pk, "what": "confirm-host"})


def following_up(what: str) -> Filling:
    def filled(stage: Stage) -> Filled:
        link = known_connection(stage)
        row = stage.rows.insert(Letter, {"connection_id": link.pk, "sent_at": None, "answered_at": None})
        return Filled(ids={"pk": row.pk, "what": what})

    return filled


def new_provider(stage: Stage) -> dict[str, Any]:
    IdentityProvider.objects.filter(practice=stage.practice).delete()
    return {
        "practice": str(stage.practice.pk), "issuer": "https://login.example.org", "client_id": "ours",
        "email_domains": "example.org", "new_client_secret": "secret", "other_hosts": "",
    }  # fmt: skip


def new_fhir_user(stage: Stage) -> dict[str, Any]:
    person = stage.person(CLINICIAN)
    return {"connection": str(of_providers_app(stage).pk), "fhir_user": "Practitioner/1", "user": str(person.pk)}


def new_connection(stage: Stage) -> dict[str, Any]:
    known = known_connection(stage)
    known.delete()
    own = {"practice": str(stage.practice.pk), "registration": str(known.registration_id)}
    return own | {"base_url": known.base_url, "confirmed_address": known.base_url}


CONFIGURED, CONFIGURED_OF_NONE = ("configuration B -",), ("configuration - -",)
TESTED = ("configuration B -", "configuration B -")
CONNECTION, KEY, DO = at(Connection), at(SigningKey), at(Connection, "<uuid:pk>/do/<str:what>/")
CHANGE, DELETE = "<path:object_id>/change/", "<path:object_id>/delete/"
NEW_REGISTRATION = {"name": "Another app", "client_id": "another", "vendor_profile": "generic"}

CONNECTIONS = [
    Act(f"{CONNECTION}add/", CONFIGURED, adding(Connection, new_connection), ROOT),
    Act(f"{CONNECTION}{CHANGE}", CONFIGURED, changing(Connection, group_id="g2"), ROOT),
    Act(f"{CONNECTION}{CHANGE}", CONFIGURED, changing(Connection, patients_to_enrol="new-1"), ROOT, "enrol"),
    Act(f"{CONNECTION}{CHANGE}", TESTED, changing(Connection, group_id="g2", _check="1"), ROOT, "_check"),
    Act(f"{CONNECTION}{CHANGE}", ("configuration B -", "pull B -"), changing(Connection, group_id="g2", _pull="1"),
        ROOT, "_pull"),
    Act(f"{CONNECTION}{DELETE}", CONFIGURED, deleting(Connection), ROOT),
    Act(CONNECTION, CONFIGURED, choosing(Connection, "check_now"), ROOT, "check_now"),
    Act(CONNECTION, ("pull B -",), choosing(Connection, "pull_now"), ROOT, "pull_now"),
    Act(CONNECTION, CONFIGURED, choosing(Connection, "probe_anew"), ROOT, "probe_anew"),
    Act(CONNECTION, CONFIGURED, choosing(Connection, "delete_selected"), ROOT, "delete_selected"),
    *(Act(DO, CONFIGURED, pressing(what), ROOT, what) for what in ("test", "retry", "reconnect", "activated")),
    Act(DO, CONFIGURED, pressing("disconnect"), ROOT, "disconnect"),
    Act(DO, CONFIGURED, pressing("confirm"), ROOT, "confirm"),
    Act(DO, CONFIGURED, asking_about_a_host, ROOT, "confirm-host"),
    Act(DO, ("configuration - -", "configuration B -"), pressing("key"), ROOT, "key"),
    Act(DO, CONFIGURED, pressing("letter", kind="activate"), ROOT, "letter"),
    *(Act(at(Letter, "<uuid:pk>/do/<str:what>/"), CONFIGURED, following_up(what), ROOT, what)
      for what in ("sent", "asked-again", "answered")),
]  # fmt: skip

OURS = [
    Act(at(ClientRegistration, "add/"), CONFIGURED_OF_NONE, adding(ClientRegistration, NEW_REGISTRATION), ROOT),
    Act(at(ClientRegistration, CHANGE), CONFIGURED_OF_NONE, changing(ClientRegistration, **NEW_REGISTRATION), ROOT),
    Act(at(ClientRegistration, DELETE), CONFIGURED_OF_NONE,
        deleting(ClientRegistration), ROOT),
    Act(at(ClientRegistration), CONFIGURED_OF_NONE,
        choosing(ClientRegistration, "delete_selected"), ROOT, "delete_selected"),
    Act(f"{KEY}add/", CONFIGURED_OF_NONE,
        adding(SigningKey, {"environment": "sandbox", "algorithm": "ES384", "private_key": ""}), ROOT),
    Act(KEY, CONFIGURED_OF_NONE, choosing(SigningKey, "promote", key(SigningKey.State.NEXT)), ROOT, "promote"),
    Act(KEY, CONFIGURED_OF_NONE, choosing(SigningKey, "advance", key(SigningKey.State.NEXT)), ROOT, "advance"),
    Act(KEY, CONFIGURED_OF_NONE, choosing(SigningKey, "activate", key(SigningKey.State.NEXT)), ROOT, "activate"),
    Act(KEY, CONFIGURED_OF_NONE, choosing(SigningKey, "retire", key(SigningKey.State.ACTIVE)), ROOT, "retire"),
    Act(KEY, CONFIGURED_OF_NONE * 2, choosing(SigningKey, "replace_at_once", key(SigningKey.State.ACTIVE)), ROOT,
        "replace_at_once"),
    Act(at(IdentityProvider, "add/"), CONFIGURED, adding(IdentityProvider, new_provider), ROOT),
    Act(at(IdentityProvider, CHANGE), ("configuration another -",),
        changing(IdentityProvider, client_id="another"), ROOT),
    Act(at(IdentityProvider, DELETE), ("configuration another -",), deleting(IdentityProvider), ROOT),
    Act(at(IdentityProvider), ("configuration another -",), choosing(IdentityProvider, "delete_selected"), ROOT,
        "delete_selected"),
    Act(at(FhirUser, "add/"), CONFIGURED, adding(FhirUser, new_fhir_user), ROOT),
    Act(at(FhirUser, CHANGE), CONFIGURED, changing(FhirUser, fhir_user="Practitioner/2"), ROOT),
    Act(at(FhirUser, DELETE), CONFIGURED, deleting(FhirUser), ROOT),
    Act(at(FhirUser), CONFIGURED, choosing(FhirUser, "delete_selected"), ROOT, "delete_selected"),
]  # fmt: skip


def new_member(stage: Stage) -> dict[str, Any]:
    stranger = User.objects.create_user(f"{uuid.uuid4().hex[:8]}@example.org")
    return {"user": str(stranger.pk), "role": "staff"}


def joining_in_the_inline(stage: Stage) -> Filled:
    filled = changing(Practice)(stage)
    count = int(filled.data["memberships-TOTAL_FORMS"])
    made = {f"memberships-{count}-{name}": value for name, value in new_member(stage).items()}
    data = filled.data | made | {"memberships-TOTAL_FORMS": str(count + 1)}
    return Filled(data | {f"memberships-{count}-practice": str(stage.practice.pk)}, filled.ids)


def of_own_inline(**changes: str) -> Filling:
    def filled(stage: Stage) -> Filled:
        given = changing(User)(stage)
        return Filled(given.data | {f"memberships-0-{name}": value for name, value in changes.items()}, given.ids)

    return filled


MEMBER = ("membership B -",)
PEOPLE = [
    Act(at(Practice, "add/"), ("configuration another -",),
        adding(Practice, {"name": "Dogwood", "code": "DDDDDD", "time_zone": "America/New_York"}), ROOT),
    Act(at(Practice, CHANGE), CONFIGURED, changing(Practice, name="Birch and Sons"), ROOT),
    Act(at(Practice, CHANGE), ("configuration B -", "membership B -"), joining_in_the_inline, ROOT, "add a member"),
    Act(at(User, CHANGE), MEMBER, changing(User, full_name="Another Name"), ROOT),
    Act(at(User, CHANGE), ("membership B -", "sessions B -"), changing(User, is_staff="on"), ROOT, "enter the admin"),
    Act(at(User, CHANGE), ("membership B -", "sessions B -", "membership B -"), of_own_inline(role="clinician"), ROOT,
        "change a role"),
    Act(at(User, CHANGE), ("membership B -", "sessions B -", "membership B -"), of_own_inline(DELETE="on"), ROOT,
        "remove a membership"),
    Act(at(User), ("second-factor B -", "sessions B -"), choosing(User, "reset_second_factor"), ROOT,
        "reset_second_factor"),
    Act(at(Invitation, "add/"), MEMBER,
        adding(Invitation, lambda stage: {"email": "new@example.org", "practice": str(stage.practice.pk),
                                          "role": "staff"}), ROOT),
    Act(at(Invitation, DELETE), MEMBER, deleting(Invitation), ROOT),
    Act(at(Invitation), MEMBER, choosing(Invitation, "delete_selected"), ROOT, "delete_selected"),
    Act(at(Invitation), MEMBER, choosing(Invitation, "send_again"), ROOT, "send_again"),
]  # fmt: skip

ACTS = [*CONNECTIONS, *OURS, *PEOPLE]
