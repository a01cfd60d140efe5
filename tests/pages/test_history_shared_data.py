"""FHIR R4 data made by others: every patient of it has a page, with no invented word on it."""

import html
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse

from emr.models import Practice, Resource, User
from patients import histories
from patients.models import Patient
from patients.projection.readers import Body
from patients.projection.rebuild import rebuild
from tests.conftest import signed_in
from tests.pages import charts

FOLDER = Path(settings.BASE_DIR).parent / "shared" / "data"

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the FHIR data folders are not beside the repository"),
]


def bodies(folder: str) -> list[Body]:
    found = []
    for path in sorted((FOLDER / folder).rglob("*.*json")):
        content = path.read_text()
        for text in content.splitlines() if path.suffix == ".ndjson" else [content]:
            body = json.loads(text) if text.strip() else {}
            entries = body.get("entry") if body.get("resourceType") == "Bundle" else None
            found += [each["resource"] for each in entries if "resource" in each] if entries else [body]
    return [body for body in found if isinstance(body.get("id"), str)]


def owner(body: Body) -> str:
    if body["resourceType"] == "Patient":
        return str(body["id"])
    about = body.get("subject") or body.get("patient") or {}
    target = str(about.get("reference", "")) if isinstance(about, dict) else ""
    return target.removeprefix("Patient/") if target.startswith("Patient/") else ""


def store(practice: Practice, found: list[Body]) -> dict[str, int]:
    """Resources per patient; those about nobody under ""."""
    rows, counts = {}, defaultdict(int)
    for number, body in enumerate(found):
        counts[owner(body)] += 1
        rows[body["resourceType"], body["id"]] = Resource(
            practice=practice, resource_type=body["resourceType"], fhir_id=body["id"], patient_fhir_id=owner(body),
            body=json.dumps(body), content_hash=f"{number:064}", query="x", first_seen_at=charts.NOW,
            changed_at=charts.NOW,
        )  # fmt: skip
    Resource.objects.bulk_create(rows.values())
    return counts


@pytest.mark.parametrize(
    ("folder", "patients"), [("cohort-migraine", 13), ("us-core-examples", 1), ("r4-examples-clinical", 1)]
)
def test_every_patient_has_a_page(alice: User, practice_a: Practice, folder: str, patients: int) -> None:
    found = bodies(folder)
    counts = store(practice_a, found)
    client, shown = signed_in(alice), 0
    said_by_record = json.dumps(found)
    for fhir_id in filter(None, counts):
        rebuild(practice_a.pk, fhir_id)
        person = Patient.objects.get(fhir_id=fhir_id)
        charts.enrol(person)
        for query in ("", *(f"?all={kind}" for kind in sorted(histories.SHOW_ALL))):
            answer = client.get(reverse("patients:history", args=[person.pk]) + query)
            assert answer.status_code == 200
            text = html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode()))
            assert "1899" not in text
            # "LINES AND TUBES: None." is a radiologist's word, not ours.
            assert not re.search(r"\bNone\b", text) or re.search(r"\bNone\b", said_by_record)
        shown += 1
    assert shown >= patients
