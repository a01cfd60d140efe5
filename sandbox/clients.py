"""The apps registered with the sandbox's portal."""

import ipaddress
import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sandbox.access_scopes import SCOPES_SUPPORTED, default_scopes

ALGORITHMS = ("RS384", "ES384")
BACKEND_TYPES = ("backend-single", "backend-bulk")
APP_TYPES = (*BACKEND_TYPES, "patient", "provider")


class RegistrationError(ValueError):
    """The portal refuses this registration; the message says why."""


@dataclass(frozen=True)
class RegisteredClient:
    """One app: which keys prove it, and the widest access it may be granted.

    Attributes:
        jwks_url: where its public keys are published (https, or plain http on loopback).
        scopes: the scopes ticked on the portal.
        alg: the one signing algorithm its assertions may use.
        app_type: ``backend-single`` or ``backend-bulk``, which differ in the Group scope rule; ``patient`` and
            ``provider`` get their tokens by a launch alone.
        active: False plays an app that the practice has switched off.
    """

    client_id: str
    jwks_url: str
    scopes: tuple[str, ...] = ()
    alg: str = "RS384"
    app_type: str = "backend-single"
    active: bool = True

    def __post_init__(self) -> None:
        if self.app_type not in APP_TYPES:
            raise RegistrationError(f"app_type must be one of {', '.join(APP_TYPES)}")
        if self.alg not in ALGORITHMS:
            raise RegistrationError(f"alg must be one of {', '.join(ALGORITHMS)}")
        if not self.client_id:
            raise RegistrationError("client_id must not be empty")
        if not is_fetchable(self.jwks_url):
            raise RegistrationError("jwks_url must be https, or http on loopback")
        unknown = sorted(set(self.scopes) - SCOPES_SUPPORTED)
        if unknown:
            raise RegistrationError(f"scopes not offered here: {' '.join(unknown)}")
        if not self.scopes:
            object.__setattr__(self, "scopes", default_scopes(self.app_type))


def is_fetchable(url: str) -> bool:
    """True for an https URL, or an http one on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    if parts.scheme != "http":
        return False
    if parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def from_json(document: Mapping[str, Any]) -> RegisteredClient:
    """A client from control or the state file; ``scopes`` as a list or one spaced string.

    Raises:
        RegistrationError: a field is unknown, missing, of the wrong type or not allowed.
    """
    fields = dict(document)
    scopes = fields.pop("scopes", ())
    fields["scopes"] = tuple(scopes.split() if isinstance(scopes, str) else scopes or ())
    if not all(isinstance(fields.get(name), str) for name in ("client_id", "jwks_url")):
        raise RegistrationError("client_id and jwks_url are required")
    try:
        return RegisteredClient(**fields)
    except TypeError as error:
        raise RegistrationError("unknown or unusable field") from error


class ClientRegistry:
    """The registered clients, kept in a file over restarts when one is given."""

    def __init__(self, state_file: Path | None, clients: Iterable[RegisteredClient]) -> None:
        self._state_file = state_file
        self._lock = threading.Lock()
        self._clients = _load(state_file)
        self._clients.update((client.client_id, client) for client in clients)

    def get(self, client_id: object) -> RegisteredClient | None:
        """The client of that id, whatever its state."""
        return self._clients.get(client_id) if isinstance(client_id, str) else None

    def register(self, client: RegisteredClient) -> None:
        """Adds the client, or replaces the one of the same id."""
        with self._lock:
            self._clients = {**self._clients, client.client_id: client}
            self._save()

    def as_json(self) -> list[dict[str, Any]]:
        """All clients as JSON objects."""
        return [asdict(client) for client in self._clients.values()]

    def _save(self) -> None:
        if self._state_file is None:
            return
        scratch = self._state_file.with_name(self._state_file.name + ".new")
        scratch.write_text(json.dumps({"clients": self.as_json()}, indent=1), encoding="utf-8")
        os.replace(scratch, self._state_file)


def _load(state_file: Path | None) -> dict[str, RegisteredClient]:
    if state_file is None or not state_file.exists():
        return {}
    document = json.loads(state_file.read_text(encoding="utf-8"))
    clients = [from_json(entry) for entry in document["clients"]]
    return {client.client_id: client for client in clients}
