"""What one patient's resources say about each other, gathered before each is read for itself."""

from collections.abc import Iterable
from dataclasses import replace

from patients.projection import conditions, documents, encounters, reports
from patients.projection.chart import Chart
from patients.projection.facts import Dated, Fact
from patients.projection.readers import Body, node, nodes, own_id, text

# Without a date of their own these are dated by their visit: a vital sign is taken when the patient is there.
_DATED_BY_VISIT = {"Observation", "DiagnosticReport"}


def chart(bodies: Iterable[tuple[str, Body]], practice_code: str, medications: dict[str, Body]) -> Chart:
    """The Chart of one patient from (resource type, body) of all that is projected."""
    by_type: dict[str, list[Body]] = {}
    for type_, body in bodies:
        by_type.setdefault(type_, []).append(body)
    older, versions = reports.replaced(by_type.get("DiagnosticReport", []))
    return Chart(
        practice_code=practice_code,
        medications=medications,
        replaced=older | documents.replaced(by_type.get("DocumentReference", []), practice_code),
        versions=versions,
        visit_dates={
            text(body.get("id")): date
            for body in by_type.get("Encounter", [])
            if (date := encounters.dated(body)).on is not None
        },
        headache_visits=frozenset(
            visit
            for body in by_type.get("Condition", [])
            if (visit := _visit("Condition", body, practice_code)) and conditions.is_headache(body)
        ),
    )


def at_visit(fact: Fact, type_: str, body: Body, chart: Chart) -> Fact:
    """The fact with the FHIR id of its visit in detail["encounter"], and dated by it where it has no date."""
    visit = _visit(type_, body, chart.practice_code)
    if not visit:
        return fact
    date = chart.visit_dates.get(visit, Dated()) if type_ in _DATED_BY_VISIT else Dated()
    dated = replace(date, meaning="visit") if fact.dated.on is None and date.on is not None else fact.dated
    return replace(fact, dated=dated, detail=fact.detail | {"encounter": visit})


def _visit(type_: str, body: Body, practice_code: str) -> str:
    """The id of the encounter that a resource is, or belongs to; "" for none."""
    if type_ == "Encounter":
        return text(body.get("id"))
    if type_ == "DocumentReference":
        related = nodes(node(body.get("context")).get("encounter"))
        return own_id(related[0], "Encounter", practice_code) if related else ""
    return own_id(body.get("encounter"), "Encounter", practice_code) if body.get("encounter") else ""
