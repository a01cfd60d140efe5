"""Our side of the connection: configuration, our JWKS as others see it, the clocks, a client assertion."""

import base64
import json
import time
from datetime import timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone

from emr import calls, keys
from emr.connecting import base_urls, scopes_advice
from emr.doctor.case import Case, Step
from emr.doctor.findings import Finding, Verdict
from emr.doctor.watch import PATIENCE, WatchedDoor
from emr.models import ClientRegistration, JwksHit, SigningKey
from emr.wire import origins, smart
from emr.wire.errors import NeverAgain, WireError
from emr.wire.http import Answer, Door
from emr.wire.wellknown import json_object

CONFIGURATION = Step("configuration", "Configuration")
JWKS = Step("jwks", "Our JWKS, read from outside")
CLOCK = Step("clock", "Clock against the server's")
ASSERTION = Step("assertion", "Client assertion, signed and verified here")

# The vendor's own limit for the life of an assertion leaves no room for more.
MAX_SKEW = 60.0
_RECENT = timedelta(hours=24)
_JWKS_BYTES = 256 * 1024


def configuration(case: Case) -> Finding:
    """Client id, base URL against portal and environment, signing key, scopes: all that can be told without a call."""
    registration = case.registration
    finding = _address(case) or _identity(registration)
    if finding is not None:
        return finding
    advice = scopes_advice.advise(registration.scopes.split(), registration.profile, registration.app_type)
    evidence = [("scopes", one.text) for one in advice]
    try:
        doubts = base_urls.doubts(case.connection.base_url, registration)
    except ValidationError as error:
        return CONFIGURATION.amiss("CFG_WRONG_HOST", " ".join(error.messages))
    if any(one.refused for one in advice):
        return CONFIGURATION.amiss("CFG_SCOPES", "They are asked for all the same.", evidence)
    if doubts:
        told = [("base URL", doubt) for doubt in doubts]
        return CONFIGURATION.found(Verdict.WARNING, "", code="CFG_WRONG_HOST", evidence=told + evidence)
    if registration.app_type == ClientRegistration.AppType.BACKEND_BULK and not case.connection.group_id:
        return CONFIGURATION.amiss("CFG_GROUP", "Bulk pulls need the id of a group.", evidence)
    told = [("client id", registration.client_id[:80]), ("environment", registration.environment), *evidence]
    return CONFIGURATION.found(Verdict.OK, "Complete.", evidence=told)


def _address(case: Case) -> Finding | None:
    """What is wrong with the base URL; opens the door when nothing is."""
    connection, registration = case.connection, case.registration
    try:
        base = origins.parse_base(connection.base_url)
    except NeverAgain as error:
        return CONFIGURATION.amiss("CFG_PRACTICE_CODE", error.detail)
    if base.scheme != "https" and base.host_port not in settings.INSECURE_FHIR_HOSTS:
        return CONFIGURATION.amiss("CFG_WRONG_HOST", "The address does not begin with https://.")
    portal = connection.profile.connecting.portal_of_host(base.host)
    if portal is not None and registration.app_type not in portal.app_types:
        told = f"{base.host} is the host of the {portal.name} portal, where no such app is registered."
        return CONFIGURATION.amiss("CFG_WRONG_HOST", told, [("app type", registration.get_app_type_display())])
    case.door = calls.door_to(connection, WatchedDoor)
    case.door.patience = PATIENCE
    return None


def _identity(registration: ClientRegistration) -> Finding | None:
    if not registration.client_id:
        return CONFIGURATION.amiss("CFG_CLIENT_ID")
    if registration.auth_method != registration.AuthMethod.PRIVATE_KEY_JWT:
        return None
    if registration.signing_algorithm not in registration.profile.signing_algorithms:
        allowed = ", ".join(registration.profile.signing_algorithms)
        return CONFIGURATION.amiss("CFG_ALGORITHM", f"{registration.signing_algorithm}; the vendor takes {allowed}.")
    try:
        keys.signing_key(registration.environment, registration.signing_algorithm)
    except keys.NoSigningKey as error:
        return CONFIGURATION.amiss("KEY_MISSING", str(error))
    return None


def jwks(case: Case) -> Finding:
    """Fetch our own JWKS by its public address and look for the signing key in it."""
    registration = case.registration
    key = _signing_key(registration)
    url = keys.jwks_url(registration.environment)
    case.facts["signing key"] = [key.kid]
    evidence = [("JWKS URL", url), ("key id", key.kid), ("last read by others", _last_reader(registration.environment))]
    try:
        answer = _fetch_own(url)
    except WireError as error:
        return _unreachable(registration, [*evidence, ("met", f"{error.code}: {error.detail}")])
    document = json_object(answer) or {}
    published = document.get("keys")
    if answer.status != 200 or not isinstance(published, list):
        return _unreachable(
            registration, [*evidence, ("met", f"HTTP {answer.status}, {answer.media_type or 'no type'}")]
        )
    case.published = [one for one in published if isinstance(one, dict)]
    count = sum(one.get("kid") == key.kid for one in case.published)
    evidence.append(("keys published", str(len(case.published))))
    if count != 1:
        return JWKS.amiss("TOK_KID_AMBIGUOUS", f"Our key id is in it {count} times.", evidence)
    return JWKS.found(Verdict.OK, "Our key id is in it exactly once.", evidence=evidence)


def _fetch_own(url: str) -> Answer:
    """GET our JWKS as a vendor would: https and a public address, but for an embedded site trying itself out."""
    here = origins.parse(url)
    own = {here.host_port} if settings.EMBEDDED else frozenset()
    with Door(here.origin_url, insecure=own) as door:
        return door.get(url, headers={"Accept": "application/json"}, timeout=PATIENCE, max_bytes=_JWKS_BYTES)


def _unreachable(registration: ClientRegistration, evidence: list[tuple[str, str]]) -> Finding:
    """Wrong, unless somebody else read it lately: then it is only we who cannot come back to ourselves."""
    if _readers(registration.environment).filter(last_at__gte=timezone.now() - _RECENT).exists():
        told = "We cannot read it, but others have within a day."
        return JWKS.found(Verdict.WARNING, told, code="TOK_JWKS_UNREACHABLE", evidence=evidence)
    return JWKS.amiss("TOK_JWKS_UNREACHABLE", "Nobody has read it lately.", evidence)


def _readers(environment: str) -> Any:
    return JwksHit.objects.filter(environment=environment).exclude(user_agent=JwksHit.OWN_AGENT)


def _last_reader(environment: str) -> str:
    hit = _readers(environment).order_by("-last_at").first()
    return f"{hit.last_at:%d-%b-%Y %H:%M} UTC from {hit.address}" if hit else "nobody yet"


def clock(case: Case) -> Finding:
    """Our clock against the Date of the server's discovery answer."""
    if case.skew is None:
        return CLOCK.found(Verdict.UNTESTED, "The server does not say what time it is.")
    evidence = [("server's clock is ahead by", f"{case.skew:.0f} s")]
    if abs(case.skew) > MAX_SKEW:
        return CLOCK.amiss("TOK_CLOCK_SKEW", f"{abs(case.skew):.0f} seconds apart.", evidence)
    return CLOCK.found(Verdict.OK, "Less than a minute apart.", evidence=evidence)


def assertion(case: Case) -> Finding:
    """Sign an assertion as for a token request, and verify it with the key our JWKS shows."""
    registration = case.registration
    if registration.auth_method != registration.AuthMethod.PRIVATE_KEY_JWT:
        return ASSERTION.found(Verdict.SKIPPED, "This app does not sign its requests.")
    key = _signing_key(registration)
    audience = registration.assertion_audience or case.configuration.token_endpoint
    signed = smart.client_assertion(
        client_id=registration.client_id,
        token_endpoint=audience,
        private_key_pem=key.private_pem.encode(),
        kid=key.kid,
        alg=key.algorithm,
        now=time.time(),
    )
    jwk = next((one for one in case.published or () if one.get("kid") == key.kid), key.public_jwk)
    evidence = [("algorithm", key.algorithm), ("key id", key.kid), ("audience", audience)]
    if not verifies(signed, jwk):
        return ASSERTION.amiss(
            "CFG_SIGNING_KEY", "The published key does not verify what the private one signs.", evidence
        )
    return ASSERTION.found(Verdict.OK, "Signed, and verified with the published key.", evidence=evidence)


def _signing_key(registration: ClientRegistration) -> SigningKey:
    try:
        return keys.signing_key(registration.environment, registration.signing_algorithm)
    except keys.NoSigningKey as error:
        raise NeverAgain("KEY_MISSING", str(error)) from None


def verifies(signed: str, jwk: dict[str, Any]) -> bool:
    """Whether a compact JWS (RFC 7515, SHA-384 algorithms and RS256) verifies with a public JWK."""
    head, _, signature_text = signed.rpartition(".")
    signature, data = _bytes(signature_text), head.encode()
    algorithm = json.loads(_bytes(head.partition(".")[0]))["alg"]
    digest = hashes.SHA256() if algorithm == "RS256" else hashes.SHA384()
    try:
        if jwk.get("kty") == "EC":
            half = len(signature) // 2
            r, s = (int.from_bytes(part) for part in (signature[:half], signature[half:]))
            points = ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), ec.SECP384R1())
            points.public_key().verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(digest))
        else:
            numbers = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"]))
            numbers.public_key().verify(signature, data, padding.PKCS1v15(), digest)
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text))
