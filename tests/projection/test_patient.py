"""Patient bodies beside what the banner and the list show."""

from datetime import date
from typing import Any

import pytest

from patients.projection.patient import Demographics, demographics, folded
from tests.projection.bodies import PATIENT, patient, received

TODAY = date(2026, 11, 21)


def read(**elements: Any) -> Demographics:
    return demographics(received(patient(**elements)), TODAY)


def test_patient_as_eclinicalworks_sends_it() -> None:
    assert read() == Demographics(
        family="Núñez",
        given="Zoë M",
        title="Ms.",
        birth_date=date(1989, 3, 7),
        birth_precision="day",
        sex="Female",
        account_no="9150",
        deceased=False,
        deceased_on=None,
        search_text="nunez zoe m 9150 zoe m nunez",
    )


OLD = {"use": "old", "family": "Old", "given": ["Name"]}
MAIDEN = {"use": "maiden", "family": "Maiden", "given": ["Name"]}
USUAL = {"use": "usual", "family": "Usual", "given": ["Name"]}
OFFICIAL = {"use": "official", "family": "Official", "given": ["Name"]}
PLAIN = {"family": "Plain", "given": ["Name"]}


@pytest.mark.parametrize(
    ("names", "family", "given"),
    [
        pytest.param([OLD, USUAL, OFFICIAL, PLAIN], "Official", "Name", id="official first"),
        pytest.param([OLD, PLAIN, USUAL], "Usual", "Name", id="then usual"),
        pytest.param([PLAIN, OLD], "Plain", "Name", id="then one without use, as healow sends"),
        pytest.param([MAIDEN, {"use": "nickname", "given": ["Zo"]}], "", "Zo", id="a nickname before a past name"),
        pytest.param([OFFICIAL | {"period": {"end": "2010-01-01"}}, PLAIN], "Plain", "Name", id="ended"),
        pytest.param([OFFICIAL | {"period": {"end": "2030"}}, PLAIN], "Official", "Name", id="ends later"),
        pytest.param([OLD], "Old", "Name", id="only a past name"),
        pytest.param([{"use": "official"}, OLD], "Old", "Name", id="an empty official name"),
        pytest.param([{"text": "Núñez, Zoë"}], "Núñez", "Zoë", id="text with comma"),
        pytest.param("Zoë Núñez", "Zoë Núñez", "", id="a string"),
        pytest.param({"family": ["Núñez"], "given": "Zoë"}, "Núñez", "Zoë", id="list and string swapped"),
        pytest.param(None, "", "", id="none"),
        pytest.param([None, 7, []], "7", "", id="rubbish"),
    ],
)
def test_patient_names(names: Any, family: str, given: str) -> None:
    found = read(name=names)
    assert (found.family, found.given) == (family, given)


def identifier(value: Any, **elements: Any) -> dict[str, Any]:
    return {"value": value} | elements


MR = {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}}
SSN = {"type": {"coding": [{"code": "SS"}]}, "system": "http://hl7.org/fhir/sid/us-ssn"}


@pytest.mark.parametrize(
    ("identifiers", "account_no"),
    [
        pytest.param([identifier("1", use="secondary"), identifier("77", **MR)], "77", id="typed MR first"),
        pytest.param([identifier("5"), identifier("9150", use="secondary")], "9150", id="then secondary"),
        pytest.param([identifier(PATIENT, use="usual"), identifier("5")], "5", id="never the FHIR id"),
        pytest.param([identifier("999-11-3910", **SSN)], "", id="never a social security number"),
        pytest.param([identifier("999113910", system="urn:oid:2.16.840.1.113883.4.1")], "", id="nor by its OID"),
        pytest.param([identifier("4", use="old")], "", id="not an old one"),
        pytest.param([identifier(9150)], "9150", id="a number for a string"),
        pytest.param([identifier(None), "x", {}], "", id="rubbish"),
    ],
)
def test_patient_account_number(identifiers: Any, account_no: str) -> None:
    assert read(identifier=identifiers).account_no == account_no


@pytest.mark.parametrize(
    ("gender", "sex"),
    [
        ("male", "Male"),
        ("F", "Female"),
        ("other", "Other"),
        ("unknown", "Unknown"),
        (None, ""),
        ({}, ""),
        (1, "1"),
    ],
)
def test_patient_sex(gender: Any, sex: str) -> None:
    assert read(gender=gender).sex == sex


@pytest.mark.parametrize(
    ("birth", "expected"),
    [
        ("1989-03", (date(1989, 3, 1), "month")),
        ("1989", (date(1989, 1, 1), "year")),
        ("1899-12-30", (None, "")),
        ("2031-01-01", (None, "")),
        ("03/07/1989", (None, "")),
    ],
)
def test_patient_birth_date(birth: str, expected: tuple[date | None, str]) -> None:
    found = read(birthDate=birth)
    assert (found.birth_date, found.birth_precision) == expected


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        pytest.param({"deceasedDateTime": "2021-02-28T10:00:00Z"}, (True, date(2021, 2, 28)), id="a day"),
        pytest.param({"deceasedDateTime": "2021"}, (True, None), id="a year has no day"),
        pytest.param({"deceasedDateTime": "1985-01-01"}, (False, None), id="before birth"),
        pytest.param({"deceasedDateTime": "1900-01-01", "birthDate": None}, (False, None), id="zero date"),
        pytest.param({"deceasedDateTime": "2999-01-01"}, (False, None), id="in the future"),
        pytest.param({"deceasedDateTime": None, "deceasedBoolean": True}, (True, None), id="true"),
        pytest.param({"deceasedDateTime": None, "deceasedBoolean": "true"}, (True, None), id="true in words"),
        pytest.param({"deceasedDateTime": None, "deceasedBoolean": False}, (False, None), id="false"),
        pytest.param({"deceasedDateTime": "1989", "birthDate": "1989-03-07"}, (True, None), id="in the birth year"),
    ],
)
def test_patient_death(elements: dict[str, Any], expected: tuple[bool, date | None]) -> None:
    found = read(**elements)
    assert (found.deceased, found.deceased_on) == expected


@pytest.mark.parametrize(
    ("words", "searched"),
    [("Zoë  NÚÑEZ", "zoe nunez"), ("O’Brien", "o'brien"), ("Groß-Łuczak", "gross-luczak"), ("", "")],
)
def test_folded_words(words: str, searched: str) -> None:
    assert folded(words) == searched


def test_patient_with_endless_name_fits_its_columns() -> None:
    found = read(name=[{"family": "x" * 5000, "given": ["y" * 5000], "prefix": ["z" * 99]}])
    lengths = [len(each) for each in (found.family, found.given, found.title, found.search_text)]
    assert lengths == [200, 200, 50, 600]


def link(kind: str, reference: str) -> dict[str, Any]:
    return {"type": kind, "other": {"reference": reference}}


OURS = "http://fhir4.example.com/fhir/r4/AAAAAA/Patient/new"
THEIRS = "http://fhir4.example.com/fhir/r4/BBBBBB/Patient/new"


@pytest.mark.parametrize(
    ("links", "replaced_by", "see_also"),
    [
        pytest.param([link("replaced-by", "Patient/new")], "new", "", id="merged into another record"),
        pytest.param([link("replaced-by", OURS)], "new", "", id="absolute, our code"),
        pytest.param([link("replaced-by", THEIRS)], "", "", id="never another practice's"),
        pytest.param([link("replaces", "Patient/old")], "", "", id="the record that was kept"),
        pytest.param([link("seealso", "Patient/b")], "", "b", id="see also"),
        pytest.param([link("refer", "Patient/main")], "", "main", id="another is the main one"),
        pytest.param([link("seealso", "RelatedPerson/mom")], "", "", id="not a patient"),
        pytest.param([link("replaced-by", f"Patient/{PATIENT}")], "", "", id="itself"),
        pytest.param([None, "x", {}, {"type": 3, "other": []}], "", "", id="rubbish"),
    ],
)
def test_patient_links(links: Any, replaced_by: str, see_also: str) -> None:
    found = demographics(received(patient(link=links)), TODAY, "AAAAAA")
    assert (found.replaced_by, found.see_also) == (replaced_by, see_also)


def test_patient_suffix_tells_father_from_son() -> None:
    found = read(name=[{"family": "Davis", "given": ["Anibal"], "prefix": ["Mr."], "suffix": ["Jr."]}])
    assert (found.title, found.suffix) == ("Mr.", "Jr.")
