"""Calls of an undisturbed pull against the fewest that its path can do with (figure 1)."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import pull_charts
from bench.figure import Figure
from bench.practice import Bench, practice, without_broker, work
from emr import schedule
from emr.models import Resource

PATIENTS = 60
# A page takes all that a patient has of a type.
WIDE = ("--page-size", "1000", "--limit", "1000000")


def call_figures(patients: int = PATIENTS) -> Iterator[Figure]:
    with practice(*WIDE, "--patients", str(patients)) as bench, without_broker(unlimited=True):
        bench.enrol()
        schedule.open_pulls()
        work(bench)
        least = patients * len(bench.connection.profile.plan) + _by_reference(bench)
        yield from _figures(bench, "patient by patient", least)
    with tempfile.TemporaryDirectory() as folder:
        pull_charts.write(Path(folder), patients)
        scopes = " ".join(f"system/{kind}.rs" for kind in pull_charts.TYPES)
        with practice(*WIDE, "--mode", "generic", profile="generic", data=Path(folder), scopes=scopes) as bench:
            with without_broker(unlimited=True):
                _open(bench)
                work(bench)
            yield from _figures(bench, "over all patients, with the one probe", _least_of_population(bench))


def _open(bench: Bench) -> None:
    bench.enrol()
    schedule.open_pulls()


def _by_reference(bench: Bench) -> int:
    shared = bench.connection.profile.read_by_reference
    return Resource.objects.filter(practice=bench.connection.practice, resource_type__in=shared).count()


def _least_of_population(bench: Bench) -> int:
    """Full pages of each type; a probe of each type, and one more of Patient."""
    population = bench.connection.profile.population
    assert population is not None
    rows = Resource.objects.filter(practice=bench.connection.practice)
    pages = (-(-rows.filter(resource_type=kind).count() // population.count) for kind in pull_charts.TYPES)
    return sum(pages) + len(pull_charts.TYPES) + 1


def _figures(bench: Bench, path: str, least: int) -> Iterator[Figure]:
    """The discovery document is asked for once, beside what the path needs."""
    tokens = bench.get("calls")["tokens_minted"]
    made = bench.calls() - tokens - 1
    ratio = made / least
    yield Figure(f"{path}: calls (least {least}), beside discovery and token", made)
    yield Figure(f"{path}: calls to the least", round(ratio, 3), "×", 1.02)
    yield Figure(f"{path}: tokens asked for", tokens, "", 1)
