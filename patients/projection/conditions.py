"""Condition (FHIR R4 9.2) → diagnoses."""

from collections.abc import Iterator

from patients.headaches import comorbidities, diagnoses
from patients.headaches.coding import ICD10, SNOMED, Coding
from patients.headaches.diagnoses import Diagnosis
from patients.models import Entry
from patients.projection.chart import Chart
from patients.projection.facts import (
    NOT_NAMED,
    WITHDRAWN,
    Dated,
    Fact,
    as_listed,
    date_words,
    first_date,
    modifier_note,
    stated,
    whole_day,
    words_of_time,
)
from patients.projection.readers import (
    Body,
    all_words_of,
    best_coding,
    codings,
    joined,
    keyword,
    keywords,
    named,
    node,
    nodes,
    notes_of,
    status_words,
    text,
    words_of,
)

# US Core puts the day of the statement there when only that is known.
_ASSERTED = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"


def read(body: Body, chart: Chart) -> Iterator[Fact]:
    """One diagnosis; none when the record itself refutes it."""
    if keywords(body.get("verificationStatus")) & WITHDRAWN:
        return
    found, said = codings(body.get("code")), _said(body)
    headache = diagnoses.classify(found, said)
    best = _best(found, headache)
    yield Fact(
        kind=Entry.Kind.DIAGNOSIS,
        title=_title(body, best, headache),
        dated=_date(body),
        end_date=whole_day(body.get("abatementDateTime") or node(body.get("abatementPeriod")).get("end")),
        code=best.code,
        system=best.system,
        status=joined([status_words(body.get(name)) for name in ("clinicalStatus", "verificationStatus")]),
        group=headache.headache_class if headache else "",
        about_headache=headache is not None,
        detail=_record(body, found, best) | _bearing(found, said) | (_reading(headache) if headache else {}),
    )


def is_headache(body: Body) -> bool:
    """Whether it states a headache and does not take it back."""
    if keywords(body.get("verificationStatus")) & WITHDRAWN:
        return False
    return diagnoses.classify(codings(body.get("code")), _said(body)) is not None


def _said(body: Body) -> str:
    return text(node(body.get("code")).get("text")) or text(body.get("code"))


def _bearing(found: tuple[Coding, ...], said: str) -> dict[str, object]:
    """What the diagnosis means beside the headache, by key of codelists/comorbidities.csv."""
    matches = comorbidities.find(found, said)
    steers = [each for each in matches if each.kind == "steers"]
    flags = [each for each in matches if each.kind == "red-flag"]
    return stated(
        comorbidity=steers[0].key if steers else None,
        comorbidity_words=joined([each.words for each in steers]),
        comorbidity_why=joined([each.why for each in steers], "; "),
        red_flag=flags[0].key if flags else None,
        red_flag_words=joined([each.words for each in flags]),
        code_from_words=True if any(each.from_words for each in matches) else None,
    )


def _best(found: tuple[Coding, ...], headache: Diagnosis | None) -> Coding:
    if headache is not None and headache.code:
        return next((each for each in found if (each.system, each.code) == (headache.system, headache.code)), Coding())
    return best_coding(found, ICD10, SNOMED)


def _title(body: Body, best: Coding, headache: Diagnosis | None) -> str:
    concept = body.get("code")
    words = text(concept) or text(node(concept).get("text")) or best.display
    # A code without words is shown by its official ones.
    return words or (headache.label if headache else "") or named(concept) or notes_of(body) or NOT_NAMED


def _date(body: Body) -> Dated:
    asserted = [each.get("valueDateTime") for each in nodes(body.get("extension")) if each.get("url") == _ASSERTED]
    return first_date(
        (body.get("onsetDateTime"), "onset"),
        (node(body.get("onsetPeriod")).get("start"), "onset"),
        (body.get("recordedDate"), "recorded"),
        *((each, "asserted") for each in asserted),
    )


def _record(body: Body, found: tuple[Coding, ...], best: Coding) -> dict[str, object]:
    return stated(
        clinical=keyword(body.get("clinicalStatus")),
        verification=keyword(body.get("verificationStatus")),
        category=all_words_of(body.get("category")),
        recorded=date_words(body.get("recordedDate")),
        onset=words_of_time(body, "onset"),
        end=words_of_time(body, "abatement"),
        severity=words_of(body.get("severity")),
        other_codes=as_listed(tuple(each for each in found if each != best)),
        note=notes_of(body),
        modifier=modifier_note(body),
    )


def _reading(headache: Diagnosis) -> dict[str, object]:
    return stated(
        words=headache.words,
        label=headache.label,
        matched_by=headache.matched_by,
        chronic=headache.chronic,
        aura=headache.aura,
        intractable=headache.intractable,
        assumption=headache.assumption,
        conflicts=list(headache.conflicts),
    )
