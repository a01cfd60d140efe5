from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from emr import audit
from emr.connecting import rotation
from emr.models import Environment, SigningKey


class Command(BaseCommand):
    help = (
        "fields: seal every stored secret anew with the first of FIELD_KEYS, so that an old one can be dropped. "
        "signing: take every signing key the step that is due; with --emergency, replace an environment's at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["fields", "signing"])
        parser.add_argument("--emergency", choices=Environment.values, metavar="ENVIRONMENT")

    def handle(self, *args: object, **options: Any) -> None:
        if options["what"] == "fields":
            if options["emergency"]:
                raise CommandError("--emergency goes with signing.")
            call_command("rotate_field_keys", stdout=self.stdout)
        elif options["emergency"]:
            self._replace(options["emergency"])
        else:
            said = rotation.advance()
            self.stdout.write("\n".join(said) or "Nothing is due.")

    def _replace(self, environment: str) -> None:
        active = list(SigningKey.objects.filter(environment=environment, state=SigningKey.State.ACTIVE))
        if not active:
            raise CommandError(f"No key signs for the {environment}.")
        for key in active:
            new = rotation.replace_at_once(key)
            audit.record(
                audit.Action.KEY, by=None, object_id=new.pk, detail="signs; its predecessor was replaced at once"
            )
            self.stdout.write(f"{new} signs from now on; {key.kid[:12]}… has left the JWKS. Write to the vendor.")
