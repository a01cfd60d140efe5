"""DiagnosticReport (FHIR R4 10.3) → reports: imaging, laboratory panels, others."""

from collections.abc import Iterable, Iterator
from typing import Any

from patients.headaches import dates, imaging
from patients.headaches.coding import LOINC, Coding
from patients.headaches.imaging import Study
from patients.models import Entry
from patients.projection.chart import Chart, Version
from patients.projection.facts import (
    NOT_NAMED,
    Dated,
    Fact,
    as_listed,
    date_words,
    first_date,
    modifier_note,
    stated,
)
from patients.projection.readers import (
    Body,
    all_words_of,
    best_coding,
    codings,
    displays,
    items,
    joined,
    keyword,
    keywords,
    named,
    node,
    nodes,
    status_words,
    text,
    texts,
    words_of,
)

# HL7 v2 table 0074 and the LOINC classes that US Core uses as categories.
_LABORATORY = {
    "lab", "laboratory", "ch", "hm", "mb", "sr", "imm", "tx", "ur", "vr", "bg", "blb", "ge", "pat", "sp", "cp",
    "cg", "mcb", "myc", "lp29693-6", "lp7839-6",
}  # fmt: skip
_IMAGING = {
    "rad", "radiology", "imaging", "img", "ct", "nmr", "nms", "nmm", "rus", "rx", "xrc", "vus", "mri", "lp29684-5",
}  # fmt: skip
_FINAL = {"final": 1, "amended": 2, "corrected": 2, "appended": 2}


def read(body: Body, chart: Chart) -> Iterator[Fact]:
    """One report; none for an earlier version of another, which says so itself."""
    key = _key(body)
    if key in chart.replaced or "entered-in-error" in keywords(body.get("status")):
        return
    found = codings(body.get("code"))
    best = best_coding(found, LOINC)
    group, study = _what(body, found)
    status = status_words(body.get("status"))
    yield Fact(
        kind=Entry.Kind.REPORT,
        title=_name(body) or best.display or (study.label if study else "") or named(body.get("code")) or NOT_NAMED,
        dated=_dated(body, group),
        code=best.code,
        system=best.system,
        status=status,
        group=group,
        about_headache=study is not None,
        detail=_said(body, group, best, found)
        | stated(
            modality=study.modality if study else None,
            region=study.region if study else None,
            recognised_by=study.matched_by if study else None,
            not_final=True if status not in _FINAL else None,
            stands_for=chart.versions.get(key),
        ),
    )


def _said(body: Body, group: str, best: Coding, found: tuple[Coding, ...]) -> dict[str, Any]:
    attached = nodes(body.get("presentedForm"))
    dated = _dated(body, group)
    return stated(
        category=all_words_of(body.get("category")),
        conclusion=text(body.get("conclusion")),
        conclusion_codes=all_words_of(body.get("conclusionCode")),
        attachments=len(attached) or None,
        attached=joined([text(each.get("title")) or text(each.get("contentType")) for each in attached]),
        results=len(items(body.get("result"))) or None,
        by=displays(body.get("resultsInterpreter")) or displays(body.get("performer")),
        issued=date_words(body.get("issued")),
        at=dated.raw if dated.precision == "time" else None,
        other_codes=as_listed(tuple(each for each in found if each != best)),
        modifier=modifier_note(body),
    )


def _what(body: Body, found: tuple[Coding, ...]) -> tuple[str, Study | None]:
    """(group, the head or neck study it is). A category of the laboratory outweighs an imaging-like name."""
    categories = set().union(*map(keywords, items(body.get("category"))))
    if categories & _LABORATORY:
        return "laboratory", None
    study = imaging.study(found, _name(body))
    if study or categories & _IMAGING:
        return "imaging", study
    # No category is laboratory when it only bundles results.
    return ("laboratory" if not categories and items(body.get("result")) else ""), None


def _name(body: Body) -> str:
    concept = body.get("code")
    return text(concept) or text(node(concept).get("text"))


def _dated(body: Body, group: str) -> Dated:
    meaning = {"imaging": "examined", "laboratory": "collected"}.get(group, "effective")
    period = node(body.get("effectivePeriod"))
    return first_date(
        *((each, meaning) for each in (body.get("effectiveDateTime"), period.get("start"), period.get("end"))),
        (body.get("issued"), "issued"),
    )


def _key(body: Body) -> str:
    return f"DiagnosticReport/{text(body.get('id'))}"


def versions(bodies: Iterable[Body]) -> dict[str, list[Body]]:
    """Of reports that share an identifier and a name: by "type/id" of the one that stands, the others.

    The latest of the final, amended and corrected ones stands; without any, the latest. The name counts too, as
    one accession number may cover several studies.
    """
    together: dict[tuple[str, str, str], list[Body]] = {}
    for body in bodies:
        if "entered-in-error" in keywords(body.get("status")) or not text(body.get("id")):
            continue
        for identifier in nodes(body.get("identifier")):
            value = text(identifier.get("value"))
            if value:
                name = _name(body) or words_of(body.get("code"))
                together.setdefault((text(identifier.get("system")), value, name.casefold()), []).append(body)
    found: dict[str, list[Body]] = {}
    for same in together.values():
        unique = list({_key(each): each for each in same}.values())
        if len(unique) > 1:
            *others, latest = sorted(unique, key=_standing)
            found.setdefault(_key(latest), []).extend(others)
    return found


def replaced(bodies: Iterable[Body]) -> tuple[frozenset[str], dict[str, list[Version]]]:
    """("type/id" of the versions that another stands for, what each of those others stands for)."""
    found = versions(bodies)
    gone = frozenset(_key(each) for others in found.values() for each in others)
    told = {
        key: [
            stated(status=keyword(each.get("status")), date=date_words(each.get("issued")) or _dated(each, "").raw[:10])
            for each in others
        ]
        for key, others in found.items()
    }
    return gone, told


def _standing(body: Body) -> tuple[bool, str, int, str]:
    """Sort key, what stands last: final before its drafts, then by time of issue, then amended over final."""
    rank = _FINAL.get(keyword(body.get("status")), 0)
    issued = dates.parse(next(iter(texts(body.get("issued"))), ""))
    updated = dates.parse(text(node(body.get("meta")).get("lastUpdated")))
    return (
        rank > 0,
        _moment(issued) or _moment(updated),
        rank,
        _moment(updated) + text(body.get("id")),
    )


def _moment(found: dates.PartialDate | None) -> str:
    return found.order[2] or found.value.isoformat() if found else ""
