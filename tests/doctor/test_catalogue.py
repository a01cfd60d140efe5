"""The error catalogue: complete, unambiguous, in step with the wire, and the same in the docs."""

import re
from pathlib import Path

import pytest

from emr import calls, catalogue, tokens
from emr.catalogue import Told
from emr.doctor.watch import told
from emr.models import Connection
from emr.wire.answers import Answer
from emr.wire.errors import WireError
from emr.wire.refusals import refusal
from tests.doctor.situations import SITUATIONS
from tests.doctor.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r'"((?:CFG|KEY|SECRET|DISC|NET|TLS|AUTHZ|OIDC|TOK|FHIR|BULK)_[A-Z0-9_]*[A-Z0-9])"')


def test_every_code_in_the_program_is_in_the_catalogue() -> None:
    used = {code for path in (ROOT / "emr").rglob("*.py") for code in CODE.findall(path.read_text("utf-8"))}
    # Some places compare with the beginning of codes.
    known = {code for code in used if any(f"{listed}_".startswith(f"{code}_") for listed in catalogue.codes())}
    assert used - known == set()
    assert len(used) > 30


@pytest.mark.parametrize("entry", catalogue.entries(), ids=lambda entry: entry.code)
def test_an_entry_says_what_an_admin_needs(entry: catalogue.Explanation) -> None:
    assert entry.title
    assert entry.causes
    assert entry.next_step.endswith(".")
    assert entry.who in {"we", "vendor", "practice", "nobody"}
    assert entry.retries in {"no", "once", "backs off", "after a fix"}
    assert entry.severity in {"wrong", "warning"}


def test_an_unlisted_code_is_explained_as_unknown() -> None:
    assert catalogue.explain("NEVER_HEARD_OF").title == catalogue.explain("UNKNOWN").title
    assert catalogue.explain("NEVER_HEARD_OF").listed is False


def oauth(*words: str) -> frozenset[str]:
    return frozenset(words)


# What a later launch or bulk export will ask; discovery, token and FHIR are proved against the sandbox.
RECOGNISED = [
    ("authorize 401 without a word", Told("authorize", 401), "AUTHZ_401_AUD"),
    ("authorize 403 with its fields swapped", Told("authorize", 403, oauth=oauth("403", "invalid_request")),
     "AUTHZ_403_INVALID_REQUEST"),
    ("authorize 400 about the redirect", Told("authorize", 400, "Invalid redirect_uri"), "AUTHZ_REDIRECT"),
    ("an OAuth code goes before the words", Told("authorize", 400, "redirect", oauth("invalid_scope")), "AUTHZ_SCOPE"),
    ("authorize, not activated", Told("authorize", 400, "FHIR app authentication is not enabled"),
     "AUTHZ_APP_NOT_ACTIVATED"),
    ("another type of app", Told("authorize", 400, oauth=oauth("unauthorized_client")), "AUTHZ_UNAUTHORIZED_CLIENT"),
    ("the patient declined", Told("authorize", 302, oauth=oauth("access_denied")), "AUTHZ_DENIED"),
    ("a code used twice", Told("code", 400, oauth=oauth("invalid_grant"), json=True), "TOK_CODE_INVALID"),
    ("a consent that ended", Told("refresh", 400, oauth=oauth("invalid_grant"), json=True), "TOK_REFRESH_INVALID"),
    ("a consent that ended, said by a bare 403", Told("refresh", 403, json=True), "TOK_REFRESH_INVALID"),
    ("the same code on Backend Services is about scopes", Told("token", 400, oauth=oauth("invalid_grant")),
     "TOK_SCOPE_BACKEND"),
    ("access_denied as a server error", Told("refresh", 500, oauth=oauth("access_denied")), "TOK_ACCESS_DENIED_500"),
    ("unknown group", Told("bulk-start", 404), "BULK_GROUP"),
    ("group not allowed", Told("bulk-start", 401), "BULK_GROUP"),
    ("the same export twice", Told("bulk-start", 429), "BULK_IN_PROGRESS"),
    ("a job that is gone", Told("bulk-poll", 404), "BULK_JOB_LOST"),
    ("a poll in an outage", Told("bulk-poll", 503), "FHIR_5XX"),
    ("a code inside other words is no OAuth code", Told("token", 400, oauth=oauth("not invalid_client"), json=True),
     "TOK_REFUSED"),
    ("contradicting codes", Told("token", 400, oauth=oauth("invalid_client", "invalid_grant")), "TOK_REFUSED"),
    ("a place nobody asks", Told("elsewhere", 404), "UNKNOWN"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "code"), [row[1:] for row in RECOGNISED], ids=[row[0] for row in RECOGNISED])
def test_an_answer_is_recognised(seen: Told, code: str) -> None:
    assert catalogue.recognise(seen) == code


FHIR_ANSWERS = [
    (401, ""),
    (403, ""),
    (404, ""),
    (408, ""),
    (410, ""),
    (429, ""),
    (500, ""),
    (502, "<html>"),
    (503, ""),
    (400, "FHIR app authentication is not enabled"),
    (400, "The operation is not supported for the selected scope"),
    (400, "Does not know how to handle get operation with parameter [patient,_count]"),
    (400, "Unsupported query parameter(s): _count. These parameters are not allowed."),
    (400, 'Unknown search parameter "status" for resource type'),
    (400, "Something else"),
    (422, ""),
]


@pytest.mark.parametrize(("status", "text"), FHIR_ANSWERS)
def test_the_wire_gives_fhir_refusals_the_catalogues_codes(status: int, text: str) -> None:
    """Pulls go by the code of the error, the doctor by the catalogue: they must not part."""
    answer = Answer(status, {}, text.encode(), "https://fhir.example.org/fhir/r4/AAAAAA/Condition", 0.0, "")
    assert refusal(answer).code == catalogue.recognise(told(answer, "fhir"))


TOKEN_REFUSALS = [
    one for one in SITUATIONS if one.step == "token" and one.code not in {"TOK_ASSERTION_REPLAY", "FHIR_429"}
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize(
    "situation", [pytest.param(one, id=one.name) for one in TOKEN_REFUSALS if "hangs" not in one.name]
)
def test_the_wire_gives_token_refusals_the_catalogues_codes(well: Stage, situation: object) -> None:
    situation.arrange(well)  # type: ignore[attr-defined]
    connection = Connection.objects.select_related("practice", "registration").get()
    with calls.door_to(connection) as door, pytest.raises(WireError) as met:
        tokens.system_access(connection, door)
    assert met.value.code == situation.code  # type: ignore[attr-defined]


def test_the_docs_are_the_catalogue() -> None:
    """Made by `manage.py doctor --catalogue > docs/errors.md`."""
    assert (ROOT / catalogue.DOCUMENT).read_text("utf-8") == catalogue.markdown()
    headings = set(re.findall(r"^## (\S+)$", catalogue.markdown(), re.MULTILINE))
    assert {entry.link for entry in catalogue.entries()} == {f"docs/errors.md#{name.lower()}" for name in headings}
