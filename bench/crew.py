"""`python -m bench.crew FOLDER WORKERS BEATS`: a Celery worker and so many beats under a supervisor."""

import os
import signal
import sys
import threading
from pathlib import Path

from headachemd.demo.supervisor import Supervisor


def celery(role: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "headachemd.celery", role, "--loglevel=WARNING", *options]


def main(folder: str, workers: str, beats: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with Supervisor(os.environ, Path(folder) / "log") as processes:
        processes.start("worker", celery("worker", f"--concurrency={workers}", *quiet))
        for number in range(int(beats)):
            # A schedule file each, and no pid file: these are two beats that do not know of each other.
            own = [f"--schedule={folder}/beat{number}-{os.getpid()}", "--pidfile="]
            processes.start(f"beat{number}", celery("beat", *own))
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
