"""Disconnect: nothing is fetched any more, nothing of ours opens the EMR; Reconnect starts anew."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from emr import doctor, schedule
from emr.connecting import reconnecting
from emr.models import AuditEvent, Connection, Grant, Resource, User
from emr.wire import fhir
from tests.conftest import signed_in
from tests.emr.conftest import Connect
from tests.launches import conftest as launching
from tests.launches.place import Place
from tests.pulls import conftest as pulling
from tests.pulls.conftest import calls, enrol, tick, work

pytestmark = pytest.mark.django_db(transaction=True)
# Fixtures:
place, vendor_keys = launching.place, launching.vendor_keys
connect, unlimited, published = pulling.connect, pulling.unlimited, pulling.published
jwks_server, key_material, signing_key = pulling.jwks_server, pulling.key_material, pulling.signing_key


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root@example.org", "correct horse battery")


def press(root: User, connection: Connection, what: str) -> Any:
    address = reverse("admin:emr_connection_act", args=[connection.pk, what])
    return signed_in(root, Client()).post(address, follow=True)


@pytest.mark.usefixtures("unlimited")
def test_a_worker_in_the_middle_of_a_pull_stores_nothing_more(
    connect: Connect, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect(patients=2, page_size=1000)
    enrol(connection, control)
    search, asked, kept = fhir.search, [], []

    def searching(*args: Any, **kwargs: Any) -> fhir.Page:
        asked.append(1)
        if len(asked) == 4:
            kept.append(Resource.objects.count())
            assert press(root, connection, "disconnect").status_code == 200
        return search(*args, **kwargs)

    monkeypatch.setattr(fhir, "search", searching)
    while tick():
        pass
    connection.refresh_from_db()
    assert len(asked) == 4
    assert [Resource.objects.count()] == kept != [0]
    assert connection.state == "revoked"
    assert connection.pulls.get().state == "cancelled"
    assert not connection.system_tokens.exclude(access_token="").exists()
    made = calls(control)
    connection.enrolments.update(due_at="2026-01-01T00:00Z")
    assert schedule.open_pulls() == 0
    assert tick() == []
    assert calls(control) == made


@pytest.mark.usefixtures("unlimited")
def test_a_reconnected_one_is_tested_and_fetches_again(connect: Connect, root: User) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    press(root, connection, "disconnect")
    assert doctor.check(Connection.objects.get(pk=connection.pk))  # a test alone changes nothing
    assert Connection.objects.get(pk=connection.pk).state == "revoked"
    page = press(root, connection, "reconnect").content.decode()
    assert "Disconnected by an admin" not in page
    assert doctor.check(Connection.objects.get(pk=connection.pk))
    assert Connection.objects.get(pk=connection.pk).state == "active"
    connection.enrolments.update(due_at="2026-01-01T00:00Z")
    assert work(connection).state == "complete"
    assert Resource.objects.exists()


def test_consents_over_it_end_and_their_tokens_are_deleted(place: Place, root: User) -> None:
    grant = place.granted().grant
    page = press(root, grant.connection, "disconnect").content.decode()
    grant.refresh_from_db()
    assert (grant.state, grant.reason_code) == (Grant.State.REVOKED, "GRANT_REVOKE_BY_HAND")
    assert (grant.access_token, grant.refresh_token) == ("", "")
    assert "1 patient consent ended with it." in page
    assert "Disconnected by an admin" in page
    assert "Disconnect…" not in page  # there is nothing left to disconnect
    told = AuditEvent.objects.filter(user=root).values_list("action", "detail")
    assert set(told) >= {("consent", "ended: GRANT_REVOKE_BY_HAND"), ("configuration", "Connection disconnect")}


def test_what_a_practice_had_ended_before_is_left_as_it_was(place: Place, root: User) -> None:
    grant = place.granted().grant
    Grant.objects.update(state=Grant.State.REVOKED, reason_code="GRANT_DISCONNECTED")
    assert reconnecting.disconnect(grant.connection, root) == 0
    assert Grant.objects.get().reason_code == "GRANT_DISCONNECTED"
