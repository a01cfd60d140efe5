"""The wall clock cuts the connection it watches, and no other."""

import socket
import time
from collections.abc import Iterator

import pytest

from emr.wire.clock import Clock


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.settimeout(20)
    with near, far:
        yield near, far


def wait_for(clock: Clock) -> None:
    until = time.monotonic() + 20
    while not clock.rang and time.monotonic() < until:
        time.sleep(0.005)


def test_reader_is_released_when_the_time_is_over(pair: tuple[socket.socket, socket.socket]) -> None:
    with Clock(0.05) as clock:
        clock.watch(pair[0])
        assert pair[0].recv(1) == b""
    assert clock.rang


def test_connection_that_comes_too_late_is_cut_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    with Clock(0.01) as clock:
        wait_for(clock)
        clock.watch(pair[0])
        assert pair[0].recv(1) == b""


def test_connection_is_left_alone_once_the_answer_is_there(pair: tuple[socket.socket, socket.socket]) -> None:
    """The timer may fire while the request ends; the connection may then serve another request already."""
    with Clock(60) as clock:
        clock.watch(pair[0])
    clock._ring()
    assert not clock.rang
    pair[1].sendall(b"x")
    assert pair[0].recv(1) == b"x"


def test_closed_connection_does_not_disturb_the_clock(pair: tuple[socket.socket, socket.socket]) -> None:
    with Clock(0.01) as clock:
        clock.watch(pair[0])
        pair[0].close()
        wait_for(clock)
    assert clock.rang
