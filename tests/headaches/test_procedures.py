"""Codes and names of procedures beside what they are to a headache history."""

import pytest

from patients.codes import table
from patients.headaches.coding import Coding
from patients.headaches.procedures import recognise

CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = "urn:oid:2.16.840.1.113883.6.285"


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("Botox 155 U, 31 sites", "botox-procedure"),
        ("onabotulinumtoxinA inj per PREEMPT protocol", "botox-procedure"),
        ("CHEMODENERVATION, chronic migraine", "botox-procedure"),
        ("Botox bladder", "other-toxin"),
        ("Botox cosmetic - glabellar lines", "other-toxin"),
        ("Botox for cervical dystonia", "other-toxin"),
        ("Xeomin injection", "other-toxin"),
        ("GONB bilat, lido/bupi", "nerve-block"),
        ("Greater occipital nerve block", "nerve-block"),
        ("injection, occipital nerve, bilateral", "nerve-block"),
        ("Supraorbital nerve block", "nerve-block"),
        ("SPG block bilat, Tx360", "nerve-block"),
        ("Sphenopalatine ganglion block", "nerve-block"),
        ("Lumbar puncture, OP 14", "lumbar-puncture"),
        ("LP under fluoro", "lumbar-puncture"),
        ("Epidural blood patch", "blood-patch"),
        ("Vyepti infusion 100 mg", "cgrp-infusion"),
        ("DHE 1 mg IV", "dhe"),
        ("IV migraine cocktail", "headache-infusion"),
        ("12 lead EKG", "ecg"),
        ("MRI brain", "imaging"),
        ("Trigger point injections, trapezius", "trigger-point"),
    ],
)
def test_name_of_a_procedure(text: str, group: str) -> None:
    found = recognise((), text)
    assert found is not None
    assert (found.group, found.matched_by) == (group, "text")


@pytest.mark.parametrize(
    "text",
    [
        "Appendectomy",
        "Tibial nerve block",
        "Femoral nerve block",
        "help with bathing",
        "Colonoscopy",
        "Cyst excision",
        "",
    ],
)
def test_name_of_another_procedure(text: str) -> None:
    assert recognise((), text) is None


@pytest.mark.parametrize(
    ("codings", "text", "group", "also"),
    [
        pytest.param([Coding(CPT, "64615")], "", "botox-procedure", (), id="session"),
        pytest.param([Coding(HCPCS, "J0585")], "", "botox-drug", (), id="drug"),
        pytest.param([Coding(HCPCS, "j0585"), Coding(CPT, "64615")], "", "botox-procedure", ("botox-drug",), id="both"),
        pytest.param([Coding(CPT, "J0585")], "", "botox-drug", (), id="HCPCS filed under CPT"),
        pytest.param([Coding("", "64405")], "", "nerve-block", (), id="without system"),
        pytest.param([Coding("urn:local", "64405")], "", "", (), id="in another system"),
        pytest.param(
            [Coding(CPT, "64615")], "Botox, also masseter", "botox-procedure", (), id="the code says migraine"
        ),
        pytest.param([Coding(HCPCS, "J0585")], "Botox for bladder", "other-toxin", (), id="the drug for another use"),
    ],
)
def test_code_of_a_procedure(codings: list[Coding], text: str, group: str, also: tuple[str, ...]) -> None:
    found = recognise(codings, text)
    assert (found.group if found else "", found.also if found else ()) == (group, also)


def test_toxin_for_another_use_says_which() -> None:
    found = recognise((), "Botox for axillary hyperhidrosis")
    assert found is not None
    assert not found.about_headache
    assert found.excluded_reason == "for another use: axilla"


def test_tables_hold_no_licensed_wording() -> None:
    for row in table("procedures"):
        assert len(row["label"]) <= 70, row["code"]
        assert row["system"] in {"cpt", "hcpcs"}
