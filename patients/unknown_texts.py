"""Medication texts of a practice's orders: which nobody knows, and whose histories hold one."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Max, QuerySet, TextField
from django.db.models.functions import Cast

from patients.bindings import bindings_of, normalised
from patients.models import Entry, Patient
from patients.projection.facts import NOT_NAMED

LISTED = 200


@dataclass(frozen=True, slots=True)
class Unknown:
    """A text that no rule knows. source: Resource of one of its orders; orders: how many hold it."""

    written: str
    source: UUID
    orders: int


def texts(practice_id: UUID) -> tuple[list[Unknown], dict[str, UUID]]:
    """Texts of orders that neither a rule nor the practice knows, the most frequent first, LISTED at most; and of
    each bound text the Resource of one order that has it.
    """
    bound = bindings_of(practice_id)
    counts: Counter[str] = Counter()
    found: dict[str, tuple[str, UUID]] = {}
    for title, source, count, unclassified in _treatments(practice_id):
        text = normalised(title)
        if text and (unclassified or text in bound):
            counts[text] += count
            found.setdefault(text, (title, source))
    unknown = [Unknown(*found[text], count) for text, count in counts.most_common() if text not in bound]
    return unknown[:LISTED], {text: found[text][1] for text in bound if text in found}


def holders(practice_id: UUID, text: str) -> QuerySet[Patient]:
    """The practice's patients with an order of that normalised text."""
    titles = [title for title, *_ in _treatments(practice_id) if normalised(title) == text]
    held = Entry.objects.filter(practice_id=practice_id, kind=Entry.Kind.TREATMENT, title__in=titles)
    mine = Patient.objects.select_related("practice").filter(practice_id=practice_id)
    return mine.filter(pk__in=held.values("patient_id")).order_by("pk")


def order(practice_id: UUID, source: UUID) -> Entry | None:
    """The order that a Resource of the practice holds; None when it holds none, or one without any text."""
    orders = Entry.objects.filter(practice_id=practice_id, kind=Entry.Kind.TREATMENT, source=source)
    found = orders.exclude(title=NOT_NAMED).first()
    return found if found and normalised(found.title) else None


def _treatments(practice_id: UUID) -> Iterator[tuple[str, UUID, int, bool]]:
    """(title, Resource of one such order, number of orders, whether unclassified) of the practice's orders."""
    treatments = Entry.objects.filter(practice_id=practice_id, kind=Entry.Kind.TREATMENT).exclude(title=NOT_NAMED)
    # As text: PostgreSQL before 18 knows no greatest UUID.
    some_source = Max(Cast("source_id", TextField()))
    grouped = treatments.order_by().values("title", "detail__unclassified")
    rows = grouped.annotate(some=some_source, count=Count("pk"))
    for title, source, count, unclassified in rows.values_list("title", "some", "count", "detail__unclassified"):
        yield title, UUID(source), count, unclassified is True
