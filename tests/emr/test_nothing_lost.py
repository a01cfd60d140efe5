"""Data made by others, pulled through the sandbox: every resource served is on file or in quarantine."""

import hashlib
from pathlib import Path

import pytest

from emr.models import Quarantine, Resource
from tests.emr.conftest import Connect
from tests.emr.test_pulls import pull_all

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("unlimited"),
    pytest.mark.shared_data,
]


@pytest.mark.parametrize("folder", ["cohort-migraine", "us-core-examples", "r4-examples-clinical"])
def test_every_served_resource_is_stored_or_quarantined(connect: Connect, folder: str) -> None:
    if not (DATA / folder).is_dir():
        pytest.skip(f"no folder {folder} of FHIR data beside the repository")
    connection, control = connect(data=[DATA / folder])
    pull_all(connection, control)
    served = {(kind, fhir_id): digest for kind, fhir_id, digest in control.get("ledger")["served"]}
    kept = {
        (row.resource_type, row.fhir_id): hashlib.sha256(row.body.encode()).hexdigest()
        for row in Resource.objects.iterator()
    }
    quarantined = set(Quarantine.objects.exclude(reason="").values_list("resource_type", "fhir_id"))
    assert len(served) > 50
    assert set(served) <= set(kept) | quarantined
    assert {key: digest for key, digest in kept.items() if served.get(key) != digest} == {}
