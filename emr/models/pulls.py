"""Whom we pull, when, and how far we are: the queue of record. Celery messages only name these rows."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from emr.models.leased import Leased, LeasedStep
from emr.models.people import Practice, User
from emr.models.registrations import Connection
from emr.models.row import Row


class Enrolment(Row):
    """A patient whom a connection pulls. EMRs list nobody for a bare /Patient, so the roster is ours."""

    class KnownBy(models.TextChoices):
        LIST = "list", "A list given by the practice"
        LOOK_UP = "look-up", "Staff look-up"
        LAUNCH = "launch", "EHR launch"
        CONSENT = "consent", "Patient consent"
        GROUP = "group", "Bulk group"
        MERGE = "merge", "Replaces another record"
        POPULATION = "population", "The EMR's own list"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="enrolments")
    patient_fhir_id = models.CharField(max_length=128)
    known_by = models.CharField(max_length=10, choices=KnownBy.choices)
    due_at = models.DateTimeField(null=True, help_text="blank: not due")
    due_reason = models.CharField(max_length=100, blank=True)
    whole = models.BooleanField(default=False, help_text="when due: every type is fetched, fresh or not")
    asked_at = models.DateTimeField(null=True, help_text="staff wait for it: before all others")
    next_appointment_at = models.DateTimeField(null=True)
    viewed_at = models.DateTimeField(null=True, help_text="the history was last opened by staff")
    pulled_at = models.DateTimeField(null=True, help_text="the last work item ended")
    replaced_by = models.CharField(max_length=128, blank=True, help_text="FHIR id of the record that this one became")
    # Kept until all receivers have returned: a change is told even if the worker dies after storing it.
    untold = models.BooleanField(default=True, help_text="something changed that histories do not show yet")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "patient_fhir_id"], name="enrolled_once")]
        indexes = [
            models.Index(fields=["due_at"], name="enrolment_due"),
            models.Index(fields=["next_appointment_at"], name="enrolment_appointment"),
        ]

    def __str__(self) -> str:
        return f"enrolment {self.pk}"


class TypeOutcome(Row):
    """How one resource type of one enrolment stands: its absence is one of five different things (design rule 6)."""

    class Outcome(models.TextChoices):
        COMPLETE = "complete", "Complete"
        NOT_PERMITTED = "not-permitted", "Not permitted"
        NOT_SUPPORTED = "not-supported", "Not supported here"
        NOT_FETCHED = "not-fetched", "Not fetched"

    enrolment = models.ForeignKey(Enrolment, on_delete=models.CASCADE, related_name="outcomes")
    resource_type = models.CharField(max_length=40)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    reason = models.CharField(max_length=300, blank=True)
    code = models.CharField(max_length=40, blank=True, help_text="of the error catalogue, when one code says it all")
    # Kept when a later pull goes wrong: the rows on file are still those of that time.
    confirmed_at = models.DateTimeField(null=True, help_text="the last complete pass")
    attempted_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["enrolment", "resource_type"], name="one_outcome_per_type")]

    def __str__(self) -> str:
        return f"{self.resource_type}: {self.outcome}"


class Pull(Row):
    """One run of fetching over a connection: some enrolments, each a leased work item."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        COMPLETE = "complete", "Complete"
        INCOMPLETE = "incomplete", "Incomplete"
        CANCELLED = "cancelled", "Cancelled"

    OPEN = (State.RUNNING, State.PAUSED)

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="pulls")
    practice = models.ForeignKey(Practice, on_delete=models.CASCADE)
    state = models.CharField(max_length=12, choices=State.choices, default=State.RUNNING)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    hold_until = models.DateTimeField(null=True, help_text="the practice's calls are used up until then")
    # The circuit breaker (emr.pulling.breaker): the same failure so many times in a row pauses the pull until a probe.
    failing_code = models.CharField(max_length=40, blank=True)
    failing_calls = models.PositiveSmallIntegerField(default=0)
    spared_types = models.JSONField(default=list, help_text="types that fail by themselves, while others are answered")
    probe_at = models.DateTimeField(null=True, help_text="paused by failures until then; blank: paused by a person")
    probing = models.BooleanField(default=False)
    # One call and what it takes to keep its answer, a moving mean: how many workers fill the minute follows from it.
    call_seconds = models.FloatField(null=True)
    calls = models.PositiveIntegerField(default=0)
    new = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    same = models.PositiveIntegerField(default=0)
    gone = models.PositiveIntegerField(default=0, help_text="no longer sent, after a complete pass")
    quarantined = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection"],
                condition=models.Q(state__in=["running", "paused"]),
                name="one_open_pull_per_connection",
            )
        ]

    def __str__(self) -> str:
        return f"pull of {self.started_at:%d-%b-%Y %H:%M} ({self.state})"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN


class WorkItem(LeasedStep):
    """One patient of one pull, or one resource type over all patients (population path). Leased by one worker at a
    time; the cursor is committed with each page."""

    class Rank(models.IntegerChoices):
        """Who comes first. Within a rank: the smaller `rank_order`."""

        ASKED = 0, "Asked for by staff"
        SOON = 1, "Appointment today or tomorrow"
        WEEK = 2, "Appointment this week"
        VIEWED = 3, "Recently viewed"
        OLDEST = 4, "Oldest first"

    pull = models.ForeignKey(Pull, on_delete=models.CASCADE, related_name="items")
    enrolment = models.ForeignKey(
        Enrolment, on_delete=models.CASCADE, null=True, related_name="items", help_text="blank: all patients"
    )
    resource_type = models.CharField(max_length=40, blank=True, help_text="of all patients; blank: which path works")
    rank = models.PositiveSmallIntegerField(choices=Rank.choices, default=Rank.OLDEST)
    rank_order = models.FloatField(default=0)
    wanted_at = models.DateTimeField(null=True, help_text="types fresh until then are left out; blank: none is")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["enrolment"], condition=models.Q(state="queued"), name="one_open_item_per_patient"
            ),
            models.UniqueConstraint(
                fields=["pull", "resource_type"], condition=models.Q(enrolment=None), name="one_sweep_of_a_type"
            ),
        ]
        indexes = [models.Index(fields=["state", "rank", "rank_order"], name="items_waiting")]

    def __str__(self) -> str:
        return f"item {self.pk}: {self.state}"


class Sweep(Row):
    """One resource type of a connection, asked for over all its patients at once: whether that works, and how far it
    is. Found out once (emr.pulling.probing); what the server refuses later is asked for patient by patient."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="sweeps")
    resource_type = models.CharField(max_length=40)
    works = models.BooleanField()
    reason = models.CharField(max_length=300, blank=True, help_text="why it is asked for patient by patient")
    code = models.CharField(max_length=40, blank=True)
    decided_at = models.DateTimeField(help_text="by the probe, or by a refusal since")
    since = models.DateTimeField(null=True, help_text="the server's clock when the last complete pass began")
    full_at = models.DateTimeField(null=True, help_text="the last complete pass over everything")
    next_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["resource_type"]
        constraints = [models.UniqueConstraint(fields=["connection", "resource_type"], name="one_sweep_each")]

    def __str__(self) -> str:
        return f"{self.resource_type} over all patients: {'yes' if self.works else 'no'}"


class SweptPage(models.Model):
    """The marks (emr.store.mark) of what one page of a pass over everything held; deleted when the pass ends."""

    item = models.ForeignKey(WorkItem, on_delete=models.CASCADE, related_name="pages")
    marks = models.TextField()

    def __str__(self) -> str:
        return f"page of {self.item_id}"


class ReferenceRead(models.Model):
    """A record that others only refer to: being read by one worker for all, or refused not long ago."""

    practice = models.ForeignKey(Practice, on_delete=models.CASCADE)
    resource_type = models.CharField(max_length=40)
    fhir_id = models.CharField(max_length=128)
    # A refusal to one person's consent says nothing of what the practice's own app, or another person's, may read.
    under = models.CharField(max_length=36, blank=True, help_text="the grant; blank: the connection's own token")
    by = models.UUIDField(help_text="the work item that reads it")
    until = models.DateTimeField(help_text="nobody else asks before")
    outcome = models.CharField(max_length=16, choices=TypeOutcome.Outcome, blank=True, help_text="blank: being read")
    reason = models.CharField(max_length=300, blank=True)
    code = models.CharField(max_length=40, blank=True)

    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("fhir_id",)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["practice", "resource_type", "fhir_id", "under"], name="read_by_one")
        ]

    def __str__(self) -> str:
        return f"read of a {self.resource_type}"


class LookUp(Leased):
    """A person whom staff seek in the EMR by name and birth date. Deleted after a day; enrols nobody by itself."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        ENROLLED = "enrolled", "Enrolled"

    practice = models.ForeignKey(Practice, on_delete=models.CASCADE)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="look_ups")
    asked_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=9, choices=State.choices, default=State.QUEUED)
    sought = models.JSONField(help_text="parameters of the search: family, given, birthdate")
    found = models.JSONField(default=list, help_text="who was found: fhir_id, name, birth_date, numbers")
    reason = models.CharField(max_length=300, blank=True)

    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("sought", "found")

    class Meta:
        ordering = ["created_at"]
        indexes = [models.Index(fields=["state", "not_before"], name="look_ups_waiting")]

    def __str__(self) -> str:
        return f"look-up {self.pk}: {self.state}"


class CallWindow(models.Model):
    """The calls of the last 61 seconds to one practice code (the embedded budget; production keeps it in Redis)."""

    key = models.CharField(max_length=80, primary_key=True)
    sent = models.JSONField(default=list)
    blocked_until = models.FloatField(default=0)

    def __str__(self) -> str:
        return self.key
