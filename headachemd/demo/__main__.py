"""`python -m headachemd.demo`: prepares a place (folder, secrets, ports) and runs the demo there.

With --check it does so on free ports in a folder of its own that is thrown away. --reset forgets the demo's data.
--code prints the code that signing in asks for. DEMO_PATIENTS and DEMO_DATA are the defaults of --patients and --data.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import django
from django.core.management import call_command

from headachemd.demo import totp
from headachemd.demo.place import ROOT, Charts, Place, prepare, totp_secret

FOLDER = ROOT / "var" / "demo"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m headachemd.demo", description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--reset", action="store_true")
    parser.add_argument("--code", action="store_true", help="the sign-in code of this moment")
    parser.add_argument("--patients", type=int, default=int(os.environ.get("DEMO_PATIENTS") or 12))
    parser.add_argument("--data", default=os.environ.get("DEMO_DATA") or "", help="a folder of FHIR R4 JSON")
    parser.add_argument("--latency", type=int, default=0, help="milliseconds the sandbox takes for an answer")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the demo keeps its data")
    parser.add_argument("--database-url", default="", help="a PostgreSQL server instead of SQLite")
    parser.add_argument("--redis-url", default="", help="a Redis server instead of broker and budget in files")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.reset:
        shutil.rmtree(options.folder, ignore_errors=True)
        sys.stdout.write("The demo's data is gone.\n")
        return
    if options.code:
        say_code(options.folder)
        return
    # Both end the children on the way out; a shell that starts us in the background has Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    servers = {"database_url": options.database_url, "redis_url": options.redis_url}
    if not options.check:
        run(prepare(options.folder.resolve(), **servers), options)
        return
    with tempfile.TemporaryDirectory(prefix="headachemd-check-", ignore_cleanup_errors=True) as folder:
        run(prepare(Path(folder), any_port=True, **servers), options)


def say_code(folder: Path) -> None:
    """The code an authenticator app of the demo's people shows now. Each is good for one sign-in."""
    secret = totp_secret(folder)
    if secret is None:
        sys.exit("No demo has run yet: make demo")
    sys.stdout.write(f"{totp.code(secret)} for {totp.seconds_left()} s\n")


def run(prepared: tuple[Place, list[str]], options: argparse.Namespace) -> None:
    place, remarks = prepared
    for remark in remarks:
        sys.stdout.write(remark + "\n")
    os.environ.update(place.environment)
    django.setup()
    charts = Charts(patients=options.patients, data=options.data, latency_ms=options.latency)
    call_command("demo", place=place, charts=charts, check=options.check)


if __name__ == "__main__":
    main()
