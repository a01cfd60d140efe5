"""The practice directory: a list as large as the vendors' is brought in, by the command, in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figure import Figure
from headachemd.demo.place import ROOT

PRACTICES = 17_300
# Runs the command and prints the largest memory its process ever had, in KiB (Linux).
CHILD = """
import resource, sys
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "import_directory", sys.argv[1]])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "list.json"
        write_list(file, PRACTICES)
        yield Figure("directory file", round(file.stat().st_size / 1e6, 1), "MB")
        for run in ("first import", "import of the same list"):
            seconds, memory, listed = import_once(file)
            yield Figure(f"{run}: practices", listed, "", PRACTICES, at_least=True)
            yield Figure(f"{run}: time", round(seconds, 1), "s", 60)
            yield Figure(f"{run}: memory of the process", round(memory / 1024, 1), "MB", 150)


def import_once(file: Path) -> tuple[float, int, int]:
    """(seconds, KiB, practices listed) of one import, Python's start included."""
    began = time.monotonic()
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "headachemd.settings"}
    told = subprocess.run(
        [sys.executable, "-c", CHILD, str(file)], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return time.monotonic() - began, int(told[-1]), int(told[0].split()[0])


def write_list(file: Path, practices: int) -> None:
    """Organizations and Endpoints in pairs, with the members and the size (about 900 bytes a pair) of the real ones."""
    with file.open("w", encoding="utf-8") as out:
        out.write('{"resourceType": "Bundle", "type": "collection", "entry": [\n')
        for number in range(practices):
            comma = ",\n" if number else ""
            pair = ",\n".join(json.dumps({"resource": one}) for one in _pair(number))
            out.write(comma + pair)
        out.write("\n]}\n")


def _pair(number: int) -> tuple[dict[str, object], dict[str, object]]:
    code = "".join("ABCDEFGHIJ"[int(digit)] for digit in f"{number:06}")
    profile = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-organization"
    organization: dict[str, object] = {
        "resourceType": "Organization",
        "id": f"{code}-organization",
        "meta": {"profile": [profile], "lastUpdated": "2026-11-01T00:00:00Z"},
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": f"{1_000_000_000 + number}"}],
        "active": True,
        "name": f"Example Neurology and Headache Center No. {number}",
        "telecom": [{"system": "phone", "value": "555-0100"}],
        "address": [{"line": [f"{number} Main Street"], "city": f"City {number % 900}", "state": "OR"}],
        "endpoint": [{"reference": f"Endpoint/{code}-endpoint"}],
    }
    endpoint: dict[str, object] = {
        "resourceType": "Endpoint",
        "id": f"{code}-endpoint",
        "status": "active",
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "hl7-fhir-rest",
        },
        "name": f"Example Neurology and Headache Center No. {number}",
        "managingOrganization": {"reference": f"Organization/{code}-organization"},
        "payloadType": [{"text": "FHIR R4"}],
        "payloadMimeType": ["application/fhir+json"],
        "address": f"https://fhir4.eclinicalworks.com/fhir/r4/{code}",
    }
    return organization, endpoint
