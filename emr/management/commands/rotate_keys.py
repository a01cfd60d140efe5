from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Model

from emr import rotation
from emr.fields import Sealed, SecretField, SecretUnreadable, seal, unseal
from emr.models import Environment, SigningKey

BATCH = 500


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
            self._fields()
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
            self.stdout.write(f"{new} signs from now on; {key.kid[:12]}… has left the JWKS. Write to the vendor.")

    def _fields(self) -> None:
        done = unreadable = 0
        for model in apps.get_models():
            for field in model._meta.get_fields():
                if isinstance(field, SecretField):
                    sealed, lost = _reseal(model, field.attname)
                    done, unreadable = done + sealed, unreadable + lost
        self.stdout.write(f"{done} secrets are sealed with the first of FIELD_KEYS.")
        if unreadable:
            raise CommandError(
                f"{unreadable} secrets cannot be read with any of FIELD_KEYS and were left as they are: "
                "do not drop a key before they are entered anew."
            )


def _reseal(model: type[Model], name: str) -> tuple[int, int]:
    """(sealed anew, unreadable) of one field. A value that changed meanwhile is newer than ours and is left alone."""
    done = unreadable = 0
    rows = model._default_manager.exclude(**{name: ""}).values_list("pk", name)
    for pk, old in rows.iterator(chunk_size=BATCH):
        try:
            new = seal(model, name, pk, unseal(model, name, pk, old))
        except SecretUnreadable:
            unreadable += 1
            continue
        done += model._default_manager.filter(**{"pk": pk, name: Sealed(old)}).update(**{name: new})
    return done, unreadable
