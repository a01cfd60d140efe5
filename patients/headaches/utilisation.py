"""Visits: emergency visits for headache, the last visits, appointments that were not kept, imaging done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from patients.headaches.record import Happening, Record, day_of, newest

_YEAR = 365
_LAST = 5
_CANCELLED = frozenset({"cancelled", "waitlist-cancelled"})
_NO_SHOW = frozenset({"noshow", "no-show"})
_IMAGING = "imaging"
_SAME_STUDY_DAYS = 14  # a report follows its examination by days


@dataclass(frozen=True, slots=True)
class Utilisation:
    """emergency: visits with a headache as reason, latest first; emergency_other: how many others;
    last_visits: the latest five that were held; next_appointment: the nearest one ahead, None without;
    cancelled, not_kept: appointments and visits of the last 12 months, latest first.
    """

    emergency: tuple[Happening, ...] = ()
    emergency_other: int = 0
    emergency_year: int = 0
    last_visits: tuple[Happening, ...] = ()
    next_appointment: Happening | None = None
    cancelled: tuple[Happening, ...] = ()
    not_kept: tuple[Happening, ...] = ()

    @property
    def sentence(self) -> str:
        """ "Record shows 2 emergency visits for headache in the last 12 months."; "" without any: whether that
        means none is for the reader of the source to say."""
        count = self.emergency_year
        if not count:
            return ""
        visits = f"{count} emergency {'visit' if count == 1 else 'visits'}"
        return f"Record shows {visits} for headache in the last 12 months."


def utilisation(record: Record, today: date) -> Utilisation:
    """Use of care up to today, and the next appointment."""
    held = [each for each in newest(record.visits) if _past(each, today) and each.attended != "no"]
    emergency = [each for each in held if each.group == "emergency"]
    about = [each for each in emergency if each.about_headache]
    ahead = [each for each in newest(record.appointments) if _ahead(each, today)]
    recent = [each for each in newest([*record.appointments, *record.visits]) if _within_year(each, today)]
    return Utilisation(
        emergency=tuple(about),
        emergency_other=len(emergency) - len(about),
        emergency_year=sum(_within_year(each, today) for each in about),
        last_visits=tuple(held[:_LAST]),
        next_appointment=ahead[-1] if ahead else None,
        cancelled=tuple(each for each in recent if each.status in _CANCELLED),
        not_kept=tuple(each for each in recent if _not_kept(each)),
    )


def studies(reports: Sequence[Happening], procedures: Sequence[Happening]) -> tuple[Happening, ...]:
    """Imaging of the head and neck, latest first; an examination whose report is on file is shown as the
    report."""
    reported = [each for each in reports if each.group == _IMAGING and each.about_headache]
    done = [each for each in procedures if each.group == _IMAGING]
    unreported = [each for each in done if not any(_same(each, report) for report in reported)]
    return tuple(newest([*reported, *unreported]))


def _same(done: Happening, report: Happening) -> bool:
    first, second = day_of(done), day_of(report)
    if first is None or second is None or done.modality != report.modality:
        return False
    return abs(second - first) <= timedelta(_SAME_STUDY_DAYS)


def _past(visit: Happening, today: date) -> bool:
    day = day_of(visit)
    return day is not None and day <= today and visit.status not in {"planned", *_CANCELLED}


def _ahead(appointment: Happening, today: date) -> bool:
    day = day_of(appointment)
    return day is not None and day >= today and appointment.status in {"booked", "pending", "proposed", "arrived", ""}


def _within_year(each: Happening, today: date) -> bool:
    day = day_of(each)
    return day is not None and 0 <= (today - day).days < _YEAR


def _not_kept(each: Happening) -> bool:
    return each.status in _NO_SHOW or (each.attended == "no" and each.status not in _CANCELLED)
