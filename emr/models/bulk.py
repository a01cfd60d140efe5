"""A Group's bulk export: one job, its leased items, and what it has brought so far."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from emr.fields import SecretField
from emr.models.leased import LeasedStep
from emr.models.pulls import Pull
from emr.models.registrations import Connection
from emr.models.row import Row


class BulkJob(Row):
    """One export of a Group, from the kick-off to the DELETE. Whoever finds it goes on where it stands."""

    class State(models.TextChoices):
        STARTING = "starting", "Being asked for"
        EXPORTING = "exporting", "The EMR is exporting"
        FETCHING = "fetching", "Files are being fetched"
        TELLING = "telling", "Histories are being brought up to date"
        CLOSING = "closing", "Being closed at the EMR"
        COMPLETE = "complete", "Complete"
        INCOMPLETE = "incomplete", "Incomplete"
        REFUSED = "refused", "Refused by the EMR"
        FAILED = "failed", "Given up"
        CANCELLED = "cancelled", "Cancelled"

    OPEN = (State.STARTING, State.EXPORTING, State.FETCHING, State.TELLING, State.CLOSING)

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="bulk_jobs")
    pull = models.OneToOneField(Pull, on_delete=models.CASCADE, related_name="bulk_job")
    state = models.CharField(max_length=10, choices=State.choices, default=State.STARTING)
    ends_as = models.CharField(max_length=10, choices=State.choices, blank=True, help_text="once it is closed")
    group_id = models.CharField(max_length=128)
    types = models.JSONField(default=list, help_text="asked for")
    since = models.DateTimeField(null=True, help_text="only what changed after it; blank: everything")
    # Who has this address has the files' addresses.
    status_url = SecretField(blank=True, default="")
    transaction_time = models.DateTimeField(null=True, help_text="the EMR's clock when the data were taken")
    requires_token = models.BooleanField(default=True)
    posts = models.BooleanField(default=False, help_text="kicked off by POST")
    progress = models.CharField(max_length=100, blank=True, help_text="in the EMR's words")
    restarts = models.PositiveSmallIntegerField(default=0)
    remarks = models.JSONField(default=dict, help_text="issues of its error files: how many of each severity")
    unnamed_error = models.BooleanField(default=False, help_text="an error that names no type")
    missed_types = models.JSONField(default=list, help_text="named by its error files")
    code = models.CharField(max_length=40, blank=True, help_text="of the error catalogue")
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, help_text="accepted by the EMR")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"export of {self.created_at:%d-%b-%Y %H:%M} ({self.state})"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN


class BulkItem(LeasedStep):
    """One step of an export that a worker leases: the export itself, one file, or some of its patients."""

    class Kind(models.TextChoices):
        EXPORT = "export", "The export"
        FILE = "file", "A file"
        PATIENTS = "patients", "Patients"

    job = models.ForeignKey(BulkJob, on_delete=models.CASCADE, related_name="items")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    number = models.PositiveIntegerField(default=0, help_text="in the order of the list of files")
    # A file:
    file_kind = models.CharField(max_length=7, blank=True, help_text="output, deleted or error")
    resource_type = models.CharField(max_length=64, blank=True)
    url = SecretField(blank=True, default="")
    count = models.PositiveIntegerField(null=True, help_text="lines, as the EMR says")
    lines = models.PositiveIntegerField(default=0, help_text="stored")
    code = models.CharField(max_length=40, blank=True, help_text="why it is not whole")

    class Meta:
        ordering = ["number"]
        indexes = [models.Index(fields=["state", "not_before"], name="bulk_items_waiting")]

    def __str__(self) -> str:
        return f"bulk item {self.pk}: {self.kind} {self.state}"


class BulkSeen(models.Model):
    """Marks of the resources in some lines of a file, until the export has ended: what was not sent is gone."""

    item = models.ForeignKey(BulkItem, on_delete=models.CASCADE, related_name="seen")
    marks = models.TextField(help_text="store.mark of each Type/id, one after the other")

    def __str__(self) -> str:
        return f"marks {self.pk}"


class BulkMember(models.Model):
    """A patient of an export. Those of the latest full one are the group's members."""

    job = models.ForeignKey(BulkJob, on_delete=models.CASCADE, related_name="members")
    patient_fhir_id = models.CharField(max_length=128)

    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("patient_fhir_id",)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "patient_fhir_id"], name="member_once")]

    def __str__(self) -> str:
        return f"member {self.pk}"
