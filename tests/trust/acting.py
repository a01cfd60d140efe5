"""What can be posted to the program, and the audit rows each post leaves: the words of the tables of acts."""

import datetime
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from http.cookies import SimpleCookie
from typing import Any
from unittest import mock

from django.apps import apps
from django.db import connections, transaction
from django.test import Client
from django.utils import timezone

from emr.models import AuditEvent, Practice, User
from patients.models import Patient
from tests.conftest import signed_in
from tests.trust import addresses
from tests.trust.probing import World
from tests.trust.rows import Rows

CLINICIAN, STAFF, OFFICER, ADMIN = "clinician", "staff", "privacy-officer", "admin"
ROOT, NOBODY = "root", "nobody"
# Tables whose rows may come and go whatever becomes of the act: the session itself, limits, calls the vendor has
# counted, the trail.
AROUND = {"django_session", "cache", "emr_callwindow", "emr_auditevent", "emr_audithead"}


@dataclass
class Stage:
    """Practice B, with a row of every kind, and whoever acts there."""

    world: World

    @property
    def rows(self) -> Rows:
        return self.world.rows["B"]

    @property
    def practice(self) -> Practice:
        return self.rows.practice

    @property
    def chart(self) -> Patient:
        return self.world.patients["B"]

    def person(self, role: str) -> User:
        email = "root@example.org" if role == ROOT else f"{role}.b@example.org"
        return User.objects.get(email=email)

    @cached_property
    def _clients(self) -> dict[str, Client]:
        return {}

    def client(self, who: str) -> Client:
        """The same one each time; a fault of the program is an answer with status 500."""
        if who not in self._clients:
            made = Client(raise_request_exception=False, REMOTE_ADDR="203.0.113.9")
            self._clients[who] = made if who == NOBODY else signed_in(self.person(who), made)
        return self._clients[who]

    def page(self, who: str, path: str) -> Any:
        answer = self.client(who).get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer


@dataclass(frozen=True)
class Filled:
    """One post. ids: of the parts of the route; client: another than the stage's own of that role; path: another
    address than the route's with those ids; patched: what stands in for a device while it is posted."""

    data: dict[str, Any] = field(default_factory=dict)
    ids: dict[str, Any] = field(default_factory=dict)
    client: Client | None = None
    path: str = ""
    patched: dict[str, Any] = field(default_factory=dict)


Filling = Callable[[Stage], Filled]


def nothing(stage: Stage) -> Filled:
    return Filled()


def sends(**data: Any) -> Filling:
    return lambda stage: Filled(data)


@dataclass(frozen=True)
class Act:
    """rows: each "action practice patient": B or - (of no practice), chart or - (of no patient), in their order.

    named: the value by which the program tells this act from others of its route; because: why it leaves no row.
    """

    route: str
    rows: tuple[str, ...]
    filled: Filling = nothing
    who: str = CLINICIAN
    named: str = ""
    because: str = ""
    answers: tuple[int, ...] = (200, 302)

    def __str__(self) -> str:
        return f"{self.route} {self.named}".strip()

    def __post_init__(self) -> None:
        assert bool(self.rows) != bool(self.because), f"{self}: rows, or the reason for none"


def post(stage: Stage, act: Act, filled: Filled) -> Any:
    ids = {"pk": stage.chart.pk, "practice_id": stage.practice.pk} | filled.ids
    client = filled.client or stage.client(act.who)
    with ExitStack() as patches:
        for target, stand_in in filled.patched.items():
            patches.enter_context(mock.patch(target, stand_in))
        return client.post(filled.path or addresses.made_up(act.route, ids), filled.data)


def told(stage: Stage, events: Any) -> tuple[str, ...]:
    """Audit events in the words of the tables."""
    practices = {stage.practice.pk: "B", None: "-"}
    charts = set(Patient.objects.filter(practice=stage.practice).values_list("pk", flat=True))
    said = []
    for event in events:
        patient = "-" if event.patient_id is None else "chart" if event.patient_id in charts else "stranger"
        said.append(f"{event.action} {practices.get(event.practice_id, 'another')} {patient}")
    return tuple(said)


def new_events(known: set[Any]) -> list[AuditEvent]:
    return list(AuditEvent.objects.exclude(pk__in=known).order_by("at", "number"))


def known_events() -> set[Any]:
    return set(AuditEvent.objects.values_list("pk", flat=True))


def everything() -> dict[str, list[Any]]:
    """Every row of every table but those around an act."""
    found = {}
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)} - AROUND
    with connections["default"].cursor() as cursor:
        for table in sorted(tables):
            cursor.execute(f'SELECT * FROM "{table}"')
            found[table] = sorted(map(repr, cursor.fetchall()))
    return found


def undone(attempt: Callable[[], Any], client: Client) -> tuple[Any, set[str]]:
    """(answer, tables it changed) of an attempt that is then taken back, in the database and in the browser."""
    cookies = {name: one.value for name, one in client.cookies.items()}
    with transaction.atomic():
        before = everything()
        answer = attempt()
        after = everything()
        transaction.set_rollback(True)
    client.cookies = SimpleCookie(cookies)
    return answer, {table for table in before if before[table] != after[table]}


# --- forms ---


def as_shown(answer: Any) -> dict[str, Any]:
    """What the admin's form would post as it stands, its inlines too."""
    context = answer.context
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    data: dict[str, Any] = {}
    for form in forms:
        for bound in form:
            data |= _posted(bound)
    return data


def _posted(bound: Any) -> dict[str, Any]:
    value = bound.value()
    if hasattr(bound.field.widget, "decompress") and not isinstance(value, list):
        parts = bound.field.widget.decompress(value)
        return {f"{bound.html_name}_{place}": str(part or "") for place, part in enumerate(parts)}
    if value is None or value is False:
        return {}
    return {bound.html_name: [str(each) for each in value] if isinstance(value, list | tuple) else str(value)}


def hidden(answer: Any, name: str) -> str:
    """The value of a page's hidden field."""
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', answer.content.decode())
    assert found, name
    return found[1]


def soon(life: datetime.timedelta) -> datetime.datetime:
    return timezone.now() + life


def constants(templates: Iterator[str]) -> set[tuple[str, str]]:
    """(name, value) of each button and hidden field with a fixed value: what tells one act of a page from another."""
    found = set()
    for text in templates:
        for tag in re.findall(r"<(?:button|input)\b[^>]*>", text):
            said = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
            fixed = "name" in said and "value" in said and "{" not in said["name"] + said["value"]
            if fixed and (tag.startswith("<button") or said.get("type") in {"hidden", "submit"}):
                found.add((said["name"], said["value"]))
    return found
