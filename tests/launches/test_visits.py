"""Pages that are open to everybody: what a stranger sends again and again fills no audit trail and spends no calls."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from emr import tasks, visits
from emr.launches.links import address_of
from emr.models import AuditEvent, Launch
from tests.launches import signing_in
from tests.launches.apps import SITE
from tests.launches.place import Place

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

HOME, ELSEWHERE = "203.0.113.9", "198.51.100.7"
LIMIT = visits.REFUSALS_WRITTEN


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What a worker has to do when the minute is over. It is always the same minute."""
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr("emr.hints.publish_later", lambda *args: bool(sent.append(args)) or True)
    monkeypatch.setattr("emr.visits._this_minute", lambda: 1)
    return sent


@pytest.fixture(autouse=True)
def nobody_was_here(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The cache that all processes share, as in the product."""
    monkeypatch.setattr("emr.visits.cache", cache)
    cache.clear()
    yield
    cache.clear()


def written() -> list[str]:
    return list(AuditEvent.objects.filter(action="launch-refused").order_by("at").values_list("detail", flat=True))


STRANGE = {
    "a made-up state": "/emr/callback?state=" + "x" * 43 + "&code=y",
    "no state": "/emr/callback?code=y",
    "two states": "/emr/callback?state=a&state=b",
    "two codes": "/emr/callback?state=a&code=b&code=c",
    "an unknown EMR": "/emr/launch?iss=https://evil.example/fhir&launch=x",
}


@pytest.mark.parametrize("path", STRANGE.values(), ids=STRANGE)
def test_beyond_the_limit_the_same_page_and_no_row(later: list[Any], path: str) -> None:
    client = Client(REMOTE_ADDR=HOME)
    answers = [client.get(path) for _ in range(LIMIT + 5)]
    assert len({answer.status_code for answer in answers}) == 1
    assert answers[0].status_code in (400, 403)
    headings = {answer.content.decode().partition("<h1")[2].partition("</h1>")[0] for answer in answers}
    assert len(headings) == 1
    assert len(written()) == LIMIT
    assert later == [(visits.TASK, 65, HOME, 1)]
    tasks.tell_refusals(HOME, "1")
    tasks.tell_refusals(HOME, "1")  # a message that came twice
    assert written()[LIMIT:] == [f"of no launch, from {HOME}: 5 more in a minute"]


def test_each_address_and_each_minute_has_its_own_count(later: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    path = STRANGE["a made-up state"]
    for _ in range(LIMIT + 1):
        Client(REMOTE_ADDR=HOME).get(path)
    Client(REMOTE_ADDR=ELSEWHERE).get(path)
    assert len(written()) == LIMIT + 1
    monkeypatch.setattr("emr.visits._this_minute", lambda: 2)
    Client(REMOTE_ADDR=HOME).get(path)
    assert len(written()) == LIMIT + 2


def test_an_ipv6_customer_is_one_address_and_a_header_changes_nothing(later: list[Any]) -> None:
    path = STRANGE["a made-up state"]
    for number in range(LIMIT + 3):
        Client(REMOTE_ADDR=f"2001:db8:1:2::{number:x}", headers={"X-Forwarded-For": f"203.0.113.{number}"}).get(path)
    assert len(written()) == LIMIT
    assert later[0][2] == "2001:db8:1:2::/64"


def test_below_the_limit_nothing_is_left_to_tell(later: list[Any]) -> None:
    for _ in range(LIMIT):
        Client(REMOTE_ADDR=HOME).get(STRANGE["no state"])
    tasks.tell_refusals(HOME, "1")
    assert (len(written()), later) == (LIMIT, [])


def test_without_a_broker_the_row_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr.hints.publish_later", lambda *args: False)
    monkeypatch.setattr("emr.visits._this_minute", lambda: 1)
    for _ in range(LIMIT + 3):
        Client(REMOTE_ADDR=HOME).get(STRANGE["no state"])
    assert written()[LIMIT:] == [f"of no launch, from {HOME}: more than can be told"]


def test_a_patient_beside_the_stranger_comes_through(place: Place, later: list[Any]) -> None:
    """A waiting room has one address: whoever has a launch of their own is not refused for the others."""
    client = Client(REMOTE_ADDR=HOME)
    for _ in range(LIMIT + 5):
        client.get(STRANGE["a made-up state"])
    _, token = place.invite()
    assert client.get(address_of(token).removeprefix(SITE)).status_code == 200
    leaving = client.post("/i/", {"token": token})
    assert leaving.status_code == 200
    answer = place.sign_in(str(leaving.context["address"]))
    assert client.get(f"/emr/callback?{answer.urlencode()}").status_code == 200


def test_launches_of_one_address_are_limited(place: Place, later: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr.visits.LAUNCHES_BEGUN", 2)
    _, token = place.invite()
    answers = [Client(REMOTE_ADDR=HOME).post("/i/", {"token": token}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 503, 503]
    assert "Please wait a minute" in answers[2].content.decode()
    assert Launch.objects.count() == 2
    assert Client(REMOTE_ADDR=ELSEWHERE).post("/i/", {"token": token}).status_code == 200


def test_launches_from_an_emr_are_limited(ehr: Place, later: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr.visits.LAUNCHES_BEGUN", 1)
    monkeypatch.setattr("emr.views_launches_ehr._signs_in", lambda connection: True)
    made = signing_in.ehr_launch(ehr.control_url, ehr.people()[0]["id"])
    asked = {"iss": made["iss"], "launch": made["launch"]}
    answers = [Client(REMOTE_ADDR=HOME).get("/emr/launch", asked) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [302, 403, 403]
    assert "Too many launches" in answers[1].content.decode()
    assert Launch.objects.count() == 1
