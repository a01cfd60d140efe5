"""The history page at its largest: time with audit, also beside a writing pull, against parsing on request; the list
of 100,000; rebuilding; reading medication texts."""

import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import connection as database
from django.http.response import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from bench.figure import Figure, is_query
from bench.page import patient_with, staffed_practice
from emr.models import Practice, Resource
from headachemd.demo.place import ROOT
from patients import listing
from patients.headaches.medications import classify
from patients.models import Digest, Entry, Patient
from patients.projection import gathering, rebuild
from patients.projection.rebuild import READERS

SIZE, LISTED, ROUNDS = 5000, 100_000, 60
LATENCY = 0.15  # seconds an EMR takes for a call; eClinicalWorks takes more
LABELLED = ROOT / "tests" / "headaches"
WRITER = """
import sys
import django
django.setup()
from bench.history import write_until_told
write_until_told(sys.argv[1])
"""


def figures() -> Iterator[Figure]:
    practice, client = staffed_practice()
    yield from page_figures(practice, client)
    yield from rebuild_figures(practice)
    yield from list_figures(practice, client)
    yield from medication_figures()


def page_figures(practice: Practice, client: Client) -> Iterator[Figure]:
    patient = patient_with(practice, SIZE)
    url = f"/patients/{patient.pk}/"

    def page() -> HttpResponseBase:
        return client.get(url)

    def made_anew() -> HttpResponseBase:
        Digest.objects.filter(patient=patient).delete()
        return client.get(url)

    fresh = statistics.median(timed(made_anew, 15))
    yield Figure("page, 5,000 resources, made anew after a change: median", ms(fresh), "ms")
    ready = timed(page, ROUNDS)
    yield Figure("page, 5,000 resources, audited: p95", ms(quantile(ready)), "ms", 50)
    with CaptureQueriesContext(database) as queries:
        page()
    yield Figure("page, 5,000 resources: queries", sum(is_query(each["sql"]) for each in queries), "", 10)
    models = statistics.median(timed(lambda: parsed(patient), 3))
    facts = statistics.median(timed(lambda: read_on_request(patient), 3))
    page_time = statistics.median(ready)
    yield Figure("its resources parsed with pydantic (R4B)", ms(models), "ms")
    yield Figure("the page against that alone", round(models / page_time), "×")
    yield Figure("its resources parsed with pydantic and read for a page, on request", ms(facts), "ms")
    yield Figure("the page against that", round(facts / page_time), "×", 100, at_least=True)
    with pull_writing(practice):
        yield Figure("page, 5,000 resources, a pull is writing: p95", ms(quantile(timed(page, 120, 0.05))), "ms", 100)


def parsed(patient: Patient) -> list[tuple[str, dict[str, Any]]]:
    """(type, resource) of all of a patient's resources, each through its pydantic model."""
    rows = Resource.objects.filter(practice_id=patient.practice_id, patient_fhir_id=patient.fhir_id)
    read = []
    for resource_type, body in rows.values_list("resource_type", "body"):
        with suppress(ValidationError):  # charts are as dirty as an EMR's
            get_fhir_model_class(resource_type).model_validate_json(body)
        read.append((resource_type, json.loads(body)))
    return read


def read_on_request(patient: Patient) -> int:
    """What comes before a page that keeps no entries: models and facts of all resources. Returns how many facts."""
    bodies = [(kind, body) for kind, body in parsed(patient) if kind in READERS]
    chart = gathering.chart(bodies, patient.practice.code, {})
    return sum(1 for kind, body in bodies for _ in READERS[kind](body, chart))


@contextmanager
def pull_writing(practice: Practice) -> Iterator[None]:
    """Another process stores and projects until the block ends."""
    other = patient_with(practice, 200)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(other.pk)], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the writer did not start")
        yield
    finally:
        process.communicate()


def write_until_told(patient_id: str) -> None:
    """Work as a pull of eight calls per patient: wait for the server, store a page, project, until standard input
    closes."""
    patient = Patient.objects.get(pk=patient_id)
    rows = list(Resource.objects.filter(patient_fhir_id=patient.fhir_id, resource_type="Observation"))
    print("writing", flush=True)
    os.set_blocking(sys.stdin.fileno(), False)
    turn = 0
    while sys.stdin.buffer.read() != b"":
        turn += 1
        time.sleep(LATENCY)
        batch = [rows[(turn * 25 + each) % len(rows)] for each in range(25)]
        for row in batch:
            row.body = json.dumps(json.loads(row.body) | {"note": [{"text": f"changed {turn}"}]})
            row.content_hash = f"{turn:064}"
        Resource.objects.bulk_update(batch, ["body", "content_hash"])
        if turn % 8 == 0:
            rebuild(patient.practice_id, patient.fhir_id)


def rebuild_figures(practice: Practice) -> Iterator[Figure]:
    patient = Patient.objects.filter(practice=practice).order_by("created_at").first()
    if patient is None:
        raise RuntimeError("no patient to rebuild")
    number = Resource.objects.filter(patient_fhir_id=patient.fhir_id).count()

    def from_nothing() -> None:
        Entry.objects.filter(patient=patient).delete()
        began = time.process_time()
        rebuild(practice.pk, patient.fhir_id)
        spent.append(time.process_time() - began)

    spent: list[float] = []
    for _ in range(3):
        from_nothing()
    yield Figure("rebuild from nothing, per core", round(number / min(spent)), "resources/s", 3000, at_least=True)


def list_figures(practice: Practice, client: Client) -> Iterator[Figure]:
    fill_list(practice)
    url = f"/practices/{practice.pk}/patients/"
    client.get(url)
    yield Figure("list of 100,000 patients: p95", ms(p95(lambda: client.get(url), ROUNDS)), "ms", 50)
    for words in ("garcia", "mar gar", "03/07/1989", "A77123", "zzz nobody"):
        seconds = p95(lambda words=words: client.post(url, {"q": words}), ROUNDS)  # type: ignore[misc]
        yield Figure(f"list of 100,000, search “{words}”: p95", ms(seconds), "ms", 50)


def fill_list(practice: Practice) -> None:
    """Believable names in the proportions of a phone book: some are very common."""
    families = ["Garcia", "Smith", "Nguyen", "O'Brien", "Müller", "Kowalski", "Okafor", "Haddad", "Silva", "Tanaka"]
    given = ["Maria", "James", "Anh", "Sinéad", "Jürgen", "Zofia", "Chidi", "Leila", "Paulo", "Yuki"]
    for start in range(0, LISTED, 5000):
        rows = [_person(practice, families, given, number) for number in range(start, min(start + 5000, LISTED))]
        listing.rename(Patient.objects.bulk_create(rows))


def _person(practice: Practice, families: list[str], given: list[str], number: int) -> Patient:
    family = f"{families[number % 10]}{'' if number % 3 else '-' + families[number // 10 % 10]}"
    first = given[number // 7 % 10]
    return Patient(
        practice=practice, fhir_id=f"listed{number}", family=family, given=first, account_no=f"A{number}",
        birth_date=f"{1930 + number % 80}-{number % 12 + 1:02}-{number % 28 + 1:02}", birth_precision="day",
        search_text=f"{family} {first} A{number}".lower(),
    )  # fmt: skip


def medication_figures() -> Iterator[Figure]:
    """Over (text, ingredient) pairs of the labelled texts and near misses of the tests."""
    expected = found = right = texts = 0
    for name in ("medication_texts", "medication_near_misses"):
        with (LABELLED / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                want, got = set(filter(None, row["ingredients"].split("+"))), _ingredients(row)
                texts += 1
                expected, found, right = expected + len(want), found + len(got), right + len(want & got)
    yield Figure("labelled medication texts", texts, "")
    yield Figure("medication texts: recall", round(100 * right / expected, 1), "%", 97, at_least=True)
    yield Figure("medication texts: precision", round(100 * right / found, 1), "%", 99, at_least=True)


def _ingredients(row: dict[str, str]) -> set[str]:
    read = classify([], [row["text"]], route=row.get("route", ""), form=row.get("form", ""), sig=row.get("sig", ""))
    return set(read.ingredients)


def timed(call: Callable[[], object], rounds: int, pause: float = 0) -> list[float]:
    """Seconds of each call, with pauses in between that do not count."""
    seconds = []
    for _ in range(rounds):
        time.sleep(pause)
        began = time.perf_counter()
        answer = call()
        seconds.append(time.perf_counter() - began)
        if isinstance(answer, HttpResponseBase) and answer.status_code != 200:
            raise RuntimeError(f"the page answers {answer.status_code}")
    return seconds


def quantile(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def p95(call: Callable[[], object], rounds: int) -> float:
    return quantile(timed(call, rounds))


def ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
