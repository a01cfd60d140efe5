"""No address that a page is given leads away from here."""

from typing import Any

import pytest

from emr.models import ClientRegistration, Connection, Enrolment, Practice, User
from tests.launches.redirects import EVIL, HERE, PAYLOADS, ROUTES, Visitors, leaving, ways_out

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("published")]


@pytest.fixture
def visitors(practice_a: Practice, alice: User, settings: Any) -> Visitors:
    settings.ALLOWED_HOSTS = [HERE]
    registration = ClientRegistration.objects.create(name="A backend app", client_id="a-client")
    base = "https://fhir4.eclinicalworks.com/fhir/r4/AAAAAA"
    connection = Connection.objects.create(practice=practice_a, registration=registration, base_url=base)
    Enrolment.objects.create(connection=connection, patient_fhir_id="p", known_by="list")
    return Visitors(alice)


@pytest.mark.parametrize("number", range(len(PAYLOADS)), ids=[repr(one) for one in PAYLOADS])
def test_a_payload_stays_here(visitors: Visitors, number: int) -> None:
    assert ways_out(visitors, PAYLOADS[number]) == []


def test_the_table_is_as_long_as_promised() -> None:
    assert len(set(PAYLOADS)) >= 60


def test_the_routes_are_there_and_take_an_address(visitors: Visitors) -> None:
    """The check bites: each page that goes on to a good address goes there."""
    missing = [name for name, take in ROUTES.items() if take(visitors, "/healthz").status_code == 404]
    assert missing in ([], ["any address"])
    for name in ("signing in", "the sign-in page, signed in already", "signing out", "the password once more",
                 "refreshing a patient"):  # fmt: skip
        assert ROUTES[name](visitors, "/healthz").headers["Location"] == "/healthz", name


@pytest.mark.parametrize("address", PAYLOADS)
def test_the_payloads_are_read_as_browsers_read_them(address: str) -> None:
    """Some of them would stay even unread: what matters is that none of the dangerous ones is taken for harmless."""
    if EVIL in address and address[:2] in ("//", "\\\\", "/\\", "\\/"):
        assert leaving(address)
    assert not leaving("/patients/?next=" + EVIL)
