"""One patient of a pull: the fixed plan, list by list and page by page, then what those records only refer to."""

from collections.abc import Iterable

from django.db import transaction
from django.db.models import F

from emr import freshness, schedule, signals, store, tokens
from emr.models import Enrolment, Pull, TypeOutcome, WorkItem
from emr.pulling import appointments, breaker, ending, leases, merges, outcomes, paths, references
from emr.pulling.holds import SLACK_SECONDS, Ask, Hold, LeaseLost, Postponed, missing, unread
from emr.pulling.journey import NOT_GRANTED, Journey, Outcome, Step
from emr.pulling.outcomes import Said
from emr.wire import fhir
from emr.wire.http import Door, Timeouts

WITHOUT_TOKEN = (tokens.NoAccess.reason, tokens.NeedsConsent.reason)


class Run(Hold):
    """One worker's hold on one patient."""

    def __init__(
        self,
        item: WorkItem,
        enrolment: Enrolment,
        *,
        swept: frozenset[str] | None = None,
        known: list[TypeOutcome] | None = None,
    ) -> None:
        """swept: paths.by_population of the connection; known: the patient's outcomes; where they are at hand."""
        super().__init__(item)
        self.enrolment, self._swept = enrolment, swept
        self.cursor = self.journey = Journey.load(item.cursor, self.connection.profile)
        self.busy = 0
        known = list(enrolment.outcomes.all()) if known is None else known
        # As this item's outcomes were told of last; nobody else writes them while it is leased, but for other lists.
        self.said = {row.resource_type: (row.outcome, row.reason, row.code) for row in known}
        if self.journey.skip is None:
            self.journey.skip = self._fresh_types(known)

    def _fresh_types(self, known: list[TypeOutcome]) -> list[str]:
        wanted_at = self.item.wanted_at
        if self.item.rank == WorkItem.Rank.ASKED and wanted_at is None:
            return []
        # What comes with everybody's is not asked for one by one, once it has come: where all is wanted, once it has
        # come in this pull.
        since = self.item.pull.started_at if wanted_at is None else None
        by_population = paths.by_population(self.connection) if self._swept is None else self._swept
        # Who comes soon does not wait for a list of everybody that went wrong.
        soon = self.item.rank <= WorkItem.Rank.SOON
        swept = by_population.intersection(
            row.resource_type
            for row in known
            if row.confirmed_at is not None
            and (since is None or row.confirmed_at >= since)
            and not (soon and row.outcome == Outcome.NOT_FETCHED)
        )
        fresh = [] if wanted_at is None else freshness.fresh_types(known, self.connection.profile, wanted_at)
        return sorted(swept.union(fresh))

    def _more(self) -> bool:
        return self._next_step() is not None

    def _next_step(self) -> Step | None:
        if self.journey.plan_done and self.journey.references is None:
            patient = self.enrolment.patient_fhir_id
            self.journey.references = references.missing(self.connection, [patient]).get(patient, [])
            self._commit()
        return self.journey.next_step()

    def _take(self, door: Door) -> None:
        step = self._step()
        if step.is_reference and not self._claimed(step):
            return
        seconds = step.query.read_seconds if step.query else 0
        self._ask(door, Ask(step.resource_type, seconds, lambda bearer: self._send(step, door, bearer)))

    def _step(self) -> Step:
        step = self.journey.next_step()
        assert step is not None  # noqa: S101 - `_more` said so; for the type checker
        return step

    def _claimed(self, step: Step) -> bool:
        """True when this record is ours to read; else what another item made of it is taken over, or waited for."""
        claim = references.claim(self.connection, self.item.pk, step.resource_type, step.fhir_id or "")
        if claim.is_ours:
            return True
        if claim.outcome is not None:
            if claim.outcome == Outcome.COMPLETE:
                self._note_change()  # it came while this patient's history was without it
            self.busy = 0
            self._ended(claim.outcome, claim.reason, claim.code, called=0, answered=False)
            return False
        self.busy += 1
        if self.journey.others_first() <= self.busy:
            self._commit()
            raise Postponed(1.0)
        return False

    def _send(self, step: Step, door: Door, bearer: str) -> fhir.Page:
        base, aliases = self.connection.base_url, self.connection.profile.link_aliases
        if step.query is None:
            return _page_of(fhir.read(door, bearer, base, step.resource_type, step.fhir_id or ""))
        timeouts = Timeouts(read=step.query.read_seconds, wall=step.query.read_seconds + SLACK_SECONDS)
        if step.next_url:
            return fhir.follow(door, bearer, base, step.next_url, aliases=aliases, timeout=timeouts)
        patient = self.enrolment.patient_fhir_id
        if not step.query.parameters:
            return _page_of(fhir.read(door, bearer, base, step.resource_type, patient, timeout=timeouts))
        params = [(name, value.format(patient=patient)) for name, value in step.query.parameters]
        return fhir.search(door, bearer, base, step.resource_type, params, aliases=aliases, timeout=timeouts)

    def _keep(self, page: fhir.Page) -> None:
        step = self._step()
        patient = "" if step.is_shared else self.enrolment.patient_fhir_id
        shared = references.nobodys(self.connection)
        with transaction.atomic():
            kept = store.keep_of_many(
                page.entries,
                connection=self.connection,
                # What a search includes beside its matches is no patient's.
                owner=lambda entry: store.owner("" if entry.resource_type in shared else patient, entry),
                query=step.describe(),
            )
            if step.is_reference:
                references.release(self.connection, self.item.pk, step.resource_type, step.fhir_id or "")
            if not step.is_reference:
                own = [store.mark(entry.fhir_id) for entry in page.entries if entry.resource_type == step.resource_type]
                self.journey.sent({step.resource_type: own})
            self._answered()
            if step.resource_type == "Patient":
                merges.follow(self.connection, self.enrolment, page.entries)
            self.journey.page_read(page.next_url, missing=missing(page), unread=unread(page))
            self._commit(kept.counts, called=1, answered=True)
            self._type_ended(step)

    def _begun_anew(self) -> bool:
        return self.journey.begin_anew()

    def _ended(self, outcome: Outcome, reason: str, code: str = "", *, called: int, answered: bool) -> None:
        step = self._step()
        if answered:
            self._answered()
        elif called:
            self.journey.failed()
        with transaction.atomic():
            if step.is_reference and answered:
                references.refused(self.connection, self.item.pk, step, outcome, reason, code)
            elif step.is_reference:
                references.release(self.connection, self.item.pk, step.resource_type, step.fhir_id or "")
            self.journey.ended(outcome, reason, code)
            self._commit(called=called, answered=answered)
            self._type_ended(step)

    def _not_granted(self, access: tokens.Access) -> None:
        """All that this token may not read ends in one commit."""
        if self._step().is_reference:
            super()._not_granted(access)
            return
        with transaction.atomic():
            kinds = self.journey.not_granted(access.allows, NOT_GRANTED)
            self._commit()
            self._record(kinds)
            for kind in kinds:
                self.journey.seen.pop(kind, None)

    def _answered(self) -> None:
        if self.journey.failing_from:
            breaker.spare(self.item.pull, self.journey.failing_from)
            self.journey.failing_from = ""

    @transaction.atomic
    def _commit(
        self,
        counts: store.Counts = store.Counts(),  # noqa: B008 - frozen
        *,
        called: int = 0,
        answered: bool = False,
    ) -> None:
        super()._commit(counts, called=called, answered=answered)
        if counts.new or counts.changed:
            self._note_change()

    def _note_change(self) -> None:
        """The receivers have something to hear, now or after the next worker's death."""
        if not self.enrolment.untold:
            self.enrolment.untold = True
            Enrolment.objects.filter(pk=self.enrolment.pk).update(untold=True)

    def _type_ended(self, step: Step) -> None:
        """Where a type ended: its outcome, and what is no longer sent. What was only referred to ends with the item."""
        if step.is_reference or not self.journey.type_ended(step.resource_type):
            return
        self._record([step.resource_type])
        # An EMR that gives no appointments leaves those of the schedule that staff brought.
        told = self.journey.seen.get(step.resource_type) or self.journey.whole(step.resource_type)
        self._mark_gone(step.resource_type)
        if step.resource_type == "Appointment" and told:
            appointments.note(self.connection, [self.enrolment.patient_fhir_id])

    def verdicts(self, resource_types: Iterable[str]) -> tuple[list[Said], bool]:
        """How these types ended, and whether that is news to the receivers."""
        found, news = [], False
        for kind in resource_types:
            outcome, reason = self.journey.verdict(kind)
            said = (str(outcome), reason, self.journey.code(kind))
            news = news or self.said.get(kind) != said
            self.said[kind] = said
            found.append(Said(self.enrolment.pk, kind, *said))
        return found, news

    def _record(self, resource_types: Iterable[str]) -> None:
        found, news = self.verdicts(resource_types)
        if news:
            self._note_change()
        outcomes.record(found)

    def _mark_gone(self, resource_type: str) -> None:
        seen = set(self.journey.seen.pop(resource_type, []))
        if not self.journey.whole(resource_type):
            return
        gone = store.mark_gone(
            self.connection,
            patient_fhir_id=self.enrolment.patient_fhir_id,
            resource_type=resource_type,
            seen=seen,
        )
        if gone:
            self._note_change()
            Pull.objects.filter(pk=self.item.pull_id).update(gone=F("gone") + gone)

    def _finish(self) -> None:
        """Tell the receivers, then mark done: if we die in between, the next worker tells them again."""
        with transaction.atomic():
            self._commit()
            for resource_type in self.connection.profile.read_by_reference:
                self.journey.end_unread(resource_type, WITHOUT_TOKEN)
            self._record(self.connection.profile.read_by_reference)
        self.tell()
        with transaction.atomic():
            if not WorkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(**leases.done()):
                raise LeaseLost
            schedule.due_again([self.enrolment], untold=False)
        ending.finish_pulls(self.item.pull_id)

    def tell(self) -> None:
        """The receivers hear of this patient."""
        signals.patient_pulled.send(
            sender=Run,
            practice_id=self.connection.practice_id,
            patient_fhir_id=self.enrolment.patient_fhir_id,
            changed=self.enrolment.untold,
        )


def _page_of(result: fhir.ReadResult) -> fhir.Page:
    return fhir.Page((result.entry,), None, (), result.request_id, result.status)
