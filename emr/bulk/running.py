"""Take one step of an export: whatever comes of it, the item ends, waits or is handed back."""

import logging
from datetime import timedelta
from uuid import UUID

from django.db import OperationalError, transaction
from django.utils import timezone

from emr import calls, doctor, fields, tokens
from emr.bulk import waiting
from emr.bulk.exporting import ExportStep
from emr.bulk.files import FileStep
from emr.bulk.patients import PatientsStep
from emr.bulk.steps import Step
from emr.bulk.verdicts import words
from emr.models import BulkItem, Pull
from emr.pulling import room
from emr.pulling.holds import LeaseLost, Postponed
from emr.wire.bulk import Gone
from emr.wire.http import TryAgain, WireError

log = logging.getLogger(__name__)
Kind = BulkItem.Kind

STEPS: dict[str, type[Step]] = {Kind.EXPORT: ExportStep, Kind.FILE: FileStep, Kind.PATIENTS: PatientsStep}


def run(item_id: UUID) -> None:
    """Take this step as far as one run comes; nothing happens when it is not to be had."""
    item = waiting.claim(item_id)
    if item is None:
        return
    step = STEPS[item.kind](item)
    try:
        if item.attempts > BulkItem.MAX_ATTEMPTS:
            with transaction.atomic():
                step.give_up("", "its worker stopped three times at the same place")
        else:
            _take(step)
    except calls.OverBudget as wait:
        until = timezone.now() + timedelta(seconds=wait.seconds)
        Pull.objects.filter(pk=step.job.pull_id).update(hold_until=until)
        waiting.hand_back(item, wait.seconds)
    except (tokens.TokenBusy, Postponed) as wait:
        waiting.hand_back(item, wait.seconds)
    except LeaseLost:
        log.info("bulk item %s was taken over", item.pk)
    except OperationalError as error:
        room.wait_for(item, error, waiting.TASK)


def _take(step: Step) -> None:
    try:
        step.go()
    except TryAgain as error:
        _degrade_or(step, error)
    except Gone as error:
        step.lost(error)
    except WireError as error:
        if doctor.stops_connection(error.code):
            _degrade(step, error.code, str(error), error.request_id)
        step.give_up(error.code, words(error.code))
    except fields.SecretUnreadable as error:
        _degrade(step, "SECRET_UNREADABLE", str(error))


def _degrade_or(step: Step, error: TryAgain) -> None:
    try:
        step.try_again(error)
    except TryAgain as last:
        _degrade(step, last.code, str(last), last.request_id)


def _degrade(step: Step, code: str, detail: str, request_id: str = "") -> None:
    """The connection stops, and the step waits until it was found well."""
    doctor.degrade(step.connection, code, detail, request_id)
    raise Postponed(0)
