"""Where the fetching of one patient stands, for the head of the chart: asked for, under way, or when it ended.

Read together with what is complete (patients.absence): one query for both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Case, CharField, Exists, OuterRef, Value, When
from django.utils import timezone

from emr.models import Connection, WorkItem
from patients.wording import moment_words

# Of an enrolment, beside `state()`.
COLUMNS = ("asked_at", "pulled_at", "viewed_at", "connection__state")
# A wish that no worker has seen for so long: they look each few seconds.
UNSEEN = timedelta(minutes=3)
# A look at a chart is noted once in so long: it only moves the patient up among those to be fetched.
NOTED_FOR = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Fetching:
    """enrolment: whom a Refresh asks for; words: the state; asked: one is waiting already, so that no second is;
    noted: somebody's look at the chart was noted a short while ago."""

    enrolment: UUID
    words: str
    asked: bool
    noted: bool


def state() -> Case:
    """Of an enrolment: running, queued, asked (no worker has seen it yet) or blank."""
    queued = WorkItem.objects.filter(enrolment=OuterRef("pk"), state=WorkItem.State.QUEUED)
    return Case(
        When(Exists(queued.filter(lease_until__gt=timezone.now())), then=Value("running")),
        When(Exists(queued), then=Value("queued")),
        When(asked_at__isnull=False, then=Value("asked")),
        default=Value(""),
        output_field=CharField(),
    )


def standing(rows: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> Fetching | None:
    """From the patient's enrolments, the oldest connection first; None when no connection pulls this patient."""
    live = [row for row in rows if row["connection__state"] != Connection.State.REVOKED]
    if not live:
        return None
    # The one that staff asked for last speaks; among equals the oldest connection.
    row = max(live, key=lambda each: each["asked_at"].timestamp() if each["asked_at"] else 0.0)
    fresh = timezone.now() - NOTED_FOR
    noted = all(each["viewed_at"] is not None and each["viewed_at"] > fresh for each in rows)
    words = _words(row["state"], row["pulled_at"], zone)
    if row["connection__state"] != Connection.State.ACTIVE and row["state"] != "running":
        words = f"{words} The connection to the EMR does not work at present; it is fetched when it does."
    elif row["state"] == "asked" and row["asked_at"] < timezone.now() - UNSEEN:
        since = moment_words(row["asked_at"], zone)
        words = f"Asked for {since}; no worker has been at it since. It goes on when one runs; tell who runs this site."
    return Fetching(row["pk"], words, bool(row["state"]), noted)


def _words(state: str, pulled_at: datetime | None, zone: ZoneInfo) -> str:
    if state == "running":
        return "Being fetched from the EMR now."
    if state in {"queued", "asked"}:
        return "Asked for; waiting for its turn."
    return f"Last fetched {moment_words(pulled_at, zone)}." if pulled_at else "Not fetched yet."
