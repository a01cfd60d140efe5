"""The admin's lists and forms in a real browser, with names as long as practices and people have them."""

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from emr.models import IdentityProvider, Membership, Practice, User
from tests.accounts.doors import PASSWORD, enrolled
from tests.browser.conftest import give_both
from tests.browser.looks import DESKTOP, PHONE, shoot, too_wide
from tests.conftest import member
from tests.pages import charts

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SURNAME = "Wolfeschlegelsteinhausenbergerdorffschmidt"


@pytest.fixture
def practice(db: None) -> Practice:
    name = "Northeastern Comprehensive Headache and Facial Pain Center of the Connecticut River Valley"
    made = Practice.objects.create(name=name, code="NCHFPC")
    charts.connection(made)
    IdentityProvider.objects.create(practice=made, issuer="https://login.example.org/realms/staff", client_id="x")
    return made


@pytest.fixture
def person(practice: Practice) -> User:
    return member(f"maximiliane.{SURNAME.lower()}@headache.example.org", practice, Membership.Role.CLINICIAN)


def enter(page: Page, live_server: LiveServer, path: str) -> None:
    root = enrolled(User.objects.create_superuser("root@example.org", PASSWORD, full_name="Root"))
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    page.goto(f"{live_server.url}/admin/{path}")
    give_both(page, root.email)


def test_a_long_name_leaves_the_other_columns_on_the_screen(
    page: Page, live_server: LiveServer, practice: Practice, person: User, complaints: list[str]
) -> None:
    enter(page, live_server, "emr/connection/")
    for path, last in (("connection", "enrolled"), ("user", "is_staff"), ("identityprovider", "does_mfa")):
        page.goto(f"{live_server.url}/admin/emr/{path}/")
        shoot(page, f"admin-{path}-list")
        expect(page.locator(f"#result_list thead .column-{last}")).to_be_in_viewport(ratio=1)
        # A filter without a word could not be chosen.
        names = page.locator("#changelist-filter li a").all_inner_texts()
        assert [name for name in names if not name.strip()] == []
    assert complaints == []


def test_a_long_title_stands_clear_of_the_buttons(page: Page, live_server: LiveServer, practice: Practice) -> None:
    enter(page, live_server, f"emr/practice/{practice.pk}/change/")
    title = page.locator("#content > h2")
    button = page.get_by_role("link", name="History").bounding_box()
    words = title.evaluate(
        """each => { const range = document.createRange(); range.selectNodeContents(each);
            return Math.max(...[...range.getClientRects()].map(line => line.right)) }"""
    )
    assert button is not None
    assert words <= button["x"]


def test_a_membership_is_seen_whole_on_a_phone(
    page: Page, live_server: LiveServer, practice: Practice, person: User
) -> None:
    enter(page, live_server, f"emr/user/{person.pk}/change/")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    shoot(page, "admin-user-390")
    for name in ("memberships-0-role", "memberships-0-DELETE"):
        field = page.locator(f"[name={name}]")
        field.scroll_into_view_if_needed()
        expect(field).to_be_in_viewport(ratio=1)
    assert page.locator(".inline-group .tabular").evaluate("each => each.scrollLeft") == 0
    assert too_wide(page) == ""
