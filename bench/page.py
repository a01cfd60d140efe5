"""What a history page costs in the server: time with audit, and queries, at different sizes of chart."""

import copy
import datetime
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bench.figure import Figure, is_query
from emr.accounts import second_factor
from emr.models import ClientRegistration, Connection, Enrolment, Membership, Practice, Resource, TypeOutcome
from emr.wire import strictjson
from patients import projection
from patients.models import Patient
from sandbox.charts import chart

ROUNDS = 60


def page_figures() -> Iterator[Figure]:
    practice, client = staffed_practice()
    costs = {size: cost(client, practice, size) for size in (50, 500)}
    yield Figure("history page, 500 resources, audited: p95", round(costs[500][0] * 1000, 1), "ms", 50)
    yield Figure("history page, 500 resources: queries", costs[500][1], "", 10)
    same = abs(costs[500][1] - costs[50][1])
    yield Figure("history page: queries more at 500 than at 50 resources", same, "", 0)


def staffed_practice() -> tuple[Practice, Client]:
    practice = Practice.objects.create(name="Bench Clinic", code="BEEFED")
    user = get_user_model().objects.create_user("bench@example.org", "correct horse battery")
    Membership.objects.create(user=user, practice=practice)
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(user)
    session = client.session
    session[second_factor.PROOF] = {"user": str(user.pk), "how": "totp"}
    session.save()
    return practice, client


def cost(client: Client, practice: Practice, size: int) -> tuple[float, int]:
    """(p95 seconds, queries) of the page of a patient with `size` resources."""
    patient = patient_with(practice, size)
    url = f"/patients/{patient.pk}/"
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = client.get(url)
        seconds.append(time.perf_counter() - began)
        if answer.status_code != 200:
            raise RuntimeError(f"the page answers {answer.status_code}")
    with CaptureQueriesContext(database) as queries:
        client.get(url)
    return statistics.quantiles(seconds, n=20)[-1], sum(is_query(each["sql"]) for each in queries)


def patient_with(practice: Practice, size: int) -> Patient:
    """A generated chart, its records repeated under new ids until there are `size`, stored and projected."""
    records = list(chart(1, seed=size, today=datetime.date(2026, 11, 21)))
    person = next(record for record in records if record["resourceType"] == "Patient")
    about = [record for record in records if _owner(record) == person["id"]]
    bodies = [person]
    for number in range(size - 1):
        record = copy.deepcopy(about[number % len(about)])
        record["id"] = f"r{size}.{number}"
        bodies.append(record)
    shared = [r for r in records if r["resourceType"] == "Medication"]
    now = timezone.now()
    Resource.objects.bulk_create(
        [_row(practice, body, person["id"], now) for body in bodies]
        + [_row(practice, body, "", now) for body in shared],
        ignore_conflicts=True,
    )
    _enrol(practice, person["id"], {body["resourceType"] for body in bodies}, now)
    projection.rebuild(practice.pk, person["id"])
    return Patient.objects.get(practice=practice, fhir_id=person["id"])


def _owner(record: dict[str, Any]) -> str:
    about = record.get("subject") or record.get("patient") or {}
    return str(about.get("reference", "")).removeprefix("Patient/")


def _row(practice: Practice, body: dict[str, Any], patient: str, now: datetime.datetime) -> Resource:
    return Resource(
        practice=practice, resource_type=body["resourceType"], fhir_id=body["id"], patient_fhir_id=patient,
        body=json.dumps(body), content_hash=strictjson.content_hash(body), query="bench",
        first_seen_at=now, changed_at=now,
    )  # fmt: skip


def _enrol(practice: Practice, fhir_id: str, types: set[str], now: datetime.datetime) -> None:
    registration, _ = ClientRegistration.objects.get_or_create(name="Bench app")
    connection, _ = Connection.objects.get_or_create(
        practice=practice, registration=registration, defaults={"base_url": "https://fhir.example.org/fhir/r4/BEEFED"}
    )
    enrolment = Enrolment.objects.create(connection=connection, patient_fhir_id=fhir_id, known_by="list")
    TypeOutcome.objects.bulk_create(
        TypeOutcome(enrolment=enrolment, resource_type=kind, outcome="complete", confirmed_at=now, attempted_at=now)
        for kind in types
    )
