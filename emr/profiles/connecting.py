"""The part of a vendor profile that connecting a practice needs: portals, scopes on offer, activation, support."""

from dataclasses import dataclass
from typing import Any, Self

# SMART App Launch 2.2, "Scopes and Launch Context": the forms of version 1 and 2 a read-only app asks for.
READ_V1, READ_V2 = "read", "rs"


@dataclass(frozen=True)
class Portal:
    """One of the vendor's developer portals: its FHIR hosts, the app types registered there, whom to write to.

    sandbox_codes: practices on these hosts that are the vendor's own test practices.
    """

    name: str
    environment: str
    hosts: tuple[str, ...]
    app_types: tuple[str, ...]
    sandbox_codes: tuple[str, ...]
    support: str


@dataclass(frozen=True)
class Advertised:
    """What the vendor lists in scopes_supported, by rule. Not exhaustive (SMART conformance): unlisted is a warning."""

    plain: tuple[str, ...]
    contexts: tuple[str, ...]
    types: tuple[str, ...]
    read_only_form: tuple[str, ...]
    exactly: tuple[str, ...]
    absent_types: tuple[str, ...]
    group_scope: str

    def lists(self, scope: str) -> bool:
        """True when the vendor is known to advertise this scope, letter for letter."""
        if scope in self.plain or scope in self.exactly or scope == self.group_scope:
            return True
        context, slash, rest = scope.partition("/")
        kind, _, form = rest.partition(".")
        if not slash or context not in self.contexts:
            return False
        if kind in self.types:
            return form in {READ_V1, READ_V2, "r"}
        return kind in self.read_only_form and form == "r"

    def offered(self, context: str, form: str) -> tuple[str, ...]:
        """The read scopes of a context ("system") in version 1 ("read") or 2 ("rs"), in the profile's order."""
        return tuple(f"{context}/{kind}.{form}" for kind in self.types)


@dataclass(frozen=True)
class Connecting:
    """How a practice is connected at this vendor."""

    portals: tuple[Portal, ...]
    advertised: Advertised
    authorize_params: tuple[str, ...]
    token_params: tuple[str, ...]
    activation_path: tuple[str, ...]
    activation_after: str
    ask_again_days: tuple[int, ...]
    publish_hours: float
    retire_hours: float
    refresh_days: int
    directory_hosts: tuple[str, ...]
    refresh_idle_days: int = 0  # a refresh token unused for so long ends; 0: no such rule is known
    patient_portal: str = ""  # what patients call the place where they sign in; blank: the vendor's name

    def portal_of_host(self, host: str) -> Portal | None:
        return next((portal for portal in self.portals if host in portal.hosts), None)

    def portals_for(self, environment: str, app_type: str) -> tuple[Portal, ...]:
        """Portals where an app of this type and environment can be registered."""
        return tuple(
            portal for portal in self.portals if portal.environment == environment and app_type in portal.app_types
        )

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """From a profile file's tables [[portal]], [connecting] and [scopes.advertised]. Raises KeyError."""
        return cls(
            portals=tuple(Portal(**_frozen(row)) for row in data["portal"]),
            advertised=Advertised(**_frozen(data["scopes"]["advertised"])),
            **_frozen(data["connecting"]),
        )


def _frozen(table: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
