"""The timeline: grouped by visit, filters with addresses, undated facts apart, and who may see it."""

from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from emr.models import AuditEvent, Practice, User
from patients import timeline
from patients.models import Patient
from patients.timeline import Choice
from tests.conftest import signed_in
from tests.pages import charts


def at_visit(row: dict[str, Any], visit: str) -> dict[str, Any]:
    return row | {"detail": row.get("detail", {}) | {"encounter": visit}}


def page_of(patient: Patient, asked: str = "", number: int = 1) -> timeline.Timeline:
    return timeline.timeline(patient, Choice.read(QueryDict(asked)), number=number, today=charts.TODAY)


def shape(patient: Patient, asked: str = "") -> list[tuple[str, list[str]]]:
    """(day, titles) of each group."""
    return [(group.day, [item.line.title for item in group.items]) for group in page_of(patient, asked).groups]


@pytest.fixture
def chart(practice_a: Practice) -> Patient:
    """
    visit e1, 14-Nov-2026: chronic migraine, MIDAS, a diagnosis of 2016 recorded at it
    02-Mar-2026, no visit:  topiramate
    visit e0, not on file:  migraine of 2024
    undated:                magnesium, latex
    """
    person = charts.patient(practice_a)
    charts.enrol(person)
    charts.add(
        person,
        [
            at_visit(charts.diagnosis("Chronic migraine", "2026-11-14", about_headache=True), "e1"),
            at_visit(charts.scale("MIDAS", "2026-11-14", "24", "Grade IV"), "e1"),
            at_visit(charts.diagnosis("Migraine since childhood", "2016", about_headache=True), "e1"),
            charts.order("Topiramate 25 mg", "2026-03-02", "preventive", "topiramate", "Anticonvulsant", "1 qhs"),
            at_visit(charts.diagnosis("Hypertension", "2024-05-05"), "e0"),
            charts.order("Magnesium", "", "", "", "", ""),
            charts.allergy("Latex"),
        ],
    )
    return person


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(
            "",
            [
                ("14-Nov-2026", ["Chronic migraine", "Migraine since childhood", "MIDAS total"]),
                ("02-Mar-2026", ["Topiramate 25 mg"]),
                ("05-May-2024", ["Hypertension"]),
                ("", ["Magnesium", "Latex"]),
            ],
            id="everything, latest first, undated last",
        ),
        pytest.param("kind=measure", [("14-Nov-2026", ["MIDAS total"])], id="one kind"),
        pytest.param(
            "kind=treatment&kind=allergy",
            [("02-Mar-2026", ["Topiramate 25 mg"]), ("", ["Magnesium", "Latex"])],
            id="two kinds",
        ),
        pytest.param(
            "headache=1&kind=diagnosis",
            [("14-Nov-2026", ["Chronic migraine", "Migraine since childhood"])],
            id="headache only",
        ),
        pytest.param("from=2024&to=2024", [("05-May-2024", ["Hypertension"])], id="years leave undated facts out"),
        pytest.param("from=2026&to=2024", None, id="years in the wrong order are turned"),
        pytest.param("from=1899&kind=nonsense&headache=yes", None, id="what is no choice is passed over"),
    ],
)
def test_groups_of_a_chart(chart: Patient, asked: str, expected: list[tuple[str, list[str]]] | None) -> None:
    found = shape(chart, asked)
    if expected is not None:
        assert found == expected
    elif "2026" in asked:
        assert [day for day, _ in found] == ["14-Nov-2026", "02-Mar-2026", "05-May-2024"]
    else:
        assert found == shape(chart)


def test_a_filter_keeps_the_visit_that_a_fact_belongs_to(chart: Patient) -> None:
    """A diagnosis dated 2016 stands at the visit of 2026 at which it was recorded."""
    groups = page_of(chart, "kind=diagnosis&headache=1").groups
    assert [group.title for group in groups] == ["Visit that is not on file"]


@pytest.mark.parametrize(
    "asked", ["", "kind=diagnosis&kind=measure", "headache=1", "from=2020&to=2026", "kind=visit&headache=1&from=2024"]
)
def test_choice_and_its_query_say_the_same(asked: str) -> None:
    choice = Choice.read(QueryDict(asked))
    assert choice.query == asked
    assert Choice.read(QueryDict(choice.query)) == choice


def test_pages_hold_whole_groups_and_every_fact_once(practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.add(person, charts.measures(400))
    first = page_of(person)
    assert (first.total, first.on_file) == (400, 400)
    assert first.pages == 5
    seen = [
        item.line.source
        for number in range(1, 6)
        for group in page_of(person, "", number).groups
        for item in group.items
    ]
    assert len(seen) == len(set(seen)) == 400
    assert page_of(person, "", 99).number == 5


def test_a_huge_group_says_what_it_leaves_out(practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.add(
        person, [charts.measure(f"Vital {number:03}", "2026-01-05", "1") for number in range(timeline.GROUP + 7)]
    )
    (group,) = page_of(person).groups
    assert (len(group.items), group.hidden) == (timeline.GROUP, 7)


def test_queries_do_not_grow_with_the_chart(alice: User, practice_a: Practice) -> None:
    counts = []
    for size in (10, 300):
        person = charts.patient(practice_a, f"p{size}")
        charts.enrol(person)
        charts.add(person, [at_visit(row, f"e{number % 9}") for number, row in enumerate(charts.measures(size))])
        client = signed_in(alice)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(reverse("patients:timeline", args=[person.pk])).status_code == 200
        counts.append(len(queries))
        assert '"body"' not in " ".join(query["sql"] for query in queries)
    assert counts[0] == counts[1] <= 16


def test_page_is_readable_and_audited(alice: User, practice_a: Practice) -> None:
    person = charts.rich(practice_a)
    page = signed_in(alice).get(reverse("patients:timeline", args=[person.pk]), {"kind": "diagnosis"}).content.decode()
    for said in (
        "Undated",
        "Seasonal allergic rhinitis",
        "Not included: ",
        "DiagnosticReport (not fetched: timed out)",
    ):
        assert said in page
    for never in ("None</", ">None", "1899"):
        assert never not in page
    event = AuditEvent.objects.get(action="read-history")
    assert (event.patient_id, event.detail) == (person.pk, "timeline (kind=diagnosis), page 1")


def test_each_row_opens_its_source(alice: User, chart: Patient) -> None:
    page = signed_in(alice).get(reverse("patients:timeline", args=[chart.pk])).content.decode()
    for entry in chart.entries.all():
        assert reverse("emr:source", args=[entry.source_id]) in page


@pytest.mark.parametrize("number", ["0", "-1", "x", "1e3", "٣", "999999"])
def test_absurd_page_numbers(alice: User, chart: Patient, number: str) -> None:
    assert signed_in(alice).get(reverse("patients:timeline", args=[chart.pk]), {"page": number}).status_code == 200


def test_years_on_file(chart: Patient) -> None:
    assert timeline.years(chart) == (2026, 2024, 2016)


def test_a_stranger_sees_nothing(charlie: User, chart: Patient) -> None:
    assert signed_in(charlie).get(reverse("patients:timeline", args=[chart.pk])).status_code == 404


def test_future_days_are_marked(practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.add(person, [charts.diagnosis("Planned", "2027-01-01")])
    (group,) = page_of(person).groups
    assert group.future
