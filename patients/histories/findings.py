"""Imaging and tests, use of care, and the quality of the data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from patients.absence import Completeness
from patients.headaches.record import Happening, Treatment, newest, when
from patients.histories.evidence import Evidence
from patients.histories.parts import Link, Row, Rows, Said
from patients.summaries import Summary
from patients.wording import plain

_LISTED = 5  # rows of a list on the page
_TEXTS = 20  # unknown medication texts
_NO_EMERGENCY = "No visit on file of the last 12 months is an emergency visit for headache."
_TESTS = frozenset({"lumbar-puncture", "ecg"})


@dataclass(frozen=True, slots=True)
class UseOfCare:
    """sentence: emergency visits of a year; unkept: cancelled and missed, latest first."""

    sentence: str
    emergency: Rows
    others: str
    visits: Rows
    unkept: Rows


@dataclass(frozen=True, slots=True)
class Quality:
    """findings: counted; unknown: medication texts that no table knows, each opening the form that binds it."""

    findings: tuple[Said, ...]
    unknown: tuple[Link, ...]
    unknown_hidden: int


def imaging(made: Summary, evidence: Evidence, known: Completeness, tests: Sequence[Row]) -> Rows:
    """Studies of the head and neck and the tests that go with them, latest first within each."""
    studies = [_study(each, evidence) for each in made.imaging]
    done = [_happening(each, evidence) for each in newest(made.record.procedures) if each.group in _TESTS]
    rows = (*studies, *done, *tests)
    why = [known.of(kind).sentence for kind in ("DiagnosticReport", "Procedure")]
    absent = " ".join(
        dict.fromkeys(f"{kind}: {said}" for kind, said in zip(("Reports", "Procedures"), why, strict=True))
    )
    return Rows(rows, len(rows), "" if rows else absent)


def _study(each: Happening, evidence: Evidence) -> Row:
    named = " ".join(filter(None, (each.modality, each.region)))
    return Row(
        title=named or each.title,
        when=when(each.dated),
        about=each.title if named and each.title.casefold() != named.casefold() else "",
        words=each.words
        or ("Examination; no report on file" if each.kind == "procedure" else "No conclusion in the record"),
        status=each.status,
        href=evidence.href(each.source),
    )


def _happening(each: Happening, evidence: Evidence) -> Row:
    return Row(
        title=each.title,
        when=when(each.dated),
        about=plain(each.group) if each.kind == "visit" else "",
        words=each.words if each.words.casefold() != each.title.casefold() else "",
        status=each.status,
        href=evidence.href(each.source),
    )


def use_of_care(made: Summary, evidence: Evidence, known: Completeness) -> UseOfCare:
    use = made.utilisation
    state = known.of("Encounter")
    others = (
        f"Further emergency visits without a headache among their reasons: {use.emergency_other}."
        if use.emergency_other
        else ""
    )
    unkept = newest({each.source: each for each in (*use.cancelled, *use.not_kept)}.values())
    none = "No past visit on file." if made.record.visits else state.sentence
    return UseOfCare(
        sentence=use.sentence or (_NO_EMERGENCY if made.record.visits and state.complete else ""),
        emergency=_rows(use.emergency, evidence),
        others=others,
        visits=_rows(use.last_visits, evidence, none),
        unkept=_rows(unkept, evidence),
    )


def _rows(found: Sequence[Happening], evidence: Evidence, absent: str = "") -> Rows:
    rows = tuple(_happening(each, evidence) for each in found[:_LISTED])
    return Rows(rows, len(found), "" if rows else absent)


def quality(made: Summary, evidence: Evidence, binding: str) -> Quality:
    """binding: the address of the form that binds a text, with "SOURCE" for the order's key."""
    unknown = list(_unknown(made.record.treatments))
    return Quality(
        findings=tuple(
            Said(each.words, evidence.sources(each.evidence)) for each in made.quality if each.key != "not-complete"
        ),
        unknown=tuple(Link(each.title, binding.replace("SOURCE", each.source)) for each in unknown[:_TEXTS]),
        unknown_hidden=max(len(unknown) - _TEXTS, 0),
    )


def _unknown(treatments: Iterable[Treatment]) -> Iterable[Treatment]:
    """One order, the latest, for each text that was not classified."""
    texts: dict[str, Treatment] = {}
    for each in newest(treatments):
        if each.unclassified and not each.forbidden:
            texts.setdefault(each.title.casefold(), each)
    return texts.values()
