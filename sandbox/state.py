"""Everything one running sandbox holds."""

import datetime
import threading
from collections import deque

from sandbox import discovery, loading
from sandbox.charts_store import ChartStore
from sandbox.clients import ClientRegistry
from sandbox.config import SandboxConfig
from sandbox.fault_orders import FaultBook
from sandbox.generated import generated_batch
from sandbox.jwks import JwksCache
from sandbox.ledger import Ledger
from sandbox.limits import CallCounter
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
        self.charts = ChartStore()
        self.rejected: list[Unservable] = []
        self.clients = ClientRegistry(config.state_file, config.clients)
        self.calls = CallCounter(config.practice, config.limit, self.clock)
        self.jwks = JwksCache(self.clock, lambda: self.calls.note("jwks fetched"))
        self.tokens = AccessTokens(config.token_life, self.clock)
        self.token_endpoint = TokenEndpoint(
            discovery.token_url(origin),
            self.clients,
            self.jwks,
            self.tokens,
            self.clock,
            lambda: self.calls.note("token minted"),
        )
        self.token_refusals: deque[str] = deque(maxlen=200)
        self.cursors = Cursors()
        self.ledger = Ledger()
        self.faults = FaultBook()
        self._load()

    def clock(self) -> float:
        """POSIX seconds as this practice's server sees them."""
        return self.config.clock() + self.clock_offset

    def _load(self) -> None:
        config = self.config
        self.rejected += loading.load(self.charts, loading.read_folders(config.data))
        if config.patients:
            today = config.today or datetime.datetime.fromtimestamp(self.clock(), datetime.UTC).date()
            batch = generated_batch(config.patients, config.seed, today)
            self.rejected += loading.load(self.charts, batch)

    def unservable(self) -> list[Unservable]:
        """All that was loaded and cannot be served."""
        return [*self.rejected, *find_unservable(self.charts)]

    def reset(self) -> None:
        """Forgets ledger, counters, faults and reported refusals, and sets the clock right.

        Charts, clients and tokens stay.
        """
        self.clock_offset = 0.0
        self.ledger.reset()
        self.calls.reset()
        self.faults.clear()
        self.token_refusals.clear()

    def wait(self, seconds: float) -> None:
        """Holds the calling thread back, but not beyond the sandbox's end."""
        if seconds > 0:
            self.stopping.wait(seconds)
