"""Instruments from values, components, strings and notes."""

import time
from decimal import Decimal

import pytest

from patients.headaches.coding import Coding
from patients.headaches.instruments import Component, Measure, read

LOINC = "http://loinc.org"

NOTES = [
    ("MIDAS 24 – severe", [("MIDAS", 24)]),
    ("MIDAS: 24", [("MIDAS", 24)]),
    ("MIDAS total score = 5", [("MIDAS", 5)]),
    ("MIDAS (3 months): 24", [("MIDAS", 24)]),
    ("MIDAS 3/14/2026: 24", [("MIDAS", 24)]),
    ("2026-01-03 MIDAS 11", [("MIDAS", 11)]),
    ("MIDAS 24/450", [("MIDAS", 24)]),
    ("MIDAS from 40 to 12", [("MIDAS", 12)]),
    ("Migraine Disability Assessment score of 31", [("MIDAS", 31)]),
    ("HIT-6: 64", [("HIT-6", 64)]),
    ("HIT6=66", [("HIT-6", 66)]),
    ("HIT 6 score was 64 on 3/2/26", [("HIT-6", 64)]),
    ("HIT-6 (Headache Impact Test) 62", [("HIT-6", 62)]),
    ("Headache Impact Test-6 62", [("HIT-6", 62)]),
    ("MIDAS score 24 grade IV; HIT-6 66", [("MIDAS", 24), ("HIT-6", 66)]),
    ("MIDAS 24, HIT-6 66", [("MIDAS", 24), ("HIT-6", 66)]),
    ("HIT-6 60-64", [("HIT-6", None)]),
    ("12 migraine days/month", [("migraine days", 12)]),
    ("12 migraine days per month", [("migraine days", 12)]),
    ("monthly migraine days: 9", [("migraine days", 9)]),
    ("MMD 12, MHD 20", [("migraine days", 12), ("headache days", 20)]),
    ("15 headache days a month", [("headache days", 15)]),
    ("15-20 headache days per month", [("headache days", None)]),
    ("20 headache days in the last 30 days", [("headache days", 20)]),
    ("acute medication days per month: 8", [("acute medication days", 8)]),
    ("HA severity 8/10", [("pain", 8)]),
    ("PHQ-9: 12, GAD-7 9", [("PHQ-9", 12), ("GAD-7", 9)]),
    ("PedMIDAS 30", []),
    ("Ped MIDAS 30", []),
    ("MIDAS item 1: 5", []),
    ("MIDAS A: 40", []),
    ("MIDAS not done. Headache 3 days ago", []),
    ("MIDAS improved by 12", []),
    ("HIT-6 is 6 points lower", []),
    ("headache days in last 3 months: 40", []),
    ("3 migraine days per week", []),
    ("PHQ-2 score 3", []),
    ("Hit 6 balls", []),
    ("seen 12 days after migraine", []),
    ("", []),
]


def _pairs(found: tuple[Measure, ...]) -> list[tuple[str, Decimal | None]]:
    return [(measure.instrument, measure.value) for measure in found]


@pytest.mark.parametrize(("note", "expected"), NOTES, ids=[case[0] or "empty" for case in NOTES])
def test_note_is_read(note: str, expected: list[tuple[str, int | None]]) -> None:
    assert _pairs(read(notes=[note])) == expected


@pytest.mark.parametrize(
    ("instrument", "value", "band", "out"),
    [
        ("MIDAS", "0", "Grade I: little or no disability", False),
        ("MIDAS", "5", "Grade I: little or no disability", False),
        ("MIDAS", "6", "Grade II: mild disability", False),
        ("MIDAS", "10", "Grade II: mild disability", False),
        ("MIDAS", "11", "Grade III: moderate disability", False),
        ("MIDAS", "20", "Grade III: moderate disability", False),
        ("MIDAS", "21", "Grade IV: severe disability", False),
        ("MIDAS", "450", "Grade IV: severe disability", False),
        ("MIDAS", "451", "", True),
        ("MIDAS", "-1", "", True),
        ("HIT-6", "35", "", True),
        ("HIT-6", "36", "Little or no impact", False),
        ("HIT-6", "49", "Little or no impact", False),
        ("HIT-6", "50", "Some impact", False),
        ("HIT-6", "56", "Substantial impact", False),
        ("HIT-6", "59", "Substantial impact", False),
        ("HIT-6", "60", "Severe impact", False),
        ("HIT-6", "79", "", True),
        ("headache days per month", "31", "", False),
        ("headache days per month", "40", "", True),
        ("PHQ-9", "10", "Moderate", False),
        ("GAD-7", "15", "Severe", False),
        ("GAD-7", "22", "", True),
    ],
)
def test_number_gets_its_band_and_is_never_clipped(instrument: str, value: str, band: str, out: bool) -> None:
    (measure,) = read(text=instrument, value_number=Decimal(value))
    assert (measure.value, measure.band, measure.out_of_range) == (Decimal(value), band, out)


@pytest.mark.parametrize(
    ("code", "instrument"),
    [
        ("72514-3", "pain"),
        ("38208-5", "pain"),
        ("44261-6", "PHQ-9"),
        ("89204-2", "PHQ-9"),
        ("70274-6", "GAD-7"),
    ],
)
def test_loinc_names_the_instrument(code: str, instrument: str) -> None:
    assert _pairs(read(codings=[Coding(LOINC, code)], value_number=Decimal(4))) == [(instrument, 4)]
    assert read(codings=[Coding("urn:local", code)], value_number=Decimal(4)) == ()


@pytest.mark.parametrize("answer", ["24 – severe", "24", "MIDAS 24 – severe", "Score: 24 (grade IV)"])
def test_value_string_is_read(answer: str) -> None:
    assert _pairs(read(codings=[Coding("urn:local", "M1", "MIDAS")], value_string=answer)) == [("MIDAS", 24)]


@pytest.mark.parametrize("words", ["Grade IV", "MIDAS grade IV", "grade 4", "IV"])
def test_grade_alone_gives_a_band_and_no_value(words: str) -> None:
    (measure,) = read(text="MIDAS", value_string=words)
    assert (measure.value, measure.band) == (None, "Grade IV: severe disability")


def test_coded_answer_is_read() -> None:
    (measure,) = read(text="MIDAS", value_codes=[Coding("urn:local", "x", "MIDAS Grade III")])
    assert (measure.value, measure.band) == (None, "Grade III: moderate disability")


def test_components_are_read_and_items_are_not_totals() -> None:
    panel = [
        Component(text="MIDAS question 1", value_number=Decimal(4)),
        Component(text="MIDAS total", value_number=Decimal(24)),
        Component(text="HIT-6", value_string="64"),
    ]
    assert _pairs(read(text="Headache questionnaires", components=panel)) == [("MIDAS", 24), ("HIT-6", 64)]


def test_repeats_are_given_once_and_differences_kept() -> None:
    found = read(text="MIDAS", value_number=Decimal(24), notes=["MIDAS 24", "MIDAS 30"])
    assert _pairs(found) == [("MIDAS", 24), ("MIDAS", 30)]


def test_migraine_days_of_three_months_are_not_monthly() -> None:
    assert read(text="Headache days in the last 3 months", value_number=Decimal(40)) == ()


def test_matched_text_is_what_was_read() -> None:
    (measure,) = read(notes=["Seen today. HIT-6: 64. Stable."])
    assert measure.matched_text == "HIT-6: 64"


@pytest.mark.parametrize("filler", [" ", ":", "=", "1 ", "- ", "MIDAS ", "headache days "], ids=repr)
def test_long_hostile_note_is_read_in_reasonable_time(filler: str) -> None:
    start = time.process_time()
    read(notes=["MIDAS headache days" + filler * 2_000])
    assert time.process_time() - start < 2
