"""From one stage of an export to the next: files, then patients, then its end."""

from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from emr.bulk import verdicts, waiting
from emr.bulk.opening import DUE_REASON, FELL_BACK
from emr.models import BulkItem, BulkJob, BulkMember, BulkSeen

State, Kind = BulkJob.State, BulkItem.Kind
PATIENTS_AN_ITEM = 200
RESTARTS = 1


@transaction.atomic
def advance(job_id: UUID) -> None:
    """Where nothing of the present stage is left, begin the next. Whoever ends an item calls it."""
    job = BulkJob.objects.select_for_update().get(pk=job_id)
    left = job.items.filter(state=BulkItem.State.QUEUED).exclude(kind=Kind.EXPORT)
    if left.exists():
        transaction.on_commit(waiting.hint_waiting)
        return
    if job.state == State.FETCHING:
        _members_of_the_last(job)
        items = list(_patients_items(job))
        BulkItem.objects.bulk_create(items, batch_size=200)
        _move(job, State.TELLING)
        transaction.on_commit(waiting.hint_waiting)
        if not items:
            _close(job)
    elif job.state == State.TELLING:
        _close(job)


def _members_of_the_last(job: BulkJob) -> None:
    """An export of changes says nothing of those without any: they are members as the last full one had them.

    Whom only this one names is new to the group, and older data may be missing: no member before the next full one.
    """
    if job.since is None:
        return
    base = verdicts.base_of(job)
    job.members.all().delete()
    if base is not None:
        ids = base.members.values_list("patient_fhir_id", flat=True).iterator(chunk_size=2000)
        rows = (BulkMember(job=job, patient_fhir_id=fhir_id) for fhir_id in ids)
        BulkMember.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)


def _patients_items(job: BulkJob) -> list[BulkItem]:
    ids = list(job.members.order_by("patient_fhir_id").values_list("patient_fhir_id", flat=True))
    slices = [ids[start : start + PATIENTS_AN_ITEM] for start in range(0, len(ids), PATIENTS_AN_ITEM)]
    return [
        BulkItem(job=job, kind=Kind.PATIENTS, number=number, cursor={"first": some[0], "last": some[-1]})
        for number, some in enumerate(slices, start=1)
    ]


def _close(job: BulkJob) -> None:
    code, reason = verdicts.of_job(job)
    BulkJob.objects.filter(pk=job.pk).update(
        ends_as=State.INCOMPLETE if code else State.COMPLETE, code=code, reason=reason[:300]
    )
    _move(job, State.CLOSING)


def _move(job: BulkJob, state: BulkJob.State) -> None:
    job.state = state
    BulkJob.objects.filter(pk=job.pk).update(state=state)
    if state == State.CLOSING:
        item = job.items.get(kind=Kind.EXPORT)
        job.items.filter(pk=item.pk).update(
            cursor={}, attempts=0, lease=None, lease_until=None, not_before=None, published_at=None
        )
        transaction.on_commit(lambda: waiting.hint(item.pk))


@transaction.atomic
def start_anew(job: BulkJob, code: str) -> None:
    """The server has forgotten the export: once more from the kick-off. The second time it is given up.

    What was stored stays; the same resources, sent again, change nothing.
    """
    job = BulkJob.objects.select_for_update().get(pk=job.pk)
    if job.state not in (State.EXPORTING, State.FETCHING):
        return
    if job.restarts >= RESTARTS:
        fail(job, code, f"{verdicts.words(code)}, twice")
        return
    _drop_items(job)
    job.members.all().delete()
    BulkJob.objects.filter(pk=job.pk).update(
        state=State.STARTING, status_url="", restarts=F("restarts") + 1, code=code, remarks={}, missed_types=[],
        unnamed_error=False,
    )  # fmt: skip
    export = job.items.get(kind=Kind.EXPORT)
    BulkItem.objects.filter(pk=export.pk).update(
        cursor={}, attempts=0, lease=None, lease_until=None, not_before=None, published_at=None
    )
    transaction.on_commit(lambda: waiting.hint(export.pk))


def fail(job: BulkJob, code: str, reason: str) -> None:
    """No data will come: all are due at once, patient by patient. The export is closed at the server all the same."""
    _drop_items(job)
    job.connection.enrolments.filter(due_reason=DUE_REASON).update(due_at=timezone.now(), due_reason=FELL_BACK)
    BulkJob.objects.filter(pk=job.pk).update(ends_as=State.FAILED, code=code, reason=reason[:300])
    _move(job, State.CLOSING)


def _drop_items(job: BulkJob) -> None:
    """Workers at them lose their leases and commit nothing more."""
    job.items.exclude(kind=Kind.EXPORT).delete()


def forget_older(job: BulkJob) -> None:
    """Marks and members are needed until the next export; of earlier ones, counts and outcomes stay."""
    older = BulkJob.objects.filter(connection=job.connection, created_at__lt=job.created_at)
    BulkSeen.objects.filter(item__job__in=older).delete()
    kept = verdicts.base_of(job)
    BulkMember.objects.filter(job__in=older.exclude(pk=kept.pk) if kept else older).delete()
