"""Narrowing the audit trail: by what was done, by whom, and between which days of the practice."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q, QuerySet

from emr.models import AuditEvent, Practice, User

GLASS = "glass"
# How emr.audit marks what was done behind a broken glass.
_GLASS_MARK = "BREAK-GLASS"
WHAT = [
    ("", "Everything"),
    (GLASS, "Break-glass, and what was opened behind it"),
    *sorted(AuditEvent.Action.choices, key=lambda choice: choice[1]),
]


# Beyond them a day has no day after it, or no instant in UTC.
_DAYS = [MinValueValidator(date(1900, 1, 1)), MaxValueValidator(date(2999, 12, 31))]


def _day(label: str) -> forms.DateField:
    widget = forms.DateInput(attrs={"type": "date"})
    return forms.DateField(label=label, required=False, widget=widget, validators=_DAYS)


class TrailFilter(forms.Form):
    """A form of the address: ids, codes and days, never a name. What is not valid narrows nothing, and says so."""

    what = forms.ChoiceField(
        label="What",
        required=False,
        choices=WHAT,
    )
    who = forms.ModelChoiceField(User.objects.none(), label="Who", required=False, empty_label="Everybody")
    since = _day("From")
    until = _day("To")

    def __init__(self, practice: Practice, data: Mapping[str, Any]) -> None:
        super().__init__(data)
        self.practice = practice
        known = AuditEvent.objects.filter(practice=practice).values("user")
        people = User.objects.filter(Q(memberships__practice=practice) | Q(pk__in=known))
        # Those who left are asked about most.
        self.fields["who"].queryset = people.distinct().order_by("full_name", "email")  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        chosen = super().clean() or {}
        since, until = chosen.get("since"), chosen.get("until")
        if since and until and since > until:
            self.add_error("until", "This day is before the one under From.")
        return chosen

    @property
    def words(self) -> str:
        """What is chosen, as a printed trail says it: "What: Signed in; From: 01-Nov-2026"; "" for nothing."""
        self.is_valid()
        chosen = {name: value for name, value in self.cleaned_data.items() if value}
        if "what" in chosen:
            chosen["what"] = dict(WHAT)[chosen["what"]]
        for name in {"since", "until"} & chosen.keys():
            chosen[name] = f"{chosen[name]:%d-%b-%Y}"
        return "; ".join(f"{self.fields[name].label}: {value}" for name, value in chosen.items())

    @property
    def query(self) -> str:
        """What is chosen, for the addresses of the other pages; "" for nothing, else it ends in &."""
        self.is_valid()
        chosen = {name: self.data.get(name, "") for name in self.fields if self.cleaned_data.get(name)}
        return f"{urlencode(chosen)}&" if chosen else ""

    def applied(self, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        """Those of the events that fit."""
        self.is_valid()
        chosen = self.cleaned_data
        if chosen.get("what") == GLASS:
            events = events.filter(Q(detail__startswith=_GLASS_MARK) | Q(action=AuditEvent.Action.BREAK_GLASS))
        elif chosen.get("what"):
            events = events.filter(action=chosen["what"])
        if chosen.get("who"):
            events = events.filter(user=chosen["who"])
        if chosen.get("since"):
            events = events.filter(at__gte=self._midnight(chosen["since"]))
        if chosen.get("until"):
            events = events.filter(at__lt=self._midnight(chosen["until"] + timedelta(days=1)))
        return events

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time.min, ZoneInfo(self.practice.time_zone))
