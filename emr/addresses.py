"""From where the running request comes: what the audit trail, the limits and the list of JWKS readers go by.

ALLAUTH_TRUSTED_PROXY_COUNT (TRUSTED_PROXY_COUNT in the environment) alone decides whose X-Forwarded-For is believed,
the same here as in allauth's own limits and lists of sessions.
"""

import ipaddress

from allauth.account.adapter import get_adapter
from allauth.core import context
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest


def address_of(request: HttpRequest) -> str | None:
    """The client's address in its canonical form (RFC 5952, without a zone; a mapped IPv4 address as IPv4).

    None when it is not known: a socket of the machine itself, or nonsense from the proxy.
    """
    try:
        told = str(get_adapter(request).get_client_ip(request))
    except PermissionDenied:
        return None
    except ImproperlyConfigured:  # fewer hops than our proxies add: it came round them, and only who connected is known
        told = str(request.META.get("REMOTE_ADDR", ""))
    try:
        address = ipaddress.ip_address(told.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def current() -> str | None:
    """That of the request this code runs for; None in workers and commands, where there is no request.

    allauth's AccountMiddleware keeps the request in a context variable while it is answered.
    """
    request: HttpRequest | None = context.request
    return address_of(request) if request is not None else None
