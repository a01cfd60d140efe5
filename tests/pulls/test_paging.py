"""Paging of any legal kind, over both paths: every entry of every page comes, once, for one call a page."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from emr import roster
from emr.models import ClientRegistration, Connection, Enrolment, Practice, Quarantine, Resource, Sweep, TypeOutcome
from emr.models import SigningKey as Key
from tests.pulls.conftest import work
from tests.pulls.odd_server import PATH, Asked, OddServer, Said, bundle, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

PAGES = 3
TYPE = "Condition"
Outcome = TypeOutcome.Outcome
Odd = tuple[Connection, OddServer]


@pytest.fixture
def odd(practice_a: Practice, signing_key: Key, settings: Any) -> Iterator[Odd]:
    """A connection by the profile for US Core servers, one patient, everything asked for patient by patient."""
    with serving() as server:
        settings.INSECURE_FHIR_HOSTS = frozenset({server.host_port})
        registration = ClientRegistration.objects.create(
            name="Test app", client_id="ours", environment="sandbox", vendor_profile="generic"
        )
        server.scope = registration.scopes = registration.profile.default_scopes
        registration.save()
        connection = Connection.objects.create(
            practice=practice_a, registration=registration, base_url=server.base, state=Connection.State.ACTIVE
        )
        roster.enrol(connection, ["p1"], Enrolment.KnownBy.LIST)
        yield connection, server


def of_path(connection: Connection, path: str) -> None:
    """What the probe would have found out."""
    plan = connection.profile.population
    assert plan is not None
    now = timezone.now()
    for kind in plan.types:
        works = path == "population"
        Sweep.objects.create(connection=connection, resource_type=kind, works=works, decided_at=now, next_at=now)


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {
        "resource": {
            "resourceType": TYPE, "id": f"c{number}", "subject": {"reference": "Patient/p1"}, "code": {"text": "x"}
        }
    } | more  # fmt: skip


def pages_of(link: Callable[[str, int], str], make: Callable[[int], dict[str, Any]] | None = None) -> Any:
    """An answer: the first page to the search, each further one at the address that `link(base, number)` gives."""

    def answer(server: OddServer, asked: Asked) -> Said | None:
        wanted = {_address(server, link(server.base, number)): number for number in range(2, PAGES + 1)}
        number = wanted.get(asked.target) or (1 if asked.path == TYPE and "_mark" not in asked.target else 0)
        if not number:
            return None
        page = make(number) if make else bundle([entry(number)])
        links = [{"relation": "next", "url": link(server.base, number + 1)}] if number < PAGES else []
        links.insert(number % 2, {"relation": "self", "url": f"{server.base}/Observation?entirely=another"})
        return Said({"link": links} | page)

    return answer


def _address(server: OddServer, link: str) -> str:
    """Path and query at which the server finds its own link again."""
    if "://" in link:
        return "/" + link.partition("://")[2].partition("/")[2]
    if link.startswith("//"):
        return "/" + link[2:].partition("/")[2]
    return link if link.startswith("/") else f"{PATH}/{link}"


LINKS: list[tuple[str, Callable[[str, int], str]]] = [
    ("absolute, the search again", lambda base, n: f"{base}/{TYPE}?patient=p1&_mark={n}"),
    ("absolute, of a search by POST", lambda base, n: f"{base}/{TYPE}/_search?_mark={n}"),
    ("an opaque query at the base", lambda base, n: f"{base}?_getpages=5b1c-_x.y~z&_getpagesoffset={n}&_mark=1"),
    ("an opaque path", lambda base, n: f"{base}/_page/5b1c,{n}:abc"),
    ("a query of many kilobytes", lambda base, n: f"{base}?_mark={'x' * 6000}{n}"),
    ("characters that are escaped", lambda base, n: f"{base}/{TYPE}?_mark={n}&code=a%7Cb%2Cc&to=2024-01-01T00%3A00"),
    ("relative to the base", lambda base, n: f"{TYPE}?patient=p1&_mark={n}"),
    ("from the root of the host", lambda base, n: f"{PATH}/{TYPE}?_mark={n}"),
    ("without a scheme", lambda base, n: f"{base.partition(':')[2]}/{TYPE}?_mark={n}"),
    ("https before a server behind a proxy", lambda base, n: f"https{base.removeprefix('http')}/{TYPE}?_mark={n}"),
    ("another port of the host", lambda base, n: f"http://127.0.0.1:8443{PATH}/{TYPE}?_mark={n}"),
]


# Over all patients the same code follows them: one of each sort there.
OVER_ALL = {"an opaque query at the base", "an opaque path", "relative to the base"}
FOLLOWED = [
    pytest.param(link, path, id=f"{path}: {about}")
    for path in ("patients", "population")
    for about, link in LINKS
    if path == "patients" or about in OVER_ALL
]


@pytest.mark.parametrize(("link", "path"), FOLLOWED)
def test_a_next_link_is_followed(odd: Odd, link: Callable[[str, int], str], path: str) -> None:
    connection, server = odd
    of_path(connection, path)
    said = pages_of(link)
    server.answer = lambda asked: said(server, asked)
    pull = work(connection)
    held = Resource.objects.filter(resource_type=TYPE)
    assert sorted(held.values_list("fhir_id", flat=True)) == ["c1", "c2", "c3"]
    assert TypeOutcome.objects.get(resource_type=TYPE).outcome == Outcome.COMPLETE
    assert not Quarantine.objects.exists()
    plan = connection.profile.population.queries if path == "population" else connection.profile.plan  # type: ignore[union-attr]
    assert pull.calls == len(plan) + PAGES - 1 + (path == "population") * len(left_over(connection))


def left_over(connection: Connection) -> set[str]:
    plan = connection.profile.population
    assert plan is not None
    return {query.resource_type for query in connection.profile.plan} - set(plan.types)


def empty_in_between(number: int) -> dict[str, Any]:
    return bundle([] if number == 2 else [entry(number)])


def without_entry(number: int) -> dict[str, Any]:
    return bundle([entry(number)]) if number != 2 else {"resourceType": "Bundle", "type": "searchset", "total": 0}


def with_much_beside(number: int) -> dict[str, Any]:
    """What US Core servers put beside the matches; and no entry says its fullUrl."""
    remark = {"severity": "information", "code": "informational", "diagnostics": "_count was lowered to 1"}
    return bundle(
        [
            {"resource": {"resourceType": "OperationOutcome", "issue": [remark]}, "search": {"mode": "outcome"}},
            {"resource": {"resourceType": "Medication", "id": f"m{number}"}, "search": {"mode": "include"}},
            entry(number, search={"mode": "match"}),
        ],
        total=40_000,
    )


def overlapping(number: int) -> dict[str, Any]:
    """A record that moved to the next page meanwhile, and pages larger than was asked for."""
    return bundle([entry(each) for each in range(max(number - 1, 1), number + 1)], total=1)


MADE = [
    ("a page without entries has a next one", empty_in_between, {"c1", "c3"}),
    ("a page without the member entry has a next one", without_entry, {"c1", "c3"}),
    ("includes and remarks stand beside the matches", with_much_beside, {"c1", "c2", "c3"}),
    ("pages overlap, and the total is wrong", overlapping, {"c1", "c2", "c3"}),
]


@pytest.mark.parametrize("path", ["patients", "population"])
@pytest.mark.parametrize(("make", "held"), [row[1:] for row in MADE], ids=[row[0] for row in MADE])
def test_what_stands_on_a_page(odd: Odd, make: Callable[[int], dict[str, Any]], held: set[str], path: str) -> None:
    connection, server = odd
    of_path(connection, path)
    said = pages_of(lambda base, n: f"{base}?_mark={n}", make)
    server.answer = lambda asked: said(server, asked)
    pull = work(connection)
    rows = Resource.objects.filter(resource_type=TYPE)
    assert set(rows.values_list("fhir_id", flat=True)) == held
    assert set(rows.values_list("patient_fhir_id", flat=True)) == {"p1"}
    assert TypeOutcome.objects.get(resource_type=TYPE).outcome == Outcome.COMPLETE
    # What comes along is nobody's, and is not asked for again.
    assert set(Resource.objects.filter(resource_type="Medication").values_list("patient_fhir_id", flat=True)) <= {""}
    assert not Quarantine.objects.exists()
    assert pull.gone == 0
