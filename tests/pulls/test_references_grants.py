"""Records that several patients refer to, read with persons' consents: a refusal counts for that consent alone."""

from collections import Counter

import pytest

from emr.models import ReferenceRead, Resource, TypeOutcome
from emr.pulling import asking
from tests.launches.conftest import nobody_came_before, place, vendor_keys  # noqa: F401
from tests.launches.place import Place
from tests.launches.signing_in import control
from tests.pulls.conftest import work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

SHARED = "m-shared"


@pytest.fixture
def consented(place: Place) -> Place:  # noqa: F811
    """Two patients who consented; an order of each refers to the same drug."""
    registration = place.connection.registration
    registration.scopes = f"{registration.scopes} patient/Medication.read"
    registration.save()
    place.register()
    orders = [
        {
            "resourceType": "MedicationRequest", "id": f"r-{n}", "intent": "order", "status": "active",
            "subject": {"reference": f"Patient/{person['id']}"},
            "medicationReference": {"reference": f"Medication/{SHARED}"},
        }
        for n, person in enumerate(place.people())
    ]  # fmt: skip
    control(place.control_url, "charts", [{"resourceType": "Medication", "id": SHARED}, *orders])
    return place


def refuse(place: Place, status: int, times: int) -> None:  # noqa: F811
    place.order("status", status=status, times=times, match={"path": f"/Medication/{SHARED}"})


def outcomes(place: Place) -> dict[str, str]:  # noqa: F811
    rows = TypeOutcome.objects.filter(resource_type="Medication", enrolment__connection=place.connection)
    return dict(rows.values_list("enrolment__patient_fhir_id", "outcome"))


def asked(place: Place) -> int:  # noqa: F811
    """Reads of the drug that the server answered with it."""
    served = Counter(fhir_id for _, fhir_id, *_ in control(place.control_url, "ledger")["served"])
    return served[SHARED]


STATUSES = [("not permitted", 403, "not-permitted"), ("not there, to this person", 404, "not-fetched")]


@pytest.mark.parametrize(("status", "outcome"), [row[1:] for row in STATUSES], ids=[row[0] for row in STATUSES])
def test_a_refusal_to_one_person_counts_for_their_consent_alone(consented: Place, status: int, outcome: str) -> None:
    first, second = (person["id"] for person in consented.people())
    refuse(consented, status, times=1)
    consented.granted(0)
    work(consented.connection)
    assert outcomes(consented)[first] == outcome
    consented.granted(1)
    work(consented.connection)
    assert outcomes(consented) == {first: outcome, second: "complete"}
    assert Resource.objects.get(fhir_id=SHARED).patient_fhir_id == ""
    # What one person's consent brought serves the other one as well: nothing is asked a second time.
    asking.request_pull(consented.connection, "test")
    work(consented.connection)
    assert outcomes(consented) == {first: "complete", second: "complete"}
    assert asked(consented) == 1


def test_a_refusal_is_not_asked_about_again_until_the_person_consents_anew(consented: Place) -> None:
    first = consented.people()[0]["id"]
    refuse(consented, 403, times=1)
    consented.granted(0)
    work(consented.connection)
    asking.request_pull(consented.connection, "test")
    work(consented.connection)
    # The server would give it by now, had it been asked.
    assert outcomes(consented) == {first: "not-permitted"}
    assert asked(consented) == 0
    consented.granted(0)
    work(consented.connection)
    assert outcomes(consented) == {first: "complete"}


def test_two_refusals_are_two(consented: Place) -> None:
    refuse(consented, 403, times=2)
    for number in range(2):
        consented.granted(number)
    work(consented.connection)
    assert set(outcomes(consented).values()) == {"not-permitted"}
    rows = list(ReferenceRead.objects.values_list("outcome", "under"))
    assert [outcome for outcome, _ in rows] == ["not-permitted"] * 2
    assert len({under for _, under in rows}) == 2
