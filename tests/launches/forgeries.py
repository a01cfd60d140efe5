"""Identity tokens to be refused, and some to be accepted, each signed here byte by byte: no library in between.

`verdicts()` runs the table against a JWKS served over HTTP and says of each row whether the token was accepted.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from emr.wire.errors import WireError
from emr.wire.http import Door
from emr.wire.id_token import KeySets, validate
from emr.wire.wellknown import SmartConfiguration

CLIENT = "a-patient-app"
NONCE = "n-7f2c1b0e9d8a4c3b6f5e2d1c0b9a8f7e"
BASE_PATH = "/fhir/r4/AAAAAA"
HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


@cache
def rsa_key(bits: int, which: str = "") -> rsa.RSAPrivateKey:
    """Made anew in each run; `which` tells keys of one size apart."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(curve: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key({"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[curve])


@cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def jwk(private: Any, kid: str, **more: str) -> dict[str, str]:
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        members = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        size, point = (public.key_size + 7) // 8, public.public_numbers()
        members = {"kty": "EC", "crv": f"P-{public.key_size}", "x": number(point.x, size), "y": number(point.y, size)}
    else:
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        members = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    return {**members, "use": "sig", "kid": kid} | more


def pem(private: rsa.RSAPrivateKey) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sign(data: bytes, alg: str, key: Any) -> bytes:
    digest = HASHES.get(alg[2:], hashes.SHA256())
    if isinstance(key, bytes):
        return hmac.new(key, data, getattr(hashlib, f"sha{alg[2:]}")).digest()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    if alg.startswith("PS"):
        return key.sign(data, padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH), digest)
    return key.sign(data, padding.PKCS1v15(), digest)


@dataclass
class Making:
    """A good token, of which a row spoils one thing. text: claims as raw JSON, where an object cannot say it."""

    base: str
    now: int
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": "one", "typ": "JWT"})
    claims: dict[str, Any] = field(default_factory=dict)
    key: Any = None
    keys: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    after: Callable[[str], str] = str

    def __post_init__(self) -> None:
        self.key = rsa_key(2048)
        self.keys = [jwk(self.key, "one"), jwk(rsa_key(2048, "second"), "two")]
        self.claims = {
            "iss": self.base, "aud": CLIENT, "sub": "s-1", "nonce": NONCE, "iat": self.now, "exp": self.now + 300,
            "fhirUser": f"{self.base}/Patient/p1",
        }  # fmt: skip

    def without(self, claim: str) -> None:
        del self.claims[claim]

    def token(self) -> str:
        payload = self.text or json.dumps(self.claims)
        signed = f"{b64(json.dumps(self.header).encode())}.{b64(payload.encode())}"
        signature = b"" if self.key is None else sign(signed.encode(), str(self.header["alg"]), self.key)
        return self.after(f"{signed}.{b64(signature)}")


Spoil = Callable[[Making], None]


def header(**members: Any) -> Spoil:
    return lambda made: made.header.update(members)


def claims(**members: Any) -> Spoil:
    return lambda made: made.claims.update(members)


def at(**seconds: int) -> Spoil:
    """Times, in seconds from now."""
    return lambda made: made.claims.update({name: made.now + value for name, value in seconds.items()})


def signed_with(
    alg: str, key: Callable[[], Any], *keys: Callable[[], dict[str, Any]], kid: str | None = "one"
) -> Spoil:
    """Signed by `key`; the issuer serves `keys` (none named: its own two)."""

    def spoil(made: Making) -> None:
        made.header |= {"alg": alg, "kid": kid}
        if kid is None:
            del made.header["kid"]
        made.key = key()
        made.keys = [one() for one in keys] or made.keys

    return spoil


def no_signature(name: str) -> Spoil:
    def spoil(made: Making) -> None:
        made.header["alg"], made.key = name, None

    return spoil


def missing(name: str) -> Spoil:
    return lambda made: made.without(name)


def afterwards(change: Callable[[str], str]) -> Spoil:
    def spoil(made: Making) -> None:
        made.after = change

    return spoil


def promoted(token: str) -> str:
    """Another subject under the same signature."""
    head, body, signature = token.split(".")
    members = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{b64(json.dumps(members | {'sub': 's-2'}).encode())}.{signature}"


def flipped(token: str) -> str:
    head, body, signature = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[0] ^= 1
    return f"{head}.{body}.{b64(bytes(raw))}"


def doubled_audience(made: Making) -> None:
    made.text = json.dumps(made.claims)[:-1] + ', "aud": "another-app"}'


def infinite(made: Making) -> None:
    made.text = json.dumps(made.claims | {"exp": 0}).replace('"exp": 0', '"exp": 1e999')


def own_key(**members: Callable[[], Any]) -> Spoil:
    """Signed by somebody's own key, to which the header points."""

    def spoil(made: Making) -> None:
        made.key = rsa_key(2048, "attacker")
        made.header |= {"kid": "mine"} | {name: value() for name, value in members.items()}

    return spoil


def small() -> rsa.RSAPrivateKey:
    return rsa_key(1024)


VALID: tuple[tuple[str, Spoil], ...] = (
    ("RS256, fhirUser absolute", claims()),
    ("RS384, aud as a list of one, azp", lambda made: (signed_with("RS384", lambda: rsa_key(2048))(made),
     claims(aud=[CLIENT], azp=CLIENT)(made))[0]),
    ("ES384, fhirUser relative", lambda made: (signed_with("ES384", lambda: ec_key("P-384"),
     lambda: jwk(ec_key("P-384"), "one", alg="ES384"))(made), claims(fhirUser="Practitioner/d-1")(made))[0]),
    ("no kid, and one key of its kind", signed_with("RS256", lambda: rsa_key(2048), lambda: jwk(rsa_key(2048), "one"),
     lambda: jwk(ec_key("P-384"), "two"), kid=None)),
    ("the server's clock 45 s ahead, no fhirUser", lambda made: (at(iat=45, exp=345, nbf=45)(made),
     missing("fhirUser")(made))[0]),
)  # fmt: skip

FORGED: tuple[tuple[str, Spoil], ...] = (
    ("alg none", no_signature("none")),
    ("alg NoNe", no_signature("NoNe")),
    ("HS256 with the public key as the secret", signed_with("HS256", lambda: pem(rsa_key(2048)))),
    ("HS256 with the modulus as the secret", signed_with("HS256", lambda: jwk(rsa_key(2048), "one")["n"].encode())),
    ("HS256 with a secret in the key set", signed_with("HS256", lambda: b"s" * 32,
     lambda: {"kty": "oct", "k": b64(b"s" * 32), "kid": "one"})),
    ("RS512, which is not on the list", signed_with("RS512", lambda: rsa_key(2048))),
    ("PS256, which is not on the list", signed_with("PS256", lambda: rsa_key(2048))),
    ("ES256, which is not on the list", signed_with("ES256", lambda: ec_key("P-256"),
     lambda: jwk(ec_key("P-256"), "one"))),
    ("ES384 on a key of another curve", signed_with("ES384", lambda: ec_key("P-256"),
     lambda: jwk(ec_key("P-256"), "one"))),
    ("EdDSA, which is not on the list", signed_with("EdDSA", ed_key, lambda: jwk(ed_key(), "one"))),
    ("ES384 on an RSA key", signed_with("ES384", lambda: rsa_key(2048))),
    ("a kid that the issuer does not have", header(kid="three")),
    ("the kid of another key", header(kid="two")),
    ("a kid that two keys share", signed_with("RS256", lambda: rsa_key(2048), lambda: jwk(rsa_key(2048), "one"),
     lambda: jwk(rsa_key(2048, "attacker"), "one"))),
    ("no kid among several keys", signed_with("RS256", lambda: rsa_key(2048), kid=None)),
    ("a kid that is a number", header(kid=1)),
    ("signed by somebody else under a good kid", signed_with("RS256", lambda: rsa_key(2048, "attacker"))),
    ("a key of 1024 bits", signed_with("RS256", small, lambda: jwk(small(), "one"))),
    ("a key for encryption", signed_with("RS256", lambda: rsa_key(2048),
     lambda: jwk(rsa_key(2048), "one", use="enc"))),
    ("a key for another algorithm", signed_with("RS384", lambda: rsa_key(2048),
     lambda: jwk(rsa_key(2048), "one", alg="RS256"))),
    ("its own key in the header (jwk)", own_key(jwk=lambda: jwk(rsa_key(2048, "attacker"), "mine"))),
    ("its own key behind a link (jku)", own_key(jku=lambda: "https://attacker.example/jwks.json")),
    ("extensions that must be understood (crit)", header(crit=["exp"])),
    ("another type of token", header(typ="at+jwt")),
    ("claims changed after signing", afterwards(promoted)),
    ("a bit of the signature turned", afterwards(flipped)),
    ("the signature cut off", afterwards(lambda token: token.rpartition(".")[0] + ".")),
    ("another issuer", claims(iss="https://other.example/fhir/r4/AAAAAA")),
    ("the issuer with a slash more", lambda made: made.claims.update(iss=made.base + "/")),
    ("for another client", claims(aud="another-app")),
    ("for another client as well", claims(aud=[CLIENT, "another-app"], azp=CLIENT)),
    ("an audience named twice", doubled_audience),
    ("authorized for another client", claims(azp="another-app")),
    ("without an audience", missing("aud")),
    ("expired", at(iat=-700, exp=-61)),
    ("never expires", infinite),
    ("issued in the future", at(iat=120, exp=420)),
    ("issued an hour ago", at(iat=-3600, exp=3600)),
    ("another launch's nonce", claims(nonce=NONCE[::-1])),
    ("a person of another practice", lambda made: made.claims.update(
        fhirUser=made.base.replace("AAAAAA", "BBBBBB") + "/Practitioner/d-1")),
    ("without exp", missing("exp")),
    ("without iat", missing("iat")),
    ("without a nonce", missing("nonce")),
    ("without a subject", missing("sub")),
    ("without an issuer", missing("iss")),
    ("exp as text", lambda made: made.claims.update(exp=str(made.now + 300))),
    ("not valid yet (nbf)", at(nbf=300)),
    ("five parts, as if encrypted", afterwards(lambda token: f"{token}.e30.e30")),
)  # fmt: skip


class Issuer:
    """Serves a key set and counts who asks."""

    def __init__(self) -> None:
        owner = self
        self.keys: list[dict[str, Any]] = []
        self.fetches = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.fetches += 1
                body = json.dumps({"keys": owner.keys}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.host_port = f"127.0.0.1:{self.server.server_port}"
        self.base = f"http://{self.host_port}{BASE_PATH}"

    def configuration(self, jwks_uri: str = "") -> SmartConfiguration:
        own = f"http://{self.host_port}/jwks"
        return SmartConfiguration(token_endpoint="x", issuer=self.base, jwks_uri=jwks_uri or own)

    def door(self) -> Door:
        return Door(self.base, insecure={self.host_port})


@contextmanager
def issuer() -> Iterator[Issuer]:
    served = Issuer()
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.server.shutdown()
        served.server.server_close()
        thread.join()


def refused(served: Issuer, spoil: Spoil) -> str:
    """The code with which the token of this row is refused; "" when it was accepted."""
    now = int(time.time())
    made = Making(served.base, now)
    spoil(made)
    served.keys = made.keys
    with served.door() as door:
        try:
            validate(door, served.configuration(), made.token(), client_id=CLIENT, nonce=NONCE, keys=KeySets())
        except WireError as error:
            return error.code
    return ""


def verdicts() -> Iterator[tuple[str, bool, str]]:
    """(row, whether it is to be accepted, the code it was refused with) of the whole table."""
    with issuer() as served:
        for name, spoil in VALID:
            yield name, True, refused(served, spoil)
        for name, spoil in FORGED:
            yield name, False, refused(served, spoil)
