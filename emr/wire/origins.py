"""Which URLs we trust: origin and base path, compared part by part.

Everything a server hands us (next links, endpoints, file addresses) passes here. The practice code is part
of the base path with some vendors, so the path is a boundary between tenants: a prefix comparison of
strings is never enough (`/AAAAAAB`, `host.evil`, `@evil`, `/../`).
"""

import ipaddress
import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import quote

from emr.wire.errors import NeverAgain

MAX_URL = 65_536  # servers do hand out next links of several kilobytes

_PORTS = {"http": 80, "https": 443}
_ABSOLUTE = re.compile(r"(?i)(https?)://([^/?]*)([^?]*)(?:\?(.*))?", re.ASCII)
_HAS_SCHEME = re.compile(r"(?i)[a-z][a-z0-9+.-]*:")
_AUTHORITY = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9-]|\.(?=[A-Za-z0-9]))*|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?", re.ASCII
)
_DOUBLED_PORT = re.compile(r"(:[0-9]{1,5}){2,}\Z", re.ASCII)  # https://host:443:443/ has been seen in a next link
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\#]")
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})*", re.ASCII)
# An escape in a path may stand for these only: anything else is a way to write . / \ % ; or a control
# character.
_ESCAPABLE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~$!'()*,=:@|+ ")
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class Target(NamedTuple):
    """An absolute URL in its parts; host in lower case, port always given, query None when there is no
    "?".
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str | None

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def host_port(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def origin_url(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    @property
    def url(self) -> str:
        return f"{self.origin_url}{self.path}" + ("" if self.query is None else f"?{self.query}")


def parse(url: str, *, code: str = "FHIR_LINK_FOREIGN") -> Target:
    """Take an absolute http(s) URL apart, refusing every spelling two parsers could read differently.

    Raises NeverAgain(code): another scheme, userinfo, fragment, backslash, space or control character, a
    host that is not plain ASCII, a port out of range, and in the path `.`, `..`, `;` or an escape of one of
    them.
    """
    match = None if _suspicious(url) or " " in url else _ABSOLUTE.fullmatch(url)
    if match is None:
        raise NeverAgain(code, "not a plain http(s) URL")
    scheme, authority, path, query = match.groups()
    scheme = scheme.lower()
    named = _AUTHORITY.fullmatch(authority)
    if named is None:
        raise NeverAgain(code, "the host of the URL is not plain")
    port = int(named[2]) if named[2] else _PORTS[scheme]
    if not 0 < port < 65_536:
        raise NeverAgain(code, "the port of the URL is out of range")
    _check_path(path, code)
    return Target(scheme, named[1].lower(), port, path, query)


def _suspicious(url: object) -> bool:
    return not isinstance(url, str) or len(url) > MAX_URL or _CONTROL.search(url) is not None


def _check_path(path: str, code: str) -> None:
    for segment in path.split("/"):
        if segment in (".", "..") or not _SEGMENT.fullmatch(segment):
            raise NeverAgain(code, "the path of the URL holds a step or character that is not allowed")
        for escape in re.findall(r"%(..)", segment):
            if int(escape, 16) not in _ESCAPABLE:
                raise NeverAgain(code, "the path of the URL holds an escape that is not allowed")


def parse_base(base: str) -> Target:
    """A configured FHIR base URL, its trailing slash gone. Raises NeverAgain("CFG_PRACTICE_CODE")."""
    target = parse(base, code="CFG_PRACTICE_CODE")
    if target.query is not None:
        raise NeverAgain("CFG_PRACTICE_CODE", "a FHIR base URL has no query", host=target.host)
    path = target.path.rstrip("/")
    if "//" in path:
        raise NeverAgain("CFG_PRACTICE_CODE", "a FHIR base URL has no empty path segment", host=target.host)
    return target._replace(path=path)


def _inside(path: str, base_path: str) -> bool:
    steps, wanted = path.split("/"), base_path.split("/")
    return steps[: len(wanted)] == wanted


def under_base(url: str, base: str) -> bool:
    """True when scheme, host and port are the base's and the path is the base path or below it."""
    try:
        target, home = parse(url), parse_base(base)
    except NeverAgain:
        return False
    return target.origin == home.origin and _inside(target.path, home.path)


def rebase(link: str, base: str, aliases: Collection[str] = frozenset()) -> str:
    """Rebuild a server's link on the configured base: its path tail and query, our scheme, host and port.

    healow answers with links on another host and on plain http; others send odd ports or relative links. A
    link on the base's own host or on one of `aliases` (host names) is accepted whatever its scheme and
    port, because the request goes to the configured host. Raises NeverAgain("FHIR_LINK_FOREIGN") for any
    other host, for a path outside the base path (another practice's code) and for every URL `parse`
    refuses.
    """
    home = parse_base(base)
    if _suspicious(link) or not link:
        raise NeverAgain("FHIR_LINK_FOREIGN", "the link is not a plain URL", host=home.host)
    locator, mark, query = link.partition("?")
    target = parse(_absolute(locator, home))
    if target.host != home.host and target.host not in {alias.lower() for alias in aliases}:
        raise NeverAgain("FHIR_LINK_FOREIGN", f"the link leads to {target.host[:100]}", host=home.host)
    if not _inside(target.path, home.path):
        raise NeverAgain("FHIR_LINK_FOREIGN", "the link leads outside the practice's base path", host=home.host)
    # Escapes stay as they are. Links with spaces and | exist; neither may stand in a request line.
    readable = quote(query, safe="%!$&'()*+,;=:@/?-._~") if mark else None
    return home._replace(path=target.path, query=readable).url


def _absolute(locator: str, home: Target) -> str:
    if locator.startswith("//"):
        locator = f"{home.scheme}:{locator}"
    if _HAS_SCHEME.match(locator):
        scheme, separator, rest = locator.partition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}{separator}{_DOUBLED_PORT.sub('', authority)}{slash}{path}"
    if locator.startswith("/"):
        return f"{home.origin_url}{locator}"
    return f"{home.origin_url}{home.path}" + (f"/{locator}" if locator else "")


def public_address(text: str) -> bool:
    """True when an IP address (as getaddrinfo writes it) is one of the open internet.

    False for loopback, private, link-local, shared, multicast, reserved and unspecified addresses, and for
    IPv6 forms that carry an IPv4 address inside (v4-mapped, NAT64, 6to4, Teredo), whose real destination is
    elsewhere.
    """
    address = ipaddress.ip_address(text)
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    carries = address.ipv4_mapped or address.sixtofour or address.teredo or address.is_site_local
    return not carries and not any(address in network for network in _NAT64)


def loopback_address(text: str) -> bool:
    return ipaddress.ip_address(text).is_loopback
