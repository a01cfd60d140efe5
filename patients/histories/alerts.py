"""Safety prompts and red flags, with what they rest on; prompts put aside are counted and stay away."""

from collections.abc import Collection
from dataclasses import dataclass

from patients.headaches.prompts import Prompt
from patients.histories.evidence import Evidence
from patients.histories.parts import Sources
from patients.models import Patient, PromptDismissal
from patients.summaries import Summary

Dismissed = tuple[str, str, str]  # id, version, fingerprint


@dataclass(frozen=True, slots=True)
class Alert:
    """A prompt. text: the note itself; rule: its id, version, source and date."""

    id: str
    version: str
    fingerprint: str
    severity: str
    text: str
    rule: str
    sources: Sources


@dataclass(frozen=True, slots=True)
class Flag:
    """A red-flag item that the data show. urgent: newly on file."""

    item: str
    words: str
    urgent: bool
    rule: str
    sources: Sources


@dataclass(frozen=True, slots=True)
class Alerts:
    """shown: severity H, then M; details: L; aside: how many present prompts were put aside; caution: always
    shown with the flags."""

    shown: tuple[Alert, ...]
    details: tuple[Alert, ...]
    aside: int
    flags: tuple[Flag, ...]
    caution: str


def dismissed(patient: Patient) -> frozenset[Dismissed]:
    """Prompts that staff have put aside. One query."""
    rows = PromptDismissal.objects.current().filter(patient=patient, practice_id=patient.practice_id)
    return frozenset(rows.values_list("prompt", "version", "fingerprint"))


def alerts(made: Summary, evidence: Evidence, aside: Collection[Dismissed]) -> Alerts:
    present = [each for each in made.prompts if (each.id, each.version, each.fingerprint) not in aside]
    found = [_alert(each, evidence) for each in present]
    return Alerts(
        shown=tuple(each for each in found if each.severity != "L"),
        details=tuple(each for each in found if each.severity == "L"),
        aside=len(made.prompts) - len(present),
        flags=tuple(
            Flag(flag.item, flag.text, flag.urgent, flag.source, evidence.sources(flag.evidence))
            for flag in made.red_flags.found
        ),
        caution=made.red_flags.caution,
    )


def _alert(prompt: Prompt, evidence: Evidence) -> Alert:
    rule = f"Rule {prompt.id}, version {prompt.version} of {prompt.date}. Source: {prompt.source}."
    return Alert(
        prompt.id,
        prompt.version,
        prompt.fingerprint,
        prompt.severity,
        prompt.text,
        rule,
        evidence.sources(prompt.evidence),
    )
