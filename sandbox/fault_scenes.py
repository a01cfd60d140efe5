"""What a fault works on, and what a kind of fault is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.calls import Call
from sandbox.fault_orders import FaultOrder
from sandbox.messages import Request, Response
from sandbox.state import SandboxState


@dataclass(frozen=True)
class Scene:
    """What a fault works on: the order, the call, and the normal answer for the asking."""

    order: FaultOrder
    request: Request
    call: Call
    state: SandboxState
    proceed: Callable[[Request], Response]

    def argument(self, name: str, default: Any) -> Any:
        """An argument of the order, its type checked when it was ordered."""
        return self.order.arguments.get(name, default)


@dataclass(frozen=True)
class FaultKind:
    """A fault, the arguments it takes with their types, and whom it concerns: Bundle pages alone, one kind of call."""

    strike: Callable[[Scene], Response]
    arguments: Mapping[str, type | tuple[type, ...]] = field(default_factory=dict)
    searches_only: bool = False
    at: str = ""
