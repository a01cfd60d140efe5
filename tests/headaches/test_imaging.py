"""Names and codes of imaging beside the study they mean."""

import pytest

from patients.codes import table
from patients.headaches.coding import Coding
from patients.headaches.imaging import study

CPT = "http://www.ama-assn.org/go/cpt"


@pytest.mark.parametrize(
    ("text", "modality", "region"),
    [
        ("MRI BRAIN W/WO CONTRAST", "MRI", "brain"),
        ("Brain MRI", "MRI", "brain"),
        ("MR brain wo", "MRI", "brain"),
        ("Magnetic resonance imaging of brain (procedure)", "MRI", "brain"),
        ("CT HEAD WO CONTRAST", "CT", "brain"),
        ("CAT scan head", "CT", "brain"),
        ("Computed tomography of head", "CT", "brain"),
        ("MRI pituitary", "MRI", "sella"),
        ("MRI brain and orbits", "MRI", "brain, orbit"),
        ("MRI C-SPINE", "MRI", "cervical spine"),
        ("CT cervical spine", "CT", "cervical spine"),
        ("MRA HEAD AND NECK", "MRA", "head vessels, neck vessels"),
        ("CTA neck", "CTA", "neck vessels"),
        ("CT angiogram head", "CTA", "head vessels"),
        ("MR venogram brain", "MRV", "head vessels"),
        ("MRI IAC", "MRI", "posterior fossa"),
    ],
)
def test_name_of_a_study(text: str, modality: str, region: str) -> None:
    found = study((), text)
    assert found is not None
    assert (found.modality, found.region, found.matched_by) == (modality, region, "text")


@pytest.mark.parametrize(
    "text",
    [
        "CT/NG NAA, cervical swab",
        "Plt Ct",
        "CT femoral head",
        "MRI head of humerus",
        "CT ABDOMEN, headache after",
        "MRI lumbar spine",
        "MRI hip",
        "XR skull",
        "brain natriuretic peptide",
        "CT neck soft tissue",
        "Cervical cancer screening",
        "",
    ],
)
def test_name_of_something_else(text: str) -> None:
    assert study((), text) is None


@pytest.mark.parametrize(
    ("coding", "region"),
    [
        pytest.param(Coding("http://loinc.org", "24590-2"), "brain", id="LOINC"),
        pytest.param(Coding("urn:oid:2.16.840.1.113883.6.1", "24725-4"), "brain", id="LOINC by OID"),
        pytest.param(Coding(CPT, "70553"), "brain", id="CPT"),
        pytest.param(Coding("", "70551"), "brain", id="CPT without system"),
        pytest.param(Coding("urn:local", "70551"), "", id="the same digits in another system"),
        pytest.param(Coding("urn:local", "7", "CT head"), "brain", id="the display of a local code"),
    ],
)
def test_code_of_a_study(coding: Coding, region: str) -> None:
    found = study([coding])
    assert (found.region if found else "") == region


def test_table_names_known_modalities_once() -> None:
    rows = table("imaging")
    assert len({(row["system"], row["code"]) for row in rows}) == len(rows)
    assert {row["modality"] for row in rows} <= {"MRI", "MRA", "CT", "CTA"}
