"""Private Redis and PostgreSQL servers for one test run, in folders of their own, on loopback."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

POSTGRES_BINS = [Path(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def redis_server() -> str | None:
    return shutil.which("redis-server")


def postgres_bin() -> Path | None:
    """The folder with initdb and postgres, when they are there and can be run (PostgreSQL refuses root)."""
    for folder in POSTGRES_BINS:
        if (folder / "initdb").exists() and (os.geteuid() != 0 or unprivileged()):
            return folder
    return None


@contextlib.contextmanager
def running_redis() -> Iterator[str]:
    """URL of a private Redis, append-only as in production."""
    binary = redis_server()
    assert binary is not None
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes"],
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(10)


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """URL of a private PostgreSQL cluster."""
    folder = postgres_bin()
    assert folder is not None
    port = free_port()
    home = Path(tempfile.mkdtemp(prefix="headachemd-pg-"))
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    data = home / "data"
    # trust: the cluster listens on loopback only and lives as long as the run.
    subprocess.run(
        [*unprivileged(), folder / "initdb", "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True, stdout=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    options = [
        "-p",
        str(port),
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"unix_socket_directories={home}",
        "-F",
    ]
    process = subprocess.Popen(
        [*unprivileged(), folder / "postgres", "-D", data, *options], stderr=subprocess.DEVNULL, cwd="/"
    )
    try:
        _wait_for(port)
        _wait_until_ready(folder, port)
        yield f"postgres://tests@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def unprivileged() -> list[str]:
    """The prefix that runs a command as the postgres user, for root; nothing for anybody else."""
    if os.geteuid() != 0:
        return []
    runuser = shutil.which("runuser")
    known = subprocess.run(["id", "postgres"], capture_output=True).returncode == 0
    return [runuser, "-u", "postgres", "--"] if runuser and known else []


def _wait_until_ready(folder: Path, port: int) -> None:
    """A cluster listens before it takes connections."""
    for _ in range(200):
        if subprocess.run([folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], cwd="/").returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL on {port} takes no connections")


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on {port}")
