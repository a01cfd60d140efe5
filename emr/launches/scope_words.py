"""SMART scopes in words a patient understands, and what was granted beside what was asked for.

Texts are translated where they are shown; the Spanish stands in locale/es.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from emr.wire import scopes

Words = str | Promise

# FHIR types that are one thing to a patient have one line.
_LINES: tuple[tuple[Words, tuple[str, ...]], ...] = (
    (_("Your name, birth date and how to reach you"), ("Patient", "Person")),
    (_("Your health problems and diagnoses"), ("Condition",)),
    (
        _("Your medicines"),
        ("MedicationRequest", "Medication", "MedicationAdministration", "MedicationDispense", "MedicationStatement"),
    ),
    (_("Your allergies"), ("AllergyIntolerance",)),
    (_("Your test results and measures, such as blood pressure"), ("Observation", "Specimen")),
    (_("Reports of your tests and scans"), ("DiagnosticReport", "Media", "ImagingStudy")),
    (_("Your visits and appointments"), ("Encounter", "Appointment")),
    (_("Treatments and procedures you had"), ("Procedure", "Device", "DeviceUseStatement")),
    (_("Visit notes and letters about you"), ("DocumentReference", "Binary", "Composition")),
    (_("Your answers to health questions"), ("QuestionnaireResponse", "Questionnaire")),
    (_("Your vaccines"), ("Immunization",)),
    (_("Illnesses in your family"), ("FamilyMemberHistory",)),
    (_("Your care plans and goals"), ("CarePlan", "CareTeam", "Goal", "ServiceRequest")),
    (_("Your health insurance"), ("Coverage", "Claim", "ExplanationOfBenefit")),
    (_("People you named as family or helpers"), ("RelatedPerson",)),
    (
        _("The names of your doctors and clinics"),
        ("Practitioner", "PractitionerRole", "Organization", "Location", "HealthcareService", "Endpoint"),
    ),
    (_("Who wrote each part of your record"), ("Provenance",)),
)
# In the order of the page: the wildcard first, what we have no words for last.
_WORDS: tuple[Words, ...] = (
    _("Everything in your record that can be shared"),
    *(words for words, _kinds in _LINES),
    _("Other parts of your record"),
)
_PLACE = {"*": 0} | {kind: place for place, (_words, kinds) in enumerate(_LINES, 1) for kind in kinds}
_SIGN_IN = frozenset({"openid", "fhirUser", "profile"})
_PERSON = ("patient", "user")


@dataclass(frozen=True)
class Line:
    """One thing that is read. types: the FHIR types it stands for, of those asked for."""

    words: Words
    types: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """Granted beside asked for, for staff. withheld: asked for and not granted. extra: granted and never asked for."""

    granted: tuple[Line, ...]
    withheld: tuple[Line, ...]
    extra: tuple[Line, ...]


def lines(scope: str) -> tuple[Line, ...]:
    """What a list of scopes lets one read, in plain words; types that are one thing to a patient are one line."""
    return _lines(_types(scope))


def compared(requested: str, granted: str) -> Compared:
    """What came of a request. A type counts as granted when any granted scope lets it be read, wildcards included."""
    wanted = _types(requested)
    given = [kind for kind in wanted if _readable(granted, kind)]
    return Compared(
        granted=_lines(given),
        withheld=_lines(kind for kind in wanted if kind not in given),
        extra=_lines(kind for kind in _types(granted) if not _readable(requested, kind)),
    )


def may_write(scope: str) -> bool:
    """True when one of the scopes lets the record be changed."""
    return any(parsed.permissions & set("cud") for parsed in scopes.parse(scope))


def lasts(scope: str) -> bool:
    """True when the scopes let data be read while the person is away (a refresh token: offline_access)."""
    return "offline_access" in scope.split()


def names_person(scope: str) -> bool:
    """True when the scopes tell who signed in (OpenID Connect)."""
    return not _SIGN_IN.isdisjoint(scope.split())


def _types(scope: str) -> list[str]:
    """Types that may be read, in the order of the scopes."""
    readable = (parsed for parsed in scopes.parse(scope) if parsed.permissions & set("rs"))
    return list(dict.fromkeys(parsed.resource_type for parsed in readable))


def _readable(scope: str, kind: str) -> bool:
    return any(
        parsed.context in _PERSON and parsed.resource_type in ("*", kind) and parsed.permissions & set("rs")
        for parsed in scopes.parse(scope)
    )


def _lines(kinds: Iterable[str]) -> tuple[Line, ...]:
    found: dict[int, list[str]] = {}
    for kind in kinds:
        found.setdefault(_PLACE.get(kind, len(_WORDS) - 1), []).append(kind)
    return tuple(Line(_WORDS[place], tuple(types)) for place, types in sorted(found.items()))
