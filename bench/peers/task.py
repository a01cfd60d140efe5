"""What each peer is told: arguments of its program, and what it prints when it is done."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TYPES = ("Condition", "MedicationRequest", "Observation", "DiagnosticReport", "AllergyIntolerance")


@dataclass(frozen=True)
class Task:
    """base: of the FHIR server. bearer: a token that serves. patients: whose Patient and TYPES are wanted."""

    base: str
    bearer: str
    patients: list[str]


def run(pull: Callable[[Task], int]) -> None:
    """Pull, and print resources, CPU and wall seconds as JSON. Imports are not counted."""
    base, bearer, patients = sys.argv[1:4]
    task = Task(base, bearer, json.loads(Path(patients).read_text()))
    cpu, wall = time.process_time(), time.perf_counter()
    resources = pull(task)
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    print(json.dumps({"resources": resources, **spent}))
