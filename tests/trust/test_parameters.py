"""Every route: no POST without its token; no query parameter, however strange, that ends in a crash or a leak."""

import pytest
from django.test import Client
from django.urls import reverse

from emr.models import Membership, Practice, User
from patients.models import Patient
from tests.conftest import member, signed_in
from tests.pages import charts
from tests.test_isolation import routes
from tests.trust.addresses import made_up

pytestmark = pytest.mark.django_db


def test_no_post_is_taken_without_its_token() -> None:
    """Before the view is asked: also where it takes no POST, and whoever it is, htmx included."""
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    asked = 0
    for client in (Client(enforce_csrf_checks=True), signed_in(root, Client(enforce_csrf_checks=True))):
        for route, _ in routes():
            for headers in ({}, {"HX-Request": "true"}):
                assert client.post(made_up(route), {}, headers=headers).status_code == 403, route
                asked += 1
    assert asked > 300


PAYLOADS = (
    "", "0", "-1", "99999999999999999999", "1e9", "NaN", "١", "null", "true", "[]", "{}", "a" * 5000, "\x00",
    "\r\nX: y", "\ud7ff", "%00", "%s%n", "' OR 1=1 --", '" OR ""="', "1; DROP TABLE emr_user", "1) UNION SELECT 1",
    "../../etc/passwd", "<script>alert(1)</script>", "{{7*7}}", "${7*7}", "=1+1", "__class__", "practice__code",
    "-practice__name", "0001-01-01", "?",
    "password", "user__password", "2026-02-30", "9999-12-31", "0000-00-00", "pk__in", "title) desc",
)  # fmt: skip
PARAMETERS = (
    "page", "sort", "order", "o", "q", "kind", "since", "until", "from", "to", "day", "paper", "as", "next", "role",
    "who", "action", "patient", "state", "fresh", "diagnosis", "all", "show", "visits", "family", "headache", "said",
    "steps", "lang",
)  # fmt: skip


@pytest.fixture
def chart(practice_a: Practice) -> Patient:
    person = charts.patient(practice_a)
    charts.enrol(person)
    return person


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("patients:list", Membership.Role.CLINICIAN),
        ("patients:history", Membership.Role.CLINICIAN),
        ("patients:timeline", Membership.Role.CLINICIAN),
        ("patients:search-record", Membership.Role.CLINICIAN),
        ("patients:print", Membership.Role.CLINICIAN),
        ("emr:changes", Membership.Role.CLINICIAN),
        ("emr:audit-trail", Membership.Role.PRIVACY_OFFICER),
    ],
)
def test_a_strange_parameter_is_passed_over_or_refused(
    chart: Patient, practice_a: Practice, name: str, role: str
) -> None:
    """Never a crash, never markup, and the same page as without it or one that lists less."""
    client = signed_in(member("somebody@example.org", practice_a, role))
    of_practice = name in {"patients:list", "emr:changes", "emr:audit-trail"}
    url = reverse(name, args=[practice_a.pk if of_practice else chart.pk])
    assert client.get(url).status_code in {200, 405}
    for payload in PAYLOADS:
        answer = client.get(url, dict.fromkeys(PARAMETERS, payload))
        assert answer.status_code in {200, 302, 400, 404, 405}, payload
        assert b"<script>alert(1)" not in answer.content
        assert b"pbkdf2" not in answer.content
