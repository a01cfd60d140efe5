from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from emr.models import Practice, Resource
from patients import bindings, listing
from patients.models import Patient
from patients.projection import Changes, rebuild

_BAR = 30


class Command(BaseCommand):
    help = "Rebuild the patients' histories from the stored resources. Safe at any time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--practice", metavar="CODE", help="only this practice's patients (six capital letters)")
        parser.add_argument("--patient", metavar="UUID", type=UUID, help="only this patient")

    def handle(self, *args: Any, practice: str | None, patient: UUID | None, **options: Any) -> None:
        changes, began = Changes(), timezone.now()
        wanted = self._patients(practice, patient)
        for done, (practice_id, fhir_id) in enumerate(wanted, start=1):
            changes += rebuild(practice_id, fhir_id)
            for found in Patient.objects.select_related("practice").filter(practice=practice_id, fhir_id=fhir_id):
                listing.refresh(found)
            self._show_progress(done, len(wanted))
        if patient is None:
            chosen = Practice.objects.get(code=practice).pk if practice else None
            bindings.mark_rebuilt(chosen, entered_before=began)
        self.stdout.write(
            f"Patients: {len(wanted)}. Entries: {changes.new} new, {changes.changed} changed, "
            f"{changes.gone} gone, {changes.same} unchanged."
        )

    def _patients(self, code: str | None, patient: UUID | None) -> list[tuple[UUID, str]]:
        """(practice, FHIR id) of everybody with a resource or a Patient row."""
        known = Patient.objects.order_by()
        about = Resource.objects.order_by().exclude(patient_fhir_id="")
        if code:
            if not Practice.objects.filter(code=code).exists():
                raise CommandError(f"No practice has the code {code}.")
            known, about = known.filter(practice__code=code), about.filter(practice__code=code)
        if patient:
            known, about = known.filter(pk=patient), about.none()
            if not known.exists():
                raise CommandError(f"No patient {patient}{f' in practice {code}' if code else ''}.")
        return sorted(
            known.values_list("practice_id", "fhir_id").union(about.values_list("practice_id", "patient_fhir_id"))
        )

    def _show_progress(self, done: int, total: int) -> None:
        if self.stdout.isatty():
            filled = _BAR * done // total
            bar = "█" * filled + "·" * (_BAR - filled)
            self.stdout.write(f"\r{bar} {done} of {total} patients", ending="\n" if done == total else "")
