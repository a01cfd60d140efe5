"""`make test`: the whole suite on SQLite, then what touches the database again on a real PostgreSQL.

Real servers are private to the run. Without them the run says what it skipped; with REQUIRE_SERVERS set (CI) that
is a failure.
"""

import contextlib
import os
import shutil
import subprocess
import sys

from tests import servers


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def pytest(title: str, *options: str, **env: str) -> bool:
    say(f"\n== {title}")
    command = [sys.executable, "-m", "pytest", "-q", *options, *sys.argv[1:]]
    return subprocess.run(command, env={**os.environ, **env}).returncode == 0


def main() -> int:
    missing = []
    with contextlib.ExitStack() as stack:
        env = {}
        if servers.redis_server():
            env["TEST_REDIS_URL"] = stack.enter_context(servers.running_redis())
        else:
            missing.append("redis-server (Debian package redis-server)")
        if not shutil.which("chromium"):
            missing.append("chromium (Debian package chromium): browser tests")
        fine = pytest("SQLite: everything", **env)
        if servers.postgres_bin():
            env["DATABASE_URL"] = stack.enter_context(servers.running_postgres())
            fine &= pytest("PostgreSQL: what touches the database", "-m", "not browser and not demo", **env)
        else:
            missing.append("PostgreSQL (Debian package postgresql): the second run")
    for name in missing:
        say(f"Skipped for want of {name}")
    if missing and os.environ.get("REQUIRE_SERVERS"):
        say("REQUIRE_SERVERS is set: what was skipped counts as failed")
        return 1
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
