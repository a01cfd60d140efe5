from argparse import ArgumentParser
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from emr import directory, profiles
from emr.wire.errors import WireError


class Command(BaseCommand):
    help = "Bring a vendor's list of practices (a FHIR Bundle of Organizations and Endpoints) into the directory."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", metavar="FILE-or-URL")
        parser.add_argument("--profile", default="ecw", choices=directory.profile_keys())
        parser.add_argument(
            "--host", action="append", default=[], help="one more host a list may be fetched from (repeatable)"
        )

    def handle(self, *args: object, **options: Any) -> None:
        profile = profiles.get(options["profile"])
        try:
            with closing(
                self._open(options["source"], [*profile.connecting.directory_hosts, *options["host"]])
            ) as file:
                told = directory.import_file(file, profile)
        except (directory.BadDirectory, WireError, OSError) as error:
            raise CommandError(f"The directory was not imported: {error}.") from None
        self.stdout.write(f"{told.listed} practices: {told.new} new, {told.changed} changed, {told.same} as they were.")
        for reason, count in told.unusable.items():
            self.stdout.write(f"Left out: {count} × {reason}.")

    def _open(self, source: str, hosts: list[str]) -> BinaryIO:
        if "://" in source:
            return directory.download(source, hosts=hosts, insecure=settings.INSECURE_FHIR_HOSTS)
        return Path(source).open("rb")
