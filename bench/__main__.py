"""`make bench AREA=main`: prints each figure of an area beside its goal and writes them to var/bench/AREA.json.

Exits 1 when a figure is short. An area is a module bench/AREA.py with `figures()`; it finds Django set up on an
embedded database of its own that is thrown away.
"""

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

import django
from django.core.management import call_command

from headachemd.demo.place import ROOT, prepare

AREAS = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if "def figures(" in path.read_text("utf-8"))


def main() -> int:
    area = sys.argv[1] if len(sys.argv) == 2 else ""
    if area not in AREAS:
        print(f"Usage: make bench AREA=…   areas: {', '.join(AREAS)}")
        return 2
    with tempfile.TemporaryDirectory(prefix="headachemd-bench-", ignore_cleanup_errors=True) as folder:
        place, _ = prepare(Path(folder), any_port=True)
        os.environ.update(place.environment)
        django.setup()
        call_command("migrate", verbosity=0)
        call_command("createcachetable", verbosity=0)
        return report(area)


def report(area: str) -> int:
    """Print the figures as they come: one may take minutes."""
    found = []
    for figure in importlib.import_module(f"bench.{area}").figures():
        print(figure.line(), flush=True)
        found.append(figure)
    out = ROOT / "var" / "bench" / f"{area}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([figure.as_json() for figure in found], indent=1))
    return 0 if all(figure.ok for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
