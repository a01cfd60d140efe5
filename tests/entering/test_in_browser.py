"""Entering by hand in a real browser: at the width of a phone, by keyboard, without JavaScript; axe, CSP, targets."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from emr.models import Resource, User
from patients.models import Assessment, Attestation, Patient, PromptDismissal
from tests.browser.conftest import (  # noqa: F401 - fixtures
    base_url,
    browser_type_launch_args,
    complaints,
    orm_beside_playwright,
    sign_in,
)
from tests.browser.looks import DESKTOP, PHONE, shoot, too_wide, violations
from tests.entering.test_bindings import projected

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SMALL = """() => [...document.querySelectorAll("main a, main button, main summary, main label:has(input[type=radio])")]
    .filter(each => each.checkVisibility() && !each.closest("p, .stacks"))
    .filter(each => { const box = each.getBoundingClientRect(); return box.height < 24 || box.width < 24 })
    .map(each => each.textContent.trim())"""

Opener = Callable[[str], Page]


@pytest.fixture
def at(page: Page, live_server: LiveServer, alice: User, person: Patient) -> Opener:
    """Opens an address below the patient's, on a phone, signed in."""
    page.set_viewport_size(PHONE)
    sign_in(page, live_server, alice)

    def opened(path: str) -> Page:
        page.goto(f"{live_server.url}/patients/{person.pk}/{path}")
        return page

    return opened


def choose(page: Page, question: str, answer: str) -> None:
    page.get_by_role("group", name=question).get_by_text(answer, exact=True).click()


def fits(page: Page) -> bool:
    return not too_wide(page)


def fill_midas_and_hit6(page: Page) -> None:
    for label, days in (
        ("Work or school missed", "4"),
        ("Work or school at half or less", "6"),
        ("Household work not done", "3"),
        ("Household work at half or less", "5"),
        ("Family, social or leisure missed", "6"),
    ):
        page.get_by_label(label, exact=True).fill(days)
    for question, answer in (
        ("Severe pain", "Very often"),
        ("Daily activities limited", "Sometimes"),
        ("Wish to lie down", "Sometimes"),
        ("Too tired for work or daily activities", "Sometimes"),
        ("Fed up or irritated", "Rarely"),
        ("Hard to concentrate", "Very often"),
    ):
        choose(page, question, answer)


def test_assessment_on_a_phone(at: Opener, person: Patient, complaints: list[str]) -> None:  # noqa: F811
    page = at("assessments/new/")
    assert violations(page) == ""
    assert fits(page)
    assert page.evaluate(SMALL) == []
    shoot(page, "assessment-new-390")
    page.get_by_label("Headache days", exact=True).fill("9")
    page.get_by_label("Of these, migraine days").fill("12")
    page.get_by_label("Days with acute medication").fill("8")
    choose(page, "Headache lasts 4 hours or more a day, untreated", "Yes")
    fill_midas_and_hit6(page)
    page.get_by_role("button", name="Save").click()

    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("More migraine days than headache days.")
    assert violations(page) == ""
    assert fits(page)
    shoot(page, "assessment-refused-390")
    alert.get_by_role("link").click()
    field = page.get_by_label("Of these, migraine days")
    expect(field).to_be_focused()
    banner, place = page.locator(".banner").bounding_box(), field.bounding_box()
    assert banner is not None
    assert place is not None
    assert place["y"] >= banner["y"] + banner["height"]
    field.fill("6")
    page.get_by_role("button", name="Save").click()

    expect(page).to_have_title("GARCIA LOPEZ, María (Dr) – Headache history")
    expect(page.get_by_text("Assessment saved.")).to_be_visible()
    row = Assessment.objects.get()
    assert (row.headache_days, row.migraine_days, row.acute_medication_days, row.four_hours) == (9, 6, 8, True)
    assert (row.midas_total, row.hit6_total, row.diary_days) == (24, 60, None)
    assert complaints == []


def test_assessment_by_keyboard_alone(at: Opener) -> None:
    page = at("assessments/new/")
    page.get_by_label("Headache days", exact=True).focus()
    for keys in ("9", "Tab", "6", "Tab", "8", "Tab", "Tab", "ArrowRight", *["Tab"] * 5, "2"):
        page.keyboard.press(keys)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Assessment saved.")).to_be_visible()
    row = Assessment.objects.get()
    assert (row.headache_days, row.migraine_days, row.acute_medication_days) == (9, 6, 8)
    assert (row.diary_days, row.four_hours, row.midas_5) == (None, True, 2)


def test_correction_and_list(at: Opener, alice: User, person: Patient, complaints: list[str]) -> None:  # noqa: F811
    Assessment.objects.create(
        practice=person.practice,
        patient=person,
        entered_by=alice,
        date="2026-08-14",
        origin="patient",
        headache_days=12,
    )
    page = at("assessments/")
    page.get_by_role("link", name="Correct the assessment of 14-Aug-2026").click()
    page.get_by_label("Headache days", exact=True).fill("14")
    page.get_by_label("Why it is corrected").fill("diary read again")
    assert violations(page) == ""
    assert fits(page)
    shoot(page, "assessment-correct-390")
    page.get_by_role("button", name="Save the correction").click()
    expect(page.get_by_text("Assessment saved.")).to_be_visible()
    page = at("assessments/")
    expect(page.get_by_text("diary read again").first).to_be_visible()
    assert violations(page) == ""
    assert fits(page)
    shoot(page, "assessments-390")
    page.get_by_role("link", name="Correct the assessment").click()
    page.get_by_text("Entered in error? Take it back").click()
    page.get_by_label("Why it is taken back").fill("another patient's")
    assert violations(page) == ""
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_text("Assessment taken back.")).to_be_visible()
    assert not Assessment.objects.current().exists()
    assert complaints == []


def test_statement_on_a_trial(at: Opener, person: Patient, complaints: list[str]) -> None:  # noqa: F811
    page = at("trials/topiramate/attest/")
    assert violations(page) == ""
    assert fits(page)
    assert page.evaluate(SMALL) == []
    choose(page, "Outcome", "Not tolerated")
    choose(page, "Given for headache", "Yes")
    page.get_by_label("Highest dose reached").fill("50 mg daily")
    page.get_by_label("Reason stopped").select_option("Adverse effect")
    page.get_by_label("Start: year").fill("2017")
    page.get_by_label("Start: month").select_option("March")
    shoot(page, "attestation-390")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Statement saved.")).to_be_visible()
    row = Attestation.objects.get()
    assert (row.outcome, row.for_headache, row.start_words, row.origin) == (
        "not-tolerated",
        "yes",
        "Mar-2017",
        "clinician",
    )
    page = at("trials/topiramate/attest/")
    assert violations(page) == ""
    assert fits(page)
    shoot(page, "attestation-stated-390")
    assert complaints == []


def test_prompt_is_shown_again(at: Opener, alice: User, person: Patient) -> None:
    PromptDismissal.objects.create(
        practice=person.practice, patient=person, entered_by=alice, prompt="09", version="1", fingerprint="0f" * 32,
        why="known to the clinician",
    )  # fmt: skip
    page = at("prompts/")
    assert violations(page) == ""
    assert fits(page)
    shoot(page, "dismissals-390")
    page.get_by_role("button", name="Show again").click()
    expect(page.get_by_text("The prompt is shown again")).to_be_visible()
    assert not PromptDismissal.objects.current().exists()


def test_text_is_bound(page: Page, live_server: LiveServer, alice: User, person: Patient) -> None:
    projected(person.practice, person.fhir_id, "Qwert-Nap 85/500 (compounded)", "W" * 200)
    page.set_viewport_size(PHONE)
    sign_in(page, live_server, alice)
    texts = f"{live_server.url}/practices/{person.practice_id}/medications/"
    page.goto(texts)
    assert violations(page) == ""
    assert fits(page)
    shoot(page, "bindings-390")
    page.get_by_role("link", name="Say what it means (Qwert-Nap").click()
    assert violations(page) == ""
    assert fits(page)
    shoot(page, "binding-390")
    page.get_by_label("Ingredient", exact=True).select_option("sumatriptan")
    page.get_by_label("Ingredient 2 of a combination").select_option("naproxen")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Histories brought up to date: 1.")).to_be_visible()
    page.goto(texts)
    expect(page.get_by_text("naproxen + sumatriptan")).to_be_visible()
    assert violations(page) == ""
    page.get_by_role("link", name="Change what Qwert-Nap").click()
    expect(page.get_by_label("Ingredient", exact=True)).to_have_value("naproxen")
    assert Resource.objects.count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_on_a_desk(at: Opener, alice: User, person: Patient, page: Page, scheme: str) -> None:
    first = Assessment.objects.create(
        practice=person.practice, patient=person, entered_by=alice, date="2026-08-14", origin="patient",
        headache_days=12,
        **{f"midas_{number}": 5 for number in range(1, 6)},
        **{f"hit6_{number}": 10 for number in range(1, 7)},
    )  # fmt: skip
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(DESKTOP)
    problems = {}
    for path in (
        "assessments/new/",
        "assessments/",
        f"assessments/{first.pk}/correct/",
        "trials/class-triptan/attest/",
        "prompts/",
    ):
        problems[path] = violations(at(path))
        assert fits(page)
        shoot(page, f"entering-{path.strip('/').split('/')[-1]}-{scheme}-1280")
    assert {path: found for path, found in problems.items() if found} == {}


def test_entering_works_without_javascript(
    browser: Browser, live_server: LiveServer, alice: User, person: Patient
) -> None:
    context = browser.new_context(java_script_enabled=False, viewport=PHONE)
    page = context.new_page()
    sign_in(page, live_server, alice)
    page.goto(f"{live_server.url}/patients/{person.pk}/assessments/new/")
    page.get_by_label("Headache days", exact=True).fill("0")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Assessment saved.")).to_be_visible()
    assert Assessment.objects.get().headache_days == 0
    context.close()
