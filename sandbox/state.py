"""Everything one running sandbox holds."""

import datetime
import threading
from collections import deque

from sandbox import discovery, loading
from sandbox.authentication import ClientAuthentication
from sandbox.authorize_accounts import Accounts
from sandbox.authorize_launches import Launches
from sandbox.bulk_jobs import Exports
from sandbox.charts_store import ChartStore
from sandbox.clients import ClientRegistry
from sandbox.config import GENERIC, SandboxConfig
from sandbox.fault_orders import FaultBook
from sandbox.generated import generated_batch
from sandbox.grants import Codes, Grants
from sandbox.grants_tokens import LaunchTokens, Lives
from sandbox.jwks import JwksCache
from sandbox.ledger import Ledger
from sandbox.limits import CallCounter
from sandbox.pages_visits import Visits
from sandbox.paging import Cursors
from sandbox.tokens import AccessTokens, TokenEndpoint
from sandbox.unservable import Unservable, find_unservable


class SandboxState:
    """The practice's charts, the portal's clients, and what has happened so far.

    Args:
        origin: ``http://host:port`` where it is served.
    """

    def __init__(self, config: SandboxConfig, origin: str) -> None:
        self.config = config
        self.origin = origin
        self.fhir_base = f"{origin}/fhir/r4/{config.practice}"
        self.clock_offset = 0.0
        self.stopping = threading.Event()
        self.charts = ChartStore(self.clock)
        self.rejected: list[Unservable] = []
        self.clients = ClientRegistry(config.state_file, config.clients)
        self.calls = CallCounter(config.practice, config.limit, self.clock)
        self.jwks = JwksCache(self.clock, lambda: self.calls.note("jwks fetched"))
        self.tokens = AccessTokens(config.token_life, self.clock)
        beside = config.state_file and config.state_file.with_name(f"{config.state_file.stem}-grants.json")
        self.grants = Grants(self.clock, self.tokens.end_of_grant, beside)
        self.codes = Codes(config.code_life, self.clock, lambda grant: self.grants.end(grant, "code used twice"))
        self.launches = Launches(config.launch_life, self.clock)
        self.visits = Visits(self.clock)
        self.accounts = Accounts(self.charts)
        token_url = discovery.token_url(origin)
        self.authentication = ClientAuthentication(token_url, self.clients, self.jwks, self.clock)
        self.token_endpoint = self._token_endpoint()
        self.token_refusals: deque[str] = deque(maxlen=200)
        self.authorize_refusals: deque[str] = deque(maxlen=200)
        self.cursors = Cursors()
        self.ledger = Ledger()
        self.faults = FaultBook()
        self.exports = Exports(self.clock)
        self._load()

    def _token_endpoint(self) -> TokenEndpoint:
        config = self.config
        launched = LaunchTokens(
            issuer=self.fhir_base,
            style_url=discovery.style_url(self.origin),
            alg=config.id_token_alg,
            lives=Lives(config.launch_token_life, config.grant_life, config.online_life),
            codes=self.codes,
            grants=self.grants,
            tokens=self.tokens,
            clock=self.clock,
        )
        answerers = {"authorization_code": launched.exchange, "refresh_token": launched.refresh}
        return TokenEndpoint(self.authentication, self.tokens, answerers, lambda: self.calls.note("token minted"))

    def clock(self) -> float:
        """POSIX seconds as this practice's server sees them."""
        return self.config.clock() + self.clock_offset

    def _load(self) -> None:
        config = self.config
        self.rejected += loading.load(self.charts, loading.read_folders(config.data))
        if config.patients:
            today = config.today or datetime.datetime.fromtimestamp(self.clock(), datetime.UTC).date()
            batch = generated_batch(config.patients, config.seed, today, booked=config.mode == GENERIC)
            self.rejected += loading.load(self.charts, batch)

    def unservable(self) -> list[Unservable]:
        """All that was loaded and cannot be served."""
        return [*self.rejected, *find_unservable(self.charts)]

    def reset(self) -> None:
        """Forgets ledger, counters, faults and reported refusals, and sets the clock right.

        Charts, clients, tokens and grants stay.
        """
        self.clock_offset = 0.0
        self.ledger.reset()
        self.calls.reset()
        self.faults.clear()
        self.token_refusals.clear()
        self.authorize_refusals.clear()

    def wait(self, seconds: float) -> None:
        """Holds the calling thread back, but not beyond the sandbox's end."""
        if seconds > 0:
            self.stopping.wait(seconds)
