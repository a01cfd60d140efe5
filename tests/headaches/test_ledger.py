"""The table of preventive trials."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from patients.headaches.ledger import Ledger, ledger
from patients.headaches.orders import Timing
from patients.headaches.record import Attestation, Happening, Treatment
from tests.headaches.facts import TODAY, ago, happened, on, rx

MONTHLY = {"sig": "1 tablet daily", "quantity": Decimal(30), "quantity_unit": "tablet", "repeats": 2}


def _ledger(*facts: Treatment | Happening | Attestation) -> Ledger:
    def of(kind: type) -> list[Any]:
        return [fact for fact in facts if isinstance(fact, kind)]

    return ledger(of(Treatment), of(Happening), of(Attestation), TODAY)


def test_trial_with_days_dose_and_attestation() -> None:
    stated = Attestation(
        "attestation:1", "topiramate", for_headache="yes", outcome="not-tolerated", reason="Paresthesia"
    )
    order = rx("Topiramate 50 mg tablet", "2024-01-10", "completed", strength_mg=Decimal(50), **MONTHLY)
    (row,) = _ledger(order, stated).rows
    assert (row.drug, row.class_words, row.dose_words) == ("Topiramate", "Anticonvulsant", "50 mg a day")
    assert (row.documented_days, row.exposure, row.level, row.last_kind) == (90, "documented", "C", "estimated")
    assert row.attestation == stated
    assert row.evidence_words == "days from quantity and written instructions"
    assert row.sources == (order.source,)


def test_classes_are_counted_once_and_those_documented_for_eight_weeks_apart() -> None:
    found = _ledger(
        rx("Topiramate 50 mg tablet", "2023-01-10", "completed", **MONTHLY),
        rx("Depakote 500 mg tablet", "2023-06-10", "completed", **MONTHLY),
        rx("Propranolol 40 mg tablet", "2024-01-10", "completed"),
        rx("Amitriptyline 25 mg tablet", "2024-06-10", "completed", **MONTHLY | {"repeats": 0}),
    )
    assert found.classes == ("anticonvulsant", "beta-blocker", "tca")
    assert found.documented == ("anticonvulsant",)
    assert found.sentence == "Classes tried: 3 (1 documented for 56 days or more)"


def test_not_for_headache_is_listed_and_not_counted() -> None:
    order = rx("Propranolol 40 mg tablet", "2024-01-10", "completed", **MONTHLY)
    found = _ledger(order, Attestation("attestation:1", "propranolol", for_headache="no"))
    assert [row.ingredient for row in found.rows] == ["propranolol"]
    assert (found.classes, found.documented) == ((), ())


@pytest.mark.parametrize(
    ("attestation", "drug", "drug_class"),
    [
        (Attestation("a", "candesartan", started=on("2015")), "Candesartan", "arb"),
        (Attestation("a", "", drug_class="tca"), "Tricyclic antidepressant (class)", "tca"),
    ],
)
def test_trial_known_to_staff_alone(attestation: Attestation, drug: str, drug_class: str) -> None:
    found = _ledger(attestation)
    (row,) = found.rows
    assert (row.drug, row.drug_class, row.exposure) == (drug, drug_class, "unknown")
    assert row.evidence_words == "stated by staff; no order on file"
    assert found.classes == (drug_class,)


@pytest.mark.parametrize(
    ("treatment", "count"),
    [
        (rx("Nurtec ODT 75 mg", sig="1 tablet every other day", quantity=Decimal(16), quantity_unit="tablet"), 1),
        (rx("Nurtec ODT 75 mg", sig="1 tablet as needed", quantity=Decimal(8), quantity_unit="tablet"), 0),
        (rx("Nurtec ODT 75 mg", sig="as directed"), 0),
        (rx("Nurtec ODT 75 mg", sig="1 tab", timing=Timing(Decimal(1), None, Decimal(2), None, "d")), 1),
        (rx("Sumatriptan 100 mg tablet"), 0),
        (rx("Topiramate 50 mg tablet", forbidden=True), 0),
        (rx("Ziac 5 mg-6.25 mg tablet"), 1),
        (rx("Timolol 0.5 % ophthalmic solution"), 0),
    ],
    ids=lambda value: value.title + " " + value.order.sig if isinstance(value, Treatment) else str(value),
)
def test_what_is_a_preventive(treatment: Treatment, count: int) -> None:
    assert len(_ledger(treatment).rows) == count


def _toxin(day: str, **more: Any) -> Happening:
    return happened("procedure", "Chemodenervation", day, group="botox-procedure", status="completed", **more)


def test_toxin_sessions_are_a_trial_without_orders() -> None:
    found = _ledger(
        _toxin(ago(200)), _toxin(ago(110)), _toxin(ago(110), source="drug of the same day"), _toxin(ago(20))
    )
    (row,) = found.rows
    assert (row.ingredient, len(row.sessions), row.exposure, row.ongoing) == (
        "onabotulinumtoxinA",
        3,
        "documented",
        True,
    )
    assert row.documented_days == 84 + 84 + 20
    assert row.evidence_words == "3 sessions on file"
    assert row.interval_ends == TODAY + timedelta(64)


@pytest.mark.parametrize(
    "session",
    [
        pytest.param(_toxin(ago(20), excluded_reason="cosmetic use"), id="not for headache"),
        pytest.param(
            happened("procedure", "Botox", ago(20), group="botox-procedure", status="not-done"), id="not done"
        ),
        pytest.param(_toxin(ago(-20)), id="planned"),
        pytest.param(_toxin(""), id="undated"),
    ],
)
def test_what_is_no_session(session: Happening) -> None:
    assert _ledger(session).rows == ()


def test_one_session_documents_nothing_yet() -> None:
    (row,) = _ledger(_toxin(ago(100))).rows
    assert (row.exposure, row.ongoing, row.last_kind) == ("unknown", False, "explicit")


def test_rows_are_oldest_first_and_stated_ones_last() -> None:
    found = _ledger(
        Attestation("a", "verapamil"), rx("Topiramate 50 mg tablet", "2024-01-10"), rx("Inderal 40 mg", "2020-01-10")
    )
    assert [row.ingredient for row in found.rows] == ["propranolol", "topiramate", "verapamil"]


def test_no_trial_is_told_as_nothing_on_file() -> None:
    assert _ledger().sentence == "No preventive trial on file"
