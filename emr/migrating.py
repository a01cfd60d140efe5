"""What `migrate` sets off: the walls of emr.walls stand again when it has ended."""

from typing import Any

from django.core.checks import Tags, register
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate
from django.dispatch import receiver

from emr import walls


@receiver(pre_migrate, dispatch_uid="lift-walls")
def lift_walls(*, sender: Any, using: str, plan: Any = (), **_: Any) -> None:
    """Only where tables are about to be altered, and only where triggers stand in the way of it."""
    if sender.label == "emr" and plan and connections[using].vendor == "sqlite":
        walls.lift(using)


@receiver(post_migrate, dispatch_uid="build-walls")
def build_walls(*, sender: Any, using: str, **_: Any) -> None:
    # Django tells every application after the last migration of all: once is enough.
    if sender.label == "emr":
        walls.build(using)


register(walls.check, Tags.database)
