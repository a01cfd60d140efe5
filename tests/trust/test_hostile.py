"""Hostile addresses and bad bodies: nothing stolen, nothing lost."""

import pytest

from emr.models import Practice
from emr.wire.http import Door
from emr.wire.origins import parse
from tests.trust import bad_bodies, hostile


def test_no_bearer_and_no_assertion_reaches_a_hostile_server() -> None:
    outcome = hostile.run()
    assert outcome.tried >= 200
    assert outcome.stolen == 0
    assert outcome.honest > 0  # what was to be stolen was there


@pytest.mark.django_db
def test_bad_bodies_cost_themselves_alone(practice_a: Practice) -> None:
    outcome = bad_bodies.run(practice_a, each=3)
    assert outcome.families >= 60
    assert (outcome.crashes, outcome.lost, outcome.miscounted) == (0, 0, 0), "\n".join(outcome.told[:20])
    assert outcome.slowest < 20  # far from what a body made to be slow could take


def test_a_door_that_forgets_to_compare_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the comparison of addresses taken out, the same run sees bearers and assertions stolen."""
    monkeypatch.setattr(Door, "_permitted", lambda self, url, bearer: parse(url))
    monkeypatch.setattr(Door, "_require_known", lambda self, target, code: None)
    assert hostile.run().stolen >= 10
