from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from emr import audit_chain
from emr.models import Practice
from emr.models.auditing import NO_PRACTICE


class Command(BaseCommand):
    help = "Read the audit trail from its beginning and name every event that is not as it was written."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--practice", metavar="CODE", help="this practice's chain only")
        parser.add_argument(
            "--heads", type=Path, metavar="FILE", help="heads kept elsewhere; without it, AUDIT_HEADS_FILE if it exists"
        )

    def handle(self, *args: object, **options: Any) -> None:
        heads = self._heads(options["heads"])
        chains = set(audit_chain.chains(self._practice(options["practice"])))
        if not options["practice"]:
            chains |= heads.keys()  # a chain of which nothing is left but what was written elsewhere
        found = 0
        for chain in sorted(chains):
            verdict = audit_chain.verify(chain, heads)
            found += len(verdict.faults)
            state = f"{len(verdict.faults)} faults" if verdict.faults else "as written"
            self.stdout.write(f"{self._name(chain)}: {verdict.events} events, {state}")
            for fault in verdict.faults:
                self.stdout.write(f"  event {fault.number} {fault.what}")
        if found:
            raise CommandError(f"The audit trail is not as it was written: {found} faults.")

    def _practice(self, code: str | None) -> UUID | None:
        if not code:
            return None
        practice = Practice.objects.filter(code=code).first()
        if practice is None:
            raise CommandError(f"There is no practice with the code {code}.")
        return practice.pk

    def _heads(self, path: Path | None) -> audit_chain.Heads:
        default = Path(settings.AUDIT_HEADS_FILE)
        if path is None and not default.exists():
            self.stdout.write("No heads kept elsewhere: chains rewritten as a whole would not be noticed.")
            return {}
        try:
            return audit_chain.written_heads(path or default)
        except (OSError, ValueError) as error:
            raise CommandError(f"The heads kept elsewhere cannot be read: {error}") from None

    def _name(self, chain: UUID) -> str:
        if chain == NO_PRACTICE:
            return "Events of no practice"
        practice = Practice.objects.filter(pk=chain).first()
        return str(practice) if practice else f"Chain {chain}"
