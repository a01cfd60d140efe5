"""Identity tokens: the table of forgeries, and how the issuer's keys are fetched."""

from collections.abc import Iterator
from dataclasses import replace
from time import time

import pytest

from emr.wire import id_token
from emr.wire.errors import WireError
from emr.wire.id_token import Identity, KeySets, reference, validate
from tests.launches import forgeries
from tests.launches.forgeries import CLIENT, FORGED, NONCE, VALID, Issuer, Making, Spoil


@pytest.fixture(scope="module")
def served() -> Iterator[Issuer]:
    with forgeries.issuer() as one:
        yield one


@pytest.mark.parametrize(("name", "spoil"), FORGED, ids=[name for name, _ in FORGED])
def test_a_forged_or_stale_token_is_refused(served: Issuer, name: str, spoil: Spoil) -> None:
    assert forgeries.refused(served, spoil) == "OIDC_INVALID"


@pytest.mark.parametrize(("name", "spoil"), VALID, ids=[name for name, _ in VALID])
def test_a_valid_token_is_accepted(served: Issuer, name: str, spoil: Spoil) -> None:
    assert forgeries.refused(served, spoil) == ""


def test_the_table_is_as_long_as_it_says() -> None:
    assert len(FORGED) >= 40
    assert len(VALID) == 5


def token(served: Issuer, spoil: Spoil = lambda made: None) -> str:
    made = Making(served.base, int(time()))
    spoil(made)
    served.keys = made.keys
    return made.token()


def check(served: Issuer, text: str, keys: KeySets, nonce: str = NONCE) -> Identity:
    with served.door() as door:
        return validate(door, served.configuration(), text, client_id=CLIENT, nonce=nonce, keys=keys)


def test_what_a_token_proves(served: Issuer) -> None:
    assert check(served, token(served), KeySets()) == Identity(served.base, "s-1", "Patient/p1")
    assert "s-1" not in repr(check(served, token(served), KeySets()))


def test_a_launch_without_a_nonce_proves_nothing(served: Issuer) -> None:
    with pytest.raises(WireError, match="nonce"):
        check(served, token(served, forgeries.claims(nonce="")), KeySets(), nonce="")


def test_the_keys_are_fetched_once_for_many_tokens(served: Issuer) -> None:
    keys, before = KeySets(), served.fetches
    for _ in range(5):
        check(served, token(served), keys)
    assert served.fetches == before + 1


def test_unknown_kids_do_not_hammer_the_issuer(served: Issuer) -> None:
    keys, before = KeySets(), served.fetches
    for number in range(50):
        with pytest.raises(WireError):
            check(served, token(served, forgeries.header(kid=f"k{number}")), keys)
    assert served.fetches == before + 1


def test_a_key_new_at_the_issuer_is_found(served: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeySets()
    check(served, token(served), keys)
    rotated = token(served, forgeries.signed_with("RS256", lambda: forgeries.rsa_key(2048, "new"),
                    lambda: forgeries.jwk(forgeries.rsa_key(2048, "new"), "new"), kid="new"))  # fmt: skip
    with pytest.raises(WireError):
        check(served, rotated, keys)  # asked a moment ago
    monkeypatch.setattr(id_token, "REFETCH_AFTER", 0.0)
    assert check(served, rotated, keys).subject == "s-1"


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        pytest.param("http://127.0.0.1:9/jwks", "FHIR_LINK_FOREIGN", id="a host nobody confirmed"),
        pytest.param("http://localhost.attacker.example/jwks", "FHIR_LINK_FOREIGN", id="another name"),
        pytest.param("", "DISC_INCOMPLETE", id="none"),
    ],
)
def test_keys_come_from_confirmed_hosts_alone(served: Issuer, uri: str, code: str) -> None:
    configuration = replace(served.configuration(), jwks_uri=uri or None)
    with served.door() as door, pytest.raises(WireError) as met:
        validate(door, configuration, token(served), client_id=CLIENT, nonce=NONCE, keys=KeySets())
    assert met.value.code == code


def test_a_refusal_quotes_nothing_of_the_token(served: Issuer) -> None:
    text = token(served, forgeries.claims(sub="canary-subject", nonce="canary-nonce"))
    with pytest.raises(WireError) as met:
        check(served, text, KeySets())
    assert "canary" not in str(met.value)
    assert not set(text.split(".")) & set(str(met.value).split())


BASE = "https://fhir.example.org/fhir/r4/AAAAAA"
REFERENCES = [
    ("relative", "Practitioner/d-1", "Practitioner/d-1"),
    ("absolute", f"{BASE}/Practitioner/d-1", "Practitioner/d-1"),
    ("a patient", f"{BASE}/Patient/p1", "Patient/p1"),
    ("another host", "https://evil.example/fhir/r4/AAAAAA/Practitioner/d-1", ""),
    ("another practice", "https://fhir.example.org/fhir/r4/BBBBBB/Practitioner/d-1", ""),
    ("a path that climbs", f"{BASE}/../BBBBBB/Practitioner/d-1", ""),
    ("another type", f"{BASE}/Organization/o-1", ""),
    ("more than a reference", f"{BASE}/Practitioner/d-1/_history/2", ""),
    ("not a text", 7, ""),
]


@pytest.mark.parametrize(("value", "expected"), [row[1:] for row in REFERENCES], ids=[row[0] for row in REFERENCES])
def test_a_fhir_user_is_of_this_server(value: object, expected: str) -> None:
    if expected:
        assert reference(value, BASE) == expected
    else:
        with pytest.raises(WireError):
            reference(value, BASE)
