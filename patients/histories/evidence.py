"""From the keys of evidence to what a reader can open: each fact by its name, date and origin."""

from collections.abc import Iterable
from uuid import UUID

from django.urls import reverse

from patients.entering import Subject
from patients.headaches.record import Fact, Record, cited
from patients.histories.parts import Link, Sources

SHOWN = 5  # sources named beside one figure

_SOME = UUID(int=0)


class Evidence:
    """The facts of one patient's record by their keys."""

    def __init__(self, patient_id: UUID, record: Record) -> None:
        self._facts: dict[str, Fact] = {}
        for group in (
            record.conditions, record.treatments, record.allergies, record.measures, record.reports, record.visits,
            record.procedures, record.appointments, record.assessments,
        ):  # fmt: skip
            for fact in group:
                self._facts.setdefault(fact.source, fact)
        self._stated = {each.source: each for each in record.attestations}
        self._assessments = reverse("patients:assessments", args=[patient_id])
        self._patient_id = patient_id
        self._source = reverse("emr:source", args=[_SOME])  # once: asking for each costs more than the rest

    def href(self, key: str) -> str:
        """The page of a source: the raw resource, or what was entered in the clinic; "" for no key."""
        if not key:
            return ""
        if key.startswith("assessment:"):
            return self._assessments
        if key.startswith("attestation:"):
            stated = self._stated.get(key)
            return self.attest(stated.ingredient, stated.drug_class) if stated else ""
        return self._source.replace(str(_SOME), key)

    def attest(self, ingredient: str, drug_class: str) -> str:
        """The form for a statement on the trial of an ingredient or class."""
        slug = Subject(ingredient, "" if ingredient else drug_class, "").slug
        return reverse("patients:attest", args=[self._patient_id, slug]) if slug else ""

    def fact(self, key: str) -> Fact | None:
        return self._facts.get(key)

    def link(self, key: str) -> Link:
        fact = self._facts.get(key)
        return Link(cited(fact) if fact else self._entered(key), self.href(key))

    def _entered(self, key: str) -> str:
        stated = self._stated.get(key)
        if stated is None:
            return "Source"
        return " ".join(filter(None, ("Statement", f"by {stated.by}" if stated.by else "")))

    def sources(self, keys: Iterable[str], all_href: str = "", shown: int = SHOWN) -> Sources:
        """The first few keys as links. all_href: where the rest is listed."""
        found = list(dict.fromkeys(key for key in keys if key))
        links = tuple(self.link(key) for key in found[:shown])
        return Sources(len(found), links, all_href if len(found) > shown else "")
