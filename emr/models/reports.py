"""What the doctor found: one row for each full self-test of a connection."""

from django.db import models

from emr.models.registrations import Connection
from emr.models.row import Row


class DoctorReport(Row):
    """A self-test asked for, running, or done; the last good one is what later ones are compared with.

    findings: the steps done so far, as emr.doctor.findings writes them. facts: what may change from one run to the
    next. changes: what did, against the last healthy report. None of them holds a secret.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        INTERRUPTED = "interrupted", "Interrupted"

    OPEN = (State.QUEUED, State.RUNNING)

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="reports")
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    healthy = models.BooleanField(null=True)
    code = models.CharField(max_length=40, blank=True, help_text="the first finding that is wrong")
    findings = models.JSONField(default=list)
    facts = models.JSONField(default=dict)
    changes = models.JSONField(default=list)
    calls = models.PositiveIntegerField("calls to the practice", default=0)
    seconds = models.FloatField(null=True)
    created_at = models.DateTimeField("asked for", auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    alive_at = models.DateTimeField(null=True, help_text="the last step's end; long past: its worker died")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "self-test"
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection"], condition=models.Q(state__in=["queued", "running"]), name="one_open_self_test"
            )
        ]
        indexes = [models.Index(fields=["connection", "-created_at"], name="latest_reports")]

    def __str__(self) -> str:
        return f"self-test of {self.connection}, {self.created_at:%d-%b-%Y %H:%M} UTC"
