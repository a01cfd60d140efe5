"""One file of a group's export, as large as asked for: what storing it takes in memory and time.

Needs Django's database and nothing else; the file is made up line by line while it is sent.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from unittest.mock import patch

from django.test.utils import override_settings

from emr.bulk import running
from emr.models import BulkItem, BulkJob, ClientRegistration, Connection, Practice, Pull

MB = 1_000_000
CODE = "MEMORY"
_LINE = (
    '{"resourceType":"Observation","id":"o-%09d","status":"final","category":[{"coding":[{"code":"survey"}]}],'
    '"code":{"text":"Headache days, last 30 days"},"subject":{"reference":"Patient/p-%05d"},'
    '"effectiveDateTime":"2026-11-02","valueInteger":%d,"note":[{"text":"%s"}]}\n'
)


@dataclass(frozen=True)
class Growth:
    """rss: bytes that the process grew by at most. seconds: for the whole file. lines: stored. state: of the item."""

    rss: int
    seconds: float
    lines: int
    state: str


def lines(size: int, distinct: int) -> Iterator[bytes]:
    """NDJSON of about `size` bytes; after `distinct` resources the same ones come again."""
    sent = number = 0
    while sent < size:
        line = (_LINE % (number % distinct, number % distinct % 997, number % 31, "x" * 700)).encode()
        sent += len(line)
        number += 1
        yield line


def growth(megabytes: int, *, distinct: int = 10**9) -> Growth:
    """Store a file of so many megabytes over loopback. `distinct`: how many different resources it holds."""
    with _serving(megabytes * MB, distinct) as port:
        hosts = frozenset({f"127.0.0.1:{port}"})
        with override_settings(INSECURE_FHIR_HOSTS=hosts), patch("emr.bulk.waiting.hint"):
            item = _item(port)
            began = time.monotonic()
            with _peak() as peak:
                while item.state == BulkItem.State.QUEUED:
                    BulkItem.objects.filter(pk=item.pk).update(not_before=None)
                    running.run(item.pk)
                    item.refresh_from_db()
            return Growth(peak.grown, time.monotonic() - began, item.lines, item.state)


def _item(port: int) -> BulkItem:
    practice, _ = Practice.objects.get_or_create(code=CODE, defaults={"name": "Memory"})
    registration = ClientRegistration.objects.create(name="Memory", app_type="backend-bulk")
    base = f"http://127.0.0.1:{port}/fhir/r4/{CODE}"
    connection = Connection.objects.create(
        practice=practice, registration=registration, base_url=base, state=Connection.State.ACTIVE, group_id="all"
    )
    pull = Pull.objects.create(connection=connection, practice=practice)
    job = BulkJob.objects.create(
        connection=connection, pull=pull, group_id="all", state=BulkJob.State.FETCHING, types=["Observation"],
        requires_token=False,
    )  # fmt: skip
    BulkItem.objects.create(job=job, kind=BulkItem.Kind.EXPORT)
    return BulkItem.objects.create(
        job=job, kind=BulkItem.Kind.FILE, number=1, file_kind="output", resource_type="Observation", url=f"{base}/file"
    )


@contextmanager
def _serving(size: int, distinct: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/fhir+ndjson")
            self.end_headers()
            rest = lines(size, distinct)
            while some := b"".join(islice(rest, 64)):
                self.wfile.write(some)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class _Peak:
    """The process' resident memory, looked at every 20 ms (Linux)."""

    def __init__(self) -> None:
        self.first = self.most = _resident()
        self.over = threading.Event()

    @property
    def grown(self) -> int:
        return self.most - self.first

    def watch(self) -> None:
        while not self.over.wait(0.02):
            self.most = max(self.most, _resident())


@contextmanager
def _peak() -> Iterator[_Peak]:
    peak = _Peak()
    thread = threading.Thread(target=peak.watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        peak.over.set()
        thread.join()


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
