"""Nothing that one test leaves behind reaches the next, whichever of the two runs first."""

import pytest
from django.core.cache import cache

from emr.models import Practice


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", [1, 2])
def test_rows_and_counters_of_a_test_with_transactions_are_gone(turn: int) -> None:
    """Counters above all: thirty sign-ins of earlier browser tests within a minute would refuse the next one."""
    assert cache.get("counted") is None
    assert not Practice.objects.exists()
    cache.set("counted", turn)
    Practice.objects.create(name="Alder Headache Clinic", code="AAAAAA")
