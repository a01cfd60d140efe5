"""What may stand in a log line, and what may not."""

import pytest

from emr.wire.errors import NeverAgain, clean

JWT = "eyJhbGciOiJSUzM4NCJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl"

CLEANED = {
    "plain words stay": ("invalid scope requested", "invalid scope requested"),
    "scopes stay": ("system/MedicationAdministration.read", "system/MedicationAdministration.read"),
    "parameter names stay": ("with parameter [patient,_count]", "with parameter [patient,_count]"),
    "resource types stay": ("MedicationAdministration is unknown", "MedicationAdministration is unknown"),
    "error codes of four digits go": ("HAPI-0524: nothing", "HAPI-…: nothing"),
    "assertion": (f"bad assertion {JWT}", "bad assertion …"),
    "assertion with numbers inside": ("x aBcDeFgHiJ1234kLmNoPqRsT5678uVwXyZ", "x …"),
    "bearer": ("header was Bearer abc123", "header was Bearer …"),
    "bearer in small letters": ("bearer: x, bearer=abc", "bearer … bearer …"),
    "query": ("see https://fhir.example.org/Patient?name=Quimby", "see https://fhir.example.org/…"),
    "path": ("GET https://fhir.example.org/fhir/Patient/77 failed", "GET https://fhir.example.org/… failed"),
    "user in a URL": ("https://me:secret@fhir.example.org/x", "https://fhir.example.org/…"),
    "date": ("born 1971-03-04", "born …"),
    "date with slashes": ("born 3/14/1971", "born …"),
    "record number": ("MRN 123456", "MRN …"),
    "telephone": ("call 617-555-0100", "call …"),
    "mail": ("write to a.b@example.org now", "write to … now"),
    "resource id": ("Patient/aB3dE5gH7jK9mN1pQ3rS5tU7 unknown", "… unknown"),
    "line break": ("one\r\ntwo\tthree", "one two three"),
    "terminal codes": ("a\x1b[31mb\x9bc", "a [31mb c"),
    "text direction": ("a\u202eb", "a b"),
    "number": (404, "404"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("text", "line"), CLEANED.values(), ids=CLEANED.keys())
def test_clean(text: object, line: str) -> None:
    assert clean(text) == line


def test_clean_cuts_what_we_asked() -> None:
    assert clean("family Quimby, given Al, a", ["Quimby", "a", "Al"]) == "family …, given Al, a"


def test_clean_is_short_and_quick() -> None:
    assert len(clean("word " * 10_000)) <= 300
    assert clean("x" * 1_000_000) == "…"


def test_error_text() -> None:
    error = NeverAgain("FHIR_403", "not permitted", status=403, request_id="r-1", host="fhir.example.org")
    assert str(error) == "FHIR_403: not permitted (fhir.example.org, HTTP 403, r-1)"
    assert str(NeverAgain("FHIR_403")) == "FHIR_403: "
