"""A place for launches outside pytest, for the benchmark."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from django.test.utils import override_settings

from emr import keys
from emr.models import ClientRegistration, Connection, Environment, Launch, PatientInvitation, Practice, SigningKey
from tests.doctor.stage import PublicAddress, private_key
from tests.launches import place as places
from tests.launches.apps import SITE
from tests.launches.place import Place

CODE = "AAAAAA"


@contextmanager
def standing(**options: Any) -> Iterator[Place]:
    """A practice with a patient app at a sandbox of its own; no broker, no limit on our calls. Empties its tables."""
    with ExitStack() as open_things:
        site = open_things.enter_context(PublicAddress())
        # Outside a worker nobody listens; calls are counted, but a run may make more than 250 a minute.
        for name in ("emr.hints.publish_later", "emr.budget.DatabaseBudget.take"):
            open_things.enter_context(patch(name, return_value=0.0))
        practice, _ = Practice.objects.get_or_create(code=CODE, defaults={"name": "Alder Headache Clinic"})
        key = keys.store(private_key(), environment=Environment.SANDBOX, algorithm="RS384")
        keys.activate(key)
        site.publish(key.public_jwk)
        url = f"{site.url}/.well-known/jwks-sandbox.json"
        place = open_things.enter_context(places.place(practice, url, **options))
        hosts = frozenset({f"127.0.0.1:{place.sandbox.port}"})
        open_things.enter_context(override_settings(PUBLIC_URL=SITE, INSECURE_FHIR_HOSTS=hosts))
        try:
            yield place
        finally:
            forget()


def forget() -> None:
    """Empty the tables a place fills, for those who have several in one database. The audit trail stays."""
    for model in (Launch, PatientInvitation, Connection, ClientRegistration, SigningKey):
        model.objects.all().delete()
