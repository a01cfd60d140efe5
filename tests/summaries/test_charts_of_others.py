"""Summaries of generated charts and of FHIR data made by others: they exist, and no word in them is made up."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from emr.models import Practice, Resource
from patients.models import Patient
from patients.projection import rebuild
from patients.summaries import Summary, summary
from sandbox.charts import chart

pytestmark = pytest.mark.django_db

TODAY = date(2026, 11, 21)
FOLDER = Path(settings.BASE_DIR).parent / "shared" / "data" / "cohort-migraine"


def stored(practice: Practice, bodies: Iterable[dict[str, Any]]) -> list[Patient]:
    """The patients of those resources, projected."""
    now = timezone.now()
    rows = [
        Resource(
            practice=practice, resource_type=body["resourceType"], fhir_id=body["id"], patient_fhir_id=_owner(body),
            body=json.dumps(body), content_hash=hashlib.sha256(body["id"].encode()).hexdigest(), query="test",
            first_seen_at=now, changed_at=now,
        )
        for body in bodies
    ]  # fmt: skip
    Resource.objects.bulk_create(rows, ignore_conflicts=True)
    for owner in sorted({row.patient_fhir_id for row in rows if row.patient_fhir_id}):
        rebuild(practice.pk, owner)
    return list(Patient.objects.filter(practice=practice))


def _owner(body: dict[str, Any]) -> str:
    if body["resourceType"] == "Patient":
        return str(body["id"])
    about = body.get("subject") or body.get("patient") or {}
    reference = str(about.get("reference", ""))
    if not reference:
        actors = (each.get("actor", {}).get("reference", "") for each in body.get("participant", []))
        reference = next((each for each in actors if "Patient/" in each), "")
    return reference.rpartition("Patient/")[2]


def sentences(found: Any) -> Iterator[str]:
    """Every sentence that the rules wrote, wherever it stands in the tree."""
    if isinstance(found, Summary):
        yield from (prompt.text for prompt in found.prompts)
        yield from (flag.text for flag in found.red_flags.found)
        yield from (finding.words for finding in found.quality)
        yield from (each.sentence for each in found.course.transitions)
        yield from found.course.both_active
        yield from (found.midas.change_words, found.hit6.change_words, found.utilisation.sentence)
        yield from found.exposure.sentences
        yield found.trials.sentence
        for row in found.trials.rows:
            yield from (row.drug, row.dose_words, row.evidence_words)


def evidence(found: Any) -> Iterator[str]:
    """Every key named as evidence, wherever it stands in the tree."""
    if is_dataclass(found):
        for each in fields(found):
            value = getattr(found, each.name)
            if each.name in ("evidence", "sources"):
                yield from value
            else:
                yield from evidence(value)
    elif isinstance(found, tuple):
        for each in found:
            yield from evidence(each)


def check(found: Summary, practice: Practice) -> None:
    for sentence in sentences(found):
        assert "None" not in sentence, sentence
        assert "1899" not in sentence, sentence
        assert "  " not in sentence, sentence
    known = {str(key) for key in Resource.objects.filter(practice=practice).values_list("pk", flat=True)}
    assert set(evidence(found)) <= known


def test_generated_charts(practice_a: Practice) -> None:
    people = stored(practice_a, (body for number in range(30) for body in chart(number, seed=11, today=TODAY)))
    assert len(people) == 30
    found = [summary(person, TODAY) for person in people]
    for each in found:
        check(each, practice_a)
    # The generator's patients have headaches, trials and trouble: rules that see nothing are broken.
    assert sum(each.course.headline is not None for each in found) >= 25
    assert sum(bool(each.trials.rows) for each in found) >= 15
    assert sum(bool(each.prompts) for each in found) >= 5
    assert sum(bool(each.midas.points) for each in found) >= 5


@pytest.mark.shared_data
@pytest.mark.skipif(not FOLDER.is_dir(), reason="the FHIR data folders are not beside the repository")
def test_cohort_of_others(practice_a: Practice) -> None:
    lines = (line for path in sorted(FOLDER.glob("*.ndjson")) for line in path.read_text().splitlines())
    people = stored(practice_a, (json.loads(line) for line in lines if line.strip()))
    assert people
    found = [summary(person, TODAY) for person in people]
    for each in found:
        check(each, practice_a)
    assert any(each.course.headline is not None for each in found)
