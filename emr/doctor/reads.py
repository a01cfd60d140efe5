""" "Data works" is another thing than "token works": one small read for each granted type."""

from collections.abc import Iterator
from typing import Any

from emr import calls
from emr.doctor.case import Case, Step
from emr.doctor.findings import Finding, Verdict
from emr.models import Enrolment
from emr.profiles import Query
from emr.wire import fhir, scopes
from emr.wire.http import Timeouts

_SLACK_SECONDS = 5.0


def steps(case: Case) -> Iterator[Step]:
    """One step for each granted type, in the order of the plan; none without a token."""
    if case.access is not None:
        for kind in case.connection.profile.planned_types:
            if scopes.allows(case.access.scope, kind):
                yield Step(f"read {kind}", f"Read {kind}", at="fhir")


def read(case: Case, step: Step) -> Finding:
    """Read one patient's records of the type by the plan's first query for it, or one that was referred to."""
    kind = step.key.removeprefix("read ")
    enrolment = case.connection.enrolments.order_by("created_at").first()
    query = next((one for one in case.connection.profile.plan if one.resource_type == kind), None)
    if enrolment is None:
        return step.found(Verdict.UNTESTED, "Nobody is enrolled yet.")
    case.private.add(enrolment.patient_fhir_id)
    if query is not None:
        return _found(case, step, _ask(case, query, enrolment), query.describe())
    referred = sorted(fhir_id for other, fhir_id in case.references if other == kind)
    if not referred:
        return step.found(Verdict.UNTESTED, "No record read here refers to one.")
    calls.spend(case.connection)
    return _found(case, step, _single(case, kind, referred[0]), f"{kind}/{{id}} by reference")


def _ask(case: Case, query: Query, enrolment: Enrolment) -> fhir.Page:
    connection, patient = case.connection, enrolment.patient_fhir_id
    timeouts = Timeouts(read=query.read_seconds, wall=query.read_seconds + _SLACK_SECONDS)
    case.way.patience = timeouts
    calls.spend(connection)
    if not query.parameters:
        return _single(case, query.resource_type, patient)
    params = [(name, value.format(patient=patient)) for name, value in query.parameters]
    return fhir.search(
        case.way, case.token.bearer, connection.base_url, query.resource_type, params,
        aliases=connection.profile.link_aliases,
    )  # fmt: skip


def _single(case: Case, kind: str, fhir_id: str) -> fhir.Page:
    result = fhir.read(case.way, case.token.bearer, case.connection.base_url, kind, fhir_id)
    return fhir.Page((result.entry,), None, (), result.request_id, result.status)


def _found(case: Case, step: Step, page: fhir.Page, asked: str) -> Finding:
    """A page that came: whole, or with something amiss inside it. Only counts are kept."""
    types = case.connection.profile.read_by_reference
    for entry in page.entries:
        if entry.resource is not None:
            case.references |= fhir.references(entry.resource, types)
            case.private |= set(_names(entry.resource))
    broken = sum(entry.fault is not None for entry in page.entries)
    evidence = [("asked", asked), ("records", str(len(page.entries))), ("request id", page.request_id)]
    if page.next_refused:
        return step.amiss("FHIR_LINK_FOREIGN", "A further page lies outside the practice's base URL.", evidence)
    if any(outcome.severity in {"fatal", "error", "warning"} for outcome in page.outcomes):
        return step.amiss("FHIR_PARTIAL", "The server says that it leaves something out.", evidence)
    if broken:
        return step.amiss("FHIR_BAD_RESOURCE", f"{broken} of {len(page.entries)} cannot be read.", evidence)
    return step.found(
        Verdict.OK, f"{len(page.entries)} record{'' if len(page.entries) == 1 else 's'}.", evidence=evidence
    )


def _names(resource: dict[str, Any]) -> Iterator[str]:
    """The names of a Patient, word by word: a server may quote them in what it says of another read."""
    names = resource.get("name") if resource.get("resourceType") == "Patient" else None
    for name in names if isinstance(names, list) else ():
        if isinstance(name, dict):
            given = name.get("given")
            words = [name.get("family"), *(given if isinstance(given, list) else ())]
            yield from (word for word in words if isinstance(word, str))
