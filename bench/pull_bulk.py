"""A group's export of one large file, read and stored in bounded memory (figure 6)."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from bench import pull_charts
from bench.apart import highest_memory
from bench.figure import Figure
from bench.practice import CLIENT_ID, Bench, practice, rows, without_broker
from emr import signals, validate
from emr.bulk import opening, running, waiting
from emr.models import BulkItem, ClientRegistration
from emr.pulling import ending

MB = 100
SERVER = ("--limit", "1000000", "--token-life", "36000")
# About 60 resources of 1.5 kB.
PATIENT_BYTES = 86_000


def bulk_figures(megabytes: str = str(MB)) -> Iterator[Figure]:
    """Runs in a process of its own (bench.apart), as it is that process whose memory is told."""
    with tempfile.TemporaryDirectory() as folder:
        patients = int(megabytes) * 1_000_000 // PATIENT_BYTES
        pull_charts.write(Path(folder), patients)
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        with practice(*SERVER, data=Path(folder)) as bench, without_broker(unlimited=True):
            # Reading and storing are what is measured; each resource's validation keeps nothing.
            with (
                patch.object(validate, "problems", lambda body: ""),
                patch.object(signals.patient_pulled, "receivers", []),
            ):
                began, before = time.perf_counter(), highest_memory()
                _export(bench)
            grown, seconds = highest_memory() - before, time.perf_counter() - began
            kept = len(rows(bench.connection))
    yield Figure(f"export of {size:.0f} MB, {kept} resources, {seconds:.0f} s: resources missed",
                 patients * pull_charts.EACH - kept, "", 0)  # fmt: skip
    yield Figure("growth of the process's memory over it", round(grown), "MB", 150)


def _export(bench: Bench) -> None:
    registration: ClientRegistration = bench.connection.registration
    registration.app_type = ClientRegistration.AppType.BACKEND_BULK
    registration.scopes = f"{registration.scopes} {registration.profile.connecting.advertised.group_scope}"
    registration.save()
    app = next(one for one in bench.get("clients")["clients"] if one["client_id"] == CLIENT_ID)
    known = ("client_id", "jwks_url", "alg")
    bench.post("clients", {name: app[name] for name in known} | {
        "scopes": registration.scopes, "app_type": registration.app_type, "active": True,
    })  # fmt: skip
    bench.connection.group_id = bench.get("bulk")["group"]
    bench.connection.save()
    bench.post("bulk", {"retry_after": 0, "polls": 1, "lines": 1_000_000})
    opening.open_due()
    while items := list(BulkItem.objects.filter(state="queued", job__connection=bench.connection)):
        BulkItem.objects.filter(pk__in=[item.pk for item in items]).update(not_before=None, published_at=None)
        for item in waiting.waiting_items():
            running.run(item)
    ending.finish_pulls()
