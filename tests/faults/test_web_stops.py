"""The web server is told to stop, as every deployment does: what it has begun it ends, whole or not at all."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.urls import reverse

from emr.models import Practice, User
from headachemd.demo import loopback
from tests import databases, servers
from tests.conftest import signed_in
from tests.entering import posts
from tests.pages import charts

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
WEB = re.findall(r"^web: (.+)$", (ROOT / "Procfile").read_text("utf-8"), re.MULTILINE)


@dataclass(frozen=True)
class Form:
    """An assessment that somebody who is signed in sends."""

    path: str
    session: str

    def body(self, token: str) -> bytes:
        return urlencode(posts.assessment(date="2026-11-20", csrfmiddlewaretoken=token)).encode()


class Caller:
    """Somebody connected to the web server."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)

    def answer(self) -> bytes:
        """All that comes until the server closes; nothing when it just ends the connection."""
        with self.socket, suppress(ConnectionResetError):
            return b"".join(iter(lambda: self.socket.recv(65536), b""))
        return b""


class Late(Caller):
    """A request that comes while the server stops. Refused, or taken by the kernel for a worker that takes no more."""

    def __init__(self, port: int) -> None:
        with suppress(ConnectionRefusedError):
            super().__init__(port)
            self.socket.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    def answer(self) -> bytes:
        return super().answer() if hasattr(self, "socket") else b""


class Begun(Caller):
    """A request whose headers a worker has read; its body is sent bit by bit."""

    def __init__(self, port: int, form: Form) -> None:
        super().__init__(port)
        token = secrets.token_hex(16)
        self.body = form.body(token)
        head = [
            f"POST {form.path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Expect: 100-continue",
            f"Cookie: {settings.SESSION_COOKIE_NAME}={form.session}; {settings.CSRF_COOKIE_NAME}={token}",
            "Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(self.body)}", "", "",
        ]  # fmt: skip
        self.socket.sendall("\r\n".join(head).encode())
        assert self.socket.recv(100).startswith(b"HTTP/1.1 100")

    def send(self, start: int = 0, end: int | None = None) -> None:
        self.socket.sendall(self.body[start:end])


@dataclass(frozen=True)
class Web:
    """The web server with all its workers."""

    process: subprocess.Popen[bytes]
    port: int
    database: str
    form: Form

    def begun(self) -> Begun:
        return Begun(self.port, self.form)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def left(self) -> list[int]:
        """Its processes that still run; they are a session of their own."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                found += [int(entry.name)] if int(session) == self.process.pid and state != "Z" else []
        return found

    def rows(self) -> tuple[int, int]:
        """(assessments, events about assessments)"""
        with databases.opened(self.database) as database:
            assessments = database.execute("SELECT count(*) FROM patients_assessment").fetchone()
            events = database.execute("SELECT count(*) FROM emr_auditevent WHERE action = 'assessment'").fetchone()
        assert assessments
        assert events
        return assessments[0], events[0]


@contextmanager
def running(database: str, form: Form, folder: Path, *options: str) -> Iterator[Web]:
    (line,) = WEB
    port = servers.free_port()
    env = os.environ | {
        "PORT": str(port), "WEB_CONCURRENCY": "2", "DATABASE_URL": database, "VAR_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "tests.settings", "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    command = ["sh", "-c", f"exec {line} {' '.join(options)}"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while not loopback.answers(f"http://127.0.0.1:{port}/readyz"):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        yield Web(process, port, database, form)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


@pytest.fixture
def form(practice_a: Practice, alice: User) -> Form:
    person = charts.rich(practice_a)
    session = signed_in(alice).session.session_key
    assert session
    return Form(reverse("patients:assessment-new", args=[person.pk]), session)


SAVED = b"HTTP/1.1 302 Found\r\n"


def test_requests_that_were_begun_are_answered_in_full(form: Form, tmp_path: Path) -> None:
    """One waits in its transaction, and of one half has come. Whoever comes now is not served any more."""
    with running(databases.for_processes(tmp_path / "web.sqlite3"), form, tmp_path) as web:
        slow, busy = web.begun(), web.begun()
        slow.send(0, 100)
        with databases.no_writer(web.database):
            busy.send()
            web.stop()
            time.sleep(1)
            assert web.process.poll() is None
            late = Late(web.port)
        assert busy.answer().startswith(SAVED)
        assert web.process.poll() is None
        slow.send(100)
        assert slow.answer().startswith(SAVED)
        assert late.answer() == b""
        assert web.process.wait(30) == 0
        assert web.left() == []
        assert web.rows() == (2, 2)


def test_what_outlasts_the_time_left_is_cut_and_nothing_of_it_is_kept(form: Form, tmp_path: Path) -> None:
    with running(databases.for_processes(tmp_path / "web.sqlite3"), form, tmp_path, "--graceful-timeout 1") as web:
        slow, busy = web.begun(), web.begun()
        slow.send(0, 100)
        with databases.no_writer(web.database):
            busy.send()
            web.stop()
            assert web.process.wait(30) == 0
        assert (slow.answer(), busy.answer()) == (b"", b"")
        assert web.left() == []
        assert web.rows() == (0, 0)


def test_a_request_slower_than_the_workers_time_out_ends_and_the_next_is_served(form: Form, tmp_path: Path) -> None:
    """Gunicorn's own limit, 30 seconds unless it is told otherwise, holds for the sending of the body, too.

    --preload: so short a limit would end workers that are still importing the program.
    """
    with running(databases.for_processes(tmp_path / "web.sqlite3"), form, tmp_path, "--timeout 4 --preload") as web:
        slow = web.begun()
        slow.send(0, 100)
        assert slow.answer().startswith(b"HTTP/1.1 500 ")
        assert web.rows() == (0, 0)
        again = web.begun()
        again.send()
        assert again.answer().startswith(SAVED)
        assert web.rows() == (1, 1)
