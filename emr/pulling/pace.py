"""Who is fetched first, and how many items of a pull are under way at once.

So many that the practice's minute is used up, and no more. It follows from the measured time of a call
(Pull.call_seconds, written with each page by every process): more would only wait for each other's turns, fewer would
leave calls of the minute unused.
"""

import math
from datetime import datetime, timedelta

from emr.models import Enrolment, Pull, WorkItem

Rank = WorkItem.Rank
RECENT = timedelta(days=7)
NEVER_PULLED = 1e10  # seconds: some 300 years

# Seconds of a call before one was measured.
UNMEASURED = 0.5
NARROWEST, WIDEST = 2, 32


def width(pull: Pull) -> int:
    """Each item makes one call after the other: calls a second, times the seconds that one takes here, and one more
    for what is lost between two items."""
    profile = pull.connection.profile
    rate = profile.calls_per_window / profile.window_seconds
    return min(max(math.ceil(rate * (pull.call_seconds or UNMEASURED)) + 1, NARROWEST), WIDEST)


def rank(enrolment: Enrolment, days: tuple[datetime, datetime], now: datetime) -> tuple[int, float]:
    """Who comes first, and the place among those alike: the smaller, the sooner."""
    at, start, end = enrolment.next_appointment_at, *days
    if enrolment.asked_at is not None:
        return Rank.ASKED, enrolment.asked_at.timestamp()
    if at is not None and start <= at < end:
        return Rank.SOON, at.timestamp()
    if at is not None and end <= at < start + timedelta(days=7):
        return Rank.WEEK, at.timestamp()
    if enrolment.viewed_at is not None and enrolment.viewed_at > now - RECENT:
        return Rank.VIEWED, -enrolment.viewed_at.timestamp()
    if enrolment.pulled_at is not None:
        return Rank.OLDEST, enrolment.pulled_at.timestamp()
    # Before all who were pulled, in the order in which they were enrolled.
    return Rank.OLDEST, enrolment.created_at.timestamp() - NEVER_PULLED
