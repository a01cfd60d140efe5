"""The history page: what is on it, what it says when something is not, who sees it."""

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from emr import audit
from emr.models import AuditEvent, Enrolment, Practice, Resource, TypeOutcome, User
from patients import histories, lines
from patients.histories import History
from patients.models import Entry, Patient
from patients.projection.rebuild import rebuild
from tests.conftest import signed_in
from tests.pages import charts
from tests.pages.charts import TODAY

Rows = list[dict[str, Any]]


def address(person: Patient, query: str = "") -> str:
    return reverse("patients:history", args=[person.pk]) + query


def words(page: str) -> str:
    """The page's visible text, blanks folded."""
    body = page.partition("<main")[2]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def read(user: User, person: Patient, query: str = "") -> str:
    response = signed_in(user).get(address(person, query))
    assert response.status_code == 200
    return response.content.decode()


def of(person: Patient, **options: Any) -> History:
    return histories.history(Patient.objects.select_related("practice").get(pk=person.pk), today=TODAY, **options)


@pytest.fixture
def person(practice_a: Practice) -> Patient:
    made = charts.patient(practice_a)
    charts.enrol(made)
    return made


# --- the banner ----------------------------------------------------------------------------------------------------
def test_title_banner_and_as_of_line(alice: User, practice_a: Practice) -> None:
    page = read(alice, charts.rich(practice_a))
    assert "<title>GARCIA LOPEZ, María (Dr) – Headache history</title>" in page
    text = words(page)
    for shown in ("Born 07-Mar-1989 (37y)", "Sex Female", "Account no. 9150", "Known allergies"):
        assert shown in text
    assert "As of 21-Nov-2026 22:10 from eClinicalWorks / healow (Alder Headache Clinic)." in text
    assert (
        "Not included: DiagnosticReport (not fetched: timed out), DocumentReference (not permitted), "
        "Procedure (not supported here)." in text
    )


def test_unknown_is_said_and_never_blank_or_none(alice: User, practice_a: Practice) -> None:
    bare = Patient.objects.create(practice=practice_a, fhir_id="bare")
    charts.enrol(bare)
    charts.add(
        bare,
        [
            {"kind": kind, "title": "Something", "about_headache": about, "role": role}
            for kind in Entry.Kind.values
            for about in (True, False)
            for role in ("preventive", "acute", "")
        ],
    )
    page = read(alice, bare)
    text = words(page)
    for shown in ("Name not known", "Born Not known", "Sex Not known", "Account no. Not known", "No date"):
        assert shown in text
    assert "None" not in text
    assert "?" not in text


@pytest.mark.parametrize(
    ("columns", "born"),
    [
        pytest.param({"birth_precision": "year"}, "1989", id="year alone: no age"),
        pytest.param({"birth_precision": "month"}, "Mar-1989", id="month: no age"),
        pytest.param({"birth_date": TODAY - timedelta(days=400)}, "17-Oct-2025 (13m)", id="infant in months"),
        pytest.param({"birth_date": None, "birth_precision": ""}, "Not known", id="unknown"),
    ],
)
def test_banner_birth(practice_a: Practice, columns: dict[str, Any], born: str) -> None:
    assert of(charts.patient(practice_a, **columns)).banner.born == born


@pytest.mark.parametrize(
    ("columns", "died"),
    [
        pytest.param({}, "", id="alive"),
        pytest.param({"deceased": True}, "date not known", id="dead, undated"),
        pytest.param({"deceased": True, "deceased_on": TODAY}, "21-Nov-2026", id="dead, dated"),
        pytest.param({"deceased_on": TODAY}, "", id="a date without the flag"),
    ],
)
def test_banner_death(practice_a: Practice, columns: dict[str, Any], died: str) -> None:
    assert of(charts.patient(practice_a, **columns)).banner.died == died


ALLERGY = charts.allergy("Penicillin", detail={"clinical": "active"})
NONE_KNOWN = charts.allergy("No known allergies", group="no-known", detail={"text": "No known allergies"})


@pytest.mark.parametrize(
    ("rows", "outcome", "title", "section"),
    [
        pytest.param([ALLERGY], ("complete", ""), "Known allergies", "Penicillin", id="listed"),
        pytest.param(
            [NONE_KNOWN], ("complete", ""), "No known allergies", "Record states no known allergies.", id="stated none"
        ),
        pytest.param(
            [], ("complete", ""), "Allergies not recorded",
            "Nothing on file: the EMR sent a complete, empty list.", id="empty list",
        ),
        pytest.param(
            [], ("not-permitted", "scope not granted"), "Allergies unavailable",
            "Not permitted: scope not granted.", id="not permitted",
        ),
        pytest.param(
            [], ("not-supported", ""), "Allergies unavailable",
            "Not supported here: the EMR does not offer it.", id="not supported",
        ),
        pytest.param(
            [], ("not-fetched", "timed out"), "Allergies unavailable", "Not fetched yet: timed out.", id="not fetched",
        ),
        pytest.param(
            [ALLERGY], ("not-fetched", "timed out"), "Known allergies",
            "May be incomplete. Not fetched yet: timed out.", id="listed earlier, not confirmed",
        ),
    ],
)  # fmt: skip
def test_allergy_title_and_section(
    alice: User, practice_a: Practice, rows: Rows, outcome: tuple[str, str], title: str, section: str
) -> None:
    person = charts.patient(practice_a)
    charts.enrol(person, {"Condition": ("complete", ""), "AllergyIntolerance": outcome})
    charts.add(person, rows)
    page = read(alice, person)
    assert f'<a href="#allergies">{title}</a>' in page
    assert section in words(page)


# --- absences ------------------------------------------------------------------------------------------------------
SECTIONS = {"Condition": "diagnoses", "MedicationRequest": "preventive", "Observation": "measures"}


@pytest.mark.parametrize("resource_type", SECTIONS)
@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        pytest.param(("complete", ""), "Nothing on file: the EMR sent a complete, empty list.", id="empty"),
        pytest.param(("not-permitted", ""), "Not permitted: the EMR does not let this connection", id="not permitted"),
        pytest.param(("not-supported", "HTTP 404"), "Not supported here: HTTP 404.", id="not supported"),
        pytest.param(("not-fetched", "timed out."), "Not fetched yet: timed out.", id="not fetched"),
        pytest.param(None, "Not fetched yet: waiting for its turn.", id="never asked"),
    ],
)
def test_empty_section_says_why(
    alice: User, practice_a: Practice, resource_type: str, outcome: tuple[str, str] | None, said: str
) -> None:
    person = charts.patient(practice_a)
    charts.enrol(person, {"Patient": ("complete", "")} | ({resource_type: outcome} if outcome else {}))
    section = read(alice, person).partition(f'id="{SECTIONS[resource_type]}"')[2].partition("</section>")[0]
    assert said in words("<main>" + section)


def test_empty_type_with_records_that_do_not_belong_is_not_called_empty(practice_a: Practice) -> None:
    """The EMR sent conditions, all of them refuted: the list was not empty."""
    person = charts.patient(practice_a)
    charts.enrol(person)
    charts.add(person, [charts.diagnosis("Refuted")])
    person.entries.all().delete()
    assert of(person).headache_diagnoses.absent == "The EMR's complete list holds nothing that belongs here."


def test_section_empty_beside_others_counts_them(person: Patient) -> None:
    charts.add(person, [charts.diagnosis("Essential hypertension"), charts.diagnosis("Asthma")])
    assert of(person).headache_diagnoses.absent == "None among the 2 diagnoses on file."


def test_earlier_rows_of_a_failed_type_say_when_they_were_confirmed(alice: User, person: Patient) -> None:
    charts.add(person, [charts.diagnosis("Migraine", "2024", about_headache=True)])
    TypeOutcome.objects.filter(resource_type="Condition").update(outcome="not-fetched", reason="HTTP 500")
    assert "May be incomplete. Not fetched yet: HTTP 500. What is shown was confirmed 21-Nov-2026 22:10." in words(
        read(alice, person)
    )


def test_patient_without_data_is_being_fetched(alice: User, practice_a: Practice) -> None:
    person = Patient.objects.create(practice=practice_a, fhir_id="new")
    charts.enrol(person, {})
    text = words(read(alice, person))
    assert "This patient's records are being fetched" in text
    assert "No complete list has come yet from eClinicalWorks / healow" in text
    assert "Allergies unavailable" in text
    assert "Nothing on file" not in text


def test_patient_whom_no_connection_pulls(alice: User, practice_a: Practice) -> None:
    text = words(read(alice, charts.patient(practice_a)))
    assert "No connection pulls this patient; what is shown came earlier." in text


def test_as_of_is_the_oldest_confirmation(person: Patient) -> None:
    TypeOutcome.objects.filter(resource_type="Observation").update(confirmed_at=charts.NOW - timedelta(days=3))
    TypeOutcome.objects.filter(resource_type="Condition").update(
        outcome="not-fetched", confirmed_at=charts.NOW - timedelta(days=90)
    )
    assert of(person).completeness.as_of == "18-Nov-2026 22:10"


def test_the_better_of_two_connections_speaks_for_a_type(practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.enrol(person, {"Condition": ("not-permitted", "")})
    first = Enrolment.objects.get().connection
    first.registration.pk = first.registration.id = None
    other = type(first.registration)(name="Sandbox", environment="sandbox", client_id="x")
    other.save()
    second = type(first).objects.create(practice=practice_a, registration=other, base_url="https://x.example.org")
    enrolment = Enrolment.objects.create(connection=second, patient_fhir_id=person.fhir_id, known_by="list")
    TypeOutcome.objects.create(
        enrolment=enrolment, resource_type="Condition", outcome="complete", confirmed_at=charts.NOW,
        attempted_at=charts.NOW,
    )  # fmt: skip
    known = of(person).completeness
    assert known.of("Condition").complete
    assert known.sources == (
        "eClinicalWorks / healow (Alder Headache Clinic)",
        "eClinicalWorks / healow (Alder Headache Clinic, sandbox)",
    )
    assert "Condition (not permitted)" in known.missing


# --- rows ----------------------------------------------------------------------------------------------------------
def test_orders_are_grouped_by_ingredient(practice_a: Practice) -> None:
    shown = of(charts.rich(practice_a))
    assert [(each.title, each.first, each.last, each.count) for each in shown.preventive.groups] == [
        ("Erenumab", "16-Feb-2026", "16-Feb-2026", 1),
        ("OnabotulinumtoxinA", "02-Jun-2025", "17-Nov-2025", 3),
        ("Propranolol", "02-Apr-2019", "02-Apr-2019", 1),
        ("Topiramate", "20-Mar-2017", "30-Jun-2017", 2),
        ("Amitriptyline", "2016", "2016", 1),
    ]
    topiramate = shown.preventive.groups[3]
    assert topiramate.latest.title == "TOPAMAX 50MG TAB"
    assert topiramate.latest.words == "50 mg twice daily · quantity 180 · repeats 1"
    assert [each.title for each in shown.acute.groups] == ["Naproxen", "Sumatriptan", "Rimegepant"]
    assert shown.acute.groups[1].statuses == "active; completed"


def test_no_treatment_is_dropped(practice_a: Practice) -> None:
    person = charts.rich(practice_a)
    shown = of(person)
    total = shown.preventive.total + shown.acute.total + shown.other_treatments.total
    assert total == person.entries.filter(kind="treatment").count()
    everything = sum(
        getattr(shown, name).total
        for name in ("headache_diagnoses", "other_diagnoses", "headache_measures", "other_measures", "allergies")
    )
    assert everything + total == person.entries.count()


@pytest.mark.parametrize(
    ("role", "section"),
    [
        ("preventive", "preventive"),
        ("acute", "acute"),
        ("acute or preventive", "acute"),
        ("adjunct", "other_treatments"),
        ("bridge", "other_treatments"),
        ("interaction", "other_treatments"),
        ("other", "other_treatments"),
        ("", "other_treatments"),
    ],
)
def test_role_decides_the_section(person: Patient, role: str, section: str) -> None:
    charts.add(person, [charts.order("X", "2024-01-02", role, "x", "", "")])
    shown = of(person)
    filled = [name for name in ("preventive", "acute", "other_treatments") if getattr(shown, name).groups]
    assert filled == [section]


def test_instruments_come_first_and_in_order(practice_a: Practice) -> None:
    shown = of(charts.rich(practice_a))
    assert [each.title for each in shown.headache_measures.groups] == ["MIDAS total", "HIT-6 total", "Headache days"]
    assert [each.value for each in shown.headache_measures.groups[0].lines] == ["24", "38", "61", "74"]
    assert shown.headache_measures.groups[0].latest.tags == ("Grade IV: severe disability",)
    assert shown.headache_measures.groups[1].lines[3].tags == ("outside the scale's range",)
    assert shown.other_measures.groups[0].title in {"Blood pressure", "Body weight", "BMI", "PHQ-9 total"}


def test_future_and_coarse_dates_are_marked_not_mended(alice: User, person: Patient) -> None:
    charts.add(
        person,
        [
            charts.order("Naproxen", "2027-01-04", "acute", "naproxen", "", ""),
            charts.diagnosis("Migraine", "2019", about_headache=True, date_meaning="onset"),
            charts.diagnosis("Tension-type headache", "2020-03", about_headache=True),
        ],
    )
    text = words(read(alice, person))
    assert "04-Jan-2027 future date" in text
    assert "2019 onset" in text
    assert "Mar-2020 recorded" in text
    assert "01-Jan-2019" not in text
    assert "01-Mar-2020" not in text


def test_first_date_keeps_its_precision_when_its_row_is_folded_away(person: Patient) -> None:
    days = [f"2026-01-{day:02}" for day in range(1, 20)]
    charts.add(person, [charts.diagnosis("Migraine", on, code="G43.909") for on in ["2015", *days]])
    group = of(person).other_diagnoses.groups[0]
    assert (group.first, group.last, group.count, len(group.lines)) == ("2015", "19-Jan-2026", 20, histories.FOLD)


def test_group_with_undated_entries_alone_has_no_dates(person: Patient) -> None:
    charts.add(person, [charts.diagnosis("Migraine", code="G43.909")] * 2)
    group = of(person).other_diagnoses.groups[0]
    assert (group.first, group.last, group.latest.dated) == ("", "", "No date")


def test_every_line_opens_its_source(alice: User, practice_a: Practice) -> None:
    person = charts.rich(practice_a)
    page = read(alice, person, "?all=measure")
    ids = person.entries.filter(kind="measure").values_list("source_id", flat=True)
    sources = {reverse("emr:source", args=[pk]) for pk in ids}
    assert all(f'href="{source}"' in page for source in sources)
    client = signed_in(alice)
    assert client.get(sources.pop()).status_code == 200


def test_long_charts_fold_and_show_all(alice: User, person: Patient) -> None:
    charts.add(person, charts.measures(400))
    page = read(alice, person)
    assert "Latest 5 of 50 values" in words(page)
    assert page.count(">Source</a>") < 60
    everything = read(alice, person, "?all=measure")
    assert everything.count(">Source</a>") == 408
    assert "Show all" not in everything
    assert read(alice, person, "?all=nonsense").count(">Source</a>") == page.count(">Source</a>")


def test_many_kinds_are_paged_and_all_shown_on_demand(person: Patient) -> None:
    charts.add(person, [charts.measure(f"Lab {number}", "2024-01-02", "1") for number in range(60)])
    section = of(person).other_measures
    assert (len(section.groups), section.hidden, section.total) == (histories.ROWS, 10, 60)
    assert len(of(person, all_of="measure").other_measures.groups) == 60


def test_allergies_are_never_folded_or_paged(person: Patient) -> None:
    charts.add(person, [charts.allergy(f"Substance {number}") for number in range(70)])
    section = of(person).allergies
    assert len(section.lines) == 70
    assert not section.partial


@pytest.mark.parametrize(
    ("row", "tags", "words_"),
    [
        pytest.param(
            charts.order("X", "2024", "", "", "", "1 daily", detail={"reported": True, "intent": "plan"}),
            ("reported, not ordered here", "intent plan"), "1 daily", id="reported plan",
        ),
        pytest.param(
            charts.order("X", "2024", "", "", "", "", detail={"do_not_perform": True, "unclassified": True}),
            ("do not perform", "not classified"), "", id="order not to give",
        ),
        pytest.param(
            charts.order("X", "2024", "", "", "", "", detail={"quantity": "9", "repeats": 0, "reason": "Migraine"}),
            (), "quantity 9 · repeats 0 · for Migraine", id="no repeats is stated",
        ),
        pytest.param(
            charts.diagnosis("X", detail={"conflicts": ["a and b disagree"], "matched_by": "text"}),
            ("a and b disagree", "recognised by its words, not by a code"), "", id="conflict",
        ),
        pytest.param(
            charts.diagnosis("X", detail={"other_codes": [{"code": "346.90", "display": "Migraine"}]}),
            (), "also coded 346.90 Migraine", id="other codes",
        ),
        pytest.param(charts.measure("X", "2024", "", detail={"absent": "not performed"}), (), "", id="no value"),
    ],
)  # fmt: skip
def test_line_says_what_the_record_says(
    person: Patient, row: dict[str, Any], tags: tuple[str, ...], words_: str
) -> None:
    charts.add(person, [row])
    made = lines.line(person.entries.values(*lines.COLUMNS).get(), TODAY, "/s/")
    assert (made.tags, made.words) == (tags, words_)


@pytest.mark.parametrize(
    ("columns", "value"),
    [
        pytest.param({"value": "7.10", "value_text": "7.10", "unit": "kg"}, "7.10 kg", id="digits as recorded"),
        pytest.param({"value": "70", "value_text": "", "unit": "kg"}, "70 kg", id="number without its text"),
        pytest.param({"value_text": "117/77 mmHg", "unit": "mmHg"}, "117/77 mmHg", id="unit said already"),
        pytest.param(
            {"value_text": "", "detail": {"absent": "not performed"}}, "not performed", id="absent for a reason"
        ),
        pytest.param({"value_text": "", "unit": "kg"}, "", id="nothing"),
    ],
)
def test_value_of_a_measure(person: Patient, columns: dict[str, Any], value: str) -> None:
    charts.add(person, [{"kind": "measure", "title": "X", **columns}])
    assert lines.line(person.entries.values(*lines.COLUMNS).get(), TODAY, "").value == value


def test_resources_of_an_emr_become_a_page(alice: User, practice_a: Practice) -> None:
    """From FHIR JSON through the projection to words on the page."""
    bodies = {
        "Patient": {"name": [{"family": "Nguyen", "given": ["Anh"], "use": "official"}], "gender": "male"},
        "Condition": {
            "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "G43.709"}]},
            "onsetDateTime": "2021-04",
        },
        "MedicationRequest": {
            "status": "active",
            "intent": "order",
            "authoredOn": "2026-01-05",
            "medicationCodeableConcept": {"text": "Sumatriptan 50 MG Oral Tablet"},
            "dosageInstruction": [{"text": "1 tablet at onset"}],
        },
        "Observation": {
            "status": "final",
            "code": {"text": "MIDAS total score"},
            "valueInteger": 22,
            "effectiveDateTime": "2026-02-03",
        },
        "AllergyIntolerance": {"code": {"text": "NKDA"}, "clinicalStatus": {"coding": [{"code": "active"}]}},
    }
    for resource_type, body in bodies.items():
        Resource.objects.create(
            practice=practice_a,
            resource_type=resource_type,
            fhir_id="x" if resource_type == "Patient" else resource_type,
            patient_fhir_id="x",
            body=json.dumps({"resourceType": resource_type, "id": "x"} | body),
            content_hash=resource_type,
            query=f"{resource_type}?patient",
            first_seen_at=charts.NOW,
            changed_at=charts.NOW,
        )
    rebuild(practice_a.pk, "x")
    person = Patient.objects.get()
    charts.enrol(person)
    text = words(read(alice, person))
    for shown in (
        "NGUYEN, Anh",
        "Sex Male",
        "No known allergies",
        "Record states no known allergies.",
        "Apr-2021 onset",
        "G43.709",
        "Sumatriptan triptan",
        "1 tablet at onset",
        "Grade IV: severe disability",
    ):
        assert shown.lower() in text.lower(), shown


# --- who sees it ---------------------------------------------------------------------------------------------------
def test_strangers_get_404_and_the_signed_out_the_login(charlie: User, practice_a: Practice) -> None:
    person = charts.rich(practice_a)
    assert signed_in(charlie).get(address(person)).status_code == 404
    assert "GARCIA" not in signed_in(charlie).get(address(person)).content.decode()
    assert Client().get(address(person)).status_code == 302


def test_superuser_without_membership_sees_nothing(practice_a: Practice) -> None:
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    assert signed_in(root).get(address(charts.patient(practice_a))).status_code == 404


def test_colleagues_see_the_same(alice: User, bob: User, practice_a: Practice) -> None:
    person = charts.rich(practice_a)
    assert words(read(alice, person)) == words(read(bob, person))


def test_reading_leaves_one_audit_row(alice: User, person: Patient) -> None:
    read(alice, person)
    event = AuditEvent.objects.get(action="read-history")
    assert (event.user, event.practice, event.patient_id) == (alice, person.practice, person.pk)


def test_no_page_without_its_audit_row(alice: User, person: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError("disk full")

    client = signed_in(alice)
    monkeypatch.setattr(audit, "record", full)
    client.raise_request_exception = False
    for url in (address(person), reverse("patients:list", args=[person.practice_id])):
        answer = client.get(url)
        assert answer.status_code == 500
        assert "GARCIA" not in answer.content.decode()


# --- hostile text --------------------------------------------------------------------------------------------------
PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</title></textarea><script>alert(1)</script>",
    "{{ 7|add:7 }}{% load static %}",
    "javascript:alert(1)",
    "&lt;b&gt;",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_stays_text(alice: User, practice_a: Practice, payload: str) -> None:
    person = charts.patient(
        practice_a, family=payload, given=payload, title=payload, account_no=payload, sex=payload[:20]
    )
    charts.enrol(person, {"Condition": ("not-fetched", payload)})
    detail = dict.fromkeys(
        ("sig", "reason", "words", "class_words", "band", "category", "note", "excluded_reason", "criticality"), payload
    ) | {"ingredients": [payload], "reactions": [payload], "conflicts": [payload]}
    common = {"title": payload, "code": payload, "status": payload, "group": payload, "unit": payload[:40]}
    charts.add(
        person,
        [
            {"kind": kind, "about_headache": about, "role": role, "value_text": payload, "detail": detail, **common}
            for kind in Entry.Kind.values
            for about in (True, False)
            for role in ("preventive", "acute", "")
        ],
    )
    client = signed_in(alice)
    for url in (address(person), reverse("patients:list", args=[practice_a.pk])):
        page = client.get(url).content.decode()
        assert html.escape(payload) in page
        markup = set(re.findall(r"<(\w+)", page))
        assert not markup & {"img", "textarea", "iframe"}
        assert not re.search(r"<[^>]+\son\w+\s*=", page)
        assert not re.search(r"<script(?! src=)", page)
        assert 'href="javascript' not in page
        assert "alert(1)</script>" not in page


# --- cost ----------------------------------------------------------------------------------------------------------
def test_queries_do_not_grow_with_the_chart(alice: User, practice_a: Practice) -> None:
    client = signed_in(alice)
    counts = []
    for size in (0, 50, 500, 5000):
        person = charts.patient(practice_a, f"p{size}")
        charts.enrol(person)
        charts.add(person, charts.measures(size))
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address(person)).status_code == 200
        counts.append(len(queries))
    assert len(set(counts)) == 1
    assert counts[0] <= 10


@pytest.mark.parametrize("query", ["", "?all=diagnosis", "?all=treatment", "?all=measure"])
def test_no_body_is_read(alice: User, practice_a: Practice, query: str) -> None:
    person = charts.rich(practice_a)
    client = signed_in(alice)
    with CaptureQueriesContext(connection) as queries:
        client.get(address(person, query))
    assert '"body"' not in " ".join(each["sql"] for each in queries)


@pytest.mark.parametrize(
    ("now", "marked"),
    [
        pytest.param("2026-11-22T03:10:00Z", True, id="22:10 in New York: an order of tomorrow"),
        pytest.param("2026-11-22T05:10:00Z", False, id="10 past midnight: an order of today"),
    ],
)
def test_today_is_the_practice_s(alice: User, person: Patient, now: str, marked: bool) -> None:
    charts.add(person, [charts.order("X", "2026-11-22", "acute", "x", "", "")])
    with time_machine.travel(now, tick=False):
        assert ("future date" in read(alice, person)) is marked
