"""Some patients of an export, once all its files are stored: what is gone, how each type stands, and who must hear."""

import time

from django.db import transaction
from django.utils import timezone

from emr import schedule, signals, store
from emr.bulk import progressing, verdicts
from emr.bulk.opening import DUE_REASON
from emr.bulk.steps import Step
from emr.bulk.verdicts import Outcome, Verdict
from emr.models import BulkItem, BulkSeen, Enrolment, Resource, TypeOutcome
from emr.pulling import outcomes
from emr.pulling.holds import Postponed
from emr.pulling.outcomes import Said

# So many patients are told of between two commits; a history takes some 50 ms to rebuild.
BATCH = 25
RUN_SECONDS = 20.0
MARK_LENGTH = len(store.mark(""))


class PatientsStep(Step):
    """cursor: first and last of its patients by FHIR id, and the last one done."""

    def go(self) -> None:
        until = time.monotonic() + RUN_SECONDS
        types = verdicts.of_types(self.job)
        whole = frozenset(kind for kind, verdict in types.items() if verdict.all_sent)
        seen = self._seen() if whole else frozenset()
        while batch := self._batch():
            if self.stopped or time.monotonic() > until:
                raise Postponed(0)
            self._tell(batch, types, whole, seen)
        self._finish()

    def _seen(self) -> frozenset[str]:
        """Marks of all that was sent: some 100 bytes each in memory."""
        found: set[str] = set()
        rows = BulkSeen.objects.filter(item__job=self.job).values_list("marks", flat=True)
        for marks in rows.iterator(chunk_size=100):
            found.update(marks[start : start + MARK_LENGTH] for start in range(0, len(marks), MARK_LENGTH))
        return frozenset(found)

    def _batch(self) -> list[Enrolment]:
        members = self.job.members.filter(patient_fhir_id__lte=self.cursor["last"])
        if "done" in self.cursor:
            members = members.filter(patient_fhir_id__gt=self.cursor["done"])
        else:
            members = members.filter(patient_fhir_id__gte=self.cursor["first"])
        ids = members.order_by("patient_fhir_id").values_list("patient_fhir_id", flat=True)[:BATCH]
        return list(self.connection.enrolments.filter(patient_fhir_id__in=list(ids)).order_by("patient_fhir_id"))

    def _tell(
        self, batch: list[Enrolment], types: dict[str, Verdict], whole: frozenset[str], seen: frozenset[str]
    ) -> None:
        """Commit outcomes, send the signals, then note that they were heard: a worker's death repeats them."""
        with transaction.atomic():
            gone = self._mark_gone(batch, whole, seen)
            self._record(batch, types)
            self.commit({"gone": gone})
        rows = Enrolment.objects.filter(pk__in=[enrolment.pk for enrolment in batch])
        untold = set(rows.filter(untold=True).values_list("pk", flat=True))
        for enrolment in batch:
            signals.patient_pulled.send(
                sender=PatientsStep,
                practice_id=self.connection.practice_id,
                patient_fhir_id=enrolment.patient_fhir_id,
                changed=enrolment.pk in untold,
            )
        with transaction.atomic():
            self.cursor["done"] = batch[-1].patient_fhir_id
            self.commit()
            rows.filter(pk__in=untold).update(untold=False)
            self._due_again(batch, types)

    def _mark_gone(self, batch: list[Enrolment], whole: frozenset[str], seen: frozenset[str]) -> int:
        """After a complete export of everything: of these patients, what was not sent is no longer sent."""
        rows = Resource.objects.filter(
            connection=self.connection,
            practice_id=self.connection.practice_id,
            patient_fhir_id__in=[enrolment.patient_fhir_id for enrolment in batch],
            resource_type__in=whole,
            no_longer_sent_at=None,
        ).values_list("pk", "resource_type", "fhir_id", "patient_fhir_id")
        gone = [(pk, whose) for pk, kind, fhir_id, whose in rows if store.mark(f"{kind}/{fhir_id}") not in seen]
        if gone:
            Resource.objects.filter(pk__in=[pk for pk, _ in gone]).update(no_longer_sent_at=timezone.now())
            touched = {whose for _, whose in gone}
            self.connection.enrolments.filter(patient_fhir_id__in=touched).update(untold=True)
        return len(gone)

    def _record(self, batch: list[Enrolment], types: dict[str, Verdict]) -> None:
        """One outcome for each patient and type; a change of it is one that histories show."""
        keys = [enrolment.pk for enrolment in batch]
        said = {
            (pk, kind): told
            for pk, kind, *told in TypeOutcome.objects.filter(enrolment__in=keys).values_list(
                "enrolment", "resource_type", "outcome", "reason", "code"
            )
        }
        changed = {
            enrolment.pk
            for enrolment in batch
            for kind, verdict in types.items()
            if said.get((enrolment.pk, kind)) != [verdict.outcome, verdict.reason, verdict.code]
        }
        outcomes.record(
            Said(enrolment.pk, kind, verdict.outcome, verdict.reason, verdict.code)
            for enrolment in batch
            for kind, verdict in types.items()
        )
        Enrolment.objects.filter(pk__in=changed).update(untold=True)

    def _due_again(self, batch: list[Enrolment], types: dict[str, Verdict]) -> None:
        """After the shortest life, as after any pull; at once, by the plan, for what the export did not bring."""
        now = timezone.now()
        mine = Enrolment.objects.filter(pk__in=[enrolment.pk for enrolment in batch])
        mine.update(pulled_at=now)
        if any(verdict.outcome == Outcome.NOT_FETCHED for verdict in types.values()):
            mine.filter(due_reason=DUE_REASON).update(due_at=now, due_reason="what the export did not bring")
            return
        later = now + self.connection.profile.freshness.shortest
        mine.filter(due_reason=DUE_REASON).update(due_at=later, due_reason=DUE_REASON)

    @transaction.atomic
    def _finish(self) -> None:
        self.end(BulkItem.State.DONE)
        progressing.advance(self.job.pk)

    @transaction.atomic
    def give_up(self, code: str, reason: str) -> None:
        schedule.due_again(self._left())
        self.end(BulkItem.State.FAILED, code=code, reason=reason[:300])
        progressing.advance(self.job.pk)

    def _left(self) -> list[Enrolment]:
        return list(
            self.connection.enrolments.filter(
                patient_fhir_id__gte=self.cursor.get("done", self.cursor["first"]),
                patient_fhir_id__lte=self.cursor["last"],
                untold=True,
            )
        )
