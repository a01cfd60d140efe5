from collections.abc import Iterator

import pytest
import time_machine

from emr.models import Practice
from patients.models import Patient
from tests.pages import charts


@pytest.fixture
def now() -> Iterator[time_machine.Traveller]:
    """21-Nov-2026 22:10 in New York, the next day in UTC."""
    with time_machine.travel(charts.NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def person(practice_a: Practice) -> Patient:
    made = charts.patient(practice_a)
    charts.enrol(made)
    return made
