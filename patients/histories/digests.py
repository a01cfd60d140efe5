"""Pages kept ready: a long chart is read once, by the worker that changed it or by the day's first reader.

A digest holds for one day and for what it was made of. Its stamp names all of that, so one that is out of date is
never shown, whoever forgot to refresh it. It is signed for its patient: markup that anything else wrote into the
table is not shown either.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.db.models import Count, IntegerField, Model, OuterRef, Subquery
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from patients.absence import Completeness
from patients.histories.heading import Heading
from patients.histories.page import page
from patients.histories.parts import plain
from patients.models import Assessment, Attestation, Digest, Entry, Patient, PromptDismissal

_CODE = Path(__file__).parents[1]
_COUNTED: tuple[type[Model], ...] = (Entry, Assessment, Attestation, PromptDismissal)


@dataclass(frozen=True, slots=True)
class Sheet:
    """headline, body: markup above and below the alerts; alerts: of histories.Alerts as mappings, since their forms
    belong to one request."""

    headline: SafeString
    alerts: Mapping[str, Any]
    body: SafeString


def sheet(patient: Patient, top: Heading, cautions: Mapping[str, str], today: date) -> Sheet:
    """The patient's page. One query when a digest of today is there, else also those of the page."""
    state = _state(patient)
    stamp = _stamp(state, top, cautions, today)
    signer = Signer(salt=f"patients.digest.{patient.pk}.{stamp}")
    if state["digest__stamp"] == stamp:
        try:
            return _sheet(signer.unsign_object(state["digest__sheet"]))
        except BadSignature:
            pass  # written by somebody else, or before the secret key changed: made anew
    patient.created_at = state["created_at"]
    made = _rendered(patient, top, cautions, today)
    Digest.objects.bulk_create(
        [Digest(patient=patient, stamp=stamp, sheet=signer.sign_object(made, compress=True), made_at=timezone.now())],
        update_conflicts=True,
        unique_fields=["patient"],
        update_fields=["stamp", "sheet", "made_at"],
    )
    return _sheet(made)


def _rendered(patient: Patient, top: Heading, cautions: Mapping[str, str], today: date) -> dict[str, Any]:
    made = plain(page(patient, top.completeness, today))
    context = {"page": made, "patient": patient, "banner": top.banner, "known": top.completeness, "cautions": cautions}
    return {
        "headline": render_to_string("patients/_headline.html", context),
        "alerts": made["alerts"],
        "body": render_to_string("patients/_body.html", context),
    }


def _sheet(made: Mapping[str, Any]) -> Sheet:
    # Both come from our templates: rendered a moment ago, or signed when they were.
    return Sheet(mark_safe(made["headline"]), made["alerts"], mark_safe(made["body"]))  # noqa: S308


def _state(patient: Patient) -> dict[str, Any]:
    """The digest, and what it has to agree with. What staff enter is only ever added: its number tells."""
    numbers = {f"number_of_{model._meta.model_name}": _number(model) for model in _COUNTED}
    rows = Patient.objects.filter(pk=patient.pk, practice_id=patient.practice_id).annotate(**numbers)
    found: dict[str, Any] = dict(
        rows.values("created_at", "projected_at", "digest__stamp", "digest__sheet", *numbers).get()
    )
    return found | {"numbers": [found[name] for name in numbers]}


def _number(model: type[Model]) -> Subquery:
    rows = model._default_manager.filter(patient=OuterRef("pk")).order_by().values("patient")
    return Subquery(rows.annotate(number=Count("*")).values("number"), output_field=IntegerField())


def _stamp(state: Mapping[str, Any], top: Heading, cautions: Mapping[str, str], today: date) -> str:
    said = [
        _release(), today, state["projected_at"], state["numbers"], top.banner.allergies, top.banner.allergies_detail,
        cautions, *_absences(top.completeness),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()


def _absences(known: Completeness) -> list[tuple[str, str, str]]:
    return [(each.resource_type, each.outcome, each.sentence) for each in known.states]


@cache
def _release() -> str:
    """Of rules, tables and templates themselves: a new release makes every page anew."""
    engines: list[dict[str, Any]] = settings.TEMPLATES
    templates = [Path(folder) for folder in engines[0]["DIRS"]]
    made = hashlib.sha256()
    for path in sorted(path for folder in (_CODE, *templates) for path in folder.rglob("*.*")):
        if path.suffix in {".py", ".csv", ".html"}:
            made.update(path.read_bytes())
    return made.hexdigest()
