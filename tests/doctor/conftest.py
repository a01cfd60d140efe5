from collections.abc import Iterator

import pytest

from emr.wire.http import Timeouts
from tests.doctor.stage import Stage, stage


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are counted, but a whole test run may make more than 250 a minute."""
    monkeypatch.setattr("emr.budget.DatabaseBudget.take", lambda self, key, **kwargs: 0.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("watch", "ourselves"):
        monkeypatch.setattr(f"emr.doctor.{module}.PATIENCE", Timeouts(connect=1.0, read=0.6, wall=1.0))


@pytest.fixture
def well() -> Iterator[Stage]:
    """Everything well and connected, one patient enrolled."""
    with stage() as found:
        yield found
