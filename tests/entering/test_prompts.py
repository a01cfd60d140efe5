"""Prompts put aside with a reason, and shown again: on somebody's wish, or because the facts have changed."""

from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.template.loader import render_to_string
from django.urls import reverse

from emr import audit
from emr.models import AuditEvent, Practice, User
from patients.headaches.prompts import Prompt
from patients.models import Patient, PromptDismissal
from tests.conftest import signed_in
from tests.entering import posts
from tests.entering.test_assessments import words
from tests.pages import charts

pytestmark = pytest.mark.usefixtures("now")

PRINT, CHANGED = "0f" * 32, "1f" * 32


def address(person: Patient) -> str:
    return reverse("patients:prompts", args=[person.pk])


def aside(**changes: str) -> dict[str, str]:
    return {"prompt": "09", "version": "1", "fingerprint": PRINT, "why": "known to the clinician"} | changes


def put_aside(person: Patient) -> set[tuple[str, str, str]]:
    rows = PromptDismissal.objects.current().filter(patient=person)
    return set(rows.values_list("prompt", "version", "fingerprint"))


def test_prompt_is_put_aside_with_a_reason(alice: User, person: Patient) -> None:
    answer = signed_in(alice).post(address(person), aside())
    assert answer.headers["Location"] == reverse("patients:history", args=[person.pk])
    assert put_aside(person) == {("09", "1", PRINT)}
    row = PromptDismissal.objects.get()
    assert (row.why, row.entered_by, row.entered_at) == ("known to the clinician", alice, charts.NOW)
    event = AuditEvent.objects.get(action=audit.Action.DISMISSAL)
    assert (event.user, event.patient_id, event.object_id, event.detail) == (alice, person.pk, row.pk, "put aside")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"fingerprint": CHANGED}, id="the facts have changed"),
        pytest.param({"version": "2"}, id="the rule has changed"),
        pytest.param({"prompt": "09b"}, id="another prompt"),
    ],
)
def test_another_state_of_things_is_not_put_aside(alice: User, person: Patient, changed: dict[str, str]) -> None:
    signed_in(alice).post(address(person), aside())
    other = tuple((aside() | changed)[name] for name in ("prompt", "version", "fingerprint"))
    assert other not in put_aside(person)
    signed_in(alice).post(address(person), aside(**changed))
    assert other in put_aside(person)
    assert len(put_aside(person)) == 2


def test_prompt_is_shown_again_and_put_aside_again(
    alice: User, bob: User, person: Patient, now: time_machine.Traveller
) -> None:
    signed_in(alice).post(address(person), aside())
    again = {"again": str(PromptDismissal.objects.get().pk)}
    now.shift(60)
    for _ in range(2):  # pressed twice
        assert signed_in(bob).post(address(person), again).status_code == 302
    assert put_aside(person) == set()
    now.shift(60)
    signed_in(alice).post(address(person), aside(why="discussed today"))
    assert put_aside(person) == {("09", "1", PRINT)}
    assert PromptDismissal.objects.count() == 3
    shown = words(signed_in(bob).get(address(person)).content.decode())
    assert shown.index("discussed today") < shown.index("Shown again Bob") < shown.index("known to the clinician")
    assert AuditEvent.objects.filter(action=audit.Action.DISMISSAL).count() == 3


def test_prompt_put_aside_twice_is_one_row(alice: User, bob: User, person: Patient) -> None:
    for user in (alice, bob):
        assert signed_in(user).post(address(person), aside()).status_code == 302
    assert PromptDismissal.objects.get().entered_by == alice


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"why": " "}, {"id_why": "Reason: Say why it is put aside."}, id="no reason"),
        pytest.param({"prompt": "99"}, {"": "This page was out of date. Open it again."}, id="no such prompt"),
        pytest.param({"prompt": "<b>"}, {"": "This page was out of date. Open it again."}, id="markup"),
        pytest.param({"fingerprint": "?"}, {"": "This page was out of date. Open it again."}, id="no fingerprint"),
    ],
)
def test_refused(alice: User, person: Patient, changes: dict[str, str], said: dict[str, str]) -> None:
    answer = signed_in(alice).post(address(person), aside(**changes))
    assert answer.status_code == 200
    assert posts.errors(answer.content.decode()) == said
    assert not PromptDismissal.objects.exists()


def test_empty_page(alice: User, person: Patient) -> None:
    shown = words(signed_in(alice).get(address(person)).content.decode())
    assert "No prompt has been put aside." in shown


@pytest.mark.parametrize("again", [str(uuid4()), "x", "0"])
def test_unknown_dismissal_is_not_found(alice: User, person: Patient, again: str) -> None:
    assert signed_in(alice).post(address(person), {"again": again}).status_code == 404


def test_a_dismissal_is_not_reached_through_another_patient(
    alice: User, charlie: User, person: Patient, practice_a: Practice, practice_b: Practice
) -> None:
    signed_in(alice).post(address(person), aside())
    again = {"again": str(PromptDismissal.objects.get().pk)}
    for user, through in ((alice, charts.patient(practice_a, "p2")), (charlie, charts.patient(practice_b))):
        assert signed_in(user).post(address(through), again).status_code == 404
    assert signed_in(charlie).post(address(person), aside(prompt="01")).status_code == 404
    assert put_aside(person) == {("09", "1", PRINT)}


def test_what_cannot_be_recorded_is_not_put_aside(
    alice: User, person: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("the audit trail cannot be written")

    client = signed_in(alice)
    client.raise_request_exception = False
    monkeypatch.setattr(audit.AuditEvent.objects, "create", refuse)
    assert client.post(address(person), aside()).status_code == 500
    assert not PromptDismissal.objects.exists()


def test_the_form_beside_a_prompt_posts_what_the_page_needs(person: Patient) -> None:
    prompt = Prompt("09", "1", "H", "Record shows A and B.", (), PRINT)
    fragment = render_to_string("patients/dismiss_form.html", {"prompt": prompt, "patient_id": person.pk})
    assert f'action="{address(person)}"' in fragment
    for name, value in (("prompt", "09"), ("version", "1"), ("fingerprint", PRINT)):
        assert f'name="{name}" value="{value}"' in fragment
    assert "Record shows A and B." in fragment
