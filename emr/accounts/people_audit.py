"""Audit rows about a person: one for each practice they belong to, so that each privacy officer sees it."""

from emr import audit
from emr.models import Practice, User


def record(action: audit.Action, about: User, *, by: User | None, detail: str = "") -> None:
    """Rows about `about`, done by `by` (None: not known); without a practice where they have none."""
    practices: list[Practice | None] = list(Practice.objects.filter(memberships__user=about).order_by("pk"))
    for practice in practices or [None]:
        audit.record(action, by=by, practice=practice, object_id=about.pk, detail=detail)
