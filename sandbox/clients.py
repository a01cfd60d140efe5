"""The apps registered with the sandbox's portal."""

import ipaddress
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sandbox import state_files
from sandbox.access_scopes import REGISTRABLE, default_scopes

ALGORITHMS = ("RS384", "ES384")
AUTH_METHODS = ("private_key_jwt", "client_secret_basic", "client_secret_post", "none")
MIN_SECRET = 16
TEXTS = ("jwks_url", "auth_method", "client_secret", "name", "launch_url")
BACKEND_TYPES = ("backend-single", "backend-bulk")
APP_TYPES = (*BACKEND_TYPES, "patient", "provider")


class RegistrationError(ValueError):
    """The portal refuses this registration; the message says why."""


@dataclass(frozen=True)
class RegisteredClient:
    """One app: what proves it, and the widest access it may be granted.

    Attributes:
        jwks_url: where its public keys are published (https, or plain http on loopback); for private_key_jwt alone.
        scopes: the scopes ticked on the portal.
        alg: the one signing algorithm its assertions may use.
        app_type: ``backend-single`` or ``backend-bulk``, which differ in the Group scope rule; ``patient`` and
            ``provider`` get their tokens by a launch alone.
        active: False plays an app that the practice has switched off.
        redirect_uris: where its launches may come back to, compared byte for byte; none means no launches.
        auth_method: the one way it proves itself at the token endpoint (RFC 8414 names).
        client_secret: for the two ``client_secret`` methods, 16 characters or more.
        name: what the sign-in pages call it; the client id when blank.
        launch_url: where the EMR opens a ``provider`` app from its own screen; none means it is not offered there.
    """

    client_id: str
    jwks_url: str = ""
    scopes: tuple[str, ...] = ()
    alg: str = "RS384"
    app_type: str = "backend-single"
    active: bool = True
    redirect_uris: tuple[str, ...] = ()
    auth_method: str = "private_key_jwt"
    client_secret: str = field(default="", repr=False)
    name: str = ""
    launch_url: str = ""

    def __post_init__(self) -> None:
        if self.app_type not in APP_TYPES:
            raise RegistrationError(f"app_type must be one of {', '.join(APP_TYPES)}")
        if self.alg not in ALGORITHMS:
            raise RegistrationError(f"alg must be one of {', '.join(ALGORITHMS)}")
        if not self.client_id:
            raise RegistrationError("client_id must not be empty")
        self._check_proof()
        for uri in self.redirect_uris:
            if not is_fetchable(uri) or "#" in uri:
                raise RegistrationError("redirect_uris must be https, or http on loopback, without a fragment")
        if self.launch_url and not (is_fetchable(self.launch_url) and self.app_type == "provider"):
            raise RegistrationError("launch_url is a provider app's, and https, or http on loopback")
        unknown = sorted(set(self.scopes) - REGISTRABLE)
        if unknown:
            raise RegistrationError(f"scopes not offered here: {' '.join(unknown)}")
        if not self.scopes:
            object.__setattr__(self, "scopes", default_scopes(self.app_type))

    def _check_proof(self) -> None:
        if self.auth_method not in AUTH_METHODS:
            raise RegistrationError(f"auth_method must be one of {', '.join(AUTH_METHODS)}")
        if self.app_type in BACKEND_TYPES and self.auth_method != "private_key_jwt":
            raise RegistrationError("a backend app proves itself by private_key_jwt")
        if self.auth_method == "private_key_jwt" and not is_fetchable(self.jwks_url):
            raise RegistrationError("jwks_url must be https, or http on loopback")
        if self.auth_method.startswith("client_secret") and len(self.client_secret) < MIN_SECRET:
            raise RegistrationError(f"client_secret must have {MIN_SECRET} characters or more")

    @property
    def title(self) -> str:
        """What people are told the app is called."""
        return self.name or self.client_id

    @property
    def is_confidential(self) -> bool:
        """True when it can keep a secret, so that it may have access while nobody is there."""
        return self.auth_method != "none"


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
    """A client from control or the state file; ``scopes`` and ``redirect_uris`` as a list or one spaced string.

    Raises:
        RegistrationError: a field is unknown, missing, of the wrong type or not allowed.
    """
    fields = dict(document)
    for name in ("scopes", "redirect_uris"):
        several = fields.pop(name, ())
        fields[name] = tuple(several.split() if isinstance(several, str) else several or ())
    if not isinstance(fields.get("client_id"), str):
        raise RegistrationError("client_id is required")
    if not all(isinstance(fields.get(name, ""), str) for name in TEXTS):
        raise RegistrationError(f"{', '.join(TEXTS)} are texts")
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

    def all(self) -> list[RegisteredClient]:
        """Every client, in the order of their registration."""
        return list(self._clients.values())

    def register(self, client: RegisteredClient) -> None:
        """Adds the client, or replaces the one of the same id."""
        with self._lock:
            self._clients = {**self._clients, client.client_id: client}
            self._save()

    def as_json(self) -> list[dict[str, Any]]:
        """All clients as JSON objects."""
        return [asdict(client) for client in self._clients.values()]

    def _save(self) -> None:
        if self._state_file is not None:
            state_files.write(self._state_file, {"clients": self.as_json()})


def _load(state_file: Path | None) -> dict[str, RegisteredClient]:
    document = state_files.read(state_file) or {"clients": []}
    clients = [from_json(entry) for entry in document["clients"]]
    return {client.client_id: client for client in clients}
