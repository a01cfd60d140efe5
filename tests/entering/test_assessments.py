"""The assessment form: what it accepts, what it says when it does not, and what becomes of it."""

import html
import re
from datetime import date
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from emr import audit
from emr.models import AuditEvent, Practice, User
from patients.models import Assessment, Patient
from patients.models.entered import ASKED
from tests.conftest import signed_in
from tests.entering import posts
from tests.pages import charts

pytestmark = pytest.mark.usefixtures("now")


def new(person: Patient) -> str:
    return reverse("patients:assessment-new", args=[person.pk])


def correct(row: Assessment) -> str:
    return reverse("patients:assessment-correct", args=[row.patient_id, row.pk])


def history(person: Patient) -> str:
    return reverse("patients:history", args=[person.pk])


def words(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.partition("<main")[2])))


def entered(user: User, person: Patient, **changes: Any) -> Assessment:
    sent = posts.assessment(**changes)
    answer = signed_in(user).post(new(person), sent)
    assert answer.status_code == 302, posts.errors(answer.content.decode())
    return Assessment.objects.get(submission=sent["submission"])


def test_full_form_is_saved_and_leads_to_the_history(alice: User, person: Patient) -> None:
    client = signed_in(alice)
    answer = client.post(new(person), posts.assessment(note="diary kept"))
    assert (answer.status_code, answer.headers["Location"]) == (302, history(person))
    row = Assessment.objects.get()
    assert (row.date, row.period_days) == (date(2026, 11, 21), 30)
    assert (row.headache_days, row.migraine_days, row.acute_medication_days, row.diary_days) == (9, 6, 8, 28)
    assert row.four_hours is True
    assert (row.midas_items, row.midas_a, row.midas_b) == ((4, 6, 3, 5, 6), 31, 7)
    assert row.hit6_items == (11, 10, 10, 10, 8, 11)
    assert (row.midas_total, row.midas_band) == (24, "Grade IV: severe disability")
    assert (row.hit6_total, row.hit6_band) == (60, "Severe impact")
    assert (row.origin, row.note, row.entered_by, row.entered_at) == ("rooming", "diary kept", alice, charts.NOW)
    assert (row.practice, row.patient, row.replaces, row.withdrawn) == (person.practice, person, None, False)
    assert "Assessment saved." in client.get(history(person)).content.decode()


def test_what_was_not_asked_stays_missing(alice: User, person: Patient) -> None:
    signed_in(alice).post(new(person), posts.bare(headache_days="0"))
    row = Assessment.objects.get()
    assert {name: getattr(row, name) for name in ASKED} == dict.fromkeys(ASKED) | {"headache_days": 0}


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        pytest.param({"headache_days": "0"}, {"headache_days": 0}, id="a stated zero"),
        pytest.param({"headache_days": " 07 "}, {"headache_days": 7}, id="blanks and a leading zero"),
        pytest.param({"four_hours": "False"}, {"four_hours": False}, id="No is an answer"),
        pytest.param({"hit6_2": "13"}, {"hit6_2": 13}, id="one HIT-6 answer"),
        pytest.param({"period_days": "90", "headache_days": "90"}, {"headache_days": 90}, id="90 of 90 days"),
        pytest.param({"migraine_days": "4"}, {"headache_days": None, "migraine_days": 4}, id="migraine days alone"),
        pytest.param({"headache_days": "4", "migraine_days": "4"}, {"migraine_days": 4}, id="all of them migraine"),
        pytest.param({"midas_a": "92", "midas_b": "0"}, {"midas_a": 92, "midas_b": 0}, id="borders of A and B"),
        pytest.param({"headache_days": "4", "date": "2000-01-01"}, {"date": date(2000, 1, 1)}, id="earliest date"),
        pytest.param({"headache_days": "4", "origin": "patient"}, {"origin": "patient"}, id="told by the patient"),
    ],
)
def test_form_accepts(alice: User, person: Patient, typed: dict[str, str], kept: dict[str, Any]) -> None:
    answer = signed_in(alice).post(new(person), posts.bare(**typed))
    assert answer.status_code == 302, posts.errors(answer.content.decode())
    row = Assessment.objects.get()
    assert {name: getattr(row, name) for name in kept} == kept


_WHOLE = "Enter a whole number from 0 to {}, or leave it empty."


@pytest.mark.parametrize(
    ("typed", "target", "said"),
    [
        pytest.param({}, "", "Nothing is entered yet.", id="nothing entered"),
        pytest.param({"diary_days": "20"}, "", "Nothing is entered yet.", id="a diary, but no answer"),
        pytest.param({"note": "seen"}, "", "Nothing is entered yet.", id="a note alone"),
        pytest.param({"headache_days": "31"}, "id_headache_days", "More days than the 30 asked about.", id="31 of 30"),
        pytest.param({"headache_days": "91"}, "id_headache_days", _WHOLE.format(90), id="91 days"),
        pytest.param({"headache_days": "-1"}, "id_headache_days", _WHOLE.format(90), id="negative"),
        pytest.param({"headache_days": "4.5"}, "id_headache_days", _WHOLE.format(90), id="half a day"),
        pytest.param({"headache_days": "4.0"}, "id_headache_days", _WHOLE.format(90), id="a point"),
        pytest.param({"headache_days": "1_0"}, "id_headache_days", _WHOLE.format(90), id="what Python reads as ten"),
        pytest.param({"headache_days": "٤"}, "id_headache_days", _WHOLE.format(90), id="digits of another script"),
        pytest.param({"headache_days": "9" * 5000}, "id_headache_days", _WHOLE.format(90), id="5,000 digits"),
        pytest.param({"headache_days": "daily"}, "id_headache_days", _WHOLE.format(90), id="a word"),
        pytest.param(
            {"headache_days": "4", "migraine_days": "5"}, "id_migraine_days", "More migraine days", id="more migraine"
        ),
        pytest.param({"midas_1": "93"}, "id_midas_1", _WHOLE.format(92), id="MIDAS item of 93 days"),
        pytest.param({"midas_b": "11"}, "id_midas_b", _WHOLE.format(10), id="pain of 11"),
        pytest.param({"hit6_4": "7"}, "id_hit6_4_0", "Select a valid choice", id="HIT-6 points of no answer"),
        pytest.param({"four_hours": "perhaps"}, "id_four_hours_0", "Select a valid choice", id="not yes or no"),
        pytest.param({"midas_1": "1", "date": "2026-11-22"}, "id_date", "in the future", id="tomorrow in New York"),
        pytest.param({"midas_1": "1", "date": "1999-12-31"}, "id_date", "too far back", id="last century"),
        pytest.param({"midas_1": "1", "date": "2026-02-30"}, "id_date", "Enter a valid date", id="no such day"),
        pytest.param({"midas_1": "1", "date": ""}, "id_date", "required", id="no date"),
        pytest.param({"midas_1": "1", "period_days": "29"}, "id_period_days", "Select a valid", id="unknown period"),
        pytest.param({"midas_1": "1", "origin": ""}, "id_origin_0", "Choose one.", id="no origin"),
        pytest.param({"midas_1": "1", "note": "x" * 1001}, "id_note", "at most 1000", id="a long note"),
        pytest.param({"midas_1": "1", "note": "a\0b"}, "id_note", "Null characters", id="a null character"),
        pytest.param({"midas_1": "1", "submission": "x"}, "", "This page was out of date.", id="tampered form"),
    ],
)
def test_form_refuses_and_links_to_the_field(
    alice: User, person: Patient, typed: dict[str, str], target: str, said: str
) -> None:
    answer = signed_in(alice).post(new(person), posts.bare(**typed))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert said in posts.errors(page)[target]
    assert not target or f'id="{target}"' in page
    assert not Assessment.objects.exists()
    assert not AuditEvent.objects.filter(action=audit.Action.ASSESSMENT).exists()


def test_refused_form_keeps_what_was_typed(alice: User, person: Patient) -> None:
    page = signed_in(alice).post(new(person), posts.assessment(headache_days="daily", note="<b>bold</b>")).content
    shown = page.decode()
    assert 'name="headache_days" value="daily"' in shown
    assert re.search(r'name="hit6_1" value="11"[^>]*checked', shown)
    assert "&lt;b&gt;bold&lt;/b&gt;" in shown
    assert 'aria-invalid="true"' in shown


def test_assessment_before_birth_is_refused(alice: User, practice_a: Practice) -> None:
    child = charts.patient(practice_a, birth_date=date(2015, 6, 1))
    page = signed_in(alice).post(new(child), posts.bare(midas_1="1", date="2015-05-31")).content.decode()
    assert "birth date" in posts.errors(page)["id_date"]


def test_empty_form_is_ready_to_fill(alice: User, bob: User, person: Patient) -> None:
    page = signed_in(alice).get(new(person)).content.decode()
    assert 'name="date" value="2026-11-21"' in page  # the practice's day, not UTC's
    assert re.search(r'name="origin" value="clinician"[^>]*checked', page)
    assert re.search(r'name="origin" value="rooming"[^>]*checked', signed_in(bob).get(new(person)).content.decode())
    inputs = re.findall(r'<input type="text" name="([a-z0-9_]+)"([^>]*)>', page)
    assert len(inputs) == 11
    assert all('inputmode="numeric"' in rest and " value=" not in rest for _, rest in inputs)
    for name in ("four_hours", *(f"hit6_{number}" for number in range(1, 7))):
        assert re.search(rf'name="{name}" value=""[^>]*checked', page), f"{name} begins as not asked"
    assert "<title>GARCIA LOPEZ, María (Dr) – New assessment</title>" in page
    assert "As of 21-Nov-2026 22:10" in words(page)
    assert 'class="banner"' in page


def test_form_sent_twice_is_entered_once(alice: User, person: Patient) -> None:
    sent = posts.assessment()
    for _ in range(2):
        assert signed_in(alice).post(new(person), sent).status_code == 302
    assert Assessment.objects.count() == 1
    assert AuditEvent.objects.filter(action=audit.Action.ASSESSMENT).count() == 1


# --- corrections ---------------------------------------------------------------------------------------------------
def test_correction_is_a_new_version(alice: User, bob: User, person: Patient) -> None:
    first = entered(alice, person, note="as told")
    page = signed_in(bob).get(correct(first)).content.decode()
    assert 'name="headache_days" value="9"' in page
    assert re.search(r'name="hit6_5" value="8"[^>]*checked', page)
    assert re.search(r'name="four_hours" value="True"[^>]*checked', page)
    change = posts.assessment(headache_days="12", seen=str(first.pk), why="diary read again", note="as told")
    assert signed_in(bob).post(correct(first), change).status_code == 302
    second = Assessment.objects.current().get()
    assert (second.headache_days, second.replaces, second.entered_by, second.why) == (
        12,
        first,
        bob,
        "diary read again",
    )
    assert Assessment.objects.get(pk=first.pk).headache_days == 9
    shown = words(signed_in(alice).get(reverse("patients:assessments", args=[person.pk])).content.decode())
    for said in (
        "Headache 12, migraine 6, acute medication 8",
        "Headache 9, migraine 6, acute medication 8",
        "Replaced 21-Nov-2026 22:10 by Bob: diary read again",
        "Bob 21-Nov-2026 22:10; Staff at rooming Reason: diary read again",
    ):
        assert said in shown


def test_correction_needs_a_reason(alice: User, person: Patient) -> None:
    first = entered(alice, person)
    sent = posts.assessment(headache_days="12", seen=str(first.pk), why="  ")
    page = signed_in(alice).post(correct(first), sent).content.decode()
    assert posts.errors(page) == {"id_why": "Why it is corrected: Say why it is corrected."}
    assert Assessment.objects.current().get() == first


def test_of_two_corrections_the_second_is_told(alice: User, bob: User, person: Patient) -> None:
    first = entered(alice, person)
    quick = posts.assessment(headache_days="12", seen=str(first.pk), why="first")
    slow = posts.assessment(headache_days="13", seen=str(first.pk), why="second")
    signed_in(alice).post(correct(first), quick)
    page = signed_in(bob).post(correct(first), slow).content.decode()
    assert "newer version in the meantime" in posts.errors(page)[""]
    assert Assessment.objects.current().get().headache_days == 12
    assert Assessment.objects.count() == 2
    opened = signed_in(bob).get(correct(first), follow=True)
    assert opened.redirect_chain == [(reverse("patients:assessments", args=[person.pk]), 302)]
    assert "corrected already" in opened.content.decode()


def test_assessment_can_be_taken_back_and_entered_again(alice: User, bob: User, person: Patient) -> None:
    first = entered(alice, person)
    back = {"withdraw-submission": str(first.pk), "withdraw-seen": str(first.pk), "withdraw-why": ""}
    page = signed_in(bob).post(correct(first), back).content.decode()
    assert posts.errors(page) == {"id_withdraw-why": "Why it is taken back: Say why it is taken back."}
    assert signed_in(bob).post(correct(first), back | {"withdraw-why": "another patient's"}).status_code == 302
    assert not Assessment.objects.current().exists()
    gone = Assessment.objects.heads().get()
    assert (gone.withdrawn, gone.why, gone.entered_by, gone.headache_days) == (True, "another patient's", bob, 9)
    shown = signed_in(alice).get(reverse("patients:assessments", args=[person.pk])).content.decode()
    assert "another patient's" in words(shown)
    assert "Enter again" in words(shown)
    again = posts.assessment(seen=str(gone.pk), why="was right")
    assert signed_in(alice).post(correct(gone), again).status_code == 302
    assert Assessment.objects.current().get().why == "was right"


def test_list_tells_not_asked_from_none(alice: User, person: Patient) -> None:
    list_page = reverse("patients:assessments", args=[person.pk])
    assert "Nothing has been entered here yet." in signed_in(alice).get(list_page).content.decode()
    signed_in(alice).post(new(person), posts.bare(headache_days="0", midas_1="2"))
    shown = words(signed_in(alice).get(list_page).content.decode())
    assert "Headache 0, migraine not asked, acute medication not asked" in shown
    assert "No total items 2, not asked, not asked, not asked, not asked; A not asked; B not asked Not asked" in shown
    assert "None" not in shown


def test_list_costs_the_same_for_any_number_of_rows(alice: User, person: Patient) -> None:
    def queries() -> int:
        client = signed_in(alice)
        with CaptureQueriesContext(connection) as made:
            assert client.get(reverse("patients:assessments", args=[person.pk])).status_code == 200
        return len(made)

    entered(alice, person)
    few = queries()
    for month in range(1, 9):
        row = entered(alice, person, date=f"2026-{month:02}-05")
        signed_in(alice).post(correct(row), posts.assessment(seen=str(row.pk), why="again", date=f"2026-{month:02}-05"))
    assert Assessment.objects.count() == 17
    assert queries() == few


# --- who, and what is recorded -------------------------------------------------------------------------------------
def test_every_role_of_the_practice_may_enter(alice: User, bob: User, person: Patient) -> None:
    for user in (alice, bob):
        entered(user, person)
    assert {row.entered_by for row in Assessment.objects.all()} == {alice, bob}


def test_other_practices_enter_nothing(charlie: User, alice: User, person: Patient) -> None:
    first = entered(alice, person)
    client = signed_in(charlie)
    assert client.post(new(person), posts.assessment()).status_code == 404
    assert client.post(correct(first), posts.assessment(seen=str(first.pk), why="x")).status_code == 404
    assert Assessment.objects.get() == first


def test_an_assessment_is_not_reached_through_another_patient(
    alice: User, charlie: User, person: Patient, practice_a: Practice, practice_b: Practice
) -> None:
    first = entered(alice, person)
    own = charts.patient(practice_b)
    for user, through in ((charlie, own), (alice, charts.patient(practice_a, "p2"))):
        url = reverse("patients:assessment-correct", args=[through.pk, first.pk])
        assert signed_in(user).get(url).status_code == 404
        assert signed_in(user).post(url, posts.assessment(seen=str(first.pk), why="x")).status_code == 404
    assert Assessment.objects.count() == 1


def test_reads_and_entries_are_recorded(alice: User, person: Patient) -> None:
    client = signed_in(alice)
    client.get(new(person))
    row = entered(alice, person)
    client.get(reverse("patients:assessments", args=[person.pk]))
    seen = list(AuditEvent.objects.exclude(action=audit.Action.SIGN_IN).order_by("at", "id"))
    assert {(event.action, event.detail) for event in seen} == {
        (audit.Action.READ_HISTORY, "assessment"),
        (audit.Action.ASSESSMENT, "saved"),
        (audit.Action.READ_HISTORY, "assessments"),
    }
    assert {(event.user, event.practice, event.patient_id) for event in seen} == {(alice, person.practice, person.pk)}
    assert next(event.object_id for event in seen if event.action == audit.Action.ASSESSMENT) == row.pk


def test_what_cannot_be_recorded_is_not_entered(alice: User, person: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = entered(alice, person)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("the audit trail cannot be written")

    client = signed_in(alice)
    client.raise_request_exception = False
    monkeypatch.setattr(audit.AuditEvent.objects, "create", refuse)
    for url, sent in (
        (new(person), posts.assessment()),
        (correct(first), posts.assessment(seen=str(first.pk), why="x")),
    ):
        assert client.post(url, sent).status_code == 500
    assert Assessment.objects.get() == first


def test_entering_needs_the_csrf_token(alice: User, person: Patient) -> None:
    client = signed_in(alice, Client(enforce_csrf_checks=True))
    assert client.post(new(person), posts.assessment()).status_code == 403
    assert not Assessment.objects.exists()


def test_every_form_carries_the_csrf_token(alice: User, person: Patient) -> None:
    client = signed_in(alice)
    row = entered(alice, person)
    client.post(reverse("patients:attest", args=[person.pk, "topiramate"]), posts.attestation())
    aside = {"prompt": "09", "version": "1", "fingerprint": "0f" * 32, "why": "known"}
    client.post(reverse("patients:prompts", args=[person.pk]), aside)
    for url, forms in (
        (new(person), 1),
        (correct(row), 2),
        (reverse("patients:attest", args=[person.pk, "topiramate"]), 2),
        (reverse("patients:prompts", args=[person.pk]), 1),
    ):
        main = client.get(url).content.decode().partition("<main")[2].partition("</main>")[0]
        found = re.findall(r'<form method="post".*?</form>', main, re.S)
        assert len(found) == forms
        assert all('name="csrfmiddlewaretoken"' in form for form in found), url


def test_nothing_is_kept_by_browsers(alice: User, person: Patient) -> None:
    row = entered(alice, person)
    for url in (new(person), correct(row), reverse("patients:assessments", args=[person.pk])):
        assert "no-store" in signed_in(alice).get(url).headers["Cache-Control"]
