"""A token ready for use, and why there may be none: what the callers of emr.tokens and emr.grants have to know."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from emr.wire import scopes


class TokenBusy(Exception):
    """Another worker is asking for this token; come back in `seconds`."""

    seconds = 1.0


class NoAccess(Exception):
    """This patient's data cannot be asked for now. `code`: of the catalogue. Nothing is wrong with the connection."""

    reason = "no token for now"

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NeedsConsent(NoAccess):
    """Only the person can help, by consenting (again): a normal state, not an error."""

    reason = "needs consent"


@dataclass(frozen=True)
class Access:
    """A token ready for use. `scope`: what was granted, or requested where the server did not say.

    contexts: of the scopes that count ("system"; "patient"; "user" and "patient"). grant_id: the grant it is of, None
    for a connection's own token. fresh_until: so long it may be used without another look; None: for one
    call.
    """

    bearer: str = field(repr=False)
    scope: str
    generation: int
    contexts: tuple[str, ...] = ("system",)
    grant_id: UUID | None = None
    fresh_until: datetime | None = field(default=None, compare=False)

    def allows(self, resource_type: str) -> bool:
        """True when a granted scope lets us read this type."""
        return any(scopes.allows(self.scope, resource_type, context) for context in self.contexts)
