"""FHIR R4 data made by others: every resource projects, and no text is made up."""

import json
from datetime import date
from pathlib import Path

import pytest
from django.conf import settings

from patients.models import Precision
from patients.projection.chart import Chart
from patients.projection.patient import demographics
from patients.projection.readers import Body, load
from patients.projection.rebuild import READERS

FOLDER = Path(settings.BASE_DIR).parent / "shared" / "data"

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the FHIR data folders are not beside the repository"),
]


def bodies(folder: str) -> list[tuple[str, str]]:
    found = []
    for path in sorted((FOLDER / folder).rglob("*.*json")):
        content = path.read_text()
        texts = content.splitlines() if path.suffix == ".ndjson" else [content]
        found += [(path.name, text) for text in texts if text.strip()]
    return found


def in_bundles(body: Body) -> list[Body]:
    entries = body.get("entry") if body.get("resourceType") == "Bundle" else None
    return [each["resource"] for each in entries if "resource" in each] if entries else [body]


@pytest.mark.parametrize(
    ("folder", "least"), [("cohort-migraine", 7000), ("us-core-examples", 110), ("r4-examples-clinical", 140)]
)
def test_every_resource_projects(folder: str, least: int) -> None:
    projected = 0
    for name, text in bodies(folder):
        for body in in_bundles(load(text)):
            type_ = body.get("resourceType")
            if type_ == "Patient":
                assert demographics(body, date(2026, 11, 21)).birth_precision in {"", *Precision.values}
            for fact in READERS[type_](body, Chart()) if type_ in READERS else ():
                columns = {
                    key: value for key, value in fact.columns().items() if value is not None and key != "fingerprint"
                }
                words = json.dumps(columns, default=str)
                assert "1899" not in words, name
                # "LINES AND TUBES: None." is a radiologist's word, not ours.
                assert "None" not in words or "None" in text, name
                assert fact.title, name
                projected += 1
    assert projected >= least
