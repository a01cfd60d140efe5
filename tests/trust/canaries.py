"""Where canary secrets and names may have got to: logs, Redis, the database, pages, messages and git's history.

Every sweep gives (how much was looked at, hits); the hits name the place and the word.
"""

import base64
import binascii
import io
import logging
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import redis
from celery import Celery
from django.apps import apps
from django.core.cache import cache
from django.db import connection, models
from django.test import TestCase, override_settings

from emr import budget, calls, hints, resealing, walls
from emr.models import Enrolment, WorkItem
from emr.pulling import asking, queue
from headachemd.broker import celery_settings
from headachemd.logs import JsonLines
from headachemd.settings import BASE_DIR
from tests import servers
from tests.test_no_secrets import offences
from tests.trust import probing
from tests.trust.probing import CANARIES, World
from tests.trust.rows import Rows

SECRET = "canary-secret-51c9"
Swept = tuple[int, list[str]]
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")


def plant(world: World) -> World:
    """A secret in every column for secrets; the names are there already."""
    plant_in(world.rows["A"])
    return world


def plant_in(rows: Rows) -> None:
    for model, name in resealing.secret_fields():
        row = rows.of(model) if model in walls.walled() else Rows(rows.practice).insert(model, {})
        setattr(row, name, SECRET)
        models.Model.save_base(row, force_update=True)


def held(text: str) -> list[str]:
    return [word for word in (*CANARIES.values(), SECRET) if word.lower() in text.lower()]


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """All that any logger says, at every level, as production writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root, level, disabled = logging.getLogger(), logging.getLogger().level, logging.root.manager.disable
    usual, root.handlers = root.handlers, [handler]
    logging.disable(logging.NOTSET)
    root.setLevel(logging.DEBUG)
    logging.getLogger("django.db.backends").setLevel(logging.INFO)  # statements: never on in production
    try:
        yield stream
    finally:
        root.handlers = usual
        root.setLevel(level)
        logging.disable(disabled)


def in_logs(world: World, share: float) -> Swept:
    with logged() as stream:
        probing.run(probing.sample(probing.probes(world), share, seed=2))
    lines = stream.getvalue().splitlines()
    return len(lines), [line[:200] for line in lines if held(line)]


def in_error_pages(world: World) -> Swept:
    """A page that breaks while it holds names and a secret: what is shown and what is logged of it."""

    def broken(*_: object, **__: object) -> None:
        raise ValueError(f"Key (family)=({CANARIES['A']}) secret {SECRET}")

    clinician = next(actor for actor in world.actors if actor.name == "clinician of A")
    with logged() as stream, mock.patch("patients.histories.history", broken):
        answer = clinician.client.get(f"/patients/{world.patients['A'].pk}/")
    if answer.status_code != 500 or "ValueError" not in stream.getvalue():
        raise RuntimeError("the page did not break")
    return 1, [*held(answer.content.decode()), *held(stream.getvalue())]


def in_database(world: World) -> Swept:
    """Secrets in clear anywhere; names outside the columns that are declared theirs (PHI_FIELDS)."""
    own = {
        (model._meta.db_table, getattr(model._meta.get_field(name), "column", name))
        for model in apps.get_models()
        for name in getattr(model, "PHI_FIELDS", ())
    }
    looked_at, strays = 0, []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    found = held(str(value))
                    looked_at += 1
                    # A FHIR id is a patient's own, wherever a row says whose it is.
                    allowed = ((table, name) in own or name == "patient_fhir_id") and SECRET not in found
                    if found and not allowed:
                        strays.append(f"{table}.{name}: {found}")
    return looked_at, strays


def in_admin_pages(world: World) -> Swept:
    """Every page of the admin, as a superuser: no secret and no name."""
    root = next(actor for actor in world.actors if actor.name == "superuser")
    asked, hits = 0, []
    for probe in probing.probes(world):
        if probe.actor is root and probe.method == "get" and probe.route.startswith("admin/"):
            hits += [
                f"{probe.url}: {word}" for word in held(root.client.get(probe.url).content.decode("utf-8", "replace"))
            ]
            asked += 1
    return asked, hits


# --- Redis ---


@contextmanager
def on_redis() -> Iterator[redis.Redis]:
    """Cache, call budget and task messages on a private Redis, as in production."""
    with servers.running_redis() as url:
        app = Celery("canaries", set_as_current=False)
        app.conf.update(celery_settings(redis_url=url, queue_dir=BASE_DIR, embedded=False))
        caches = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}}
        with (
            override_settings(CACHES=caches, REDIS_URL=url),
            mock.patch.object(hints, "current_app", app),
            mock.patch.object(budget, "shared", return_value=budget.RedisBudget(url)),
            redis.Redis.from_url(url) as server,
        ):
            yield server
        app.close()


def in_redis(world: World, share: float) -> Swept:
    """What pages, sign-ins that are refused, calls and work for the workers leave in Redis."""
    with on_redis() as server:
        use(world, share)
        return len(server.keys()), found_in(server)


def use(world: World, share: float) -> None:
    probing.run(probing.sample(probing.probes(world), share, seed=3))
    rows = world.rows["A"]
    wrong = {"login": "clinician.a@example.org", "password": SECRET}
    for _ in range(6):
        world.actors[0].client.post("/accounts/login/", wrong)
    enrolment = rows.of(Enrolment)
    with TestCase.captureOnCommitCallbacks(execute=True):
        asking.refresh(rows.practice.pk, enrolment.patient_fhir_id, None)
        asking.request_pull(rows.connection, "asked for by an admin")
    hints.publish("emr.tasks.run_item", rows.of(WorkItem).pk)
    hints.publish_later(queue.TASK, 2, rows.of(WorkItem).pk)
    calls.spend(rows.connection, interactive=True)
    cache.set("seen", "something", 60)


def found_in(server: redis.Redis) -> list[str]:
    names = [bytes(key) for key in server.scan_iter()]  # bytes: nothing is decoded
    return [f"{key!r}: {words}" for key in names if (words := held(_text(key, *_values(server, key))))]


def _values(server: redis.Redis, key: bytes) -> list[bytes]:
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"string": lambda name: [server.get(name)],
        b"list": lambda name: server.lrange(name, 0, -1),
        b"set": server.smembers,
        b"hash": lambda name: [part for pair in server.hgetall(name).items() for part in pair],
        b"zset": lambda name: server.zrange(name, 0, -1),
    }
    kind: Any = server.type(key)
    return list(read[kind](key))


def _text(*values: bytes) -> str:
    """As it stands, and what of it is base64 (the bodies of messages), in clear."""
    told = []
    for value in values:
        told.append(value.decode("utf-8", "replace"))
        for run in _BASE64.findall(value):
            try:
                told.append(base64.b64decode(run, validate=True).decode("utf-8", "replace"))
            except binascii.Error:
                continue
    return "\n".join(told)


# --- git ---


def in_history() -> Swept:
    """Forbidden strings and private keys in any version of any file; canaries in any outside of the tests."""
    everything = _git("log", "--all", "-p", "--no-color", "--no-textconv")
    outside = _git("log", "--all", "-p", "--no-color", "--no-textconv", "--", ".", ":!tests")
    hits = [*offences(everything), *held(outside.decode("utf-8", "replace"))]
    return everything.count(b"\n"), hits


def _git(*command: str) -> bytes:
    return subprocess.run(["git", *command], cwd=BASE_DIR, check=True, capture_output=True).stdout


def everywhere(world: World) -> dict[str, Swept]:
    """All sweeps, for the bench."""
    plant(world)
    swept = {
        "log lines": in_logs(world, 1 / 20),
        "error pages": in_error_pages(world),
        "database values": in_database(world),
        "admin pages": in_admin_pages(world),
        "lines of git history": in_history(),
    }
    return swept | ({"Redis keys": in_redis(world, 1 / 100)} if servers.redis_server() else {})
