"""What a patient's story is made of, before it is written down badly. All times are days before today."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """Who the patient is. `age` in years; `born` is (month, day); the birth year follows from today."""

    given: str
    family: str
    sex: str
    age: int
    born: tuple[int, int]
    middle: str = ""
    former_family: str = ""
    speaks: str = "en"


@dataclass(frozen=True)
class Diagnosis:
    """A condition: ICD-10-CM code, first and last time it was recorded, and onset as somebody typed it.

    sudden: it began when it was recorded, so nobody types an onset of years ago.
    """

    icd: str
    since: int
    until: int = 0
    onset: str = ""
    listed: bool = True
    at_visits: bool = True
    resolved: bool = False
    sudden: bool = False


@dataclass(frozen=True)
class Course:
    """One drug over time: ordered at `start`, again at visits at least `every` days apart, until `stop`."""

    product: str
    start: int
    stop: int | None = None
    every: int = 80
    ending: str = "stopped"
    reported: bool = False


@dataclass(frozen=True)
class Trend:
    """Scores from the first to the last visit: (first, last) of each; None where never asked. `share`: of
    the visits since `since` days ago at which they were asked."""

    midas: tuple[int, int] | None = None
    hit6: tuple[int, int] | None = None
    headache_days: tuple[int, int] | None = None
    phq9: tuple[int, int] | None = None
    gad7: tuple[int, int] | None = None
    since: int = 2000
    share: float = 0.45


@dataclass(frozen=True)
class Study:
    """An imaging study or laboratory panel, `ago` days before today; `kind` is a key of `reports`."""

    kind: str
    ago: int


@dataclass(frozen=True)
class Done:
    """Something done to the patient, `ago` days before today; `kind` is a key of `procedures.OTHERS`."""

    kind: str
    ago: int


@dataclass(frozen=True)
class Story:
    """Everything that happened to one patient at this practice.

    forms: questionnaires filled in before visits, keys of `forms.FORMS`; papers: how many letters and scans
    came in; injury: the day of a head injury; last_visit: nothing happened here later than that; died: the day of
    death; replaces, replaced_by: number of the patient whose chart was merged into this one, or the other way.
    """

    name: str
    diagnoses: tuple[Diagnosis, ...]
    courses: tuple[Course, ...] = ()
    trend: Trend = Trend()
    allergies: tuple[str, ...] = ()
    studies: tuple[Study, ...] = ()
    first_visit: int = 900
    interval: int = 120
    botox_since: int | None = None
    blocks: tuple[int, ...] = ()
    emergencies: tuple[int, ...] = ()
    pressure: tuple[int, int] = (118, 76)
    weight_kg: float = 70.0
    height_cm: float = 165.0
    smoking: str = "never"
    messy: bool = False
    done: tuple[Done, ...] = ()
    forms: tuple[str, ...] = ()
    papers: int = 0
    injury: int | None = None
    last_visit: int = 0
    died: int | None = None
    replaces: int = 0
    replaced_by: int = 0
