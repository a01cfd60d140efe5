"""What the clinic itself enters: assessments, statements on trials, prompts put aside, texts bound to drugs."""

from collections.abc import Sequence
from datetime import date
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q

from patients.headaches import scores
from patients.headaches.dates import PartialDate
from patients.headaches.record import Person
from patients.models.records import Precision
from patients.models.versions import AboutPatient, Entered
from patients.wording import date_words

ADULT = 18  # MIDAS grades are for adults: PedMIDAS has other bands


def _among(field: str, choices: type[models.TextChoices | models.IntegerChoices]) -> models.CheckConstraint:
    return models.CheckConstraint(condition=Q(**{f"{field}__in": choices.values}), name=f"%(class)s_{field}_is_known")


def _reasoned() -> models.CheckConstraint:
    return models.CheckConstraint(condition=Q(replaces=None) | ~Q(why=""), name="%(class)s_correction_has_a_reason")


def _days(words: str, most: int) -> Any:
    """A count that may be missing: missing is not zero."""
    return models.PositiveSmallIntegerField(words, null=True, blank=True, validators=[MaxValueValidator(most)])


class Origin(models.TextChoices):
    CLINICIAN = "clinician", "Clinician"
    ROOMING = "rooming", "Staff at rooming"
    PATIENT = "patient", "Patient, on paper or tablet"


MIDAS_NAMES = tuple(f"midas_{number}" for number in range(1, scores.MIDAS_ITEMS + 1))
HIT6_NAMES = tuple(f"hit6_{number}" for number in range(1, scores.HIT6_ITEMS + 1))
DAY_NAMES = ("headache_days", "migraine_days", "acute_medication_days")
ASKED = (*DAY_NAMES, "four_hours", *MIDAS_NAMES, "midas_a", "midas_b", *HIT6_NAMES)


def _hit6(words: str) -> Any:
    return models.PositiveSmallIntegerField(words, null=True, blank=True, choices=scores.HIT6_POINTS.items())


def _answered() -> Q:
    answered = Q(withdrawn=True)
    for name in ASKED:
        answered |= Q(**{f"{name}__isnull": False})
    return answered


def _in_range() -> list[models.CheckConstraint]:
    """Upper limits; the columns themselves refuse what is below zero. A missing value passes all of them."""
    limits = {name: Q(**{f"{name}__lte": F("period_days")}) for name in (*DAY_NAMES, "diary_days")}
    limits |= {name: Q(**{f"{name}__lte": scores.MIDAS_MOST_DAYS}) for name in (*MIDAS_NAMES, "midas_a")}
    limits |= {name: Q(**{f"{name}__in": list(scores.HIT6_POINTS)}) for name in HIT6_NAMES}
    limits["midas_b"] = Q(midas_b__lte=10)
    limits["migraine_days_of_headache_days"] = Q(migraine_days__lte=F("headache_days"))
    return [
        models.CheckConstraint(condition=condition, name=f"%(class)s_{name}_range")
        for name, condition in limits.items()
    ]


class Period(models.IntegerChoices):
    FOUR_WEEKS = 28, "28 days"
    THIRTY_DAYS = 30, "30 days"
    LONG_MONTH = 31, "31 days"
    THREE_MONTHS = 90, "90 days"


class Assessment(AboutPatient):
    """Headache days, MIDAS and HIT-6 of one day, as asked in the clinic. None: not asked; 0: stated as none.

    diary_days: days of the period that a diary stands behind; None: the figures were told.
    """

    date = models.DateField()
    period_days = models.PositiveSmallIntegerField("days asked about", choices=Period, default=Period.THIRTY_DAYS)
    headache_days = _days("headache days", 90)
    migraine_days = _days("of these, migraine days", 90)
    acute_medication_days = _days("days with acute medication", 90)
    diary_days = _days("days with a diary entry", 90)
    four_hours = models.BooleanField("headache lasts 4 hours or more a day", null=True, blank=True)
    # Topics, not the questionnaires' sentences: those are on the printed forms.
    midas_1 = _days("work or school missed", scores.MIDAS_MOST_DAYS)
    midas_2 = _days("work or school at half or less", scores.MIDAS_MOST_DAYS)
    midas_3 = _days("household work not done", scores.MIDAS_MOST_DAYS)
    midas_4 = _days("household work at half or less", scores.MIDAS_MOST_DAYS)
    midas_5 = _days("family, social or leisure missed", scores.MIDAS_MOST_DAYS)
    midas_a = _days("A: days with headache", scores.MIDAS_MOST_DAYS)
    midas_b = _days("B: pain on average, 0 to 10", 10)
    hit6_1 = _hit6("severe pain")
    hit6_2 = _hit6("daily activities limited")
    hit6_3 = _hit6("wish to lie down")
    hit6_4 = _hit6("too tired for work or daily activities")
    hit6_5 = _hit6("fed up or irritated")
    hit6_6 = _hit6("hard to concentrate")
    origin = models.CharField("who gave the numbers", max_length=10, choices=Origin)
    note = models.TextField(max_length=1000, blank=True)

    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("date", "period_days", "diary_days", *ASKED, "note", "why")

    class Meta(AboutPatient.Meta):
        constraints = [
            *AboutPatient.Meta.constraints,
            _reasoned(),
            _among("origin", Origin),
            _among("period_days", Period),
            models.CheckConstraint(condition=_answered(), name="%(class)s_says_something"),
            *_in_range(),
        ]
        indexes = [models.Index(fields=["patient", "-date"], name="assessments_of_patient")]

    @property
    def midas_items(self) -> tuple[int | None, ...]:
        return tuple(getattr(self, name) for name in MIDAS_NAMES)

    @property
    def hit6_items(self) -> tuple[int | None, ...]:
        return tuple(getattr(self, name) for name in HIT6_NAMES)

    @property
    def midas_words(self) -> str:
        """The answers, as "4, 6, not asked, 5, 6; A 31; B 7"; "" when none was given."""
        answers = (*self.midas_items, self.midas_a, self.midas_b)
        return f"{_listed(self.midas_items)}; A {_said(answers[-2])}; B {_said(answers[-1])}" if _any(answers) else ""

    @property
    def hit6_words(self) -> str:
        """The points of each answer; "" when none was given."""
        return _listed(self.hit6_items) if _any(self.hit6_items) else ""

    @property
    def midas_total(self) -> int | None:
        return scores.midas_total(self.midas_items)

    @property
    def hit6_total(self) -> int | None:
        return scores.hit6_total(self.hit6_items)

    @property
    def midas_band(self) -> str:
        """The grade in words; "" without a total, and under 18 years, for whom it is not made."""
        total = self.midas_total
        return "" if total is None or self._is_minor else scores.band("MIDAS", total)

    @property
    def hit6_band(self) -> str:
        total = self.hit6_total
        return "" if total is None else scores.band("HIT-6", total)

    @property
    def _is_minor(self) -> bool:
        born: date | None = self.patient.birth_date
        if born is None:
            return False
        age = Person(born=PartialDate(born, "day", str(born))).age(self.date)
        return age is not None and age < ADULT


def _any(answers: Sequence[int | None]) -> bool:
    return any(answer is not None for answer in answers)


def _said(answer: int | None) -> str:
    return "not asked" if answer is None else str(answer)


def _listed(answers: Sequence[int | None]) -> str:
    return ", ".join(map(_said, answers))


class Outcome(models.TextChoices):
    EFFECTIVE = "effective", "Effective"
    PARTLY = "partly-effective", "Partly effective"
    NOT_EFFECTIVE = "not-effective", "Not effective"
    NOT_TOLERATED = "not-tolerated", "Not tolerated"
    CONTRAINDICATED = "contraindicated", "Contraindicated"
    OTHER = "other", "Other"
    UNKNOWN = "unknown", "Not known"


class Stopped(models.TextChoices):
    NOT_STOPPED = "not-stopped", "Not stopped"
    NO_EFFECT = "no-effect", "Effect absent or too small"
    ADVERSE = "adverse-effect", "Adverse effect"
    CONDITION = "condition", "Another condition or medication"
    PREGNANCY = "pregnancy", "Pregnancy, or planned"
    COVERAGE = "coverage", "Cost or coverage"
    PREFERENCE = "preference", "Patient's wish"
    NOT_NEEDED = "not-needed", "No longer needed"
    OTHER = "other", "Other"
    UNKNOWN = "unknown", "Not known"


class YesNo(models.TextChoices):
    YES = "yes", "Yes"
    NO = "no", "No"
    UNKNOWN = "unknown", "Not known"


class Attestation(AboutPatient):
    """What staff state about one ingredient, or one class of drugs, of one patient.

    One chain of versions for each patient and subject. started, ended: what staff know better than the record,
    as precise as they know it; None: the record's dates stand.
    """

    ingredient = models.CharField(max_length=60, blank=True, help_text="a name of codelists/rxnorm_ingredients.csv")
    drug_class = models.CharField(max_length=60, blank=True, help_text="a class of codelists/medication_classes.csv")
    outcome = models.CharField(max_length=20, choices=Outcome)
    stopped = models.CharField("reason stopped", max_length=20, choices=Stopped, default=Stopped.UNKNOWN)
    stopped_words = models.CharField("reason in words", max_length=300, blank=True)
    dose_reached = models.CharField("highest dose reached", max_length=80, blank=True)
    target_dose = models.CharField(max_length=10, choices=YesNo, default=YesNo.UNKNOWN)
    for_headache = models.CharField(max_length=10, choices=YesNo, default=YesNo.UNKNOWN)
    started = models.DateField(null=True, blank=True)
    started_precision = models.CharField(max_length=5, choices=Precision, blank=True)
    ended = models.DateField(null=True, blank=True)
    ended_precision = models.CharField(max_length=5, choices=Precision, blank=True)
    origin = models.CharField("who said so", max_length=10, choices=Origin)
    note = models.TextField(max_length=1000, blank=True)

    SUBJECT: ClassVar[tuple[str, ...]] = (*AboutPatient.SUBJECT, "ingredient", "drug_class")
    PHI_FIELDS: ClassVar[tuple[str, ...]] = (
        "ingredient", "drug_class", "outcome", "stopped", "stopped_words", "dose_reached", "target_dose",
        "for_headache", "started", "ended", "note", "why",
    )  # fmt: skip

    class Meta(AboutPatient.Meta):
        constraints = [
            *AboutPatient.Meta.constraints,
            _reasoned(),
            *(_among(name, YesNo) for name in ("target_dose", "for_headache")),
            _among("outcome", Outcome),
            _among("stopped", Stopped),
            _among("origin", Origin),
            models.CheckConstraint(
                condition=(~Q(ingredient="") & Q(drug_class="")) | (Q(ingredient="") & ~Q(drug_class="")),
                name="%(class)s_about_one_thing",
            ),
            models.UniqueConstraint(
                fields=["patient", "ingredient", "drug_class"],
                condition=Q(replaces=None),
                name="%(class)s_one_chain",
            ),
        ]

    @property
    def start_words(self) -> str:
        return date_words(self.started, self.started_precision)

    @property
    def end_words(self) -> str:
        return date_words(self.ended, self.ended_precision)


class PromptDismissal(AboutPatient):
    """A safety prompt put aside, with the reason. The fingerprint stands for the facts the prompt rests on: when
    they change it is another prompt, and shown again. A withdrawn version: shown again on somebody's wish.
    """

    prompt = models.CharField(max_length=60)
    version = models.CharField(max_length=20)
    fingerprint = models.CharField(max_length=64)

    SUBJECT: ClassVar[tuple[str, ...]] = (*AboutPatient.SUBJECT, "prompt", "version", "fingerprint")
    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("prompt", "fingerprint", "why")

    class Meta(AboutPatient.Meta):
        constraints = [
            *AboutPatient.Meta.constraints,
            models.CheckConstraint(condition=Q(withdrawn=True) | ~Q(why=""), name="%(class)s_has_a_reason"),
            models.CheckConstraint(
                condition=~Q(prompt="") & ~Q(version="") & ~Q(fingerprint=""), name="%(class)s_names_a_prompt"
            ),
            models.UniqueConstraint(
                fields=["patient", "prompt", "version", "fingerprint"],
                condition=Q(replaces=None),
                name="%(class)s_one_chain",
            ),
        ]


class DrugBinding(Entered):
    """What a practice says an unknown medication text means.

    text: normalised, see patients.bindings; written: as a record had it; ingredients: names of
    codelists/rxnorm_ingredients.csv, none for "no drug of that table"; rebuilt_at: None while histories with that
    text wait for their rebuild.
    """

    text = models.CharField(max_length=300)
    written = models.CharField(max_length=300)
    ingredients = models.JSONField(default=list)
    rebuilt_at = models.DateTimeField(null=True)

    SUBJECT: ClassVar[tuple[str, ...]] = (*Entered.SUBJECT, "text")
    OF_THE_VERSION: ClassVar[frozenset[str]] = Entered.OF_THE_VERSION | {"rebuilt_at"}
    # A medication's text is written by hand, and hands write names.
    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("text", "written")

    class Meta(Entered.Meta):
        constraints = [
            *Entered.Meta.constraints,
            models.CheckConstraint(condition=~Q(text=""), name="%(class)s_has_a_text"),
            models.UniqueConstraint(
                fields=["practice", "text"], condition=Q(replaces=None), name="%(class)s_one_chain"
            ),
        ]
