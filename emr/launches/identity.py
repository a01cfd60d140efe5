"""Is the record the EMR opened the invited person's? Until that is known, nothing is pulled or shown."""

import re
from datetime import date

from django.db import transaction
from django.utils import timezone

from emr import audit, calls, demographics, fields, hints, refreshing, roster
from emr.bearers import NoAccess, TokenBusy
from emr.demographics import Person, folded
from emr.doctor.state import activate
from emr.launches import disconnecting
from emr.models import Connection, Enrolment, Grant, PatientInvitation, User
from emr.pulling import asking
from emr.wire import fhir
from emr.wire.errors import Throttled, WireError
from emr.wire.http import Door

State = Grant.State
UNREAD = "GRANT_IDENTITY_UNREAD"
MISMATCH = "GRANT_IDENTITY"
_BETWEEN_WORDS = re.compile(r"[\s\-‐‑–,]+")


def mismatch(person: Person, *, given: str, family: str, birth_date: date) -> str:
    """What does not fit: "", "name", "birth date" or "name and birth date".

    A name fits in any order and spelling of case, accents, hyphens and blanks, with middle names and second family
    names left out on either side; the birth date must be the same day.
    """
    wrong = [] if any(_same_name(name, given, family) for name in person.names) else ["name"]
    if person.birth_date != birth_date.isoformat():
        wrong.append("birth date")
    return " and ".join(wrong)


def _same_name(on_file: tuple[str, ...], given: str, family: str) -> bool:
    """One given name and the family name in common; each side may have more of both."""
    theirs_family, theirs_given = _words(on_file[0]), _words(" ".join(on_file[1:]))
    ours_family, ours_given = _words(family), _words(given)
    straight = _alike(ours_family, theirs_family) and _first_alike(ours_given, theirs_given)
    return straight or (_alike(ours_family, theirs_given) and _first_alike(ours_given, theirs_family))


def _words(name: str) -> list[str]:
    return [word for word in map(folded, _BETWEEN_WORDS.split(name)) if word]


def _alike(ours: list[str], theirs: list[str]) -> bool:
    """All words of the shorter are in the longer, or they are one word written apart."""
    if not ours or not theirs:
        return False
    return set(ours) <= set(theirs) or set(theirs) <= set(ours) or "".join(ours) == "".join(theirs)


def _first_alike(ours: list[str], theirs: list[str]) -> bool:
    """The name one goes by: the first of one side is among the other's."""
    if not ours or not theirs:
        return False
    return ours[0] in theirs or theirs[0] in ours or "".join(ours) == "".join(theirs)


def identify(grant: Grant, door: Door) -> Grant:
    """Read who the patient of a held grant is (one call of the budget) and compare; returns the grant as it is then.

    It fits: the grant is active and the first pull waits at the head of the queue. It does not, or it cannot be read:
    the grant stays held and says why. Never raises for what a server does.
    """
    try:
        person = _person(grant, door)
    except (calls.OverBudget, TokenBusy, NoAccess, WireError, fields.SecretUnreadable) as error:
        told = error.code if isinstance(error, WireError | NoAccess) else type(error).__name__
        _still_held(grant, UNREAD, f"not read yet: {told}", {})
    else:
        _decide_by(grant, person)
    return Grant.objects.select_related("invitation", "connection__practice").get(pk=grant.pk)


def _person(grant: Grant, door: Door) -> Person:
    connection = Connection.objects.select_related("practice", "registration").get(pk=grant.connection_id)
    access = refreshing.access(grant, door, while_held=True, interactive=True)
    calls.spend(connection, interactive=True)
    try:
        read = fhir.read(door, access.bearer, connection.base_url, "Patient", grant.patient_fhir_id)
    except Throttled as refusal:
        raise calls.throttled(connection, refusal) from None
    except fhir.Unauthorized:
        refreshing.drop(grant.pk, access.generation)
        raise
    return demographics.read(read.entry.resource or {})


def _decide_by(grant: Grant, person: Person) -> None:
    invitation = grant.invitation
    if invitation is None:
        _still_held(grant, MISMATCH, "the invitation is gone", person.as_json())
        return
    wrong = mismatch(
        person, given=invitation.given, family=invitation.family, birth_date=invitation.birth_date
    ) or _other_record(grant, person, invitation)
    if wrong:
        _still_held(grant, MISMATCH, wrong, person.as_json())
    else:
        admit(grant, by=None)


def _other_record(grant: Grant, person: Person, invitation: PatientInvitation) -> str:
    """The invitation was for a record on file, and this is another one: of a namesake, or entered twice."""
    if person.fhir_id != grant.patient_fhir_id or invitation.patient_fhir_id not in ("", grant.patient_fhir_id):
        return "record"
    return ""


def _still_held(grant: Grant, code: str, detail: str, returned: dict[str, object]) -> None:
    Grant.objects.filter(pk=grant.pk, state=State.HELD).update(
        reason_code=code, reason_detail=detail, returned=returned, last_used_at=timezone.now()
    )


@transaction.atomic
def admit(grant: Grant, *, by: User | None) -> bool:
    """The record is the invited person's: the consent counts, the patient is enrolled, and the first pull is next."""
    if Grant.objects.select_for_update().filter(pk=grant.pk, state=State.HELD).first() is None:
        return False
    connection = Connection.objects.select_related("practice", "registration").get(pk=grant.connection_id)
    replace_earlier(grant)
    Grant.objects.filter(pk=grant.pk).update(state=State.ACTIVE, reason_code="", reason_detail="", returned={})
    audit.record(audit.Action.CONSENT, by=by, practice=connection.practice, object_id=grant.pk, detail="accepted")
    pull_now(connection, grant.patient_fhir_id, Enrolment.KnownBy.CONSENT)
    return True


def replace_earlier(grant: Grant) -> None:
    """The same person consented anew: what they gave before is not used again."""
    earlier = Grant.objects.filter(
        connection_id=grant.connection_id,
        patient_fhir_id=grant.patient_fhir_id,
        user=grant.user,
        state__in=Grant.CURRENT,
    )
    earlier.exclude(pk=grant.pk).update(
        **refreshing.NO_TOKENS, state=State.REVOKED, reason_code="GRANT_REPLACED", ended_at=timezone.now()
    )


def pull_now(connection: Connection, patient_fhir_id: str, known_by: str) -> None:
    """A person waits for this patient's data: enrolled if need be, and before all others."""
    if connection.state != Connection.State.ACTIVE:
        activate(connection)  # discovery, client and token have just been seen to work
    if not roster.enrol(connection, [patient_fhir_id], known_by, waited_for=True):
        asking.refresh(connection.practice_id, patient_fhir_id, None)
    transaction.on_commit(lambda: hints.publish("emr.tasks.tick"))


def decide(grant: Grant, *, by: User, accept: bool) -> bool:
    """Staff have looked at a held grant. Refused, it is revoked, its tokens deleted. False: it was decided before."""
    if accept:
        return admit(grant, by=by)
    if not Grant.objects.filter(pk=grant.pk, state=State.HELD).exists():
        return False
    return disconnecting.disconnect(grant, by, code="GRANT_DECLINED").ended
