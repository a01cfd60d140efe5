"""What a practice says its unknown medication texts mean."""

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from patients.headaches import medication_names
from patients.models import DrugBinding

# The length to which an entry's title is cut, without the sign of the cut: the whole text and the cut one are equal.
_LOOKED_AT = 299


def normalised(written: str) -> str:
    """The key of a medication text: its words and numbers, whatever their case, accents and punctuation."""
    seen = written[:_LOOKED_AT]
    return " ".join(medication_names.tokens(seen)) or " ".join(seen.casefold().split())


def bindings_of(practice_id: UUID) -> dict[str, tuple[str, ...]]:
    """Normalised text → ingredients (names of codelists/rxnorm_ingredients.csv). One query.

    No ingredients: the practice says that the text is no drug of the table. A text without a key is not bound.
    """
    rows = DrugBinding.objects.current().filter(practice_id=practice_id).values_list("text", "ingredients")
    return {text: tuple(ingredients) for text, ingredients in rows}


def mark_rebuilt(practice_id: UUID | None = None, *, text: str = "", entered_before: datetime) -> int:
    """Note that histories were rebuilt: all of them, a practice's, or those with a text. How many bindings, entered
    before the rebuild began, had waited for it.
    """
    # The note is no part of what was stated, so it is the one thing that is written into such a row later.
    waiting: QuerySet[DrugBinding] = QuerySet(DrugBinding).filter(rebuilt_at=None, entered_at__lte=entered_before)
    if practice_id is not None:
        waiting = waiting.filter(practice_id=practice_id)
    if text:
        waiting = waiting.filter(text=text)
    return waiting.update(rebuilt_at=timezone.now())
