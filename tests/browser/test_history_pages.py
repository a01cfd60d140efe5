"""The history page in a real browser: charts that can be read, prompts put aside, numbers that show at once."""

import re

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from emr.models import Practice, User
from patients.models import Patient
from tests.browser.conftest import sign_in
from tests.browser.looks import Looks, shoot, violations
from tests.pages import charts

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"

# Pairs of texts in one drawing whose boxes overlap, as drawn.
OVERLAPS = """() => [...document.querySelectorAll("svg.plot")].flatMap(plot => {
    const boxes = [...plot.querySelectorAll("text")].map(each => [each.textContent, each.getBoundingClientRect()]);
    return boxes.flatMap(([one, a], at) => boxes.slice(at + 1)
        .filter(([, b]) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4)
        .map(([other]) => `${one} / ${other}`));
})"""
OUTSIDE = """() => [...document.querySelectorAll("svg.plot")].flatMap(plot => {
    const frame = plot.getBoundingClientRect();
    return [...plot.querySelectorAll("text, rect:not(pattern *), line:not(pattern *), path")]
        .filter(each => { const box = each.getBoundingClientRect();
            return box.left < frame.left - 2 || box.right > frame.right + 8 || box.bottom > frame.bottom + 2 })
        .map(each => each.textContent || each.outerHTML);
})"""


@pytest.fixture
def chart(practice_a: Practice) -> Patient:
    """A rich chart with what prompts, flags and all lanes need."""
    person = charts.rich(practice_a)
    charts.add(
        person,
        [
            charts.diagnosis("Coronary artery disease", "2020-01-02", code="I25.10", system=ICD10),
            charts.diagnosis("Pregnancy", "2022-03-01", code="Z33.1", system=ICD10),
            *(charts.procedure("Botox", f"2026-{month:02}-01", group="botox-procedure") for month in (2, 5, 8, 11)),
            charts.procedure("Occipital nerve block", "2025-12-01", group="nerve-block"),
            charts.scale("Migraine days", "2026-11-14", "6", unit="per month"),
            charts.scale("Acute medication days", "2026-11-14", "11", unit="per month"),
            charts.appointment("Follow-up", "2027-02-03"),
        ],
    )
    return person


def address(live_server: LiveServer, person: Patient) -> str:
    return f"{live_server.url}/patients/{person.pk}/"


def test_charts_can_be_read(
    page: Page, live_server: LiveServer, alice: User, chart: Patient, complaints: list[str], size: dict[str, int]
) -> None:
    sign_in(page, live_server, alice)
    page.set_viewport_size(size)
    page.goto(address(live_server, chart))
    expect(page.locator("svg.plot")).to_have_count(4)
    assert page.evaluate(OVERLAPS) == []
    assert page.evaluate(OUTSIDE) == []
    sizes = "[...document.querySelectorAll('svg.plot text')].map(each => parseFloat(getComputedStyle(each).fontSize))"
    assert min(page.evaluate(sizes)) >= 11
    assert complaints == []


def test_everything_opened_is_accessible(
    page: Page, live_server: LiveServer, alice: User, chart: Patient, scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)
    sign_in(page, live_server, alice)
    page.goto(address(live_server, chart))
    page.evaluate("document.querySelectorAll('main details').forEach(each => { each.open = true })")
    assert violations(page) == ""
    shoot(page, f"history-opened-{scheme}")


def test_each_chart_has_a_name_and_its_data_as_a_table(
    page: Page, live_server: LiveServer, alice: User, chart: Patient
) -> None:
    sign_in(page, live_server, alice)
    page.goto(address(live_server, chart))
    for name in (
        "Headache days per month",
        "MIDAS and HIT-6",
        "Treatment and events over time",
        "Acute medication per month",
    ):
        expect(page.get_by_role("img", name=name)).to_be_visible()
        figure = page.locator("figure", has=page.get_by_role("heading", name=name))
        figure.get_by_text("As a table").click()
        expect(figure.get_by_role("table", name=name)).to_be_visible()


def test_a_prompt_is_put_aside_with_a_reason(page: Page, live_server: LiveServer, alice: User, chart: Patient) -> None:
    sign_in(page, live_server, alice)
    page.goto(address(live_server, chart))
    prompts = page.locator("#alerts .alerts > li.high", has_text="Coronary artery disease")
    expect(prompts).to_have_count(1)
    prompts.get_by_text("Put aside").first.click()
    prompts.get_by_label("Reason").fill("seen by cardiology")
    prompts.get_by_role("button", name="Put aside").click()
    expect(page.get_by_text("Prompt put aside.")).to_be_visible()
    expect(prompts).to_have_count(0)
    expect(page.get_by_role("link", name="1 put aside")).to_be_visible()


def test_numbers_entered_show_at_once(page: Page, live_server: LiveServer, alice: User, practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.enrol(person)
    sign_in(page, live_server, alice)
    page.goto(address(live_server, person))
    expect(page.locator("#glance-days")).to_contain_text("Never stated")
    page.locator("#glance-days").get_by_role("link", name="Enter days").click()
    page.get_by_label(re.compile("^headache days", re.I)).fill("12")
    page.get_by_label(re.compile("migraine days", re.I)).fill("7")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#glance-days")).to_contain_text("12 days")
    expect(page.get_by_role("img", name="Headache days per month")).to_be_visible()


def test_sources_of_a_figure_open_the_record(page: Page, live_server: LiveServer, alice: User, chart: Patient) -> None:
    sign_in(page, live_server, alice)
    page.goto(address(live_server, chart))
    page.locator("#glance-diagnosis details.because summary").first.click()
    page.locator("#glance-diagnosis details.because li a").first.click()
    expect(page.get_by_role("heading", name="Source record")).to_be_visible()
    expect(page.get_by_text('"resourceType": "Condition"')).to_be_visible()


def test_lists_that_came_in_part_say_so(
    live_server: LiveServer, alice: User, practice_a: Practice, looks: Looks
) -> None:
    person = charts.patient(practice_a, "part")
    unread = "A record cannot be read (FHIR_BAD_RESOURCE)"
    charts.enrol(person, {"AllergyIntolerance": ("complete", unread), "Condition": ("complete", unread)})
    charts.add(person, [charts.diagnosis("Migraine", "2024-03-07", about_headache=True)])
    sign_in(looks.page, live_server, alice)
    looks.at("history-in-part", address(live_server, person))
    expect(looks.page.locator("#allergies")).to_contain_text(f"May be incomplete: {unread}.")
    expect(looks.page.locator("#allergies")).not_to_contain_text("Nothing on file")
    expect(looks.page.locator(".allergy")).to_contain_text("Allergies unavailable")
    looks.page.goto(f"{live_server.url}/patients/{person.pk}/print/")
    shoot(looks.page, f"print-in-part-{looks.size['width']}")
