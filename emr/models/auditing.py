"""Who has seen or changed what. Rows are only ever added, and each is chained to the one before it."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.utils import timezone

from emr.models.people import Practice, User
from emr.models.row import Row

# The chain of events that belong to no practice: a sign-in, a signing key, a registration.
NO_PRACTICE = UUID(int=0)


class AuditHead(models.Model):
    """Where a practice's chain ends. Locked while an event is added, so that a chain never forks."""

    chain = models.UUIDField(primary_key=True, help_text="the practice's id; zero for events of no practice")
    number = models.PositiveBigIntegerField(default=0)
    digest = models.CharField(max_length=64, blank=True)
    written = models.PositiveBigIntegerField(default=0, help_text="number of the head last written elsewhere")

    def __str__(self) -> str:
        return f"chain {self.chain}, {self.number} events"


class AuditEvent(Row):
    """One read, print, search or change, written in the transaction of the page it is about.

    chain, number, digest: the practice's events are numbered without a gap, and each digest covers every column and
    the digest before it. The database refuses to change or delete a row (emr.walls); emr.audit_chain verifies.
    """

    class Action(models.TextChoices):
        READ_HISTORY = "read-history", "Opened a history"
        READ_SOURCE = "read-source", "Opened a source record"
        LIST_PATIENTS = "list-patients", "Listed or searched patients"
        SEARCH_RECORD = "search-record", "Searched within a record"
        PRINT = "print", "Printed a history"
        EXPORT = "export", "Exported a history"
        ASSESSMENT = "assessment", "Entered an assessment"
        ATTESTATION = "attestation", "Entered a statement on a trial"
        DISMISSAL = "dismissal", "Put a prompt aside or back"
        BINDING = "binding", "Read or bound medication texts"
        QUARANTINE = "quarantine", "Opened or retried quarantined bytes"
        PULL = "pull", "Steered a pull or asked for one"
        ROSTER = "roster", "Looked up or enrolled patients, or read in a schedule"
        INVITE = "invite", "Invited a patient, or withdrew an invitation"
        LAUNCH = "launch", "Launched: asked an EMR for consent"
        LAUNCH_REFUSED = "launch-refused", "Refused the answer to a launch"
        CONSENT = "consent", "A consent came, changed or ended"
        SIGN_IN = "sign-in", "Signed in"
        SIGN_IN_REFUSED = "sign-in-refused", "Sign-in refused"
        SIGN_OUT = "sign-out", "Signed out"
        ACCESS_REFUSED = "access-refused", "Asked for what is not theirs or not there"
        SESSIONS = "sessions", "Sessions ended"
        PASSWORD = "password", "Changed a password"
        SECOND_FACTOR = "second-factor", "Added, removed or renewed a second factor"
        IDENTITY = "identity", "Linked an account to an identity provider"
        BREAK_GLASS = "break-glass", "Broke the glass: opened charts the role does not open"
        MEMBERSHIP = "membership", "Changed a membership"
        CONFIGURATION = "configuration", "Changed a connection, registration or key"
        KEY = "key", "Made, moved or retired a signing key by itself"
        TOKEN = "token", "Obtained, renewed or dropped a token"
        READ_AUDIT = "read-audit", "Read or exported the audit trail"

    at = models.DateTimeField(default=timezone.now)
    action = models.CharField(max_length=20, choices=Action.choices)
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True)
    practice = models.ForeignKey(Practice, on_delete=models.PROTECT, null=True)
    # Ids, not foreign keys: the event outlives what it is about.
    patient_id = models.UUIDField(null=True)
    object_id = models.UUIDField(null=True)
    detail = models.CharField(max_length=200, blank=True)
    # Of the client whose request it was; null for what workers and commands do.
    address = models.GenericIPAddressField(null=True)
    chain = models.UUIDField(editable=False)
    number = models.PositiveBigIntegerField(editable=False)
    digest = models.CharField(max_length=64, editable=False)

    # What the digest covers, in this order; a new column is added at the end, with a new version of `linked`.
    CHAINED = (
        "chain", "number", "id", "at", "action", "user_id", "practice_id", "patient_id", "object_id", "detail",
        "address",
    )  # fmt: skip

    # Nobody's acts, whoever's request they happened in.
    BY_ITSELF = frozenset({Action.KEY, Action.TOKEN})

    class Meta:
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["chain", "number"], name="audit_chain_never_forks")]
        indexes = [models.Index(fields=["practice", "patient_id", "-at"], name="audit_of_patient")]

    def __str__(self) -> str:
        return f"{self.at:%d-%b-%Y %H:%M} {self.action}"

    @property
    def by_itself(self) -> bool:
        """Whether no person stands behind it: a worker, a command, or what the program did in somebody's request."""
        return self.user is None and (self.address is None or self.action in self.BY_ITSELF)

    @property
    def who(self) -> str:
        """In words: the person, somebody not signed in, or the program itself."""
        if self.user is not None:
            return str(self.user)
        return "HeadacheMD, by itself" if self.by_itself else "Somebody not signed in"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("Audit events are never changed.")
        with transaction.atomic(savepoint=False):
            head = _locked_head(self.practice_id or NO_PRACTICE)
            self.chain, self.number = head.chain, head.number + 1
            # As the database will give them back: an id may have been handed in as text.
            columns = {column.attname: column for column in self._meta.concrete_fields}
            values = [columns[name].to_python(getattr(self, name)) for name in self.CHAINED]
            self.digest = linked(head.digest, values)
            super().save(*args, **kwargs)
            AuditHead.objects.filter(pk=head.pk).update(number=self.number, digest=self.digest)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("Audit events are never deleted.")


def linked(before: str, values: Sequence[object]) -> str:
    """SHA-256 in hex of an event chained to the digest before it. values: of AuditEvent.CHAINED.

    Canonical form: a JSON array of the version, that digest and the columns, times in UTC with microseconds, the
    address as in RFC 5952.
    """
    *columns, address = values
    said = [*(_canonical(value) for value in columns), _spelled(address)]
    return hashlib.sha256(json.dumps(["2", before, *said], separators=(",", ":")).encode()).hexdigest()


def _canonical(value: object) -> str | int | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value if value is None or isinstance(value, int) else str(value)


def _spelled(address: object) -> str | None:
    """PostgreSQL gives some back in another spelling than they were written in (::1.2.3.4)."""
    try:
        return address if address is None else str(ip_address(str(address)))
    except ValueError:
        return str(address)  # what somebody forced into a database that takes any text


def _locked_head(chain: UUID) -> AuditHead:
    """The chain's end, held until the transaction ends (SQLite: the IMMEDIATE transaction holds every writer)."""
    heads = AuditHead.objects.select_for_update()
    head = heads.filter(pk=chain).first()
    if head is None:
        AuditHead.objects.get_or_create(pk=chain)
        head = heads.get(pk=chain)
    return head
