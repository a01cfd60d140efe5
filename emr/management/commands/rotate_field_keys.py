from typing import Any

from django.core.management.base import BaseCommand, CommandError

from emr import resealing


class Command(BaseCommand):
    help = (
        "Seal every stored secret anew with the first of FIELD_KEYS, while everything runs. Prepend the new key, "
        "restart all processes, run this until nothing is left to do, then drop the old key."
    )

    def handle(self, *args: object, **options: Any) -> None:
        told = resealing.everything()
        self.stdout.write(
            f"{told.done} secrets are sealed anew with the first of FIELD_KEYS, {told.kept} were already."
        )
        if told.unreadable:
            raise CommandError(
                f"{told.unreadable} secrets cannot be read with any of FIELD_KEYS and were left as they are: "
                "do not drop a key before they are entered anew."
            )
