"""Rows that one worker at a time works on. The row decides whose turn it is; a message is only a hint at it."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from emr.models.row import Row


class Leased(Row):
    """attempts: counted when the lease is taken; what kills its worker stops at a few. published_at: of the last
    message that names the row (emr.hints)."""

    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    not_before = models.DateTimeField(null=True)
    published_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    @staticmethod
    def free() -> Q:
        """Of a row: nobody holds it now, and it is not put off."""
        now = timezone.now()
        return (Q(lease_until=None) | Q(lease_until__lt=now)) & (Q(not_before=None) | Q(not_before__lte=now))


class LeasedStep(Leased):
    """A step of a longer work. The cursor says how far it is; an answer that is kept sets `attempts` back."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        DONE = "done", "Done"
        FAILED = "failed", "Given up"
        CANCELLED = "cancelled", "Cancelled"

    MAX_ATTEMPTS = 3

    state = models.CharField(max_length=9, choices=State.choices, default=State.QUEUED)
    lease = models.UUIDField(null=True)
    cursor = models.JSONField(default=dict)
    reason = models.CharField(max_length=300, blank=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True
