"""A newcomer tries launches by hand: invites whom the demo names, consents as that patient, opens us in the EMR."""

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from headachemd.demo.journey import STAFF_EMAIL
from headachemd.demo.visitor import Visitor
from tests.demo.test_demo import running
from tests.launches import signing_in

pytestmark = pytest.mark.demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], str]]:
    """(what demo.json says, what the demo printed), once it greets."""
    folder = tmp_path_factory.mktemp("launches") / "demo"
    log = folder.parent / "demo.log"
    with running(folder, "--patients", "1"):
        until = time.monotonic() + 120
        while "Ctrl-C stops" not in (log.read_text() if log.exists() else ""):
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield json.loads((folder / "demo.json").read_text()), log.read_text()


@pytest.fixture(scope="module")
def staff(demo: tuple[dict[str, Any], str]) -> Visitor:
    """Signed in: a code is good for one sign-in."""
    place, _ = demo
    visitor = Visitor(f"http://127.0.0.1:{place['web_port']}")
    visitor.sign_in(STAFF_EMAIL, place["password"], place["totp_secret"])
    return visitor


def told(said: str) -> tuple[str, str, str]:
    """(given name, family name, birth date as staff type it) of the patient the demo names."""
    found = re.search(r"Invite a patient: (\S+) (.+), born ([\w-]{11})", said)
    assert found
    return found[1], found[2], f"{datetime.strptime(found[3], '%d-%b-%Y'):%m/%d/%Y}"


def test_the_patient_whom_the_demo_names_consents_and_the_history_fills(
    demo: tuple[dict[str, Any], str], staff: Visitor
) -> None:
    place, said = demo
    given, family, born = told(said)
    listing = staff.get("/")
    assert family.upper() not in listing
    path = unescape(re.search(r'href="(/practices/[0-9a-f-]+/consents/invite/)"', listing)[1])  # type: ignore[index]
    form = staff.get(path)
    connection = re.search(r'name="connection" value="([^"]+)"', form)
    assert connection
    fields = {"given": given, "family": family, "birth_date": born, "language": "en", "connection": connection[1]}
    _, page = staff.post(path, form, **fields)
    link = re.search(r"http://127\.0\.0\.1:\d+(/i/[\w-]{43})", page)
    assert link, page
    patient = Visitor(staff.address)
    _, leaving = patient.post("/i/", patient.get(link[1]), token=link[1].removeprefix("/i/"))
    onward = unescape(re.search(r'href="(http://127[^"]+/authorize\?[^"]+)"', leaving)[1])  # type: ignore[index]
    control = f"http://127.0.0.1:{place['sandbox_port']}/control"
    person = next(
        one["id"] for one in signing_in.control(control, "patients")["patients"] if one["names"][0]["family"] == family
    )
    back = signing_in.sign_in(onward, username=signing_in.username_of(control, person))
    assert "Thank you" in patient.get(back.removeprefix(staff.address))
    until = time.monotonic() + 120
    history = ""
    while "Allergies not fetched" in history or "As of" not in history:
        assert time.monotonic() < until, f"the history was not filled: {history or staff.get('/')}"
        time.sleep(0.5)
        pages = (staff.get(path) for path in staff.histories_on(staff.get("/")))
        history = next((page for page in pages if family.upper() in page), "")
    assert 'id="allergies"' in history


def test_a_clinician_opens_us_inside_the_emr(demo: tuple[dict[str, Any], str], staff: Visitor) -> None:
    place, said = demo
    home = re.search(r"http://127\.0\.0\.1:\d+/oauth/oauth2/home", said)
    assert home
    control = f"http://127.0.0.1:{place['sandbox_port']}/control"
    sent = [("username", signing_in.clinician(control)), ("password", "headache-sandbox"), ("decision", "sign-in")]
    _, _, screen = signing_in.send(home[0], sent)
    visit = re.search(r'name="visit" value="([^"]+)"', screen)
    patient = re.search(r'name="patient" value="([^"]+)"', screen)
    assert visit
    assert patient
    opened = [("visit", visit[1]), ("patient", patient[1]), ("app", "demo-provider-app")]
    status, location, _ = signing_in.send(home[0], opened)
    assert status == 303
    assert parse_qs(urlsplit(location).query).keys() == {"iss", "launch"}
    # The whole way: our launch, the EMR's authorization without a question, our callback, the history.
    query = urlencode({name: values[0] for name, values in parse_qs(urlsplit(location).query).items()})
    page = staff.get(f"/emr/launch?{query}")
    assert "As of" in page
    assert 'id="allergies"' in page
