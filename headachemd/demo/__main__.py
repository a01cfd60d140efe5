"""`python -m headachemd.demo`: prepares a place (folder, secrets, ports) and runs the demo there.

With --check it does so on free ports in a folder of its own that is thrown away. --reset forgets the demo's data.
DEMO_PATIENTS and DEMO_DATA are the defaults of --patients and --data.
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

from headachemd.demo.place import ROOT, Place, prepare

FOLDER = ROOT / "var" / "demo"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m headachemd.demo", description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--reset", action="store_true")
    parser.add_argument("--patients", type=int, default=int(os.environ.get("DEMO_PATIENTS") or 12))
    parser.add_argument("--data", default=os.environ.get("DEMO_DATA") or "", help="a folder of FHIR R4 JSON")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.reset:
        shutil.rmtree(FOLDER, ignore_errors=True)
        sys.stdout.write("The demo's data is gone.\n")
        return
    # SIGTERM as Ctrl-C: the supervisor ends its children on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not options.check:
        run(prepare(FOLDER), options)
        return
    with tempfile.TemporaryDirectory(prefix="headachemd-check-", ignore_cleanup_errors=True) as folder:
        run(prepare(Path(folder), any_port=True), options)


def run(prepared: tuple[Place, list[str]], options: argparse.Namespace) -> None:
    place, remarks = prepared
    for remark in remarks:
        sys.stdout.write(remark + "\n")
    os.environ.update(place.environment)
    django.setup()
    call_command("demo", place=place, check=options.check, patients=options.patients, data=options.data)


if __name__ == "__main__":
    main()
