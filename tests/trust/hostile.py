"""A server that is trusted names addresses that are not: nothing that lets one in may reach them.

The hostile servers listen on loopback and are among the hosts that may be spoken to in plain: what keeps a bearer from
them is the comparison of addresses alone. Channels: next links of pages, discovery (token endpoint and JWKS), bulk
manifests and status addresses, redirects of every kind.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from emr.wire import bulk, fhir, smart, wellknown
from emr.wire.errors import WireError
from emr.wire.http import Door
from emr.wire.id_token import KeySets
from tests.trust.recording import Recording, Said, running

BEARER, ASSERTION = "canary-bearer-5d1f", "canary-assertion-7a2c"
PATH = "/fhir/r4/AAAAAA"
# {h} the honest host, {e} a hostile one.
SHAPES = [
    "http://{e}/fhir/r4/AAAAAA/Patient",
    "http://{e}",
    "http://{h}@{e}/fhir/r4/AAAAAA/x",
    "http://{h}:80@{e}/",
    "//{e}/fhir/r4/AAAAAA/Patient",
    "///{e}/fhir/r4/AAAAAA/",
    "/\\{e}/fhir/r4/AAAAAA",
    "\\\\{e}/fhir/r4/AAAAAA",
    "http:\\\\{e}\\fhir\\r4\\AAAAAA",
    "http://{h}\\@{e}/fhir/r4/AAAAAA",
    "http://{e}#@{h}/fhir/r4/AAAAAA",
    "http://{e}?@{h}/fhir/r4/AAAAAA",
    "http://{e}/\\{h}/fhir/r4/AAAAAA",
    "HTTP://{e}/fhir/r4/AAAAAA/Patient",
    "http:/{e}/fhir/r4/AAAAAA",
    "http:{e}/fhir/r4/AAAAAA",
    " http://{e}/fhir/r4/AAAAAA",
    "http://{e}\t/fhir/r4/AAAAAA",
    "http://{e}/fhir/r4/AAAAAA/../BBBBBB",
    "http://{h}/fhir/r4/BBBBBB/Patient",
    "http://{h}{PATH}/../../{e}",
    "http://{h}{PATH}/%2e%2e/BBBBBB",
    "http://{h}.{e}/fhir/r4/AAAAAA",
    "https://{e}/fhir/r4/AAAAAA/Patient",
    "http://user:pass@{e}/fhir/r4/AAAAAA",
    "http://{e}:80/fhir/r4/AAAAAA",
    "http://{e}/fhir/r4/AAAAAA?x={h}{PATH}",
    "http://{e};{h}/fhir/r4/AAAAAA",
    "http://{e}%2f@{h}/",
    "javascript:fetch('http://{e}')",
    "file://{e}/etc/passwd",
]


@dataclass(frozen=True)
class Outcome:
    """stolen: requests to hostile servers that held a bearer or an assertion; honest: those to the trusted one."""

    tried: int
    stolen: int
    honest: int
    visits: int


class _Stage:
    """The honest server, saying one hostile address at a time."""

    def __init__(self) -> None:
        self.url = ""
        self.honest = Recording(self._says)
        self.hostile = [Recording(_welcome) for _ in range(2)]

    @property
    def base(self) -> str:
        return f"http://{self.honest.host_port}{PATH}"

    def door(self, **options: object) -> Door:
        plain = frozenset(server.host_port for server in (self.honest, *self.hostile))
        return Door(self.base, insecure=plain, **options)  # type: ignore[arg-type]

    def _says(self, path: str, body: str) -> Said:
        headers = {"Content-Type": "application/json"}
        if path.endswith("/Redirect") or path == "/token-redirect":
            status = 307 if body else 302
            return status, headers | {"Location": _one_line(self.url)}, b""
        if path.endswith("$export"):
            return 202, headers | {"Content-Location": _one_line(self.url)}, b""
        documents = {
            "/.well-known/smart-configuration": self._configuration(),
            "/Condition": {
                "resourceType": "Bundle",
                "type": "searchset",
                "link": [{"relation": "next", "url": self.url}],
            },
            "/status": {
                "transactionTime": "2026-11-22T00:00:00Z",
                "request": "x",
                "requiresAccessToken": True,
                "error": [],
                "output": [{"type": "Condition", "url": self.url}],
            },
        }
        found = next((told for end, told in documents.items() if path.split("?")[0].endswith(end)), {})
        return 200, headers, json.dumps(found).encode()

    def _configuration(self) -> dict[str, object]:
        lists = {
            "capabilities": ["client-confidential-asymmetric"],
            "grant_types_supported": ["client_credentials"],
            "code_challenge_methods_supported": ["S256"],
        }
        return lists | {
            "token_endpoint": self.url,
            "jwks_uri": self.url,
            "issuer": self.base,
            "authorization_endpoint": f"{self.base}/authorize",
        }


def _one_line(url: str) -> str:
    return url.strip().replace("\t", "%09")


def _welcome(path: str, body: str) -> Said:
    """What a thief would answer: everything fine, come again."""
    told = {
        "resourceType": "Bundle",
        "type": "searchset",
        "access_token": "x",
        "token_type": "bearer",
        "keys": [],
        "expires_in": 300,
    }
    return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()


def run() -> Outcome:
    """Every shape of address with both hostile servers through every channel."""
    stage = _Stage()
    tried = 0
    with running(stage.honest, *stage.hostile):
        for shape in SHAPES:
            for evil in stage.hostile:
                stage.url = shape.replace("{PATH}", PATH).format(h=stage.honest.host_port, e=evil.host_port)
                for channel in CHANNELS:
                    tried += 1
                    try:
                        channel(stage)
                    except WireError:
                        continue  # refused, in the product's own words
        stolen = sum(server.saw(BEARER, ASSERTION) for server in stage.hostile)
        visits = sum(len(server.received) for server in stage.hostile)
        return Outcome(tried, stolen, stage.honest.saw(BEARER, ASSERTION), visits)


def next_link(stage: _Stage) -> None:
    with stage.door() as door:
        page = fhir.search(door, BEARER, stage.base, "Condition", [("patient", "1")])
        if page.next_url:
            fhir.follow(door, BEARER, stage.base, page.next_url)
        fhir.follow(door, BEARER, stage.base, stage.url)


def token_endpoint(stage: _Stage) -> None:
    """As emr.discovery does it: what nobody confirmed is not spoken to."""
    with stage.door() as door:
        configuration = wellknown.discover(door, stage.base)
    others = wellknown.confirmed_hosts(configuration, {stage.honest.host_port})
    with stage.door(other_hosts=others) as door:
        smart.client_credentials(door, configuration, assertion=ASSERTION, scope="system/*.read", extra={})


def token_endpoint_unasked(stage: _Stage) -> None:
    """The same, had nobody asked which hosts are confirmed: the door refuses by itself."""
    with stage.door() as door:
        configuration = wellknown.discover(door, stage.base)
        smart.client_credentials(door, configuration, assertion=ASSERTION, scope="system/*.read", extra={})


def keys(stage: _Stage) -> None:
    with stage.door() as door:
        KeySets().key(door, stage.url, "k", "RS384")


def manifest(stage: _Stage) -> None:
    with stage.door() as door:
        told = bulk.poll(door, BEARER, stage.base, f"{stage.base}/status")
        if isinstance(told, bulk.Manifest):
            for file in told.files:
                door.get(file.url or stage.url, bearer=BEARER)


def status_address(stage: _Stage) -> None:
    with stage.door() as door:
        started = bulk.kick_off(door, BEARER, stage.base, "g1")
        bulk.poll(door, BEARER, stage.base, started.status_url)


def redirect(stage: _Stage) -> None:
    with stage.door() as door:
        door.get(f"{stage.base}/Redirect", bearer=BEARER)


def redirect_of_a_token_call(stage: _Stage) -> None:
    with stage.door() as door:
        door.post_form(f"http://{stage.honest.host_port}/token-redirect", {"client_assertion": ASSERTION})


CHANNELS: tuple[Callable[[_Stage], None], ...] = (
    next_link,
    token_endpoint,
    token_endpoint_unasked,
    keys,
    manifest,
    status_address,
    redirect,
    redirect_of_a_token_call,
)
