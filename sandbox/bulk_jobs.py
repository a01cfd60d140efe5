"""The exports under way, the files they made, and what earlier ones have seen."""

import json
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox.charts_store import ChartStore, Key, StoredResource
from sandbox.plan import READ_BY_REFERENCE


@dataclass(frozen=True)
class ExportSettings:
    """How exports go here; control changes it.

    Attributes:
        group: the id of the one group, which holds every patient but those in ``outside``.
        lines: resources in one file.
        polls: answers of "not yet" before the manifest.
        retry_after: seconds that the client is asked to wait.
        life: seconds after its start that an export is forgotten.
    """

    group: str = "headache-patients"
    lines: int = 1000
    polls: int = 2
    retry_after: int = 1
    life: int = 3600
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportFile:
    """One file: its kind in the manifest, its type there, its lines, and the resources in them for the ledger."""

    kind: str
    resource_type: str
    lines: tuple[bytes, ...]
    served: tuple[StoredResource, ...] = ()


@dataclass
class Job:
    """One export. ``done``: per cent, by the polls so far. ``public``: its files are given without a token."""

    id: str
    client_id: str
    url: str
    started_at: float
    files: dict[str, ExportFile] = field(default_factory=dict)
    polls: int = 0
    done: int = 0
    public: bool = False


class Exports:
    """All exports of a sandbox. Safe to ask from several threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.settings = ExportSettings()
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._seen: dict[Key, tuple[bytes, float]] = {}
        self._gone: dict[Key, float] = {}
        self.started = 0
        self.cancelled = 0

    def start(self, client_id: str, url: str, types: Iterable[str], since: float | None, charts: ChartStore) -> Job:
        """A new export with all its files; the client learns of them when it is done."""
        with self._lock:
            now = int(self._clock() * 1000) / 1000  # as transactionTime says it
            self._look(charts, now)
            job = Job(secrets.token_urlsafe(24), client_id, url, now)
            for kind in types:
                resources = [each for each in charts.all() if each.resource_type == kind and self._is_in(each, since)]
                _split(job, kind, resources, self.settings.lines)
            if since is not None:
                _add_deleted(job, [key for key, at in self._gone.items() if at > since and key[0] in set(types)])
            self._jobs[job.id] = job
            self.started += 1
            return job

    def _look(self, charts: ChartStore, now: float) -> None:
        """Dates what changed since the last look, as that is when `_since` can tell it from the rest."""
        present = {resource.key: resource.raw for resource in charts.all()}
        for key, raw in present.items():
            if key not in self._seen or self._seen[key][0] != raw:
                self._seen[key] = (raw, now)
                self._gone.pop(key, None)
        for key in [key for key in self._seen if key not in present]:
            del self._seen[key]
            self._gone[key] = now

    def _is_in(self, resource: StoredResource, since: float | None) -> bool:
        """A member's, or of a type that belongs to nobody: of those the vendor exports all it has."""
        if since is not None and self._seen[resource.key][1] <= since:
            return False
        if resource.resource_type in READ_BY_REFERENCE:
            return True
        return resource.owner is not None and resource.owner not in self.settings.outside

    def find(self, job_id: str) -> Job | None:
        """The export of that id, while its life lasts."""
        with self._lock:
            job = self._jobs.get(job_id)
            return job if job is not None and self._lives(job) else None

    def running(self, client_id: str) -> Job | None:
        """The client's export that has not ended yet."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if job.client_id == client_id and self._lives(job)]
            return next((job for job in jobs if job.done < 100), None)

    def _lives(self, job: Job) -> bool:
        return self._clock() < job.started_at + self.settings.life

    def poll(self, job: Job) -> int:
        """Counts a poll; per cent done."""
        with self._lock:
            job.polls += 1
            job.done = 100 if job.polls > self.settings.polls else 100 * job.polls // (self.settings.polls + 1)
            return job.done

    def forget(self, job_id: str) -> bool:
        """Ends an export and drops its files; False when there is none."""
        with self._lock:
            self.cancelled += 1
            return self._jobs.pop(job_id, None) is not None

    def forget_all(self) -> None:
        """Ends every export, as a restart of the server does."""
        with self._lock:
            self._jobs.clear()

    def as_json(self) -> dict[str, Any]:
        """Settings and counts, for control."""
        with self._lock:
            return {
                **vars(self.settings),
                "started": self.started,
                "cancelled": self.cancelled,
                "held": len(self._jobs),
            }


def _split(job: Job, kind: str, resources: list[StoredResource], size: int) -> None:
    """Files of `size` lines each; a type without resources has none."""
    for number, start in enumerate(range(0, len(resources), size), start=1):
        served = tuple(_one_line(resource) for resource in resources[start : start + size])
        lines = tuple(resource.raw for resource in served)
        job.files[f"{kind}.{number}.ndjson"] = ExportFile("output", kind, lines, served)


def _one_line(resource: StoredResource) -> StoredResource:
    """A line break in JSON text stands between tokens only, where a space means the same."""
    if b"\n" not in resource.raw and b"\r" not in resource.raw:
        return resource
    return replace(resource, raw=resource.raw.replace(b"\r", b" ").replace(b"\n", b" "))


def _add_deleted(job: Job, keys: list[Key]) -> None:
    """One file of Bundles, each with the deletions of up to ten resources."""
    lines = []
    for start in range(0, len(keys), 10):
        entries = [
            {"request": {"method": "DELETE", "url": f"{kind}/{fhir_id}"}} for kind, fhir_id in keys[start : start + 10]
        ]
        lines.append(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}).encode())
    if lines:
        job.files["deleted.1.ndjson"] = ExportFile("deleted", "Bundle", tuple(lines))
