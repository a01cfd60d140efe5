"""AllergyIntolerance (FHIR R4 9.1) → allergies, intolerances, and statements that there are none."""

from collections.abc import Iterator

from patients.headaches.allergies import AllergyFact, stated_none
from patients.headaches.coding import RXNORM, SNOMED
from patients.models import Entry
from patients.projection.chart import Chart
from patients.projection.facts import (
    NOT_NAMED,
    WITHDRAWN,
    Fact,
    as_listed,
    date_words,
    first_date,
    modifier_note,
    stated,
    words_of_time,
)
from patients.projection.readers import (
    Body,
    all_words_of,
    best_coding,
    codings,
    items,
    joined,
    keyword,
    keywords,
    named,
    node,
    notes_of,
    status_words,
    text,
    texts,
)


def read(body: Body, chart: Chart) -> Iterator[Fact]:
    """One entry, even when no substance can be read: an allergy is never hidden for that."""
    if keywords(body.get("verificationStatus")) & WITHDRAWN:
        return
    concept = body.get("code")
    found = codings(concept)
    best = best_coding(found, RXNORM, SNOMED)
    stated_text = text(concept) or text(node(concept).get("text"))
    clinical, verification = body.get("clinicalStatus"), body.get("verificationStatus")
    scope = stated_none(AllergyFact(found, stated_text))
    reactions = [each for each in map(_reaction, items(body.get("reaction"))) if each]
    substances = joined([all_words_of(node(each).get("substance")) for each in items(body.get("reaction"))])
    yield Fact(
        kind=Entry.Kind.ALLERGY,
        title=stated_text or best.display or named(concept) or substances or notes_of(body) or NOT_NAMED,
        dated=first_date((body.get("onsetDateTime"), "onset"), (body.get("recordedDate"), "recorded")),
        code=best.code,
        system=best.system,
        status=joined([status_words(clinical), status_words(verification)]),
        group=_group(scope),
        detail=stated(
            scope=scope,
            text=stated_text,
            codings=as_listed(found),
            clinical=keyword(clinical),
            verification=keyword(verification),
            type=text(body.get("type")),
            category=joined(texts(body.get("category"))),
            criticality=text(body.get("criticality")),
            reactions=reactions,
            onset=words_of_time(body, "onset"),
            recorded=date_words(body.get("recordedDate")),
            note=notes_of(body),
            modifier=modifier_note(body),
        ),
    )


def _group(scope: str) -> str:
    """“no-known” for a statement that there are none (of `scope`), “not-asked” for one that nobody asked."""
    if not scope:
        return ""
    return "not-asked" if scope == "not asked" else "no-known"


def _reaction(value: object) -> str:
    """“hives, swelling (severe)”; the description when there is no manifestation."""
    reaction = node(value)
    words = text(value) or all_words_of(reaction.get("manifestation")) or text(reaction.get("description"))
    severity = text(reaction.get("severity"))
    return f"{words} ({severity})" if words and severity else words or severity
