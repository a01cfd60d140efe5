"""Unknown medication texts: normalised, bound once for a practice, and the histories that follow."""

import json
import re
import uuid
from typing import Any
from unittest import mock

import pytest
from django.urls import reverse

from emr import audit
from emr.models import AuditEvent, Practice, Resource, User
from patients import bindings, unknown_texts, views_entering
from patients.models import DrugBinding, Entry, Patient
from patients.projection import rebuild
from tests.conftest import signed_in
from tests.entering import posts
from tests.entering.test_assessments import words
from tests.pages import charts
from tests.projection import bodies

pytestmark = pytest.mark.usefixtures("now")


def ordered(practice: Practice, patient_id: str, *texts: str) -> None:
    """Orders as a pull leaves them: resources, not projected yet."""
    number = Resource.objects.count()
    for text in texts:
        number += 1
        order = bodies.order(f"r{number}", medicationCodeableConcept={"text": text})
        Resource.objects.create(
            practice=practice, resource_type="MedicationRequest", fhir_id=order["id"], patient_fhir_id=patient_id,
            body=json.dumps(order), content_hash=f"{number}", query="MedicationRequest?patient",
            first_seen_at=charts.NOW, changed_at=charts.NOW,
        )  # fmt: skip


def projected(practice: Practice, patient_id: str, *texts: str) -> list[Entry]:
    """Orders with their entries, in that order."""
    ordered(practice, patient_id, *texts)
    rebuild(practice.pk, patient_id)
    rows = Entry.objects.filter(practice=practice, patient__fhir_id=patient_id).order_by("source__fhir_id")
    return list(rows)[-len(texts) :]


def address(entry: Entry) -> str:
    return reverse("patients:bind", args=[entry.practice_id, entry.source_id])


SUMA_NAP = "Qwert-Nap 85/500 (compounded)"  # no rule knows it
KEY = "qwert nap 85 500 compounded"


def listing(practice: Practice) -> str:
    return reverse("patients:bindings", args=[practice.pk])


def sent(*ingredients: str, **changes: str) -> dict[str, str]:
    drugs = {f"ingredient_{place}": name for place, name in enumerate(ingredients)}
    return {"submission": str(uuid.uuid4()), "meaning": "drugs"} | drugs | changes


@pytest.fixture
def entry(person: Patient) -> Entry:
    return projected(person.practice, person.fhir_id, SUMA_NAP)[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("SUMA-NAP 85/500", "suma nap 85 500", id="case and punctuation"),
        pytest.param("  Suma  nap\t85/500 ", "suma nap 85/500", id="blanks"),
        pytest.param("Crème migraine", "CREME MIGRAINE", id="accents"),
        pytest.param("MigraineMix50mg", "migrainemix 50 MG", id="a number without a blank"),
        pytest.param("偏頭痛  薬", "偏頭痛 薬", id="no letter the tokens know"),
        pytest.param("a " * 200, "a " * 149 + "a…", id="whole, and cut as an entry's title is"),
    ],
)
def test_same_text(one: str, other: str) -> None:
    assert bindings.normalised(one) == bindings.normalised(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [("Mix 50", "Mix 5"), ("Mix A", "Mix B"), ("Mix", "Mix 1"), ("Mix 2.5", "Mix 25")],
)
def test_other_text(one: str, other: str) -> None:
    assert bindings.normalised(one) != bindings.normalised(other)


def test_an_order_without_a_text_is_not_bound(alice: User, person: Patient) -> None:
    blank, unnamed = projected(person.practice, person.fhir_id, "\u3000", "")
    assert unnamed.title == "Not named in the record"
    for entry in (blank, unnamed):
        assert signed_in(alice).get(address(entry)).status_code == 404
    assert unknown_texts.texts(person.practice_id) == ([], {})


def test_text_is_bound_for_the_practice(alice: User, entry: Entry, practice_a: Practice, practice_b: Practice) -> None:
    page = signed_in(alice).get(address(entry)).content.decode()
    assert SUMA_NAP in page
    assert '<option value="onabotulinumtoxinA">' in page
    answer = signed_in(alice).post(address(entry), sent("sumatriptan", "naproxen"))
    assert answer.headers["Location"] == reverse("patients:history", args=[entry.patient_id])
    assert bindings.bindings_of(practice_a.pk) == {KEY: ("naproxen", "sumatriptan")}
    assert bindings.bindings_of(practice_b.pk) == {}
    row = DrugBinding.objects.get()
    assert (row.written, row.entered_by) == (SUMA_NAP, alice)
    event = AuditEvent.objects.get(action=audit.Action.BINDING, detail="bound")
    assert (event.user, event.practice, event.object_id) == (alice, practice_a, row.pk)


def test_none_of_the_drugs_is_an_answer(alice: User, entry: Entry, practice_a: Practice) -> None:
    signed_in(alice).post(address(entry), sent(meaning="none"))
    assert bindings.bindings_of(practice_a.pk) == {KEY: ()}
    page = signed_in(alice).get(address(entry)).content.decode()
    assert "no drug of the list" in words(page)
    assert re.search(r'name="meaning" value="none"[^>]*checked', page)


def test_binding_is_changed_and_taken_back(alice: User, bob: User, entry: Entry, practice_a: Practice) -> None:
    signed_in(alice).post(address(entry), sent("sumatriptan"))
    first = DrugBinding.objects.get()
    page = signed_in(bob).get(address(entry)).content.decode()
    assert '<option value="sumatriptan" selected>' in page
    change = sent("rizatriptan", seen=str(first.pk), why="label read")
    assert signed_in(bob).post(address(entry), change).status_code == 302
    assert bindings.bindings_of(practice_a.pk) == {KEY: ("rizatriptan",)}
    second = DrugBinding.objects.current().get()
    back = sent(meaning="unknown", seen=str(second.pk), why="not sure")
    assert signed_in(alice).post(address(entry), back).status_code == 302
    assert bindings.bindings_of(practice_a.pk) == {}
    assert [row.why for row in DrugBinding.objects.order_by("entered_at", "replaces")].count("label read") == 1
    assert DrugBinding.objects.count() == 3


@pytest.mark.parametrize(
    ("post", "target", "said"),
    [
        pytest.param(sent(), "id_ingredient_0", "Choose an ingredient.", id="none chosen"),
        pytest.param(sent("aspirin 81"), "id_ingredient_0", "Select a valid choice", id="not of the table"),
        pytest.param(sent("aspirin", meaning=""), "id_meaning_0", "required", id="no meaning"),
        pytest.param(sent(meaning="unknown"), "id_meaning_0", "Select a valid choice", id="nothing to take back"),
    ],
)
def test_form_refuses(alice: User, entry: Entry, post: dict[str, str], target: str, said: str) -> None:
    page = signed_in(alice).post(address(entry), post).content.decode()
    assert said in posts.errors(page)[target]
    assert f'id="{target}"' in page
    assert not DrugBinding.objects.exists()


def test_list_of_unknown_texts(alice: User, entry: Entry, person: Patient, practice_a: Practice) -> None:
    projected(practice_a, "p2", "QWERT NAP 85/500 compounded", "Herbal qqtea", "Herbal  qqtea ")
    projected(practice_a, person.fhir_id, "Herbal Qqtea", "Topamax 50 mg")
    found, bound = unknown_texts.texts(practice_a.pk)
    assert [(each.orders, bindings.normalised(each.written)) for each in found] == [
        (3, "herbal qqtea"),
        (2, KEY),
    ]
    assert bound == {}
    signed_in(alice).post(address(entry), sent("sumatriptan"))
    found, bound = unknown_texts.texts(practice_a.pk)
    assert [bindings.normalised(each.written) for each in found] == ["herbal qqtea"]
    assert set(bound) == {KEY}
    page = signed_in(alice).get(listing(practice_a)).content.decode()
    assert "sumatriptan" in words(page)
    assert "Topamax" not in page
    for link in (address(entry), reverse("patients:bind", args=[practice_a.pk, found[0].source])):
        assert signed_in(alice).get(link).status_code == 200


def test_histories_that_hold_the_text_are_rebuilt(alice: User, practice_a: Practice, practice_b: Practice) -> None:
    for practice, patient_id, text in (
        (practice_a, "x1", "Qwertol 5"),
        (practice_a, "x2", "QWERTOL-5"),
        (practice_a, "x3", "Other"),
        (practice_b, "x1", "Qwertol 5"),
    ):
        projected(practice, patient_id, text)
        ordered(practice, patient_id, "Arrived since")
    entry = Entry.objects.get(practice=practice_a, title="Qwertol 5")
    signed_in(alice).post(address(entry), sent("sumatriptan"))
    # A rebuild brings along what has arrived since; nobody else's history was touched.
    holders = Entry.objects.filter(title="Arrived since").values_list("practice__code", "patient__fhir_id")
    assert set(holders) == {("AAAAAA", "x1"), ("AAAAAA", "x2")}
    assert DrugBinding.objects.get().rebuilt_at == charts.NOW


def test_too_many_histories_wait_for_the_rebuild(
    alice: User, entry: Entry, practice_a: Practice, practice_b: Practice
) -> None:
    for number in range(views_entering.AT_ONCE):
        projected(practice_a, f"q{number}", "qwert nap 85/500 compounded")
    with mock.patch.object(views_entering, "rebuild") as rebuilt:
        answer = signed_in(alice).post(address(entry), sent("sumatriptan"), follow=True)
    assert not rebuilt.called
    assert "More than 50 histories hold this text" in answer.content.decode()
    assert DrugBinding.objects.get().rebuilt_at is None
    assert "Waiting for their rebuild" in signed_in(alice).get(listing(practice_a)).content.decode()
    assert bindings.mark_rebuilt(practice_b.pk, entered_before=charts.NOW) == 0
    assert bindings.mark_rebuilt(entered_before=charts.NOW) == 1
    assert "Up to date" in signed_in(alice).get(listing(practice_a)).content.decode()


def test_a_rebuild_that_breaks_off_leaves_the_mark(alice: User, entry: Entry) -> None:
    client = signed_in(alice)
    client.raise_request_exception = False
    with mock.patch.object(views_entering, "rebuild", side_effect=OSError):
        assert client.post(address(entry), sent("sumatriptan")).status_code == 500
    assert DrugBinding.objects.get().rebuilt_at is None


def test_what_cannot_be_recorded_is_not_bound(alice: User, entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("the audit trail cannot be written")

    client = signed_in(alice)
    client.raise_request_exception = False
    monkeypatch.setattr(audit.AuditEvent.objects, "create", refuse)
    assert client.post(address(entry), sent("sumatriptan")).status_code == 500
    assert not DrugBinding.objects.exists()


def test_only_orders_of_the_own_practice(
    alice: User, charlie: User, entry: Entry, practice_a: Practice, practice_b: Practice
) -> None:
    (measured,) = charts.add(entry.patient, [charts.measure("Weight", "2024", "70")])
    assert signed_in(alice).get(address(measured)).status_code == 404
    for practice in (practice_a, practice_b):
        url = reverse("patients:bind", args=[practice.pk, entry.source_id])
        assert signed_in(charlie).get(url).status_code == 404
        assert signed_in(charlie).post(url, sent("sumatriptan")).status_code == 404
    assert not DrugBinding.objects.exists()
    assert "Qwert" not in signed_in(charlie).get(listing(practice_b)).content.decode()
