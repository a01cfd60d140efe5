"""Redis and PostgreSQL that are killed and started again on the same port and data; known to several processes."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import servers


@dataclass(frozen=True)
class Servers:
    """Both in one folder. Whoever has these three values can steer them."""

    folder: str
    redis_port: int
    postgres_port: int

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.redis_port}/0"

    @property
    def database_url(self) -> str:
        return f"postgres://tests@127.0.0.1:{self.postgres_port}/postgres"

    def start_redis(self) -> None:
        """Append-only, as in production."""
        where = ["--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", self.folder]
        keep = ["--appendonly", "yes", "--save", "", "--daemonize", "yes", "--pidfile", f"{self.folder}/redis.pid"]
        subprocess.run([str(servers.redis_server()), *where, *keep], check=True, stdout=subprocess.DEVNULL)

    def kill_redis(self) -> None:
        os.kill(int(Path(f"{self.folder}/redis.pid").read_text()), signal.SIGKILL)

    def postgres(self, *command: str) -> None:
        """pg_ctl's start, stop or restart, with its options."""
        options = f"-p {self.postgres_port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        # In a new session: a server started from a job must not be stopped with that job's terminal.
        subprocess.run(
            [*servers.unprivileged(), f"{servers.postgres_bin()}/pg_ctl", "-D", f"{self.folder}/data", "-w",
             "-l", f"{self.folder}/postgres.log", "-o", options, *command],
            check=True, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True,
        )  # fmt: skip


@contextmanager
def restartable() -> Iterator[Servers]:
    """Both servers, running; stopped and deleted on the way out."""
    folder = tempfile.mkdtemp(prefix="headachemd-servers-")
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    found = Servers(folder, servers.free_port(), servers.free_port())
    create = ["-D", f"{folder}/data", "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(
        [*servers.unprivileged(), f"{servers.postgres_bin()}/initdb", *create],
        check=True, stdout=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    found.postgres("start")
    found.start_redis()
    time.sleep(0.5)
    try:
        yield found
    finally:
        found.postgres("-m", "immediate", "stop")
        found.kill_redis()
        shutil.rmtree(folder, ignore_errors=True)


def absent() -> str:
    """Which of the servers this machine lacks; blank when both are there."""
    missing = [] if servers.redis_server() else ["redis-server"]
    missing += [] if servers.postgres_bin() else ["PostgreSQL"]
    return " and ".join(missing)
