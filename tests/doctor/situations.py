"""What can be wrong with a connection, each situation made by the sandbox or by our own settings, and its name.

The doctor's first bad finding must carry the code; for a warning, the finding of that step.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emr.fields import Sealed
from emr.models import Enrolment, SigningKey
from tests.doctor.stage import Stage

Arrange = Callable[[Stage], object]


@dataclass(frozen=True)
class Situation:
    """step: whose finding carries `code`. warns: the connection stays healthy. says: words its evidence must hold."""

    name: str
    arrange: Arrange
    code: str
    step: str
    warns: bool = False
    says: str = ""


def fault(kind: str, at: str = "", **order: Any) -> Arrange:
    return lambda stage: stage.fault(kind, at, **order)


def answer(at: str, status: int, body: Any = "", media_type: str = "", **headers: str) -> Arrange:
    """Another answer in place of the normal one; a body that is no text is sent as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    kind = media_type or ("text/html" if isinstance(body, str) else "application/json")
    return fault("status", at, status=status, body=text, content_type=kind, headers=headers)


def outcome(status: int, text: str) -> Arrange:
    """An OperationOutcome in place of every search by patient."""
    issue = {"severity": "error", "code": "processing", "diagnostics": text}
    document = {"resourceType": "OperationOutcome", "issue": [issue]}
    return answer("/Condition?", status, document, "application/fhir+json")


def ours(**columns: Any) -> Arrange:
    return lambda stage: stage.register(**columns)


def theirs(**changed: Any) -> Arrange:
    return lambda stage: stage.client(**changed)


def base(change: Callable[[str], str]) -> Arrange:
    return lambda stage: stage.base(change(stage.connection.base_url))


def both(*arrangements: Arrange) -> Arrange:
    return lambda stage: [arrange(stage) for arrange in arrangements]


def discovery(**altered: Any) -> Arrange:
    return fault("altered-json", WELL_KNOWN, set=altered)


def our_site(**values: Any) -> Arrange:
    def arrange(stage: Stage) -> None:
        for name, value in values.items():
            setattr(stage.site, name, value)

    return arrange


def private_half(text: str) -> Arrange:
    def arrange(stage: Stage) -> None:
        stage.key.private_pem = text
        stage.key.save(update_fields=["private_pem"])

    return arrange


def sealed_for_another_row(stage: Stage) -> None:
    SigningKey.objects.update(private_pem=Sealed("gAAAAABmade-with-a-key-that-is-gone"))


def nobodys_id(stage: Stage) -> None:
    Enrolment.objects.update(patient_fhir_id="nobody")


def clock(seconds: int) -> Arrange:
    return lambda stage: stage.post("clock", {"seconds": seconds})


def more_scopes(words: str) -> Arrange:
    return lambda stage: stage.register(scopes=f"{stage.registration.scopes} {words}")


WELL_KNOWN, TOKEN, METADATA = "smart-configuration", "/token", "/metadata"
GROUP = "system/Group.read"
BULK = both(
    lambda stage: stage.register(app_type="backend-bulk", scopes=f"{stage.registration.scopes} {GROUP}"), theirs()
)

START, POLL = "$export?", "$export-poll-location"
GROUPED = both(BULK, lambda stage: stage.group(stage.exports["group"]))


def said_at_kick_off(status: int, text: str, **headers: str) -> Arrange:
    """The smallest export is answered so."""
    issue = {"severity": "error", "code": "processing", "diagnostics": text}
    document = {"resourceType": "OperationOutcome", "issue": [issue]}
    return both(GROUPED, answer(START, status, document, "application/fhir+json", **headers))


def exporting(then: Arrange) -> Arrange:
    """An export of ours is under way when that happens."""
    return both(GROUPED, lambda stage: stage.export(runs=1), then)


def partly_exported(stage: Stage) -> None:
    stage.fault("export-error", POLL, type="Condition", times=1)
    stage.export(runs=60)


SITUATIONS = [
    # Configuration: found without a call.
    Situation("base URL that is none", base(lambda _: "fhir.example.org"), "CFG_PRACTICE_CODE", "configuration"),
    Situation("backend app on the patients' host", base(lambda _: "https://fhir4.healow.com/fhir/r4/AAAAAA"),
              "CFG_WRONG_HOST", "configuration"),
    Situation("production app on the staging host",
              both(ours(environment="production"), base(lambda _: "https://staging-fhir.ecwcloud.com/fhir/r4/AAAAAA"),
                   lambda stage: SigningKey.objects.update(environment="production")),
              "CFG_WRONG_HOST", "configuration"),
    Situation("plain http", base(lambda _: "http://fhir4.eclinicalworks.com/fhir/r4/AAAAAA"), "CFG_WRONG_HOST",
              "configuration"),
    Situation("no client id", ours(client_id=""), "CFG_CLIENT_ID", "configuration"),
    Situation("an algorithm the vendor does not take", ours(signing_algorithm="ES384"), "CFG_ALGORITHM",
              "configuration"),
    Situation("no signing key", lambda stage: SigningKey.objects.all().delete(), "KEY_MISSING", "configuration"),
    Situation("bulk app without a group id", BULK, "CFG_GROUP", "configuration", warns=True),
    # DNS, TLS and the way there.
    Situation("host that does not exist", base(lambda _: "https://nowhere.invalid/fhir/r4/AAAAAA"), "NET_DNS",
              "network"),
    Situation("nobody listens", lambda stage: stage.sandbox.stop(), "NET_CONNECT", "network"),
    Situation("connection reset", fault("reset", WELL_KNOWN), "NET_CONNECT", "network"),
    Situation("answer cut short", fault("short-body", WELL_KNOWN), "NET_CONNECT", "network"),
    Situation("answer that does not come", fault("stall", WELL_KNOWN, seconds=6), "NET_TIMEOUT", "network"),
    Situation("answer that drips", fault("drip", WELL_KNOWN, bytes=64, seconds=0.2), "NET_TIMEOUT", "network"),
    Situation("private address", base(lambda _: "https://10.0.0.1/fhir/r4/AAAAAA"), "NET_ADDRESS_REFUSED", "network"),
    # Discovery.
    Situation("no practice code", base(lambda url: url.removesuffix("/AAAAAA")), "CFG_PRACTICE_CODE", "discovery"),
    Situation("another practice's code", base(lambda url: url.replace("AAAAAA", "CCCCCC")), "CFG_PRACTICE_CODE",
              "discovery"),
    Situation("a web page instead of discovery", fault("not-json", WELL_KNOWN), "DISC_NOT_JSON", "discovery"),
    Situation("half a discovery document", fault("truncated", WELL_KNOWN), "DISC_NOT_JSON", "discovery"),
    Situation("no token endpoint", fault("altered-json", WELL_KNOWN, remove=["token_endpoint"]), "DISC_INCOMPLETE",
              "discovery", says="token_endpoint"),
    Situation("no asymmetric clients", discovery(capabilities=["launch-standalone"]), "DISC_INCOMPLETE", "discovery",
              says="client-confidential-asymmetric"),
    Situation("no Backend Services", discovery(grant_types_supported=["authorization_code"]), "DISC_INCOMPLETE",
              "discovery", says="client_credentials"),
    Situation("another signing algorithm wanted",
              discovery(token_endpoint_auth_signing_alg_values_supported=["ES384"]), "CFG_ALGORITHM", "discovery"),
    Situation("token endpoint on another host", discovery(token_endpoint="https://elsewhere.example/token"),
              "DISC_FOREIGN_HOST", "discovery", says="https://elsewhere.example"),
    Situation("token endpoint over plain http", discovery(token_endpoint="http://elsewhere.example/token"),
              "DISC_FOREIGN_HOST", "discovery"),
    Situation("redirect", answer(WELL_KNOWN, 302, Location="https://elsewhere.example/"), "NET_REDIRECT", "discovery"),
    Situation("endless answer", answer(WELL_KNOWN, 200, {"padding": "x" * 300_000}), "NET_TOO_LARGE", "discovery"),
    Situation("server gives up waiting", answer(WELL_KNOWN, 408), "NET_TIMEOUT", "discovery"),
    Situation("minute spent at discovery", fault("429", WELL_KNOWN), "FHIR_429", "discovery"),
    Situation("gateway page at discovery", fault("502-html", WELL_KNOWN), "FHIR_5XX", "discovery"),
    Situation("maintenance", answer(WELL_KNOWN, 503, "Back at six"), "FHIR_5XX", "discovery"),
    Situation("not activated, said at discovery", fault("not-enabled", WELL_KNOWN), "AUTHZ_APP_NOT_ACTIVATED",
              "discovery"),
    # Our key set as others see it.
    Situation("our key id missing in our JWKS", lambda stage: stage.site.publish(), "TOK_KID_AMBIGUOUS", "jwks"),
    Situation("our key id twice in our JWKS", lambda stage: stage.site.publish(*[stage.key.public_jwk] * 2),
              "TOK_KID_AMBIGUOUS", "jwks"),
    Situation("login page before our JWKS", our_site(body=b"<html>Sign in</html>", media_type="text/html"),
              "TOK_JWKS_UNREACHABLE", "jwks"),
    Situation("redirect before our JWKS", our_site(status=302, headers={"Location": "https://login.example/"}),
              "TOK_JWKS_UNREACHABLE", "jwks"),
    Situation("our JWKS blocked", our_site(status=403, body=b"Blocked"), "TOK_JWKS_UNREACHABLE", "jwks"),
    # Clock and assertion.
    Situation("an hour behind the server", clock(3600), "TOK_CLOCK_SKEW", "clock"),
    Situation("an hour ahead of the server", clock(-3600), "TOK_CLOCK_SKEW", "clock"),
    Situation("private key that cannot be read", private_half("not a key"), "CFG_SIGNING_KEY", "assertion"),
    Situation("secret sealed with a lost key", sealed_for_another_row, "SECRET_UNREADABLE", "assertion"),
    # Token endpoint.
    Situation("client id of another environment", ours(client_id="somebody-else"), "TOK_INVALID_CLIENT", "token"),
    Situation("app switched off", theirs(active=False), "TOK_INVALID_CLIENT", "token"),
    Situation("registered for another algorithm", theirs(alg="ES384"), "TOK_INVALID_CLIENT", "token"),
    Situation("audience set by hand and wrong", ours(assertion_audience="https://elsewhere.example/token"),
              "TOK_INVALID_CLIENT", "token", says="set by hand"),
    Situation("vendor knows an older JWKS", fault("jwks-stale", TOKEN), "TOK_INVALID_CLIENT", "token",
              says="allow-listed"),
    Situation("something repeats requests", fault("repeated", TOKEN, times=1), "TOK_ASSERTION_REPLAY", "token",
              warns=True),
    Situation("scope the vendor has not", more_scopes("system/Appointment.read"), "TOK_SCOPE_BACKEND", "token",
              says="system/Appointment.read, and not among those the server lists"),
    Situation("scope not ticked on the portal", more_scopes("system/Immunization.read"), "TOK_SCOPE_BACKEND", "token",
              says="system/Immunization.read"),
    Situation("group scope in a single-patient app", more_scopes(GROUP), "TOK_SCOPE_BACKEND", "token", says=GROUP),
    Situation("bulk app registered as single-patient", both(BULK, theirs(app_type="backend-single")),
              "TOK_SCOPE_BACKEND", "token", says="compare app type"),
    Situation("registered as a patients' app", theirs(app_type="patient"), "TOK_UNSUPPORTED_GRANT", "token"),
    Situation("refused without a reason", fault("access-denied", TOKEN), "TOK_ACCESS_DENIED_500", "token"),
    Situation("gateway page at the token endpoint", fault("502-html", TOKEN), "FHIR_5XX", "token"),
    Situation("web page instead of a token", fault("not-json", TOKEN), "TOK_NOT_JSON", "token"),
    Situation("token endpoint not there", answer(TOKEN, 404, "Not found"), "TOK_NOT_JSON", "token"),
    Situation("answer without a token", fault("altered-json", TOKEN, remove=["access_token"]), "TOK_NOT_JSON", "token"),
    Situation("not activated, said at the token endpoint", fault("not-enabled", TOKEN), "AUTHZ_APP_NOT_ACTIVATED",
              "token"),
    Situation("minute spent at the token endpoint", fault("429", TOKEN), "FHIR_429", "token"),
    Situation("token endpoint that hangs", fault("stall", TOKEN, seconds=6), "NET_TIMEOUT", "token"),
    Situation("fewer scopes than asked for", fault("narrow-scope", TOKEN, types=["Encounter"]), "TOK_SCOPE_WITHHELD",
              "scopes", warns=True, says="system/Encounter.read"),
    Situation("no read scope granted", fault("altered-json", TOKEN, set={"scope": "openid"}), "TOK_SCOPE_WITHHELD",
              "scopes"),
    # Metadata.
    Situation("web page instead of metadata", fault("not-json", METADATA), "FHIR_NOT_FHIR", "metadata"),
    Situation("FHIR R5", fault("altered-json", METADATA, set={"fhirVersion": "5.0.0"}), "FHIR_NOT_FHIR", "metadata"),
    Situation("build without the types we read",
              fault("altered-json", METADATA, set={"rest": [{"resource": [{"type": "Patient"}]}]}),
              "FHIR_BUILD_TOO_OLD", "metadata", warns=True),
    # Reads.
    Situation("fresh token not accepted", fault("expire-tokens", match={"type": "Patient"}), "FHIR_401",
              "read Patient"),
    Situation("type forbidden", fault("forbid-type", match={"type": "Condition"}), "FHIR_403", "read Condition"),
    Situation("search this build does not know",
              outcome(400, "Invalid request: Does not know how to handle get operation with parameter [patient]"),
              "FHIR_UNSUPPORTED_SEARCH", "read Condition", warns=True),
    Situation("search refused in the later wording",
              outcome(400, "Unsupported query parameter(s): patient. These parameters are not allowed."),
              "FHIR_UNSUPPORTED_SEARCH", "read Condition", warns=True),
    Situation("build too old", fault("unsupported-type", match={"type": "Condition"}), "FHIR_BUILD_TOO_OLD",
              "read Condition", warns=True),
    Situation("patient unknown there", nobodys_id, "FHIR_404_RESOURCE", "read Patient"),
    Situation("record deleted", answer("/Patient/", 410), "FHIR_404_RESOURCE", "read Patient"),
    Situation("minute spent at a read", fault("429", match={"type": "Condition"}), "FHIR_429", "read Condition"),
    Situation("server fault at a read", fault("500", match={"type": "Condition"}), "FHIR_5XX", "read Condition"),
    Situation("web page instead of data", fault("not-json", match={"type": "Condition"}), "FHIR_NOT_FHIR",
              "read Condition"),
    Situation("half a page of data", fault("truncated", match={"type": "Condition"}), "FHIR_NOT_FHIR",
              "read Condition"),
    Situation("a broken record", fault("bad-entry", match={"type": "Condition"}), "FHIR_BAD_RESOURCE",
              "read Condition", warns=True),
    Situation("data withheld", fault("operation-outcome-entry", match={"type": "Condition"}), "FHIR_PARTIAL",
              "read Condition", warns=True),
    Situation("next page at another practice", fault("foreign-next", match={"type": "Condition"}),
              "FHIR_LINK_FOREIGN", "read Condition", warns=True),
    Situation("next page on another host", fault("foreign-next", match={"type": "Condition"}, to="host"),
              "FHIR_LINK_FOREIGN", "read Condition", warns=True),
    Situation("not activated, said at a read", fault("not-enabled", match={"type": "Patient"}),
              "AUTHZ_APP_NOT_ACTIVATED", "read Patient"),
    # The group's export.
    Situation("group unknown or not allowed", both(GROUPED, lambda stage: stage.group("another")), "BULK_GROUP",
              "bulk"),
    Situation("group deleted", said_at_kick_off(404, "Group is not known"), "BULK_GROUP", "bulk"),
    Situation("export of the group forbidden", said_at_kick_off(403, "Not for this app"), "FHIR_403", "bulk"),
    Situation("an export is running", said_at_kick_off(429, "One at a time", **{"Retry-After": "120"}),
              "BULK_IN_PROGRESS", "bulk", warns=True),
    Situation("the same export is running", said_at_kick_off(409, "Identical request"), "BULK_IN_PROGRESS", "bulk",
              warns=True),
    Situation("the same export is running, said in words", said_at_kick_off(400, "Identical request already running"),
              "BULK_IN_PROGRESS", "bulk", warns=True),
    Situation("minute spent at an export", both(GROUPED, fault("429", START)), "FHIR_429", "bulk"),
    Situation("gateway page at an export", both(GROUPED, fault("502-html", START)), "FHIR_5XX", "bulk"),
    Situation("not activated, said at an export", both(GROUPED, fault("not-enabled", START)),
              "AUTHZ_APP_NOT_ACTIVATED", "bulk"),
    Situation("status address of an export on another host",
              both(GROUPED, answer(START, 202, **{"Content-Location": "https://elsewhere.example/status"})),
              "FHIR_LINK_FOREIGN", "bulk", warns=True),
    Situation("export lost", exporting(fault("export-lost", POLL)), "BULK_JOB_LOST", "bulk", warns=True),
    Situation("status of an export not permitted", exporting(answer(POLL, 403)), "FHIR_403", "bulk"),
    Situation("server fault at the status of an export", exporting(fault("500", POLL)), "FHIR_5XX", "bulk"),
    Situation("part of the export went wrong", both(GROUPED, partly_exported), "BULK_PARTIAL", "bulk", warns=True,
              says="Condition"),
]  # fmt: skip


@dataclass(frozen=True)
class Unlisted:
    """An answer nobody has listed, or that fits two reasons: the verdict is "unknown", its evidence holds `says`."""

    name: str
    arrange: Arrange
    step: str
    says: str


def oauth(error: str, description: str = "") -> dict[str, str]:
    return {"error": error, "error_description": description}


UNLISTED = [
    Unlisted("an OAuth code not listed", answer(TOKEN, 400, oauth("slow_down")), "token", "slow_down"),
    Unlisted("invalid_request", answer(TOKEN, 400, oauth("invalid_request")), "token", "invalid_request"),
    Unlisted("the swapped 403, which is known at authorize only", fault("swap-error-403", TOKEN), "token", "403"),
    Unlisted("two OAuth codes that contradict", answer(TOKEN, 400, oauth("invalid_client", "invalid_scope")), "token",
             "invalid_scope"),
    Unlisted("an error with status 200", answer(TOKEN, 200, oauth("temporarily_unavailable")), "token",
             "temporarily_unavailable"),
    Unlisted("a conflict at the token endpoint", answer(TOKEN, 409, {"message": "Conflict"}), "token", "409"),
    Unlisted("a 401 that is somebody's web page", answer(TOKEN, 401, "<h1>Proxy sign-in</h1>"), "token",
             "Proxy sign-in"),
    Unlisted("a teapot at the token endpoint", answer(TOKEN, 418, "I'm a teapot"), "token", "teapot"),
    Unlisted("a 404 in JSON at the token endpoint", answer(TOKEN, 404, {"path": "/token"}), "token", "404"),
    Unlisted("discovery that wants a token", answer(WELL_KNOWN, 401, {"message": "Unauthorized"}), "discovery", "401"),
    Unlisted("discovery that is forbidden", answer(WELL_KNOWN, 403, "Request blocked"), "discovery",
             "Request blocked"),
    Unlisted("discovery for legal reasons", answer(WELL_KNOWN, 451, "Unavailable"), "discovery", "451"),
    Unlisted("metadata that is forbidden", answer(METADATA, 403, "Forbidden"), "metadata", "403"),
    Unlisted("metadata of another method", answer(METADATA, 405), "metadata", "405"),
    Unlisted("words nobody has met", outcome(400, "The moon is in the wrong phase"), "read Condition", "moon"),
    Unlisted("a conflict at a read", outcome(409, "Version conflict"), "read Condition", "Version conflict"),
    Unlisted("an answer that fits two reasons",
             outcome(400, "Unknown search parameter; not supported for the selected scope"), "read Condition",
             "selected scope"),
    Unlisted("a read that cannot be processed", outcome(422, "Rejected"), "read Condition", "422"),
]  # fmt: skip
