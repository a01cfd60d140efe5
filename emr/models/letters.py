"""Letters to vendors and practices: what was written, when it was sent and answered, when to ask again."""

from datetime import datetime, timedelta

from django.db import models

from emr.models.people import Practice
from emr.models.registrations import ClientRegistration, Connection
from emr.models.row import Row


def default_days() -> list[int]:
    return [1, 3, 5]


class Letter(Row):
    """One letter, kept as it was written. It holds no secret, no token and no patient."""

    class Kind(models.TextChoices):
        ENABLE_BACKEND = "enable-backend", "Vendor: enable Backend Services"
        AUTHORIZATION_REFUSED = "authorization-refused", "Vendor: authorization is refused"
        ACTIVATE = "activate", "Practice: how to activate the app"
        KEY_ROTATION = "key-rotation", "Vendor: our signing key changes"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="letters")
    kind = models.CharField(max_length=24, choices=Kind.choices)
    to = models.CharField(max_length=254, blank=True)
    subject = models.CharField(max_length=300)
    body = models.TextField()
    written_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, editable=False)
    answered_at = models.DateTimeField(null=True, editable=False)
    reminders = models.PositiveSmallIntegerField("asked again", default=0, editable=False)
    ask_again_days = models.JSONField("ask again, in days after sending", default=default_days)

    class Meta:
        ordering = ["-written_at"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.written_at:%d-%b-%Y}"

    @property
    def practice(self) -> Practice:
        return self.connection.practice

    @property
    def registration(self) -> ClientRegistration:
        return self.connection.registration

    @property
    def ask_again_at(self) -> datetime | None:
        """When to ask next: None before it was sent, once it was answered, and when all reminders are spent."""
        if self.sent_at is None or self.answered_at is not None or self.reminders >= len(self.ask_again_days):
            return None
        return self.sent_at + timedelta(days=self.ask_again_days[self.reminders])

    def is_due(self, now: datetime) -> bool:
        at = self.ask_again_at
        return at is not None and at <= now
