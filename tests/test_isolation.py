"""Nobody sees another practice's patients: every URL of the resolver, every actor, every kind of id.

Each route has a declared policy; a new route without one fails here.
"""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from emr.models import Practice, Resource, User
from patients.models import Assessment, Patient
from tests.conftest import signed_in
from tests.pages import charts

CANARY = "Zyxwcanary"

PUBLIC, MEMBER, ACCOUNT, ADMIN = "public", "member of the practice", "accounts", "admin"
UNNAMED = "member of the practice; the page names no patient by itself (tests/pulls/test_pages.py)"
CONSENTS = "member of the practice whose role enrols patients (tests/launches/test_pages.py)"
OFFICER = "privacy officer of the practice (tests/trust/test_audit_pages.py)"
# Route (as the resolver spells it) → who may. Prefixes end in *.
POLICY = {
    "healthz": PUBLIC,
    "readyz": PUBLIC,
    ".well-known/jwks.json": PUBLIC,
    ".well-known/jwks-sandbox.json": PUBLIC,
    "invitations/<str:token>/": PUBLIC,
    "i/": PUBLIC,
    "i/<str:token>/": PUBLIC,
    "emr/callback": PUBLIC,
    "emr/launch": PUBLIC,
    "practices/<uuid:practice_id>/consents/": CONSENTS,
    "practices/<uuid:practice_id>/consents/invite/": CONSENTS,
    "sources/<uuid:pk>/consent/": CONSENTS,
    "consents/<uuid:pk>/decide/": CONSENTS,
    "consents/<uuid:pk>/disconnect/": CONSENTS,
    "consents/<uuid:pk>/reconnect/": CONSENTS,
    "patient-invitations/<uuid:pk>/withdraw/": CONSENTS,
    "enrolments/<uuid:pk>/history/": CONSENTS,
    "accounts/*": ACCOUNT,
    "session/": ACCOUNT,
    "practices/<uuid:practice_id>/": UNNAMED,
    "practices/<uuid:practice_id>/switch/": UNNAMED,
    "practices/<uuid:practice_id>/members/": UNNAMED,
    "practices/<uuid:practice_id>/break-glass/": UNNAMED,
    "practices/<uuid:practice_id>/break-glass/close/": UNNAMED,
    "practices/<uuid:practice_id>/break-glass/<uuid:pk>/reviewed/": UNNAMED,
    "practices/<uuid:practice_id>/audit/": OFFICER,
    "practices/<uuid:practice_id>/audit/export/": OFFICER,
    "practices/<uuid:practice_id>/audit/patients/": OFFICER,
    "patients/<uuid:pk>/seen/": OFFICER,
    "admin/*": ADMIN,
    "": MEMBER,
    "practices/<uuid:practice_id>/patients/": MEMBER,
    "patients/<uuid:pk>/": MEMBER,
    "patients/<uuid:pk>/timeline/": MEMBER,
    "patients/<uuid:pk>/search/": MEMBER,
    "patients/<uuid:pk>/print/": MEMBER,
    "patients/<uuid:pk>/exports/": MEMBER,
    "sources/<uuid:pk>/": MEMBER,
    "patients/<uuid:pk>/assessments/": MEMBER,
    "patients/<uuid:pk>/assessments/new/": MEMBER,
    "patients/<uuid:pk>/assessments/<uuid:assessment>/correct/": MEMBER,
    "patients/<uuid:pk>/trials/<slug:about>/attest/": MEMBER,
    "patients/<uuid:pk>/prompts/": MEMBER,
    "practices/<uuid:practice_id>/medications/": MEMBER,
    "practices/<uuid:practice_id>/medications/<uuid:pk>/": MEMBER,
    "practices/<uuid:practice_id>/pulls/": UNNAMED,
    "practices/<uuid:practice_id>/changes/": UNNAMED,
    "pulls/<uuid:pk>/": UNNAMED,
    "pulls/<uuid:pk>/<slug:step>/": UNNAMED,
    "enrolments/<uuid:pk>/refresh/": UNNAMED,
    "practices/<uuid:practice_id>/quarantine/": UNNAMED,
    "quarantine/<uuid:pk>/bytes/": UNNAMED,
    "quarantine/<uuid:pk>/retry/": UNNAMED,
    "practices/<uuid:practice_id>/roster/": UNNAMED,
    "practices/<uuid:practice_id>/schedule/": UNNAMED,
}
METHODS = ("get", "post", "head")


def routes(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route, pattern


def policy(route: str) -> str | None:
    if route in POLICY:
        return POLICY[route]
    return next(
        (who for prefix, who in POLICY.items() if prefix.endswith("*") and route.startswith(prefix[:-1])),
        None,
    )


def test_every_route_has_a_policy_and_member_routes_are_guarded() -> None:
    for route, pattern in routes():
        assert policy(route) is not None, f"{route} has no declared policy"
        if policy(route) in {MEMBER, UNNAMED, OFFICER, CONSENTS}:
            assert getattr(pattern.callback, "members_only", False), f"{route} is not guarded by members_only"


@pytest.fixture
def chart(practice_a: Practice) -> Patient:
    person = charts.patient(practice_a, "p1", family=CANARY, search_text=CANARY.lower())
    charts.enrol(person)
    Resource.objects.create(
        practice=practice_a, resource_type="Condition", fhir_id="c1", patient_fhir_id="p1",
        body=f'{{"resourceType": "Condition", "id": "c1", "note": "{CANARY}"}}',
        content_hash="0", query="Condition?patient", first_seen_at=charts.NOW, changed_at=charts.NOW,
    )  # fmt: skip
    charts.add(person, [charts.order(CANARY, "2024-01-02", "", "", "", "", detail={"unclassified": True})])
    Assessment.objects.create(
        practice=practice_a, patient=person, date=charts.TODAY, headache_days=4, origin="clinician", note=CANARY,
        entered_by=User.objects.create_user("author@example.org"),
    )  # fmt: skip
    return person


def filled(route: str, ids: dict[str, uuid.UUID]) -> str:
    for name, value in ids.items():
        route = route.replace(f"<uuid:{name}>", str(value))
    return "/" + route.replace("<slug:about>", "topiramate")


def ids_of(chart: Patient, route: str) -> dict[str, uuid.UUID]:
    pk = chart.pk
    if route.startswith("sources/"):
        pk = Resource.objects.get(resource_type="Condition").pk
    elif route.startswith("practices/<uuid:practice_id>/medications/"):
        pk = Resource.objects.get(resource_type="MedicationRequest").pk
    return {"pk": pk, "practice_id": chart.practice_id, "assessment": Assessment.objects.get().pk}


MEMBER_ROUTES = [route for route, who in POLICY.items() if who == MEMBER and "<" in route]


@pytest.mark.parametrize("route", MEMBER_ROUTES)
@pytest.mark.parametrize("method", METHODS)
def test_a_stranger_gets_404_and_no_byte_of_the_chart(chart: Patient, charlie: User, route: str, method: str) -> None:
    own = ids_of(chart, route)
    url = filled(route, own)
    absent = filled(route, {name: uuid.uuid4() for name in own})
    answers = [getattr(signed_in(charlie), method)(address) for address in (url, absent)]
    for answer in answers:
        assert answer.status_code in {404, 405}
        assert CANARY.encode() not in answer.content + str(answer.headers).encode()
    # Absent and forbidden look the same (an address is part of neither page).
    assert answers[0].status_code == answers[1].status_code
    masked = [re.sub(rb'name="csrfmiddlewaretoken" value="[^"]+"', b"", answer.content) for answer in answers]
    assert masked[0] == masked[1]


@pytest.mark.parametrize("route", MEMBER_ROUTES)
@pytest.mark.parametrize("method", METHODS)
def test_nobody_unknown_gets_in(chart: Patient, route: str, method: str) -> None:
    answer = getattr(Client(), method)(filled(route, ids_of(chart, route)))
    assert answer.status_code in {302, 405}
    assert CANARY.encode() not in answer.content
    if answer.status_code == 302:
        assert answer.headers["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("route", MEMBER_ROUTES)
def test_a_member_sees_it_and_loses_it_with_the_membership(chart: Patient, alice: User, route: str) -> None:
    client = signed_in(alice)
    url = filled(route, ids_of(chart, route))
    assert CANARY.lower() in client.get(url).content.decode().lower()
    alice.memberships.all().delete()
    assert client.get(url).status_code == 302  # signed out everywhere
    alice.refresh_from_db()
    assert signed_in(alice).get(url).status_code == 404


def test_a_superuser_opens_no_chart(chart: Patient) -> None:
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    for route in MEMBER_ROUTES:
        assert signed_in(root).get(filled(route, ids_of(chart, route))).status_code == 404


def test_a_superusers_admin_shows_no_name_and_no_body(chart: Patient) -> None:
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    client = signed_in(root)
    for model, model_admin in admin.site._registry.items():
        meta = model._meta
        listing = client.get(f"/admin/{meta.app_label}/{meta.model_name}/", follow=True)
        assert CANARY.encode() not in listing.content, meta.label
        for row in model._default_manager.all()[:2]:
            page = client.get(f"/admin/{meta.app_label}/{meta.model_name}/{row.pk}/change/", follow=True)
            assert CANARY.encode() not in page.content, (meta.label, model_admin)
