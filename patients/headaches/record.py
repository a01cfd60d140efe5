"""One patient's facts as the rules want them. Each has a `source`: the opaque key of the row it was read from.

Nothing here was judged: what a fact means for headache is said by the rules that read it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal, Protocol, TypeVar

from patients.headaches.coding import Coding
from patients.headaches.dates import PartialDate
from patients.headaches.orders import Order
from patients.wording import date_words

Sex = Literal["female", "male", ""]

_OVER = frozenset({"inactive", "resolved", "remission"})
_WITHDRAWN = frozenset({"refuted", "entered-in-error"})


class Fact(Protocol):
    """What every conclusion may cite. said: what the fact says, without when or on which paper."""

    @property
    def source(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def dated(self) -> PartialDate | None: ...
    @property
    def origin(self) -> str: ...
    @property
    def said(self) -> str: ...


F = TypeVar("F", bound=Fact)


@dataclass(frozen=True, slots=True)
class Person:
    """sex: "female", "male", "" for any other or none on file; born: None when not on file."""

    sex: Sex = ""
    born: PartialDate | None = None
    deceased: bool = False

    def age(self, on: date) -> int | None:
        """Full years at that day, the most the record allows; None without a birth date or before birth."""
        if self.born is None or self.born.value > on:
            return None
        born = self.born.value
        return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


@dataclass(frozen=True, slots=True)
class Condition:
    """A diagnosis of the record.

    dated: onset, recorded or asserted, as `meaning` says; recorded, onset: those dates where they are on
    file; onset_words: an onset that is no date ("childhood"); headache_class and words: of
    codelists/headache_classes.csv, "" for other diagnoses; comorbidity: of codelists/comorbidities.csv.
    """

    source: str
    title: str
    codings: tuple[Coding, ...] = ()
    dated: PartialDate | None = None
    meaning: str = ""
    recorded: PartialDate | None = None
    onset: PartialDate | None = None
    onset_words: str = ""
    end: date | None = None
    clinical: str = ""
    verification: str = ""
    category: str = ""
    headache_class: str = ""
    words: str = ""
    comorbidity: str = ""
    comorbidity_words: str = ""
    conflicts: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        return self.codings[0].code.strip() if self.codings else ""

    @property
    def stands(self) -> bool:
        """Whether the record still holds the statement at all."""
        return self.verification not in _WITHDRAWN

    def active(self, today: date) -> bool:
        """Whether nothing on file ends it: no status is read as active, as most EMRs never set one."""
        return self.stands and self.clinical not in _OVER and (self.end is None or self.end > today)

    @property
    def origin(self) -> str:
        return "diagnosis"

    @property
    def said(self) -> str:
        return f"{self.code or self.title.lower()}|{self.clinical}"


@dataclass(frozen=True, slots=True)
class Treatment:
    """A MedicationRequest. drug_class, class_words, role, moh_days: as classified, "" and None when not.

    excluded_reason: why the product is none for headache; forbidden: an order not to give the drug; texts:
    every wording of the product.
    """

    order: Order
    title: str
    role: str = ""
    class_words: str = ""
    moh_days: int | None = None
    excluded_reason: str = ""
    forbidden: bool = False
    unclassified: bool = False
    texts: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        return self.order.key

    @property
    def dated(self) -> PartialDate | None:
        return self.order.authored

    @property
    def origin(self) -> str:
        return "reported medication" if self.order.reported else "medication order"

    @property
    def said(self) -> str:
        return f"{'+'.join(self.order.ingredients)}|{self.title.lower()}"


@dataclass(frozen=True, slots=True)
class Allergy:
    """An allergy or intolerance. none_known: the scope of a statement that there are none, "" for a real one."""

    source: str
    title: str
    dated: PartialDate | None = None
    codings: tuple[Coding, ...] = ()
    clinical: str = ""
    verification: str = ""
    type: str = ""
    criticality: str = ""
    reactions: tuple[str, ...] = ()
    none_known: str = ""

    @property
    def stands(self) -> bool:
        """Whether it names a substance and is neither refuted nor over."""
        return not self.none_known and self.verification not in _WITHDRAWN and self.clinical not in _OVER

    @property
    def origin(self) -> str:
        return "intolerance list" if self.type == "intolerance" else "allergy list"

    @property
    def said(self) -> str:
        return self.title.lower()


@dataclass(frozen=True, slots=True)
class Measure:
    """A value of the record. group: the instrument ("midas", "blood-pressure" …), code: LOINC, "" for none.

    systolic, diastolic: of a blood pressure; out_of_range: cannot be a score of its instrument.
    """

    source: str
    title: str
    group: str = ""
    code: str = ""
    dated: PartialDate | None = None
    value: Decimal | None = None
    value_text: str = ""
    unit: str = ""
    band: str = ""
    out_of_range: bool = False
    systolic: Decimal | None = None
    diastolic: Decimal | None = None
    note: bool = False

    @property
    def origin(self) -> str:
        return "value in a note" if self.note else "measured value"

    @property
    def said(self) -> str:
        return f"{self.title.lower()}|{self.value_text or self.value}|{self.dated.raw if self.dated else ''}"


@dataclass(frozen=True, slots=True)
class Happening:
    """A visit, appointment, procedure or report, as `kind` says.

    group: "emergency", "imaging", "botox-procedure", "nerve-block" …; words: reason of a visit, conclusion of
    a report; about_headache: its reason names a headache; modality, region: of imaging; attended: "yes" or "no"
    where the record says so; excluded_reason: why a toxin session is none for headache.
    """

    source: str
    kind: str
    title: str
    dated: PartialDate | None = None
    end: date | None = None
    group: str = ""
    code: str = ""
    status: str = ""
    about_headache: bool = False
    words: str = ""
    modality: str = ""
    region: str = ""
    attended: str = ""
    excluded_reason: str = ""

    @property
    def origin(self) -> str:
        return self.kind

    @property
    def said(self) -> str:
        return f"{self.title.lower()}|{self.status}|{self.dated.raw if self.dated else ''}"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was asked and entered in the clinic: days of the period_days before `on`, MIDAS and HIT-6.

    midas, hit6: totals, None unless all items were answered; midas_items: the five items; documented_days: days
    of a diary behind the figures, None when they were told; by: who entered it.
    """

    source: str
    on: date
    period_days: int = 30
    headache_days: int | None = None
    migraine_days: int | None = None
    acute_days: int | None = None
    midas: int | None = None
    midas_items: tuple[int, ...] = ()
    hit6: int | None = None
    documented_days: int | None = None
    by: str = ""

    @property
    def title(self) -> str:
        return "Clinic entry"

    @property
    def dated(self) -> PartialDate | None:
        return PartialDate(self.on, "day", self.on.isoformat())

    @property
    def origin(self) -> str:
        return "clinic entry"

    @property
    def said(self) -> str:
        return f"{self.headache_days}|{self.migraine_days}|{self.acute_days}|{self.midas}|{self.hit6}|{self.on}"


@dataclass(frozen=True, slots=True)
class Attestation:
    """A staff member's statement on a trial of one ingredient, or (ingredient "") of one class of drugs.

    for_headache, target_dose: "yes", "no", "unknown" or ""; outcome and its words; reason: why stopped, in words;
    started, ended: where staff know better than the record.
    """

    source: str
    ingredient: str
    drug_class: str = ""
    for_headache: str = ""
    outcome: str = ""
    outcome_words: str = ""
    reason: str = ""
    dose: str = ""
    target_dose: str = ""
    started: PartialDate | None = None
    ended: PartialDate | None = None
    on: date | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything the rules read of one patient.

    repeated: how many further facts say the very same as one that is here; hidden: resources that are shown
    nowhere, as they were entered in error or the EMR no longer sends them.
    """

    person: Person = field(default_factory=Person)
    conditions: tuple[Condition, ...] = ()
    treatments: tuple[Treatment, ...] = ()
    allergies: tuple[Allergy, ...] = ()
    measures: tuple[Measure, ...] = ()
    reports: tuple[Happening, ...] = ()
    visits: tuple[Happening, ...] = ()
    procedures: tuple[Happening, ...] = ()
    appointments: tuple[Happening, ...] = ()
    assessments: tuple[Assessment, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    repeated: int = 0
    hidden: int = 0


def when(dated: PartialDate | None) -> str:
    """05-Oct-2026, Oct-2026 or 2026, as precise as the record; "no date" without one."""
    return date_words(dated.value, dated.precision) if dated else "no date"


def cited(fact: Fact) -> str:
    """“Sumatriptan 100 mg tablet (05-Oct-2026, medication order)”."""
    return f"{fact.title} ({when(fact.dated)}, {fact.origin})"


def day_of(fact: Fact) -> date | None:
    """The first day that the fact's date allows; None when undated."""
    return fact.dated.value if fact.dated else None


def newest(facts: Iterable[F]) -> list[F]:
    """Latest first, undated ones last; ties by source, so that the same data give the same list."""
    return sorted(facts, key=lambda fact: (-(day_of(fact) or date.min).toordinal(), fact.source))
