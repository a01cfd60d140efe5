"""Consents given: authorization codes, and the grants they open, with refresh tokens that serve once.

Sources: RFC 6749 sections 4.1.2 and 6, RFC 7636, RFC 9700 section 4.14.2 (rotation, families), SMART App Launch 2.2.
"""

import base64
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sandbox import state_files
from sandbox.assertions import invalid_grant
from sandbox.authorize_accounts import Account

VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True)
class Authorization:
    """What a person allowed an app, before any token.

    Attributes:
        id: names the grant that the code opens.
        challenge: PKCE, S256.
        scopes: as allowed, in the syntax the app asked in.
        patient: the chart in context, None without one.
        is_ehr: launched from inside the EMR, which shows the patient banner itself.
    """

    id: str
    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str | None
    scopes: tuple[str, ...]
    account: Account
    patient: str | None
    encounter: str | None = None
    is_ehr: bool = False
    need_patient_banner: bool = True


@dataclass(frozen=True)
class Grant:
    """A consent in force or ended.

    Attributes:
        refresh_token: the one that serves next, "" where none was given.
        ends_at: POSIX seconds when no refresh token of the family serves any longer.
        ended: why it ended before that, "" while it has not.
        refreshes: how often it was refreshed.
    """

    authorization: Authorization
    issued_at: float
    ends_at: float
    refresh_token: str = ""
    ended: str = ""
    refreshes: int = 0


@dataclass(frozen=True)
class _Code:
    authorization: Authorization
    expires_at: float


class Codes:
    """Authorization codes: each serves once, for a minute, for the app and the request it was made for.

    Args:
        on_reuse: called with the grant's id when a code comes a second time (RFC 6749 section 4.1.2).
    """

    def __init__(self, life: float, clock: Callable[[], float], on_reuse: Callable[[str], object]) -> None:
        self._life = life
        self._clock = clock
        self._on_reuse = on_reuse
        self._lock = threading.Lock()
        self._open: dict[str, _Code] = {}
        self._used: dict[str, str] = {}

    def issue(self, authorization: Authorization) -> str:
        """A new code."""
        text = secrets.token_urlsafe(32)
        with self._lock:
            self._open[text] = _Code(authorization, self._clock() + self._life)
        return text

    def redeem(self, text: str, client_id: str, redirect_uri: str, verifier: str) -> Authorization:
        """What the code stands for. Whatever comes of it, the code is spent.

        Raises:
            Refusal: invalid_grant.
        """
        with self._lock:
            code = self._open.pop(text, None)
            reused = self._used.get(text)
            if code is not None:
                self._used[text] = code.authorization.id
        if reused is not None:
            self._on_reuse(reused)
            raise invalid_grant("code used twice")
        if code is None:
            raise invalid_grant("unknown code")
        if code.expires_at <= self._clock():
            raise invalid_grant("code expired")
        given = code.authorization
        if given.client_id != client_id:
            raise invalid_grant("code of another client")
        if given.redirect_uri != redirect_uri:
            raise invalid_grant("redirect_uri differs")
        if not VERIFIER.fullmatch(verifier) or not hmac.compare_digest(challenge_of(verifier), given.challenge):
            raise invalid_grant("code_verifier")
        return given


def challenge_of(verifier: str) -> str:
    """The S256 code challenge (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Grants:
    """Every grant. A refresh token serves once; a second use ends the whole family.

    Args:
        on_end: called with a grant's id when it ends, so that its access tokens end too.
        state_file: where grants outlive a restart; access tokens do not.
    """

    def __init__(
        self, clock: Callable[[], float], on_end: Callable[[str], None], state_file: Path | None = None
    ) -> None:
        self._clock = clock
        self._on_end = on_end
        self._state_file = state_file
        self._lock = threading.RLock()
        kept = state_files.read(state_file) or {"grants": [], "families": {}}
        grants = map(_from_json, kept["grants"])
        self._grants = {grant.authorization.id: grant for grant in grants}
        self._families: dict[str, str] = kept["families"]

    def _keep(self, grant: Grant) -> None:
        """Puts the grant in its place; called under the lock."""
        self._grants[grant.authorization.id] = grant
        if self._state_file is not None:
            grants = [asdict(one) for one in self._grants.values()]
            state_files.write(self._state_file, {"grants": grants, "families": self._families})

    def open(self, authorization: Authorization, life: float, *, refreshable: bool) -> Grant:
        """Starts a grant that lasts ``life`` seconds."""
        now = self._clock()
        with self._lock:
            token = self._new_token(authorization.id) if refreshable else ""
            grant = Grant(authorization, now, now + life, token)
            self._keep(grant)
            return grant

    def _new_token(self, grant_id: str) -> str:
        token = secrets.token_urlsafe(48)
        self._families[token] = grant_id
        return token

    def refresh(self, token: str, client_id: str, check: Callable[[Grant], None], *, rotates: bool = True) -> Grant:
        """Takes the token and gives the grant with its next one.

        Args:
            check: raises :class:`Refusal` when the request is bad for another reason; the token then stays.
            rotates: False plays a server whose refresh tokens serve again and again.

        Raises:
            Refusal: invalid_grant.
        """
        with self._lock:
            grant = self._holder(token, client_id)
            check(grant)
            following = self._new_token(grant.authorization.id) if rotates else token
            grant = replace(grant, refresh_token=following, refreshes=grant.refreshes + 1)
            self._keep(grant)
            return grant

    def _holder(self, token: str, client_id: str) -> Grant:
        grant = self._grants.get(self._families.get(token, ""))
        if grant is None:
            raise invalid_grant("unknown refresh token")
        if grant.authorization.client_id != client_id:
            raise invalid_grant("refresh token of another client")
        if grant.ended:
            raise invalid_grant(f"grant ended: {grant.ended}")
        if grant.ends_at <= self._clock():
            raise invalid_grant("grant expired")
        if token != grant.refresh_token:
            self.end(grant.authorization.id, "refresh token used twice")
            raise invalid_grant("refresh token used twice")
        return grant

    def end(self, grant_id: str, reason: str) -> bool:
        """Ends a grant and its access tokens; False when there is none, or none in force."""
        with self._lock:
            grant = self._grants.get(grant_id)
            if grant is None or grant.ended:
                return False
            self._keep(replace(grant, ended=reason))
        self._on_end(grant_id)
        return True

    def shorten(self, grant_id: str, seconds: float) -> bool:
        """Lets a grant expire so many seconds from now; False when there is none."""
        with self._lock:
            grant = self._grants.get(grant_id)
            if grant is not None:
                self._keep(replace(grant, ends_at=self._clock() + seconds))
            return grant is not None

    def by_refresh_token(self, token: str) -> Grant | None:
        """The grant that this token, spent or not, belongs to."""
        return self._grants.get(self._families.get(token, ""))

    def is_in_force(self, grant: Grant) -> bool:
        """True until it is ended or expires."""
        return not grant.ended and grant.ends_at > self._clock()

    def all(self) -> Iterable[Grant]:
        """Every grant, oldest first."""
        with self._lock:
            return list(self._grants.values())


def _from_json(stored: Mapping[str, Any]) -> Grant:
    """A grant as the state file has it."""
    given = stored["authorization"]
    patients = given["account"]["patients"]
    account = Account(**{**given["account"], "patients": None if patients is None else tuple(patients)})
    authorization = Authorization(**{**given, "scopes": tuple(given["scopes"]), "account": account})
    return Grant(**{**stored, "authorization": authorization})
