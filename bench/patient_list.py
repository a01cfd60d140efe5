"""The list of a practice with 100,000 patients: server time of the page, search and filters included, with audit."""

import datetime
import random
import statistics
import time
from collections.abc import Iterator

from django.db import transaction
from django.test import Client
from django.utils import timezone

from bench.figure import Figure
from bench.page import staffed_practice
from emr.models import Practice
from patients import listing
from patients.models import Listing, Patient
from patients.projection.patient import folded

PATIENTS = 100_000
ROUNDS = 40
_BATCH = 5_000
_SYLLABLES = ("ga", "ri", "son", "mar", "tin", "lo", "pez", "wil", "li", "ams", "bro", "wn", "ta", "ke", "o")
_SEARCHES = ("zzzz", "m", "mar gar", "mar zzzz", "03/07/1989", "9150")
_QUERIES = ("", "family=tac", "chronic=1&cgrp=1&exposure=1&no-midas=1", "stale=1", "sort=as-of", "sort=appointment")


def figures() -> Iterator[Figure]:
    practice, client = staffed_practice()
    fill(practice)
    url = f"/practices/{practice.pk}/patients/"
    for words in _SEARCHES:
        yield Figure(f"list of {PATIENTS:,}, search “{words}”: p95", _p95(client, url, words), "ms", 50)
    for query in _QUERIES:
        name = f"list of {PATIENTS:,}, {query or 'first page'}: p95"
        yield Figure(name, _p95(client, f"{url}?{query}"), "ms", 50)


def fill(practice: Practice) -> None:
    """Made-up patients, the same at each run."""
    chance = random.Random(1)
    with transaction.atomic():
        for start in range(0, PATIENTS, _BATCH):
            people = [_person(practice, number, chance) for number in range(start, start + _BATCH)]
            listing.rename(Patient.objects.bulk_create(people))
        rows = list(Listing.objects.filter(practice=practice))
        for row in rows:
            _facts(row, chance)
        names = ["families", "chronic", "cgrp_until", "exposed_until", "midas_on", "as_of"]
        Listing.objects.bulk_update(rows, names, batch_size=500)


def _person(practice: Practice, number: int, chance: random.Random) -> Patient:
    family, given = ("".join(chance.choices(_SYLLABLES, k=3)).title() for _ in range(2))
    account = str(chance.randint(10_000, 9_999_999))
    born = datetime.date(1930, 1, 1) + datetime.timedelta(chance.randint(0, 27_000))
    return Patient(
        practice=practice, fhir_id=f"p{number}", family=family, given=given, account_no=account, birth_date=born,
        birth_precision="day", sex="Female", search_text=folded(f"{family} {given} {account}"),
    )  # fmt: skip


def _facts(row: Listing, chance: random.Random) -> None:
    today, day = timezone.now().date(), datetime.timedelta(1)
    row.families, row.chronic = chance.getrandbits(6), chance.random() < 0.3
    row.cgrp_until = today + 90 * day if chance.random() < 0.1 else None
    row.exposed_until = today + 30 * day if chance.random() < 0.1 else None
    row.midas_on = today - chance.randint(0, 400) * day if chance.random() < 0.5 else None
    row.as_of = timezone.now() - chance.randint(0, 20) * day


def _p95(client: Client, url: str, words: str = "") -> float:
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = client.post(url, {"q": words}, headers={"HX-Request": "true"}) if words else client.get(url)
        seconds.append(time.perf_counter() - began)
        if answer.status_code != 200:
            raise RuntimeError(f"the list answers {answer.status_code}")
    return round(statistics.quantiles(seconds, n=20)[-1] * 1000, 1)
