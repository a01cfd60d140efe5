"""One grant, many processes, and some that are killed: at every moment the row says what is true.

The server revokes on reuse: one refresh a round, whoever asks, eight processes and twenty rounds.
"""

from collections.abc import Iterator

import pytest

from tests import servers
from tests.launches import races
from tests.launches.races import Told

PROCESSES, ROUNDS = 8, 20
# The grant begins at 1; each round and each worker killed renews it once, or tries to.
RACED = 1 + ROUNDS


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def seen(request: pytest.FixtureRequest) -> Iterator[Told]:
    """One program on this database: 20 callbacks at once, the race, then three workers killed one after another."""
    if request.param == "sqlite":
        yield races.run("everything", PROCESSES, ROUNDS)
        return
    if servers.postgres_bin() is None:
        pytest.skip("no PostgreSQL server on this machine")
    with servers.running_postgres() as url:
        yield races.run("everything", PROCESSES, ROUNDS, database_url=url)


def test_of_twenty_answers_at_once_one_counts(seen: Told) -> None:
    assert sorted(seen.said["callbacks"]) == ["LAUNCH_USED"] * 19 + ["active"]
    assert seen.said["audited"] == 19


def test_one_refresh_a_round_and_everybody_has_its_token(seen: Told) -> None:
    rounds = [{one["generation"] for one in each} for each in seen.said["race"]]
    assert rounds == [{generation} for generation in range(2, RACED + 1)]
    assert races.losses(seen, PROCESSES) == (0, 0)


def test_killed_before_the_call(seen: Told) -> None:
    then, meanwhile, later = seen.said["before"]
    assert then == {
        "state": "active", "reason": "", "generation": RACED, "uncertain": False, "claimed": True,
        "refresh_token": True,
    }  # fmt: skip
    assert meanwhile["busy"] is True
    assert later["due"] == 1
    assert (later["generation"], later["state"]) == (RACED + 1, "active")
    assert (later["uncertain"], later["claimed"]) == (False, False)
    assert later["bearer"]


def test_killed_after_the_commit(seen: Told) -> None:
    then, later = seen.said["committed"]
    assert then == {
        "state": "active", "reason": "", "generation": RACED + 2, "uncertain": False, "claimed": False,
        "refresh_token": True,
    }  # fmt: skip
    assert (later["generation"], later["state"]) == (RACED + 2, "active")
    assert later["bearer"]


def test_killed_between_the_answer_and_the_commit(seen: Told) -> None:
    """The one window a client cannot close: the new token is known to the server alone. It is seen, and explained."""
    then, meanwhile, later = seen.said["answered"]
    assert (then["state"], then["generation"]) == ("active", RACED + 2)
    assert (then["claimed"], then["refresh_token"]) == (True, True)
    assert meanwhile["busy"] is True
    assert later["code"] == "GRANT_ANSWER_LOST"
    assert (later["state"], later["reason"]) == ("needs-consent", "GRANT_ANSWER_LOST")
    assert (later["refresh_token"], later["claimed"], later["uncertain"]) == (False, False, False)


def test_the_server_saw_no_refresh_too_many(seen: Told) -> None:
    """One a round, one after each of two kills, and the one whose answer was lost; then the family was revoked."""
    assert (seen.refreshes, seen.in_force) == (ROUNDS + 3, False)
