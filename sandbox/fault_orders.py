"""Faults ordered through control: which requests they wait for, and how often they strike."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox.calls import Call
from sandbox.messages import Request


class OrderError(ValueError):
    """The order cannot be understood; the message says which part."""


@dataclass(frozen=True)
class Match:
    """Which calls a fault waits for; every given part must fit.

    Attributes:
        type: FHIR type asked about, on later pages too.
        path: text found in the path and query as sent.
        patient: patient asked about, on later pages too.
        nth: the first fitting call to strike, counted from 1 since the order.
        grant: grant_type of a token request.
    """

    type: str | None = None
    path: str | None = None
    patient: str | None = None
    nth: int = 1
    grant: str | None = None

    def fits(self, request: Request, call: Call) -> bool:
        """True when the call is one of those waited for."""
        sent = f"{request.path}?{request.query}" if request.query else request.path
        return (
            self.type in (None, call.resource_type)
            and self.patient in (None, call.patient)
            and self.grant in (None, call.grant)
            and (self.path is None or self.path in sent)
        )


@dataclass(frozen=True)
class FaultOrder:
    """One ordered fault.

    Attributes:
        times: how many calls it strikes; None until control's reset.
        arguments: what the kind takes, such as ``status`` or ``seconds``.
        searches_only: the fault alters Bundle pages, so other calls pass by uncounted.
        at: the one kind of call it concerns, "" for every kind.
        seen: fitting calls so far.
        struck: calls altered so far.
    """

    kind: str
    match: Match = Match()
    times: int | None = 1
    arguments: Mapping[str, Any] = field(default_factory=dict)
    searches_only: bool = False
    at: str = ""
    seen: int = 0
    struck: int = 0

    def concerns(self, request: Request, call: Call) -> bool:
        """True when the call fits the match and is of a kind that the fault can alter."""
        is_of_kind = self.at in ("", call.kind) and (call.is_search or not self.searches_only)
        return is_of_kind and self.match.fits(request, call)

    @property
    def is_due(self) -> bool:
        """True when the fitting call just seen is one to strike."""
        return self.seen >= self.match.nth and (self.times is None or self.struck < self.times)


class FaultBook:
    """The orders by number, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: dict[int, FaultOrder] = {}
        self._last = 0

    def add(self, order: FaultOrder) -> int:
        """Takes an order and returns its number."""
        with self._lock:
            self._last += 1
            self._orders[self._last] = order
            return self._last

    def remove(self, number: int) -> bool:
        """Withdraws an order; False when there is none of that number."""
        with self._lock:
            return self._orders.pop(number, None) is not None

    def clear(self) -> None:
        """Withdraws every order."""
        with self._lock:
            self._orders.clear()

    def strike(self, request: Request, call: Call) -> tuple[int, FaultOrder] | None:
        """Counts the call for every order it fits; returns the oldest one that is due."""
        due: tuple[int, FaultOrder] | None = None
        with self._lock:
            for number, order in self._orders.items():
                if not order.concerns(request, call):
                    continue
                order = replace(order, seen=order.seen + 1)
                if due is None and order.is_due:
                    order = replace(order, struck=order.struck + 1)
                    due = number, order
                self._orders[number] = order
        return due

    def give_back(self, number: int) -> None:
        """Undoes a strike that found nothing to alter."""
        with self._lock:
            order = self._orders.get(number)
            if order is not None:
                self._orders[number] = replace(order, struck=order.struck - 1)

    def as_json(self) -> list[dict[str, Any]]:
        """All orders with what they have done so far."""
        with self._lock:
            orders = list(self._orders.items())
        return [
            {
                "id": number,
                "kind": order.kind,
                "match": {"type": order.match.type, "path": order.match.path}
                | {"patient": order.match.patient, "nth": order.match.nth, "grant": order.match.grant},
                "times": order.times,
                "seen": order.seen,
                "struck": order.struck,
                **order.arguments,
            }
            for number, order in orders
        ]
