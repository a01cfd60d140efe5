"""What the practice says about itself: SMART configuration, CapabilityStatement, key set."""

from typing import Any

from sandbox.access_scopes import SCOPES_SUPPORTED
from sandbox.clients import AUTH_METHODS
from sandbox.plan import READABLE, SEARCHES

# The vendor's CapabilityStatement carries another tenant's code: nothing may be derived from it.
OTHER_TENANTS = ("CFFIBD", "EEIJDD")
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
CAPABILITIES = (
    "authorize-post",
    "client-confidential-asymmetric",
    "client-confidential-symmetric",
    "client-public",
    "context-banner",
    "context-ehr-encounter",
    "context-ehr-patient",
    "context-standalone-encounter",
    "context-standalone-patient",
    "context-style",
    "launch-ehr",
    "launch-standalone",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
    "smart-app-state",
    "sso-openid-connect",
)


def token_url(origin: str) -> str:
    """The token endpoint, which client assertions name as their audience."""
    return f"{origin}/oauth/oauth2/token"


def authorize_url(origin: str) -> str:
    """The authorization endpoint."""
    return f"{origin}/oauth/oauth2/authorize"


def style_url(origin: str) -> str:
    """The colours of the EMR, for apps that follow them (SMART App Launch, smart_style_url)."""
    return f"{origin}/oauth/oauth2/style.json"


STYLE = {"color_background": "#ffffff", "color_text": "#1b1b1b", "dim_border_radius": "4px"}


def smart_configuration(origin: str, base: str) -> dict[str, Any]:
    """The discovery document (SMART App Launch 2.2, conformance).

    The vendor's has neither introspection nor revocation; the fault ``altered-json`` takes them out.
    """
    return {
        "issuer": base,
        "jwks_uri": f"{origin}/oauth/oauth2/jwks",
        "authorization_endpoint": authorize_url(origin),
        "token_endpoint": token_url(origin),
        "introspection_endpoint": f"{origin}/oauth/oauth2/introspect",
        "revocation_endpoint": f"{origin}/oauth/oauth2/revoke",
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": sorted(SCOPES_SUPPORTED),
        "capabilities": list(CAPABILITIES),
    }


def capability_statement(origin: str, practice: str) -> dict[str, Any]:
    """The /metadata answer: type, interactions and search parameters as the query plan has them."""
    other = next(code for code in OTHER_TENANTS if code != practice)
    oauth = [
        {"url": "authorize", "valueUri": authorize_url(origin)},
        {"url": "token", "valueUri": token_url(origin)},
    ]
    return {
        "resourceType": "CapabilityStatement",
        "url": f"https://fhir4.eclinicalworks.com/fhir/r4/{other}/metadata",
        "status": "active",
        "date": "2026-01-15",
        "publisher": "Sandbox",
        "kind": "instance",
        "software": {"name": "FHIR Facade", "version": "1.6"},
        "implementation": {"description": "Sandbox practice"},
        "fhirVersion": "4.0.1",
        "format": ["xml", "json"],
        "rest": [
            {
                "mode": "server",
                "security": {"cors": True, "extension": [{"url": OAUTH_URIS, "extension": oauth}]},
                "resource": [_resource(resource_type) for resource_type in sorted(READABLE)],
            }
        ],
    }


def _resource(resource_type: str) -> dict[str, Any]:
    names = {name for shape in SEARCHES.get(resource_type, ()) for name in shape.parameters}
    codes = ["read", "search-type"] if names else ["read"]
    return {
        "type": resource_type,
        "interaction": [{"code": code} for code in codes],
        "searchParam": [{"name": name, "type": _parameter_type(name)} for name in sorted(names)],
    }


def _parameter_type(name: str) -> str:
    special = {"patient": "reference", "birthdate": "date", "family": "string", "given": "string"}
    return special.get(name, "token")
