"""What one sandbox is started with."""

import datetime
import ipaddress
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.clients import RegisteredClient
from sandbox.id_tokens import ALGORITHMS

VENDOR, GENERIC = "ecw", "generic"
PRACTICE_CODE = re.compile(r"[A-Z]{6}")


class ConfigError(ValueError):
    """A setting the sandbox refuses to start with; the message names it."""


@dataclass(frozen=True)
class SandboxConfig:
    """Settings of one sandbox, which plays one practice.

    Attributes:
        practice: six capital letters, as in healow URLs.
        mode: whose server is played: the vendor's (``ecw``), or one that follows US Core (``generic``).
        host: a loopback IPv4 address: the charts have no other protection.
        port: 0 takes a free one.
        patients: how many charts to generate with ``seed``; 0 generates none.
        today: the day the generated charts end; None takes the clock's.
        data: folders of NDJSON, Bundles and single resources, read recursively.
        clients: apps registered from the start, on top of those in ``state_file``.
        latency_ms: delay of every counted call; ``latency_per_type`` overrides it by FHIR type.
        limit: calls allowed in one clock minute.
        page_size: entries of a Bundle page.
        token_life: seconds an access token of a backend app is good for.
        launch_token_life: seconds an access token of a launch is good for.
        grant_life: seconds a consent with offline_access lasts, however often it is refreshed.
        online_life: the same with online_access.
        code_life: seconds an authorization code is good for; ``launch_life``: an EHR launch handle.
        id_token_alg: RS256 or RS384.
        state_file: JSON file in which registered clients outlive a restart; consents do in another beside it.
        certificate: PEM file with certificate and private key; given, https is served instead of http.
        clock: POSIX time in seconds; rules about minutes, tokens and assertions ask it.
    """

    practice: str = "ABHEAD"
    mode: str = VENDOR
    host: str = "127.0.0.1"
    port: int = 0
    patients: int = 0
    seed: int = 1
    today: datetime.date | None = None
    data: tuple[Path, ...] = ()
    clients: tuple[RegisteredClient, ...] = ()
    latency_ms: int = 0
    latency_per_type: Mapping[str, int] = field(default_factory=dict)
    limit: int = 250
    page_size: int = 20
    token_life: int = 300
    launch_token_life: int = 3600
    grant_life: int = 90 * 86_400
    online_life: int = 3600
    code_life: int = 60
    launch_life: int = 300
    id_token_alg: str = "RS256"  # noqa: S105 - the name of an algorithm
    state_file: Path | None = None
    quiet: bool = True
    certificate: Path | None = None
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if not PRACTICE_CODE.fullmatch(self.practice):
            raise ConfigError(f"practice must be six capital letters, not {self.practice!r}")
        if self.mode not in (VENDOR, GENERIC):
            raise ConfigError(f"mode must be {VENDOR} or {GENERIC}, not {self.mode!r}")
        if not _is_loopback(self.host):
            raise ConfigError(f"host must be a loopback IPv4 address, not {self.host!r}")
        lives = (self.token_life, self.launch_token_life, self.grant_life, self.online_life, self.code_life)
        if min(self.page_size, self.limit, self.launch_life, *lives) < 1:
            raise ConfigError("page size, limit and token life must be at least 1")
        if self.id_token_alg not in ALGORITHMS:
            raise ConfigError(f"id_token_alg must be one of {', '.join(ALGORITHMS)}")
        for folder in self.data:
            if not folder.is_dir():
                raise ConfigError(f"data folder {str(folder)!r} does not exist")

    def latency(self, resource_type: str | None) -> float:
        """Seconds to hold back the answer to a call about ``resource_type``."""
        return self.latency_per_type.get(resource_type or "", self.latency_ms) / 1000


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False
