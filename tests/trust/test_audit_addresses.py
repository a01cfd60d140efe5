"""From where: each event says the address of the client whose request it was, and nobody writes another's there."""

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client, RequestFactory
from fhir.resources.R4B.auditevent import AuditEvent as FhirAuditEvent
from pytest_django import Settings

from emr import addresses, audit, audit_chain, audit_export
from emr.models import AuditEvent, Membership, Practice, User
from patients.models import Patient
from tests.conftest import member, signed_in
from tests.pages import charts

pytestmark = pytest.mark.django_db

HOME, PROXY, FORGED = "203.0.113.9", "10.0.0.1", "6.6.6.6"
# What it shows, how many proxies are ours, who connects, X-Forwarded-For, the address written down.
CLIENTS = [
    ("who connects", 0, HOME, None, HOME),
    ("a forged header is nobody's word", 0, HOME, FORGED, HOME),
    ("behind our proxy", 1, PROXY, HOME, HOME),
    ("behind our proxy, the header begun by the client", 1, PROXY, f"{FORGED}, {HOME}", HOME),
    ("behind our proxy, many forged", 1, PROXY, f"{FORGED},, x, 127.0.0.1 ,{HOME}", HOME),
    ("two proxies of ours", 2, PROXY, f"{FORGED}, {HOME}, 10.0.0.2", HOME),
    ("round the proxies", 2, HOME, FORGED, HOME),
    ("a proxy that says nothing", 1, PROXY, None, PROXY),
    ("with a port", 1, PROXY, f"{HOME}:4711", HOME),
    ("nonsense from the proxy", 1, PROXY, "<script>", None),
    ("a socket of this machine", 0, "", None, None),
    ("IPv6 in another spelling", 0, "2001:DB8:0:0::0001", None, "2001:db8::1"),
    ("IPv6 with its zone", 0, "fe80::1%eth0", None, "fe80::1"),
    ("IPv4 on an IPv6 socket", 0, "::ffff:203.0.113.9", None, HOME),
]


def client_from(remote: str, forwarded: str | None) -> dict[str, Any]:
    return {"REMOTE_ADDR": remote} | ({"HTTP_X_FORWARDED_FOR": forwarded} if forwarded is not None else {})


@pytest.fixture
def person(practice_a: Practice) -> Patient:
    found = charts.patient(practice_a, "p1")
    charts.enrol(found)
    return found


@pytest.mark.parametrize(
    ("proxies", "remote", "forwarded", "written"), [row[1:] for row in CLIENTS], ids=[row[0] for row in CLIENTS]
)
def test_address_written_down_is_the_clients(
    person: Patient, alice: User, settings: Settings,
    proxies: int, remote: str, forwarded: str | None, written: str | None,
) -> None:  # fmt: skip
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    client = signed_in(alice, Client(**client_from(remote, forwarded)))
    assert client.get(f"/patients/{person.pk}/").status_code == 200
    event = AuditEvent.objects.get(action="read-history")
    assert event.address == written
    assert audit_chain.verify(person.practice_id).faults == []


def test_address_of_a_sign_in_and_of_one_refused(alice: User, practice_a: Practice) -> None:
    client = Client(REMOTE_ADDR=HOME)
    form = {"login": alice.email, "password": "not this one"}
    client.post("/accounts/login/", form)
    client.post("/accounts/login/", form | {"password": "correct horse battery"})
    told = AuditEvent.objects.filter(practice=practice_a).order_by("number").values_list("action", "address")
    assert list(told) == [("sign-in-refused", HOME), ("sign-in", HOME)]
    refused = AuditEvent.objects.get(action="sign-in-refused")
    assert refused.who == "Somebody not signed in"


def test_workers_and_commands_have_no_address(practice_a: Practice, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("export_audit", practice="AAAAAA")
    audit.record(audit.Action.TOKEN, by=None, practice=practice_a, detail="renewed")
    assert set(AuditEvent.objects.values_list("address", flat=True)) == {None}
    assert {event.who for event in AuditEvent.objects.all()} == {"HeadacheMD, by itself"}
    (line,) = capsys.readouterr().out.splitlines()
    assert "network" not in json.loads(line)["agent"][0]


def test_address_ends_with_its_request(person: Patient, alice: User) -> None:
    signed_in(alice, Client(REMOTE_ADDR=HOME)).get(f"/patients/{person.pk}/")
    assert addresses.current() is None


def test_what_the_program_does_in_a_request_is_still_its_own(practice_a: Practice) -> None:
    event = AuditEvent(action=audit.Action.TOKEN, practice=practice_a, address=HOME)
    assert event.who == "HeadacheMD, by itself"
    assert AuditEvent(action=audit.Action.LAUNCH, address=HOME).who == "Somebody not signed in"


@pytest.mark.parametrize("address", [HOME, "2001:db8::1", None])
def test_export_says_the_address_as_fhir_does(practice_a: Practice, alice: User, address: str | None) -> None:
    event = AuditEvent(action=audit.Action.PRINT, user=alice, practice=practice_a, address=address)
    event.save()
    told = audit_export.as_fhir(AuditEvent.objects.get(pk=event.pk))
    (agent,) = told["agent"]
    assert agent.get("network") == ({"address": address, "type": "2"} if address else None)
    FhirAuditEvent.model_validate(told)


def test_officer_reads_the_address(person: Patient, alice: User, practice_a: Practice) -> None:
    signed_in(alice, Client(REMOTE_ADDR=HOME)).get(f"/patients/{person.pk}/")
    officer = signed_in(member("olga@example.org", practice_a, Membership.Role.PRIVACY_OFFICER))
    for page in (f"/practices/{practice_a.pk}/audit/", f"/patients/{person.pk}/seen/"):
        assert f'<td data-label="Address">{HOME}</td>' in officer.get(page).content.decode()


# Written by PostgreSQL otherwise than by Python, or by neither as typed.
SPELLINGS = ["::1.2.3.4", "2001:db8::192.0.2.1", "::1", "2001:0DB8::00AB", "64:ff9b::1.2.3.4"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_chain_verifies_whatever_the_database_makes_of_an_address(practice_a: Practice, spelling: str) -> None:
    request = RequestFactory(REMOTE_ADDR=spelling).get("/")
    event = AuditEvent(action=audit.Action.PRINT, practice=practice_a, address=addresses.address_of(request))
    event.save()
    assert audit_chain.verify(practice_a.pk).faults == [], connection.vendor
