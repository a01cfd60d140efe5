"""Red flags, data-quality findings, use of care and imaging."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from patients.codes import table
from patients.headaches import signs
from patients.headaches.course import course
from patients.headaches.exposure import exposure
from patients.headaches.frequency import frequency
from patients.headaches.quality import Finding, findings
from patients.headaches.record import Record
from patients.headaches.redflags import RedFlags, red_flags
from patients.headaches.utilisation import studies, utilisation
from tests.headaches.facts import TODAY, ago, allergy, asked, dx, happened, lab, on, person, pressure, record, rx, scale


def _flags(*facts: Any) -> RedFlags:
    made: Record = record(*facts)
    days = frequency(made.assessments, made.measures, TODAY)
    acute = exposure(made.treatments, days, TODAY)
    return red_flags(signs.chart(made, TODAY), course(made.conditions, TODAY), days, acute)


OLD = person(age=70)
TABLE: list[tuple[str, str, list[Any], str, list[Any]]] = [
    ("systemic", "38.4 degrees last week", [lab("Temperature", "8310-5", ago(6), "38.4", "Cel")],
     "a month ago", [lab("Temperature", "8310-5", ago(30), "38.4", "Cel")]),
    ("systemic", "100.6 Fahrenheit", [lab("Temperature", "8310-5", ago(6), "100.6", "[degF]")],
     "98.6 Fahrenheit", [lab("Temperature", "8310-5", ago(6), "98.6", "[degF]")]),
    ("neoplasm", "breast cancer in history", [dx("Z85.3", "2015")], "benign", [dx("D24.1")]),
    ("brain-neoplasm", "brain metastasis", [dx("C79.31")], "meningioma", [dx("D32.0")]),
    ("deficit", "new visual field defect", [dx("H53.40", ago(20))], "a year ago", [dx("H53.40", ago(400))]),
    ("sudden", "thunderclap", [dx("G44.53", ago(400))], "exertional", [dx("G44.84")]),
    ("older", "onset stated at 68", [OLD, dx("G43.909", "2025-01-05", onset=on("2024-12-01"))],
     "first recorded at 68, onset not stated", [OLD, dx("G43.909", "2025-01-05")]),
    ("older", "giant cell arteritis", [dx("M31.6")], "polymyalgia", [dx("M35.3")]),
    ("pattern", "chronic code since two months", [dx("G43.009", "2019-01-01"), dx("G43.709", ago(60))],
     "chronic code since a year", [dx("G43.009", "2019-01-01"), dx("G43.709", ago(400))]),
    ("pattern", "from 5 to 14 days", [asked(ago(70), headache_days=5), asked(ago(5), headache_days=14)],
     "from 5 to 9 days", [asked(ago(70), headache_days=5), asked(ago(5), headache_days=9)]),
    ("positional", "orthostatic headache", [dx("R51.0")], "headache", [dx("R51.9")]),
    ("cough", "cough headache", [dx("G44.83")], "stabbing headache", [dx("G44.85")]),
    ("papilledema", "papilledema", [dx("H47.10")], "optic atrophy", [dx("H47.20")]),
    ("pregnancy", "pregnancy code", [dx("O26.892", ago(40))], "three years ago", [dx("O26.892", ago(1100))]),
    ("pregnancy", "delivery four weeks ago", [dx("Z37.0", ago(28))], "half a year ago", [dx("Z37.0", ago(180))]),
    ("red-eye", "cluster headache", [dx("G44.019")], "migraine", [dx("G43.909")]),
    ("trauma", "concussion last month", [dx("S06.0X0A", ago(30))], "three years ago", [dx("S06.0X0A", ago(1100))]),
    ("immune", "HIV", [dx("B20")], "hepatitis", [dx("B18.2")]),
    ("immune", "adalimumab", [rx("Humira 40 mg pen")], "stopped", [rx("Humira 40 mg pen", status="stopped")]),
    ("painkiller", "orders above the line",
     [rx("Sumatriptan 100 mg tablet", ago(20), quantity=Decimal(36), quantity_unit="tablet", sig="1 prn")],
     "below", [rx("Sumatriptan 100 mg tablet", ago(20), quantity=Decimal(9), quantity_unit="tablet", sig="1 prn")]),
    ("painkiller", "medication-overuse headache", [dx("G44.41")], "migraine", [dx("G43.909")]),
    ("vascular", "aneurysm", [dx("I67.1")], "atherosclerosis", [dx("I67.2")]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "facts"), [pytest.param(row[0], row[2], id=f"{row[0]}: {row[1]}") for row in TABLE])
def test_red_flag_is_shown(key: str, facts: list[Any]) -> None:
    flag = next(flag for flag in _flags(*facts).found if flag.key == key)
    assert "record shows" in flag.text
    assert flag.evidence


@pytest.mark.parametrize(("key", "facts"), [pytest.param(row[0], row[4], id=f"{row[0]}: {row[3]}") for row in TABLE])
def test_red_flag_is_not_shown(key: str, facts: list[Any]) -> None:
    assert key not in {flag.key for flag in _flags(*facts).found}


def test_every_flag_of_the_table_is_tried() -> None:
    assert {row["key"] for row in table("red_flags")} == {row[0] for row in TABLE}


def test_no_flag_never_means_no_red_flags() -> None:
    assert _flags().found == ()
    assert _flags().caution == "Absence of a flag in data never means “no red flags”."


def test_severe_flags_come_first_and_new_sudden_onset_is_urgent() -> None:
    found = _flags(dx("G44.83"), dx("G44.53", ago(10)), dx("H47.10")).found
    assert [(flag.key, flag.severity) for flag in found] == [
        ("papilledema", "high"),
        ("sudden", "review"),
        ("cough", "info"),
    ]
    assert [flag.key for flag in found if flag.urgent] == ["sudden"]


# Data quality


def _findings(*facts: Any, **more: Any) -> dict[str, Finding]:
    made = replace(record(*facts), **{name: more.pop(name) for name in ("repeated", "hidden") if name in more})
    days = frequency(made.assessments, made.measures, TODAY)
    return {each.key: each for each in findings(made, course(made.conditions, TODAY), days, TODAY, **more)}


VISITS = [dx("G43.709", "2026-03-02", source=key) for key in ("r1", "r2", "r3")]


@pytest.mark.parametrize(
    ("key", "count", "facts", "clean"),
    [
        ("undated", 1, [dx("I10", "")], [dx("I10")]),
        ("future", 1, [rx("Sumatriptan 100 mg tablet", "2027-02-01")], [happened("visit", "Follow-up", "2027-02-01")]),
        ("duplicate", 2, VISITS, [VISITS[0], dx("G43.709", "2026-04-02")]),
        ("stale", 1, [rx("Topiramate 50 mg tablet", ago(900))], [rx("Topiramate 50 mg tablet", ago(300))]),
        ("stale", 1, [rx("Topiramate 50 mg tablet", ago(400))],
         [rx("Topiramate 50 mg tablet", ago(400), supply_days=Decimal(90), repeats=4)]),
        ("stale", 1, [rx("Topiramate 50 mg tablet", ago(900))],
         [rx("Topiramate 50 mg tablet", ago(900)), rx("Topamax 100 mg tablet", ago(20))]),
        ("conflict", 1, [dx("G43.709", conflicts=("codes disagree",))], [dx("G43.709")]),
        ("unclassified", 1, [rx("Zzyqx 5 mg", key="a"), rx("ZZYQX 5 MG", key="b")], [rx("Topiramate 50 mg tablet")]),
        ("no-known", 1, [allergy("NKDA", none_known="drug"), allergy("Penicillin")],
         [allergy("NKFA", none_known="food"), allergy("Penicillin")]),
        ("out-of-range", 1, [scale("hit-6", ago(9), "12", out_of_range=True)], [scale("hit-6", ago(9), "52")]),
        ("episodic-chronic", 1, [dx("G43.009"), dx("G43.709")], [dx("G43.709")]),
        ("days", 2, [scale("headache-days", ago(9), "5"), scale("migraine-days", ago(9), "8")],
         [scale("headache-days", ago(9), "8"), scale("migraine-days", ago(9), "5")]),
    ],
)  # fmt: skip
def test_finding_is_counted_with_its_evidence(key: str, count: int, facts: list[Any], clean: list[Any]) -> None:
    finding = _findings(*facts)[key]
    assert finding.count == count
    assert set(finding.evidence) <= {fact.source for fact in facts}
    assert key not in _findings(*clean)


def test_hidden_and_missing_are_findings() -> None:
    found = _findings(hidden=2, missing=("Visits: Not permitted.",), repeated=4)
    assert found["hidden"].words == "2 records entered in error, or no longer sent by the EMR, not shown"
    assert found["not-complete"].words == "Visits: Not permitted."
    assert found["duplicate"].count == 4


def test_clean_record_has_no_findings() -> None:
    assert _findings(dx("G43.709"), rx("Topiramate 50 mg tablet"), pressure(ago(5), 120, 70)) == {}


# Use of care and imaging


def test_emergency_visits_for_headache_are_apart_from_others() -> None:
    found = utilisation(
        record(
            happened("visit", "Headache", ago(30), group="emergency", about_headache=True, attended="yes"),
            happened("visit", "Migraine", ago(500), group="emergency", about_headache=True),
            happened("visit", "Ankle injury", ago(60), group="emergency"),
            happened("visit", "Follow-up", ago(10), about_headache=True, attended="yes"),
            happened("visit", "Follow-up", ago(20), attended="no", status="noshow"),
            happened("visit", "Follow-up", ago(-20), status="planned"),
        ),
        TODAY,
    )
    assert [each.title for each in found.emergency] == ["Headache", "Migraine"]
    assert (found.emergency_year, found.emergency_other) == (1, 1)
    assert found.sentence == "Record shows 1 emergency visit for headache in the last 12 months."
    assert utilisation(record(), TODAY).sentence == ""
    assert [each.title for each in found.last_visits] == ["Follow-up", "Headache", "Ankle injury", "Migraine"]
    assert len(found.not_kept) == 1


def test_appointments_ahead_cancelled_and_not_kept() -> None:
    found = utilisation(
        record(
            happened("appointment", "Botox", ago(-30), status="booked"),
            happened("appointment", "Follow-up", ago(-3), status="booked"),
            happened("appointment", "Follow-up", ago(-1), status="cancelled"),
            happened("appointment", "Follow-up", ago(9), status="cancelled"),
            happened("appointment", "Follow-up", ago(40), status="noshow"),
            happened("appointment", "Follow-up", ago(600), status="noshow"),
            happened("appointment", "Follow-up", ago(70), status="fulfilled"),
        ),
        TODAY,
    )
    assert found.next_appointment is not None
    assert found.next_appointment.dated == on(ago(-3))
    assert (len(found.cancelled), len(found.not_kept)) == (1, 1)


def test_imaging_is_latest_first_and_an_examination_once() -> None:
    report = happened(
        "report", "MRI brain", "2025-03-04", group="imaging", about_headache=True, modality="MRI", words="Normal"
    )
    done = happened("procedure", "MRI brain w/o contrast", "2025-03-02", group="imaging", modality="MRI")
    ct = happened("procedure", "CT head", "2019-06-01", group="imaging", modality="CT")
    knee = happened("report", "MRI knee", "2026-01-01", group="imaging", modality="MRI")
    assert [each.title for each in studies([report, knee], [done, ct])] == ["MRI brain", "CT head"]
