"""Quarantined bytes, tried again."""

import json
from typing import Any

import pytest
from django.utils import timezone

from emr import hints, quarantine, roster, signals
from emr.models import ClientRegistration, Connection, Enrolment, Practice, Quarantine, Resource
from emr.pulling import waiting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def connection(practice_a: Practice) -> Connection:
    registration = ClientRegistration.objects.create(name="Backend app", client_id="ours")
    made = Connection.objects.create(
        practice=practice_a, registration=registration, base_url="https://fhir.example.org/fhir/r4/AAAAAA"
    )
    roster.enrol(made, ["p1"], Enrolment.KnownBy.LIST)
    Enrolment.objects.update(untold=False)
    return made


def condition(**more: Any) -> str:
    return json.dumps({"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}} | more)


def held(connection: Connection, body: str, reason: str = "held for a test") -> Quarantine:
    return Quarantine.objects.create(
        practice=connection.practice, connection=connection, patient_fhir_id="p1", reason=reason, body=body,
        body_hash="0", query="Condition?patient", retry_asked_at=timezone.now(),
    )  # fmt: skip


@pytest.fixture
def told() -> Any:
    heard: list[dict[str, Any]] = []

    def receiver(sender: object, **kwargs: Any) -> None:
        heard.append(kwargs)

    signals.patient_pulled.connect(receiver)
    yield heard
    signals.patient_pulled.disconnect(receiver)


def test_bytes_that_are_a_resource_now_are_kept_and_told(connection: Connection, told: list[dict[str, Any]]) -> None:
    row = held(connection, condition())
    assert quarantine.retry(row.pk)
    row.refresh_from_db()
    assert (row.released_at is not None, row.retry_asked_at) == (True, None)
    kept = Resource.objects.get()
    assert (kept.resource_type, kept.fhir_id, kept.patient_fhir_id, kept.body) == ("Condition", "c1", "p1", row.body)
    assert [(each["patient_fhir_id"], each["changed"]) for each in told] == [("p1", True)]
    assert Enrolment.objects.get().untold is False
    assert not quarantine.retry(row.pk)
    assert len(told) == 1


STILL = [
    ("no JSON", "{", "the text is broken off"),
    ("text behind it", condition() + "x", "text goes on after the resource"),
    ("no id", json.dumps({"resourceType": "Condition"}), "no usable id"),
    ("no type", json.dumps({"id": "c1"}), "no usable resourceType"),
    ("another patient's", condition(subject={"reference": "Patient/p2"}), "held for a test"),
]


@pytest.mark.parametrize(("body", "reason"), [pytest.param(*row[1:], id=row[0]) for row in STILL])
def test_bytes_that_are_still_none_stay_with_the_reason(
    connection: Connection, told: list[dict[str, Any]], body: str, reason: str
) -> None:
    row = held(connection, body)
    assert not quarantine.retry(row.pk)
    row.refresh_from_db()
    assert (row.reason, row.released_at, row.retry_asked_at) == (reason, None, None)
    assert (Resource.objects.count(), Quarantine.objects.count(), told) == (0, 1, [])


def test_another_patients_bytes_are_theirs_once_they_are_enrolled(
    connection: Connection, told: list[dict[str, Any]]
) -> None:
    row = held(connection, condition(subject={"reference": "Patient/p2"}))
    roster.enrol(connection, ["p2"], Enrolment.KnownBy.LIST)
    assert quarantine.retry(row.pk)
    assert Resource.objects.get().patient_fhir_id == "p2"
    assert [each["patient_fhir_id"] for each in told] == ["p2"]


def test_histories_that_were_not_told_are_told_by_the_next_pull(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**kwargs: Any) -> None:
        raise RuntimeError("a projection fails")

    monkeypatch.setattr(signals.patient_pulled, "send", fails)
    with pytest.raises(RuntimeError):
        quarantine.retry(held(connection, condition()).pk)
    assert Resource.objects.count() == 1
    assert Enrolment.objects.get().untold is True


def test_a_lost_message_is_sent_again(connection: Connection) -> None:
    row = held(connection, condition())
    assert waiting.retries_waiting() == []
    Quarantine.objects.update(retry_asked_at=timezone.now() - hints.REPUBLISH * 2)
    assert waiting.retries_waiting() == [row.pk]
    assert waiting.retries_waiting() == []
