"""A list in a real browser: what its preview sends back, line ends and all, is still the list that was shown."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from emr.models import ClientRegistration, Connection, LookUp, Membership, Practice
from tests.browser.looks import shoot, violations
from tests.conftest import member, signed_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LINES = (
    "account_no,family,given,birth_date",
    ',"García\nLópez","María ""Mía""",1989-03-07', ",O'Brien,<b>Pat</b>,1970-12-01",
    "4711,,,", ",\u200eMark,Ann,2000-01-01",
)  # fmt: skip


@pytest.fixture
def roster(live_server: Any, page: Page, monkeypatch: pytest.MonkeyPatch) -> Page:
    """The page where a list is brought, before bob of a practice with a connection."""
    monkeypatch.setattr("emr.hints.publish", lambda *args: True)
    practice = Practice.objects.create(name="Alder Headache Clinic", code="AAAAAA")
    registration = ClientRegistration.objects.create(name="Backend app", client_id="ours")
    Connection.objects.create(
        practice=practice, registration=registration, state=Connection.State.ACTIVE,
        base_url="https://fhir.example.org/fhir/r4/AAAAAA",
    )  # fmt: skip
    bob = signed_in(member("bob@example.org", practice, Membership.Role.STAFF))
    page.context.add_cookies(
        [{"name": name, "value": morsel.value, "url": live_server.url} for name, morsel in bob.cookies.items()]
    )
    page.goto(f"{live_server.url}/practices/{practice.pk}/roster/")
    return page


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"], ids=["LF", "CR LF", "CR", "CR CR LF"])
def test_a_list_is_shown_and_done(roster: Page, complaints: list[str], end: str) -> None:
    page = roster
    raw = end.join(LINES).encode()
    page.get_by_label("CSV file").set_input_files([{"name": "list.csv", "mimeType": "text/csv", "buffer": raw}])
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.get_by_text("2 looked up in the EMR")).to_be_visible()
    expect(page.get_by_text("2 rows cannot be used")).to_be_visible()
    if end == "\r":
        shoot(page, "upload-preview")
    assert violations(page) == ""
    page.get_by_label("Leave these rows out").check()
    page.get_by_role("button", name="Do it for 2 rows").click()
    expect(page.get_by_text("2 are being looked up")).to_be_visible()
    assert [(row["family"], row["given"]) for row in LookUp.objects.values_list("sought", flat=True)] == [
        ("García López", 'María "Mía"'), ("O'Brien", "<b>Pat</b>"),
    ]  # fmt: skip
    assert complaints == []


def test_of_many_rows_that_cannot_be_used_ten_stand_before_the_button(roster: Page) -> None:
    raw = "fhir_id\nnew-one\n" + "".join(f"not an id {number}\n" for number in range(120))
    roster.get_by_label("CSV file").set_input_files(
        [{"name": "list.csv", "mimeType": "text/csv", "buffer": raw.encode()}]
    )
    roster.get_by_role("button", name="Show what it would do").click()
    expect(roster.get_by_text("120 rows cannot be used")).to_be_in_viewport()
    expect(roster.get_by_role("button", name="Do it for 1 row")).to_be_in_viewport()
    expect(roster.locator(".problem li:visible")).to_have_count(10)
    roster.get_by_text("110 more", exact=True).click()
    expect(roster.locator(".problem li:visible")).to_have_count(100)
    expect(roster.get_by_text("Only the first 100 are shown.")).to_be_visible()
