from collections.abc import Iterator

import pytest

from emr.wire.http import Timeouts
from tests.doctor.stage import Stage, stage


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are counted, but a whole test run may make more than 250 a minute."""
    monkeypatch.setattr("emr.budget.DatabaseBudget.take", lambda self, key, **kwargs: 0.0)


@pytest.fixture
def impatient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds are not waited for a server that hangs. All others may take their time on a busy machine."""
    situation = getattr(request.node, "callspec", None) and request.node.callspec.params.get("situation")
    if getattr(situation, "code", "") == "NET_TIMEOUT":
        for module in ("watch", "ourselves"):
            monkeypatch.setattr(f"emr.doctor.{module}.PATIENCE", Timeouts(connect=5.0, read=1.5, wall=2.0))


@pytest.fixture
def well() -> Iterator[Stage]:
    """Everything well and connected, one patient enrolled."""
    with stage() as found:
        yield found
