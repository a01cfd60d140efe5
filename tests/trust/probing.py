"""Requests by everybody for everything: each route, method, kind of id and actor, and what must never come back.

Every text of a patient carries a canary word of its practice. A probe finds a fault when an actor is sent the canary
of a practice that is not theirs, when a stranger's request for a practice's row is answered by anything but a refusal,
when it writes where it must not, or when the program crashes. Each probe is rolled back.
"""

import json
import math
import random
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.cookies import SimpleCookie
from typing import Any
from weakref import WeakKeyDictionary

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import Model
from django.http import HttpResponse
from django.test import Client

from emr import walls
from emr.accounts import sessions
from emr.models import (
    ClientRegistration,
    Connection,
    Grant,
    Membership,
    PatientInvitation,
    Practice,
    Resource,
    User,
)
from patients.models import Assessment, Patient
from tests.conftest import member, signed_in, with_password_only
from tests.pages import charts
from tests.test_isolation import routes
from tests.trust import addresses
from tests.trust.rows import Rows

CANARIES = {"A": "Qacanary", "B": "Qbcanary"}
NAMES = {"A": "Alder Clinic", "B": "Birch Clinic"}
CODES = {"A": "AAAAAA", "B": "BBBBBB"}
OTHER = {"A": "B", "B": "A"}
BOTH = "both@example.org"  # a member of either practice
HTML = {"host": "127.0.0.1"}
METHODS = ("get", "post", "head", "htmx")
MALFORMED = ("not-an-id", "00000000", "%27%20OR%201%3D1--", "..%2f..%2fetc", "٣" * 8)
# Tables that looking at a page may write to: sessions, the audit, limits, and what follows from having looked.
LOOKING = {
    "django_session", "emr_auditevent", "emr_audithead", "cache", "usersessions_usersession", "emr_jwkshit",
    "patients_digest", "emr_enrolment", "emr_practice",
}  # fmt: skip
WAKE_SECONDS = 60
_woken: WeakKeyDictionary[Client, float] = WeakKeyDictionary()
_SOMETHING = {"q": "canary", "format": "csv", "reason": "A reason long enough to be taken"}
REFUSALS = {400, 403, 404, 405, 429}


@dataclass(frozen=True)
class Actor:
    """practice: whose charts may be theirs ("" nobody's). strange: words and ids of the other practice, which are not.
    in_admin: asks for pages of Django's admin alone."""

    name: str
    client: Client
    practice: str
    cookies: Mapping[str, str] = field(default_factory=dict)
    strange: tuple[tuple[str, bytes], ...] = ()
    in_admin: bool = False


@dataclass(frozen=True)
class Probe:
    route: str
    url: str
    method: str
    actor: Actor
    owner: str  # whose row the ids name; "" for made-up ids and routes without any
    data: Mapping[str, object] | None = None  # a whole form to post, which names a row of the owner's


@dataclass
class World:
    """Two practices with a row of every kind in each, and the people who ask."""

    rows: dict[str, Rows]
    actors: list[Actor]
    patients: dict[str, Patient]
    ids: dict[str, list[uuid.UUID]] = field(default_factory=dict)

    @classmethod
    def make(cls) -> "World":
        practices = {key: Practice.objects.create(name=NAMES[key], code=CODES[key]) for key in NAMES}
        rows = {key: Rows(practice, CANARIES[key]) for key, practice in practices.items()}
        people = {key: _chart(practice, CANARIES[key]) for key, practice in practices.items()}
        for each in rows.values():
            for model in walls.walled():
                each.of(model)
        world = cls(rows, _actors(practices), people)
        for key, each in rows.items():
            found = [each.of(model).pk for model in walls.walled()]
            own = [*people[key].entries.values_list("source_id", flat=True), people[key].pk, *_consents(each)]
            world.ids[key] = [pk for pk in [*own, *found] if isinstance(pk, uuid.UUID)]
        _administered_elsewhere(world)
        Membership.objects.create(user=member(BOTH, practices["A"], Membership.Role.STAFF), practice=practices["B"])
        world.actors = [replace(actor, strange=world.strange_to(actor)) for actor in world.actors]
        return world

    def strange_to(self, actor: Actor) -> tuple[tuple[str, bytes], ...]:
        if not actor.practice:
            return ()
        other = OTHER[actor.practice]
        words = [("the name", NAMES[other]), ("the code", CODES[other]), ("a person", self.person(other).email)]
        shown = [row.pk for model in admin.site._registry if (row := self.row(other, model))]
        ids = [("a row", str(pk)) for pk in {*self.ids[other], *shown}]
        return tuple((f"{what} of {other}", said.encode()) for what, said in [*words, *ids])

    def person(self, key: str) -> User:
        return User.objects.get(email=f"clinician.{key}@example.org".lower())

    def row(self, key: str, model: type[Model]) -> Model | None:
        """What the admin could show of that practice; None for models of no practice."""
        if model is User:
            return self.person(key)
        if model in walls.walled() or model in {Practice, ClientRegistration}:
            found: Model = self.rows[key].of(model)
            return found
        return None


def _chart(practice: Practice, canary: str) -> Patient:
    person = charts.patient(practice, f"p-{canary}", family=canary, given=canary, search_text=canary.lower())
    charts.enrol(person)
    charts.add(person, [charts.order(canary, "2024-01-02", "", "", "", "", detail={"unclassified": True})])
    return person


def _consents(rows: Rows) -> list[uuid.UUID]:
    """What pages of consents are about: a Patient as fetched, a grant that waits for a decision, and one that ended."""
    word = rows.canary
    patient = {"resourceType": "Patient", "id": f"c-{word}", "name": [{"family": word, "given": [word]}]}
    record = rows.insert(Resource, {"resource_type": "Patient", "fhir_id": patient["id"], "body": json.dumps(patient)})
    app = rows.insert(ClientRegistration, {"app_type": ClientRegistration.AppType.PATIENT})
    link = rows.insert(Connection, {"registration_id": app.pk})
    made = {"connection_id": link.pk, "invitation_id": rows.insert(PatientInvitation, {"connection_id": link.pk}).pk}
    returned = {"label": f"{word}, {word}", "names": [[word, word]], "birth_date": "1980-01-01"}
    person = {"user_id": None, "patient_fhir_id": f"c-{word}"}
    # by which people launch from within the EMR
    provider = rows.insert(ClientRegistration, {"app_type": ClientRegistration.AppType.PROVIDER})
    rows.insert(Connection, {"registration_id": provider.pk})
    grants = [
        rows.insert(Grant, made | person | {"state": Grant.State.HELD, "returned": returned}),
        rows.insert(Grant, made | person | {"state": Grant.State.NEEDS_CONSENT}),
    ]
    return [record.pk, *(grant.pk for grant in grants)]


def _administered_elsewhere(world: World) -> None:
    """Each practice's admin has once changed a row of the other's, and the log of the admin still names it."""
    for actor in world.actors:
        if actor.in_admin:
            row = world.rows[OTHER[actor.practice]].practice
            user = User.objects.get(email=_email(actor.name))
            LogEntry.objects.log_actions(user.pk, [row], CHANGE, "changed", single_object=True)


def _email(name: str) -> str:
    return f"{name}@example.org".lower().replace(" ", ".")


def _actors(practices: dict[str, Practice]) -> list[Actor]:
    """In a fixed order; every session is one through which pages have been asked for before."""
    role = Membership.Role
    found = [Actor("anonymous", _client(), "")]
    for key, name in (("A", role.CLINICIAN), ("A", role.STAFF), ("A", role.ADMIN), ("B", role.CLINICIAN),
                      ("B", role.ADMIN), ("B", role.PRIVACY_OFFICER)):  # fmt: skip
        person = member(f"{name}.{key}@example.org".lower(), practices[key], name)
        found.append(Actor(f"{name} of {key}", signed_in(person, _client()), key))
    former = member("former@example.org", practices["A"], role.CLINICIAN)
    session = signed_in(former, _client())
    former.memberships.all().delete()
    found.append(Actor("removed member of A", session, ""))
    fresh = signed_in(member("former2@example.org", practices["A"], role.CLINICIAN), _client())
    Membership.objects.filter(user__email="former2@example.org").delete()
    found.append(Actor("removed member of A, signed in again", _again(fresh, "former2@example.org"), ""))
    half = member("half@example.org", practices["A"], role.CLINICIAN)
    found.append(Actor("clinician of A without second factor", with_password_only(half, _client()), ""))
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    found.append(Actor("superuser", signed_in(root, _client()), ""))
    for key in practices:
        who = f"admin of {key} in the admin"
        person = member(_email(who), practices[key], role.ADMIN)
        person.user_permissions.set(Permission.objects.filter(content_type__in=_registered()))
        User.objects.filter(pk=person.pk).update(is_staff=True)
        found.append(Actor(who, signed_in(person, _client()), key, in_admin=True))
    return [replace(actor, cookies={name: one.value for name, one in actor.client.cookies.items()}) for actor in found]


def _registered() -> list[ContentType]:
    """With every permission there is: what keeps them out must be the scope."""
    return list(ContentType.objects.get_for_models(*admin.site._registry, Membership).values())


def _client() -> Client:
    client = Client(headers=HTML)
    client.raise_request_exception = False
    return client


def _again(client: Client, email: str) -> Client:
    return signed_in(User.objects.get(email=email), client)


# --- the probes --------------------------------------------------------------------------------------------


def probes(world: World, chosen: Iterable[str] | None = None) -> Iterator[Probe]:
    """All of them, or those of the chosen routes."""
    wanted = None if chosen is None else set(chosen)
    for route, _ in routes():
        if wanted is not None and route not in wanted:
            continue
        asking = [actor for actor in world.actors if route.startswith("admin/") or not actor.in_admin]
        for url, owner in _urls(world, route):
            for actor in asking:
                for method in METHODS:
                    yield Probe(route, url, method, actor, owner)
        for url, owner, data in _entries(world, route):
            for actor in asking:
                yield Probe(route, url, "post", actor, owner, data)


def _urls(world: World, route: str) -> Iterator[tuple[str, str]]:
    if route.startswith("admin/") and "<path:object_id>" in route:
        yield from _admin_urls(world, route)
        return
    if route == "admin/autocomplete/":
        yield from ((f"/{route}{query}", "") for query in _autocompletes())
    names = addresses.names(route)
    if not names:
        yield addresses.made_up(route), ""
        yield from ((f"/{route}{query}", "") for query in _filtered(world, route))
        return
    for key in ("A", "B"):
        if "assessment" in names:  # a pair that belongs together
            entered = world.rows[key].of(Assessment)
            yield addresses.made_up(route, {"pk": entered.patient_id, "assessment": entered.pk}), key
        for pk in world.ids[key] if "pk" in names else [world.ids[key][0]]:
            ids = dict.fromkeys(names, pk) | {"practice_id": world.rows[key].practice.pk}
            yield addresses.made_up(route, ids), key
            if "practice_id" in names and "pk" in names:  # the asker's own practice in the path, the row another's
                other = world.rows["B" if key == "A" else "A"].practice.pk
                yield addresses.made_up(route, ids | {"practice_id": other}), key
    yield addresses.made_up(route, {name: addresses.random_id() for name in names}), ""
    for bad in MALFORMED:
        yield addresses.made_up(route, dict.fromkeys(names, bad)), ""


def _autocompletes() -> Iterator[str]:
    """Every list to choose from that the admin could fetch, whether a form of today has it or not; and each kind of
    row searched for either practice, whose rows may not be among the first."""
    searched = set()
    for model in admin.site._registry:
        for each in model._meta.concrete_fields:
            if each.is_relation and each.related_model in admin.site._registry:
                meta = model._meta
                asked = f"?app_label={meta.app_label}&model_name={meta.model_name}&field_name={each.name}&term="
                new = each.related_model not in searched
                searched.add(each.related_model)
                yield from (asked + term for term in ("", *((*CODES.values(), "clinician.") if new else ())))


def _administered_by(route: str) -> type[Model] | None:
    """The model whose pages of the admin these are."""
    named = "/".join(route.split("/")[1:3])
    return next((m for m in admin.site._registry if f"{m._meta.app_label}/{m._meta.model_name}" == named), None)


def _filtered(world: World, route: str) -> Iterator[str]:
    """The model's list of the admin, searched and filtered for either practice: on its first page may be others."""
    model = _administered_by(route) if route.startswith("admin/") and route.count("/") == 3 else None
    if model and admin.site._registry[model].search_fields:
        yield from (f"?q={code}" for code in CODES.values())
    for name in admin.site._registry[model].list_filter if model else ():
        field = get_fields_from_path(model, name)[-1] if model and isinstance(name, str) else None
        if field is not None and field.related_model is Practice:
            yield from (f"?{name}__id__exact={each.practice.pk}" for each in world.rows.values())


def _entries(world: World, route: str) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Whole forms of the admin that name another row of the practice: address, owner of that row, what is posted."""
    for key, rows in world.rows.items():
        practice, person = rows.practice.pk, world.person(key).pk
        if route == "admin/emr/invitation/add/":
            yield f"/{route}", key, {"email": "new@example.org", "practice": practice, "role": "staff"}
        elif route == "admin/emr/identityprovider/add/":
            told = {"issuer": "https://idp.example.org", "client_id": "app", "email_domains": "example.org"}
            yield f"/{route}", key, told | {"practice": practice} | _inline("identities")
        elif route == "admin/emr/fhiruser/add/":
            link = Connection.objects.get(practice=practice, registration__app_type=ClientRegistration.AppType.PROVIDER)
            yield f"/{route}", key, {"connection": link.pk, "fhir_user": "Practitioner/9", "user": person}
        elif route == "admin/emr/practice/<path:object_id>/change/":
            own = world.rows[OTHER[key]].practice
            joined = {"memberships-0-user": person, "memberships-0-practice": own.pk, "memberships-0-role": "staff"}
            told = {"name": own.name, "code": own.code, "time_zone": own.time_zone}
            yield f"/admin/emr/practice/{own.pk}/change/", key, told | joined | _inline("memberships", 1)


def _inline(prefix: str, rows: int = 0) -> dict[str, object]:
    return {f"{prefix}-TOTAL_FORMS": rows, f"{prefix}-INITIAL_FORMS": 0}


def _admin_urls(world: World, route: str) -> Iterator[tuple[str, str]]:
    # The shortest one leads on to the form, whatever it names.
    model = None if route.endswith("<path:object_id>/") else _administered_by(route)
    for key in world.rows if model else ():
        row = world.row(key, model) if model else None
        yield "/" + route.replace("<path:object_id>", str(row.pk if row else uuid.uuid4())), key if row else ""
    if model is User:
        yield "/" + route.replace("<path:object_id>", str(User.objects.get(email=BOTH).pk)), ""
    yield "/" + route.replace("<path:object_id>", str(uuid.uuid4())), ""
    yield "/" + route.replace("<path:object_id>", "not-an-id"), ""


def faults(probe: Probe) -> list[str]:
    """What is wrong with the answer; nothing, as it should be."""
    written: set[str] = set()
    probe.actor.client.cookies = SimpleCookie(dict(probe.actor.cookies))  # a probe may have signed out before
    with transaction.atomic(), connection.execute_wrapper(_noting(written)):
        answer = ask(probe)
        content = _bytes(answer)
        transaction.set_rollback(True)
    found = [
        f"the canary of {key}" for key, word in CANARIES.items()
        if key != probe.actor.practice and word.lower().encode() in content.lower()
    ]  # fmt: skip
    if not probe.route.startswith("accounts/"):  # a sign-in page names its practice
        asked = f"{probe.url} {probe.data}".encode()
        found += [what for what, said in probe.actor.strange if said in content and said not in asked]
    if answer.status_code >= 500:
        found.append(f"status {answer.status_code}")
    administered = probe.actor.name == "superuser" and probe.route.startswith("admin/")
    if probe.owner and probe.owner != probe.actor.practice and not administered:
        found += [] if probe.data else _not_refused(probe, answer)  # a form may come back, with what is wrong in it
        found += [f"wrote {table}" for table in sorted(written - LOOKING)]
    if probe.method != "post":
        found += [f"{probe.method.upper()} wrote {table}" for table in sorted(written - LOOKING)]
    return found


def _not_refused(probe: Probe, answer: HttpResponse) -> list[str]:
    status = answer.status_code
    led = str(answer.headers.get("Location", answer.headers.get("HX-Redirect", "")))
    # The admin leads home from a row that is not there.
    to_the_door = status in {302, 204} and (led.startswith(("/accounts/", "/admin/login/")) or led == "/admin/")
    public = probe.route.startswith("accounts/")
    return [] if status in REFUSALS or to_the_door or public else [f"status {status} for a stranger"]


def ask(probe: Probe) -> Any:
    client, method = probe.actor.client, probe.method
    if method == "htmx":
        return client.get(probe.url, headers=HTML | {"hx-request": "true"})
    if method == "post":
        return client.post(probe.url, probe.data or _SOMETHING)
    return getattr(client, method)(probe.url)


def _bytes(answer: Any) -> bytes:
    return bytes(answer.getvalue()) + str(dict(answer.headers)).encode() + str(answer.cookies).encode()


def _noting(written: set[str]) -> Any:
    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        head = sql.lstrip().split(None, 3)
        if head and head[0].upper() in {"INSERT", "UPDATE", "DELETE"}:
            name = head[1] if head[0].upper() == "UPDATE" else head[2]
            written.add(name.strip('"'))
        return execute(sql, params, many, context)

    return wrapper


def awake(actor: Actor) -> None:
    """Once a minute the actor's session is as if begun now: thousands of probes take longer than one lasts, and what a
    probe does to a session is rolled back with it. Without this, later probes would ask strangers and find nothing."""
    if time.monotonic() - _woken.get(actor.client, -math.inf) < WAKE_SECONDS:
        return
    _woken[actor.client] = time.monotonic()
    actor.client.cookies = SimpleCookie(dict(actor.cookies))
    session = actor.client.session
    if sessions.BEGAN in session:
        session[sessions.BEGAN] = session[sessions.SEEN] = int(time.time())
        session.save()


@dataclass(frozen=True)
class Outcome:
    asked: int
    found: list[tuple[Probe, list[str]]]


def run(chosen: Iterable[Probe]) -> Outcome:
    asked = 0
    found = []
    for probe in chosen:
        awake(probe.actor)
        asked += 1
        if wrong := faults(probe):
            found.append((probe, wrong))
    return Outcome(asked, found)


def sample(all_probes: Iterable[Probe], share: float, seed: int) -> list[Probe]:
    chance = random.Random(seed)
    return [probe for probe in all_probes if chance.random() < share]


def told(outcome: Outcome) -> str:
    return "\n".join(
        f"{probe.method.upper()} {probe.route} by {probe.actor.name} (row of {probe.owner or 'nobody'}): {wrong}"
        for probe, wrong in outcome.found[:20]
    )
