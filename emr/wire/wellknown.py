"""SMART discovery: a server's .well-known/smart-configuration (SMART App Launch 2.2, "Conformance")."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self
from urllib.parse import urljoin

from emr.wire.answers import DEFAULT_TIMEOUTS, Answer, Timeouts
from emr.wire.errors import NeverAgain, TryAgain, WireError
from emr.wire.http import Door
from emr.wire.origins import Target, parse, parse_base
from emr.wire.strictjson import BadJSON, decode, loads

MAX_DOCUMENT = 256 * 1024

_ENDPOINTS = (
    "token_endpoint",
    "authorization_endpoint",
    "jwks_uri",
    "introspection_endpoint",
    "revocation_endpoint",
)
_REQUIRED_LISTS = ("capabilities", "grant_types_supported", "code_challenge_methods_supported")


@dataclass(frozen=True)
class SmartConfiguration:
    """A server's .well-known/smart-configuration. Endpoints are absolute; their hosts not yet confirmed.

    `dataclasses.asdict` and `from_json` are inverse, through JSON too.
    """

    token_endpoint: str
    authorization_endpoint: str | None = None
    issuer: str | None = None
    jwks_uri: str | None = None
    introspection_endpoint: str | None = None
    revocation_endpoint: str | None = None
    capabilities: tuple[str, ...] = ()
    grant_types_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods_supported: tuple[str, ...] = ()
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...] = ()
    scopes_supported: tuple[str, ...] = ()
    code_challenge_methods_supported: tuple[str, ...] = ()
    authorization_response_iss_parameter_supported: bool = False  # RFC 9207 section 3

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        known = {item.name for item in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items() if name in known
        }
        return cls(**values)

    def lacks(self, needed: Iterable[str]) -> tuple[str, ...]:
        """Those of the `needed` capabilities the server does not name."""
        return tuple(name for name in needed if name not in self.capabilities)


def discover(door: Door, base: str, *, timeout: Timeouts = DEFAULT_TIMEOUTS) -> SmartConfiguration:
    """GET [base]/.well-known/smart-configuration, without a token.

    Raises NeverAgain CFG_PRACTICE_CODE (400, 404, or a base URL that is none), DISC_INCOMPLETE (a required
    member is missing), DISC_FOREIGN_HOST (an endpoint that is not plain https), FHIR_401, FHIR_403,
    FHIR_REFUSED; TryAgain DISC_NOT_JSON, FHIR_5XX; Throttled; and all of Door.get.
    """
    home = parse_base(base)
    url = f"{home.url}/.well-known/smart-configuration"
    answer = door.get(url, headers={"Accept": "application/json"}, timeout=timeout, max_bytes=MAX_DOCUMENT)
    if not 200 <= answer.status < 300:
        raise _discovery_refusal(answer)
    document = json_object(answer)
    if document is None:
        raise answer.error(TryAgain, "DISC_NOT_JSON", "the SMART configuration is not a JSON object")
    _require(document, answer)
    endpoints = {name: _endpoint(document.get(name), name, home, door.insecure) for name in _ENDPOINTS}
    lists = {item.name: _strings(document.get(item.name)) for item in fields(SmartConfiguration) if item.default == ()}
    names_itself = document.get("authorization_response_iss_parameter_supported") is True
    return SmartConfiguration.from_json(
        {
            "issuer": string(document.get("issuer")),
            "authorization_response_iss_parameter_supported": names_itself,
            **endpoints,
            **lists,
        }
    )


def confirmed_hosts(configuration: SmartConfiguration, allowed_hosts: Collection[str]) -> frozenset[str]:
    """The origins of the endpoints ("https://host"), when each host is one an admin confirmed; for Door.

    allowed_hosts: "host", "host:port" for a port other than 443, or "*.domain" for any host below it.
    Raises NeverAgain("DISC_FOREIGN_HOST") with the name of the endpoint and its host.
    """
    allowed = {host.lower() for host in allowed_hosts}
    origins = set()
    for name in _ENDPOINTS:
        url = getattr(configuration, name)
        if url is None:
            continue
        target = parse(url, code="DISC_FOREIGN_HOST")
        if not _allowed(target, allowed):
            detail = f"{name} is on {target.host[:100]}, which nobody confirmed"
            raise NeverAgain("DISC_FOREIGN_HOST", detail, host=target.host)
        origins.add(target.origin_url)
    return frozenset(origins)


def _allowed(target: Target, allowed: Collection[str]) -> bool:
    if target.host_port in allowed:
        return True
    if target.scheme != "https" or target.port != 443:
        return False
    labels = target.host.split(".")
    parents = {"*." + ".".join(labels[start:]) for start in range(1, len(labels))}
    return target.host in allowed or not parents.isdisjoint(allowed)


def _discovery_refusal(answer: Answer) -> WireError:
    if answer.status == 429:
        return answer.throttled()
    if answer.status in (400, 404):
        detail = "no SMART configuration at this base URL"
        return answer.error(NeverAgain, "CFG_PRACTICE_CODE", detail)
    if answer.status >= 500:
        return answer.error(TryAgain, "FHIR_5XX", "the server is not well")
    code = {401: "FHIR_401", 403: "FHIR_403"}.get(answer.status, "FHIR_REFUSED")
    return answer.error(NeverAgain, code, "the SMART configuration is not open to us")


def _require(document: dict[str, Any], answer: Answer) -> None:
    capabilities = _strings(document.get("capabilities"))
    strings = ["token_endpoint"]
    if any(name in capabilities for name in ("launch-ehr", "launch-standalone")):
        strings.append("authorization_endpoint")
    if "sso-openid-connect" in capabilities:
        strings += ["issuer", "jwks_uri"]
    missing = [name for name in strings if not string(document.get(name))]
    missing += [name for name in _REQUIRED_LISTS if not isinstance(document.get(name), list)]
    if missing:
        detail = f"the SMART configuration lacks {', '.join(missing)}"
        raise answer.error(NeverAgain, "DISC_INCOMPLETE", detail)


def _endpoint(value: Any, name: str, home: Target, insecure: Collection[str]) -> str | None:
    if not string(value):
        return None
    try:
        target = parse(urljoin(f"{home.url}/", value), code="DISC_FOREIGN_HOST")
    except ValueError:  # urljoin on broken brackets
        target = None
    if target is None or (target.scheme != "https" and target.host_port not in insecure):
        raise NeverAgain("DISC_FOREIGN_HOST", f"{name} is not a plain https URL", host=home.host)
    return target.url


def json_object(answer: Answer) -> dict[str, Any] | None:
    try:
        document = loads(decode(answer.body))
    except BadJSON:
        return None
    return document if isinstance(document, dict) else None


def string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
