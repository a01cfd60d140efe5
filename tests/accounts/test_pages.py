"""The source page and the JWKS documents."""

import json
import re
import uuid

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from emr import audit, keys, views
from emr.models import AuditEvent, Practice, Resource, User
from tests.conftest import signed_in

BODY = (
    '{"resourceType":"Observation","id":"o1","valueQuantity":{"value":1.50},"note":[{"text":"<b>x</b>"}],"a":[],"b":{}}'
)
CSRF = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"')


def resource(practice: Practice, body: str = BODY) -> Resource:
    now = timezone.now()
    return Resource.objects.create(
        practice=practice, resource_type="Observation", fhir_id="o1", body=body, content_hash="0" * 64,
        query="Observation?patient", first_seen_at=now, changed_at=now,
    )  # fmt: skip


def address(row: Resource) -> str:
    return reverse("emr:source", args=[row.pk])


def test_source_is_shown_as_text_and_audited(practice_a: Practice, alice: User) -> None:
    row = resource(practice_a)
    response = signed_in(alice).get(address(row))
    assert response.status_code == 200
    assert response.context["practice"] == practice_a
    assert "&lt;b&gt;x&lt;/b&gt;" in response.content.decode()
    assert "<b>x</b>" not in response.content.decode()
    event = AuditEvent.objects.get(action="read-source")
    assert (event.user, event.practice, event.object_id, event.detail) == (
        alice,
        practice_a,
        row.pk,
        "Observation",
    )


def test_source_of_another_practice_does_not_exist(practice_a: Practice, charlie: User) -> None:
    row = resource(practice_a)
    client = signed_in(charlie)
    stranger = client.get(address(row))
    nowhere = client.get(reverse("emr:source", args=[uuid.uuid4()]))
    assert (stranger.status_code, nowhere.status_code) == (404, 404)
    assert CSRF.sub(b"", stranger.content) == CSRF.sub(b"", nowhere.content)
    assert not AuditEvent.objects.filter(action="read-source").exists()


def test_source_is_closed_to_superusers_without_membership(practice_a: Practice) -> None:
    office = User.objects.create_superuser("office@example.org", "correct horse battery")
    assert signed_in(office).get(address(resource(practice_a))).status_code == 404


def test_source_sends_the_signed_out_to_the_login(practice_a: Practice) -> None:
    response = Client().get(address(resource(practice_a)))
    assert response.status_code == 302
    assert response.headers["Location"].startswith(reverse("account_login"))


def test_source_is_not_shown_when_it_cannot_be_audited(
    practice_a: Practice, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("the audit table is read-only")

    client = signed_in(alice)
    monkeypatch.setattr(audit, "record", refuse)
    with pytest.raises(RuntimeError):
        client.get(address(resource(practice_a)))


def test_source_page_that_cannot_be_made_leaves_no_audit_row(
    practice_a: Practice, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: HttpRequest, *_: object) -> HttpResponse:
        raise RuntimeError("no template")

    client = signed_in(alice)
    monkeypatch.setattr(views, "render", refuse)
    with pytest.raises(RuntimeError):
        client.get(address(resource(practice_a)))
    assert not AuditEvent.objects.filter(action="read-source").exists()


INDENTED = [
    (
        "numbers keep their zeros",
        '{"a":1.50,"b":[1,2e3]}',
        '{\n  "a": 1.50,\n  "b": [\n    1,\n    2e3\n  ]\n}',
    ),
    ("empty ones stay on one line", '{"a":[],"b":{ }}', '{\n  "a": [],\n  "b": {}\n}'),
    ("brackets in texts are text", '{"a":"[{,:\\"}"}', '{\n  "a": "[{,:\\"}"\n}'),
    ("escapes stay as written", '{"a":"\\u00fc \\ud800"}', '{\n  "a": "\\u00fc \\ud800"\n}'),
    ("its own line breaks go", '{\r\n "a" :\t1 }', '{\n  "a": 1\n}'),
    ("a single value", "null", "null"),
    ("no JSON", "<html>{not json}", "<html>{not json}"),
    ("cut off", '{"a": [1, 2', '{"a": [1, 2'),
    ("nothing", "", ""),
    ("deeper than the parser goes", "[" * 100_000, "[" * 100_000),
]


@pytest.mark.parametrize(("body", "text"), [row[1:] for row in INDENTED], ids=[row[0] for row in INDENTED])
def test_indented(body: str, text: str) -> None:
    assert views.indented(body) == text


def test_indented_changes_no_value() -> None:
    assert json.loads(views.indented(BODY)) == json.loads(BODY)


@pytest.mark.parametrize(
    ("path", "environment", "other"),
    [
        ("/.well-known/jwks.json", "production", "sandbox"),
        ("/.well-known/jwks-sandbox.json", "sandbox", "production"),
    ],
)
def test_jwks_publishes_the_keys_of_its_environment(path: str, environment: str, other: str, db: None) -> None:
    mine = keys.generate(environment=environment, algorithm="ES384")
    keys.generate(environment=other, algorithm="ES384")
    response = Client().get(path)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "public, max-age=300"
    assert [key["kid"] for key in response.json()["keys"]] == [mine.kid]
    assert set(response.json()["keys"][0]) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_jwks_is_the_address_told_to_the_vendor(db: None) -> None:
    assert keys.jwks_url("production") == "http://testserver/.well-known/jwks.json"
    assert keys.jwks_url("sandbox") == "http://testserver/.well-known/jwks-sandbox.json"


@pytest.mark.parametrize("name", ["jwks", "jwks_sandbox"])
def test_jwks_touches_no_session(name: str, alice: User) -> None:
    for client in (Client(), signed_in(alice)):
        response = client.get(reverse(f"emr:{name}"))
        assert response.cookies == {}
        assert "Vary" not in response.headers
        assert response.headers["Cache-Control"] == "public, max-age=300"


def test_jwks_takes_two_queries_of_a_known_reader(db: None) -> None:
    Client().get("/.well-known/jwks.json")
    with CaptureQueriesContext(connection) as queries:
        Client().get("/.well-known/jwks.json")
    assert len(queries) == 2  # the keys, and that they were read


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_jwks_is_read_only(method: str, db: None) -> None:
    assert getattr(Client(), method)("/.well-known/jwks.json").status_code == 405


def test_jwks_answers_head(db: None) -> None:
    response = Client().head("/.well-known/jwks.json")
    assert (response.status_code, response.content) == (200, b"")
