"""The forms by which staff enter what no EMR sends. Whatever was not asked may stay empty; empty is never zero."""

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

from django import forms
from django.utils.dates import MONTHS
from django.utils.text import slugify

from patients.codes import table
from patients.headaches import dates, scores
from patients.models import Assessment, Attestation, DrugBinding, PromptDismissal
from patients.models.entered import ASKED, DAY_NAMES, HIT6_NAMES, MIDAS_NAMES, Origin, Outcome, Stopped, YesNo

NEWER = "Somebody has entered a newer version in the meantime. Compare with the list below, then save again."
_EARLIEST = date(2000, 1, 1)  # an older assessment is a slip of the pen
_NOT_ASKED = ("", "Not asked")
_MONTHS = [("", "Not known"), *MONTHS.items()]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement on a trial is about: an ingredient of the table or a class of drugs, the other being ""."""

    ingredient: str
    drug_class: str
    words: str

    @property
    def slug(self) -> str:
        return slugify(self.ingredient) if self.ingredient else f"class-{slugify(self.drug_class)}"


@cache
def _subjects() -> dict[str, Subject]:
    ingredients = [Subject(row["name"], "", row["name"]) for row in table("rxnorm_ingredients")]
    classes = [Subject("", row["class"], f"{row['words']} (class)") for row in table("medication_classes")]
    return {subject.slug: subject for subject in (*classes, *ingredients)}


def subject_of(slug: str) -> Subject | None:
    """The subject that a part of a URL names; None for an unknown one."""
    return _subjects().get(slug)


class WholeNumber(forms.IntegerField):
    """Digits only: Python would read 1_0 as ten, and a comma or point is a question, not a number."""

    def __init__(self, lowest: int, most: int, **options: Any) -> None:
        said = f"Enter a whole number from {lowest} to {most}, or leave it empty."
        messages = dict.fromkeys(("invalid", "min_value", "max_value"), said)
        attrs = {"inputmode": "numeric", "autocomplete": "off", "size": len(str(most))}
        super().__init__(
            min_value=lowest, max_value=most, required=False, error_messages=messages,
            widget=forms.TextInput(attrs=attrs), **options,
        )  # fmt: skip

    def to_python(self, value: Any) -> int | None:
        if value not in self.empty_values and not re.fullmatch(r"\s*[0-9]{1,4}\s*", str(value)):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


def _answers(label: str, choices: Any, coerce: Any) -> forms.TypedChoiceField:
    """A row of answers of which the first is "Not asked"."""
    return forms.TypedChoiceField(
        label=label, choices=[_NOT_ASKED, *choices], coerce=coerce, empty_value=None, required=False,
        widget=forms.RadioSelect,
    )  # fmt: skip


def _one_of(label: str, choices: Any, **options: Any) -> forms.ChoiceField:
    messages = {"required": "Choose one."}
    return forms.ChoiceField(
        label=label, choices=choices.choices, widget=forms.RadioSelect, error_messages=messages, **options
    )


class EnteringForm(forms.ModelForm):
    """Of an unsaved row that already knows its practice, its author and what it replaces.

    seen: what the row on the page replaced when the page was made: another's newer version must not be replaced
    unread.
    """

    submission = forms.UUIDField(widget=forms.HiddenInput)
    seen = forms.UUIDField(widget=forms.HiddenInput, required=False)
    why = forms.CharField(
        label="Why it is corrected", max_length=300, error_messages={"required": "Say why it is corrected."}
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen"] = self.instance.replaces_id
        if self.instance.replaces is None:
            del self.fields["why"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("seen") != self.instance.replaces_id:
            said = {name: self.data[name] for name in self.data}
            self.data = said | {self.add_prefix("seen"): self.instance.replaces_id or ""}
            raise forms.ValidationError(NEWER)
        return data


class AssessmentForm(EnteringForm):
    origin = _one_of("Who gave the numbers", Origin)
    four_hours = _answers(
        "Headache lasts 4 hours or more a day, untreated", [(True, "Yes"), (False, "No")], lambda said: said == "True"
    )

    class Meta:
        model = Assessment
        fields = [
            "submission", "date", "period_days", "headache_days", "migraine_days", "acute_medication_days",
            "diary_days", "four_hours", *MIDAS_NAMES, "midas_a", "midas_b", *HIT6_NAMES, "origin", "note", "why",
        ]  # fmt: skip
        widgets = {
            "date": forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
            "note": forms.Textarea(attrs={"rows": 2}),
        }

    def __init__(self, *args: Any, today: date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.today = today
        for name in HIT6_NAMES:
            label = self.fields[name].label
            self.fields[name] = _answers(str(label).capitalize(), scores.HIT6_POINTS.items(), int)
        for name, most in _MOST.items():
            self.fields[name] = WholeNumber(0, most, label=str(self.fields[name].label).capitalize())

    def clean_date(self) -> date:
        day: date = self.cleaned_data["date"]
        born = self.instance.patient.birth_date
        if day > self.today:
            raise forms.ValidationError("The date lies in the future.")
        if day < max(_EARLIEST, born or _EARLIEST):
            raise forms.ValidationError("The date lies too far back, or before the birth date on file.")
        return day

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        period = data.get("period_days")
        for name in (*DAY_NAMES, "diary_days"):
            if period and (data.get(name) or 0) > period:
                self.add_error(name, f"More days than the {period} asked about.")
        had, of_these = data.get("headache_days"), data.get("migraine_days")
        if had is not None and of_these is not None and of_these > had:
            self.add_error("migraine_days", "More migraine days than headache days.")
        if not self.errors and all(data.get(name) is None for name in ASKED):
            raise forms.ValidationError("Nothing is entered yet. Fill in at least one answer.")
        return data


_MOST = {
    **dict.fromkeys((*DAY_NAMES, "diary_days"), 90),
    **dict.fromkeys((*MIDAS_NAMES, "midas_a"), scores.MIDAS_MOST_DAYS),
    "midas_b": 10,
}


class AttestationForm(EnteringForm):
    outcome = _one_of("Outcome", Outcome)
    for_headache = _one_of("Given for headache", YesNo)
    target_dose = _one_of("Target or usual effective dose reached", YesNo)
    stopped = forms.ChoiceField(label="Reason stopped", choices=Stopped.choices)
    start_year = WholeNumber(1950, 2100, label="Start: year")
    start_month = forms.TypedChoiceField(label="Start: month", choices=_MONTHS, coerce=int, required=False)
    end_year = WholeNumber(1950, 2100, label="End: year")
    end_month = forms.TypedChoiceField(label="End: month", choices=_MONTHS, coerce=int, required=False)
    origin = _one_of("Who said so", Origin)

    class Meta:
        model = Attestation
        fields = [
            "submission", "outcome", "for_headache", "target_dose", "dose_reached", "stopped", "stopped_words",
            "origin", "note", "why",
        ]  # fmt: skip
        widgets = {"note": forms.Textarea(attrs={"rows": 2})}

    def __init__(self, *args: Any, today: date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.today = today
        for which, day, precision in (
            ("start", self.instance.started, self.instance.started_precision),
            ("end", self.instance.ended, self.instance.ended_precision),
        ):
            if day:
                self.initial[f"{which}_year"] = day.year
                self.initial[f"{which}_month"] = "" if precision == "year" else day.month

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        start, end = self._partial("start"), self._partial("end")
        if start and end and end.last < start.value:
            self.add_error("end_year", "The end lies before the start.")
        self.instance.started, self.instance.started_precision = _columns(start)
        self.instance.ended, self.instance.ended_precision = _columns(end)
        return data

    def _partial(self, which: str) -> dates.PartialDate | None:
        year, month = self.cleaned_data.get(f"{which}_year"), self.cleaned_data.get(f"{which}_month")
        if year is None:
            if month and f"{which}_year" not in self.errors:
                self.add_error(f"{which}_year", "Enter the year of that month.")
            return None
        said = dates.parse(f"{year}-{month:02}" if month else f"{year}")
        if said and said.value > self.today:
            self.add_error(f"{which}_year", "Lies in the future.")
        return said


def _columns(said: dates.PartialDate | None) -> tuple[date | None, str]:
    return (said.value, said.precision) if said else (None, "")


class WithdrawalForm(EnteringForm):
    """To take a statement back without putting another in its place."""

    prefix = "withdraw"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.withdrawn = True
        self.fields["why"].label = "Why it is taken back"
        self.fields["why"].error_messages["required"] = "Say why it is taken back."


class AssessmentWithdrawal(WithdrawalForm):
    class Meta:
        model = Assessment
        fields = ["submission", "why"]


class AttestationWithdrawal(WithdrawalForm):
    class Meta:
        model = Attestation
        fields = ["submission", "why"]


class DismissalForm(forms.ModelForm):
    """A prompt put aside. Which one it is comes from the page that showed it."""

    prompt = forms.RegexField(r"^[a-z0-9][a-z0-9.-]{0,59}\Z", widget=forms.HiddenInput)
    version = forms.RegexField(r"^[A-Za-z0-9.-]{1,20}\Z", widget=forms.HiddenInput)
    fingerprint = forms.RegexField(r"^[0-9a-f]{8,64}\Z", widget=forms.HiddenInput)
    why = forms.CharField(label="Reason", max_length=300, error_messages={"required": "Say why it is put aside."})

    class Meta:
        model = PromptDismissal
        fields = ["prompt", "version", "fingerprint", "why"]

    def clean_prompt(self) -> str:
        prompt: str = self.cleaned_data["prompt"]
        if prompt not in {row["id"] for row in table("prompts")}:
            raise forms.ValidationError("There is no such prompt.")
        return prompt


class BindingForm(EnteringForm):
    """Which drugs of the ingredient table a text means; or that it means none of them."""

    PLACES = 4  # the largest combination of the table
    DRUGS, NONE, UNKNOWN = "drugs", "none", "unknown"

    class Meta:
        model = DrugBinding
        fields = ["submission", "why"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = sorted((row["name"] for row in table("rxnorm_ingredients")), key=str.casefold)
        held = self.instance.ingredients
        meanings = [(self.DRUGS, "The ingredients chosen here"), (self.NONE, "No drug of this list")]
        if self.instance.replaces is not None:
            meanings.append((self.UNKNOWN, "Not known: take the binding back"))
        self.fields["meaning"] = forms.ChoiceField(label="What it means", choices=meanings, widget=forms.RadioSelect)
        self.initial["meaning"] = self.NONE if self.instance.replaces is not None and not held else self.DRUGS
        for place in range(self.PLACES):
            label = "Ingredient" if not place else f"Ingredient {place + 1} of a combination"
            self.fields[f"ingredient_{place}"] = forms.ChoiceField(
                label=label, choices=[("", "–"), *((name, name) for name in names)], required=False
            )
            self.initial[f"ingredient_{place}"] = held[place] if place < len(held) else ""

    @property
    def places(self) -> list[forms.BoundField]:
        return [self[f"ingredient_{place}"] for place in range(self.PLACES)]

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        chosen = {name for place in range(self.PLACES) if (name := data.get(f"ingredient_{place}"))}
        drugs = data.get("meaning") == self.DRUGS
        if drugs and not chosen and "ingredient_0" not in self.errors:
            self.add_error("ingredient_0", "Choose an ingredient.")
        self.instance.ingredients = sorted(chosen) if drugs else []
        self.instance.withdrawn = data.get("meaning") == self.UNKNOWN
        return data
