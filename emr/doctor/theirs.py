"""The vendor's side: network, discovery, token, scopes, metadata. Every call is counted in the practice's budget."""

import copy
import time
from collections.abc import Iterator
from dataclasses import replace

from emr import calls, discovery, keys, tokens
from emr.doctor.case import Case, Step
from emr.doctor.findings import Finding, Verdict
from emr.doctor.ourselves import CLOCK, JWKS
from emr.doctor.watch import code_of
from emr.models import ClientRegistration, Connection
from emr.wire import scopes
from emr.wire.errors import NeverAgain, WireError, clean
from emr.wire.refusals import not_fhir, refusal
from emr.wire.smart import SmartConfiguration
from emr.wire.wellknown import json_object

NETWORK = Step("network", "DNS and TLS", at="discovery")
DISCOVERY = Step("discovery", "Discovery", at="discovery")
TOKEN = Step("token", "Token", at="token")
SCOPES = Step("scopes", "Granted against requested scopes")
METADATA = Step("metadata", "What the server says it offers", at="metadata")

_TRANSPORT = ("NET_DNS", "NET_CONNECT", "NET_TIMEOUT", "NET_ADDRESS_REFUSED", "TLS_VERIFY")
_MAX_METADATA = 8 * 1024 * 1024
# Refusals a new assertion may cure: eClinicalWorks answers invalid_grant to an assertion it calls malformed.
_DOUBTED = frozenset({"TOK_INVALID_CLIENT", "TOK_SCOPE_BACKEND"})
_BUSY_TRIES, _BUSY_SECONDS = 6, 0.5
MAX_PROBED = 40


def network(case: Case) -> Finding:
    """The first call: was there an answer at all? What it says is the next step's."""
    began = time.monotonic()
    try:
        case.outcome = discovery.configuration(case.connection, case.way, anew=True)
    except WireError as error:
        case.outcome = error
        if error.code in _TRANSPORT and error.status is None:
            raise
    case.skew = case.way.clock_skew
    secure = case.way.base_url.startswith("https://")
    evidence = [
        ("host", case.way.base_url.split("/")[2]),
        ("certificate", "verified" if secure else "none: plain http, allowed for this address alone"),
        ("answered after", f"{time.monotonic() - began:.1f} s"),
    ]
    return NETWORK.found(Verdict.OK, "The server answers.", evidence=evidence)


def discovered(case: Case) -> Finding:
    """The SMART configuration: there, complete, for this kind of app, and on hosts we know."""
    if isinstance(case.outcome, WireError):
        pending = tuple(("waits to be confirmed", origin) for origin in case.connection.pending_hosts)
        return case.failure(DISCOVERY, case.outcome, more=pending)
    found = case.configuration
    endpoints = {"token": found.token_endpoint, "authorization": found.authorization_endpoint, "keys": found.jwks_uri}
    evidence = [(f"{name} endpoint", url) for name, url in endpoints.items() if url]
    case.facts["endpoints"] = [f"{name}: {url}" for name, url in endpoints.items() if url]
    case.facts["capabilities"] = sorted(found.capabilities)
    if found.issuer and found.issuer.rstrip("/") != case.connection.base_url:
        evidence.append(("issuer", f"{clean(found.issuer)} is not the base URL; some servers do so"))
    lacking = list(_lacking(found, case.registration))
    if lacking:
        return DISCOVERY.amiss("DISC_INCOMPLETE", f"It does not offer {', '.join(lacking)}.", evidence)
    algorithms = found.token_endpoint_auth_signing_alg_values_supported
    if algorithms and _signs(case.registration) and case.registration.signing_algorithm not in algorithms:
        return DISCOVERY.amiss("CFG_ALGORITHM", f"It takes {clean(', '.join(algorithms))}.", evidence)
    return DISCOVERY.found(Verdict.OK, "Complete, on hosts we know.", evidence=evidence)


def _signs(registration: ClientRegistration) -> bool:
    return registration.auth_method == registration.AuthMethod.PRIVATE_KEY_JWT


def _lacking(found: SmartConfiguration, registration: ClientRegistration) -> Iterator[str]:
    """What this kind of app needs and the server says it has not; a list left out says nothing."""
    grants, methods = found.grant_types_supported, found.token_endpoint_auth_methods_supported
    needed = "client_credentials" if registration.is_backend else "authorization_code"
    if grants and needed not in grants:
        yield f"the grant {needed}"
    if methods and registration.auth_method != "none" and registration.auth_method not in methods:
        yield f"the authentication method {registration.auth_method}"
    if _signs(registration) and found.lacks(["client-confidential-asymmetric"]):
        yield "the capability client-confidential-asymmetric"
    if not registration.is_backend and "S256" not in found.code_challenge_methods_supported:
        yield "PKCE with S256"


def token(case: Case) -> Finding:
    """A fresh token for the registered scopes. After a refusal: a second try, then one try for each scope."""
    if not case.registration.is_backend:
        return TOKEN.found(Verdict.UNTESTED, "This app gets its tokens when somebody launches it.")
    try:
        case.access = fresh_access(case.connection, case)
    except WireError as error:
        return _refused(case, error)
    return TOKEN.found(Verdict.OK, "Granted.", evidence=[("host", case.configuration.token_endpoint.split("/")[2])])


def fresh_access(connection: Connection, case: Case) -> tokens.Access:
    """A token minted now; one that another worker is minting now will do. Raises tokens.TokenBusy after 3 s."""
    # A fresh token proves nothing about today's key and client id: ask for a new one.
    connection.system_tokens.update(expires_at=None)
    for _ in range(_BUSY_TRIES - 1):
        try:
            return tokens.system_access(connection, case.way, interactive=True)
        except tokens.TokenBusy:
            time.sleep(_BUSY_SECONDS)
    return tokens.system_access(connection, case.way, interactive=True)


def _refused(case: Case, error: WireError) -> Finding:
    code = code_of(error, case.door, TOKEN.at)
    finding = case.failure(TOKEN, error, code=code)
    if code not in _DOUBTED:
        return finding
    ours = _our_fault(case, code)
    evidence = [*finding.evidence, *_checks(case)]
    if ours:
        return replace(TOKEN.amiss(ours, evidence=evidence), request_id=error.request_id)
    try:
        case.access = tokens.system_access(case.connection, case.way, interactive=True)
    except WireError as second:
        if code_of(second, case.door, TOKEN.at) != code:
            return case.failure(TOKEN, second, more=tuple(evidence))
    else:
        told = "Refused once, granted to a new assertion."
        return replace(TOKEN.amiss("TOK_ASSERTION_REPLAY", told, evidence), request_id=error.request_id)
    if code == "TOK_SCOPE_BACKEND":
        evidence += _probe(case)
    return replace(finding, evidence=tuple(evidence))


def _our_fault(case: Case, code: str) -> str:
    """The code of what an earlier step found wrong with us, where that explains the refusal."""
    if case.is_bad(CLOCK.key):
        return "TOK_CLOCK_SKEW"
    return case.findings[JWKS.key].code if code == "TOK_INVALID_CLIENT" and case.is_bad(JWKS.key) else ""


def _checks(case: Case) -> Iterator[tuple[str, str]]:
    """The usual suspects of a refused client, in order, each with what we could find out ourselves."""
    registration = case.registration
    for what, key in (("our clock", CLOCK.key), ("our JWKS", JWKS.key), ("our assertion", "assertion")):
        finding = case.findings[key]
        yield f"checked: {what}", f"{finding.verdict}. {finding.summary}".strip()
    audience = registration.assertion_audience
    yield "checked: audience", f"set by hand to {audience}" if audience else "the token endpoint as discovered"
    yield "not checkable by us", "whether the client id is of this environment; whether our JWKS URL is allow-listed"


def _probe(case: Case) -> Iterator[tuple[str, str]]:
    """One token request for each scope: which of them is refused. The tokens are thrown away."""
    advertised = case.configuration.scopes_supported
    group = case.connection.profile.connecting.advertised.group_scope
    requested = sorted(set(case.registration.scopes.split()))
    refused, tried = [], 0
    for scope in requested[:MAX_PROBED]:
        asked = scope if case.registration.app_type != "backend-bulk" else " ".join({group, scope})
        try:
            fine = _granted_alone(case, asked)
        except (WireError, calls.OverBudget) as error:
            yield "scope probe", f"stopped after {tried} of {len(requested)} scopes: {clean(error)}"
            break
        tried += 1
        if not fine:
            refused.append(scope)
    for scope in refused if len(refused) < tried else ():
        note = "" if not advertised or scope in advertised else ", and not among those the server lists"
        yield "scope probe: refused", f"{scope}{note}"
    if tried and len(refused) == tried:
        yield "scope probe", f"each of the {tried} scopes is refused alone too: compare app type and client id"
    elif tried:
        yield "scope probe: granted alone", f"{tried - len(refused)} of {tried}"


def _granted_alone(case: Case, scope: str) -> bool:
    """Whether the token endpoint grants these scopes alone. Raises WireError for any refusal that is not of scopes."""
    alone: Connection = copy.copy(case.connection)
    alone.registration = copy.copy(case.registration)
    alone.registration.scopes = scope
    key = keys.signing_key(case.registration.environment, case.registration.signing_algorithm)
    try:
        tokens.trial(alone, case.way, key, interactive=True)
    except WireError as error:
        if code_of(error, case.door, TOKEN.at) == "TOK_SCOPE_BACKEND":
            return False
        raise
    return True


def granted(case: Case) -> Finding:
    """What the token allows, against what was asked for; at least one read."""
    given = case.token.scope
    requested = case.registration.scopes
    missing = [word for word in sorted(requested.split()) if not _covers(given, word)]
    case.facts["requested scopes"] = sorted(requested.split())
    case.facts["granted scopes"] = sorted(given.split())
    evidence = [("not granted", clean(word)) for word in missing]
    readable = [kind for kind in case.connection.profile.planned_types if scopes.allows(given, kind)]
    if not readable:
        told = "The token allows no read at all."
        return SCOPES.found(Verdict.WRONG, told, code="TOK_SCOPE_WITHHELD", evidence=evidence)
    advertised = case.configuration.scopes_supported
    unlisted = [word for word in sorted(requested.split()) if advertised and word not in advertised]
    evidence += [("granted, though the server does not list it", word) for word in unlisted if word not in missing]
    if missing:
        return SCOPES.amiss("TOK_SCOPE_WITHHELD", f"{len(missing)} of {len(requested.split())} not granted.", evidence)
    return SCOPES.found(Verdict.OK, f"All {len(requested.split())} granted.", evidence=evidence)


def _covers(given: str, word: str) -> bool:
    return next(scopes.parse(word), None) is None or scopes.covers(given, word)


def metadata(case: Case) -> Finding:
    """The CapabilityStatement (no token needed): FHIR R4, and the types we are to read."""
    calls.spend(case.connection)
    url = f"{case.way.base_url}/metadata"
    answer = case.way.get(url, headers={"Accept": "application/fhir+json"}, max_bytes=_MAX_METADATA)
    if answer.status != 200:
        raise refusal(answer)
    document = json_object(answer)
    if document is None or document.get("resourceType") != "CapabilityStatement":
        raise not_fhir(answer, "not a CapabilityStatement")
    version = str(document.get("fhirVersion", ""))[:20]
    offered = _types_offered(document)
    case.facts["types offered"] = sorted(offered)
    # Its url is another practice's at eClinicalWorks: nothing is derived from it.
    software = document.get("software")
    named = software if isinstance(software, dict) else {}
    program = clean(f"{named.get('name', '')} {named.get('version', '')}")
    case.facts["software"] = [program, f"FHIR {version}"]
    evidence = [("software", program), ("FHIR version", version), ("types offered", str(len(offered)))]
    if not version.startswith("4."):
        raise NeverAgain("FHIR_NOT_FHIR", f"FHIR {clean(version) or 'of no version'}, not R4", host=answer.host)
    lacking = [kind for kind in case.connection.profile.planned_types if offered and kind not in offered]
    if lacking:
        return METADATA.amiss("FHIR_BUILD_TOO_OLD", f"It does not offer {', '.join(lacking)}.", evidence)
    return METADATA.found(Verdict.OK, "FHIR R4, with the types we read.", evidence=evidence)


def _types_offered(document: dict[str, object]) -> set[str]:
    rest = document.get("rest")
    servers = [one for one in rest if isinstance(one, dict)] if isinstance(rest, list) else []
    rows = [row for one in servers for row in one.get("resource") or () if isinstance(row, dict)]
    return {row["type"] for row in rows if isinstance(row.get("type"), str)}
