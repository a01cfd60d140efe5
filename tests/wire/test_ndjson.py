"""NDJSON of servers we do not trust: line by line, in bounded memory and time."""

import gzip
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from emr.wire import ndjson
from emr.wire.answers import Timeouts
from emr.wire.errors import NeverAgain, TryAgain, WireError
from tests.wire.conftest import Stub

Start = Callable[..., Stub]
Wire = Callable[..., bytes]

SPLITS = [
    pytest.param([b"a\nb\n"], [(1, b"a", 2, True), (2, b"b", 4, True)], id="two-lines"),
    pytest.param([b"a", b"b\nc", b"\n"], [(1, b"ab", 3, True), (2, b"c", 5, True)], id="over-pieces"),
    pytest.param([b"a\nb"], [(1, b"a", 2, True), (2, b"b", 3, False)], id="no-last-line-break"),
    pytest.param([b"\n\na\n"], [(1, b"", 1, True), (2, b"", 2, True), (3, b"a", 4, True)], id="blank-lines"),
    pytest.param([b"a\r\n"], [(1, b"a\r", 3, True)], id="carriage-return"),
    pytest.param([], [], id="nothing"),
]


@pytest.mark.parametrize(("pieces", "expected"), SPLITS)
def test_lines_of_pieces(pieces: list[bytes], expected: list[tuple[int, bytes, int, bool]]) -> None:
    assert [(line.number, line.raw, line.end, line.ended) for line in ndjson.split_lines(pieces)] == expected


def test_line_too_long_costs_itself_and_is_not_held() -> None:
    pieces = [b'{"id":"1"}\n', *[b"x" * 1000] * 200, b"\n", b'{"id":"2"}\n']
    first, long, last = ndjson.split_lines(pieces, max_line=5000)
    assert (first.raw, last.raw) == (b'{"id":"1"}', b'{"id":"2"}')
    assert (long.whole, long.end) == (False, 11 + 200_001)
    assert len(long.raw) <= ndjson.KEPT
    assert "longer than" in str(long.entry().fault)


ENTRIES = [
    pytest.param(b'{"resourceType":"Patient","id":"1"}', None, id="good"),
    pytest.param(b'\xef\xbb\xbf{"resourceType":"Patient","id":"1"}', None, id="byte-order-mark"),
    pytest.param(b'{"resourceType":"Patient","id":"1"', "broken off", id="broken-off"),
    pytest.param(b'{"resourceType":"Patient"}', "no usable id", id="no-id"),
    pytest.param(b'{"id":"1"}', "no usable resourceType", id="no-type"),
    pytest.param(b'{"resourceType":"Patient","id":"\xff"}', "not UTF-8", id="not-utf8"),
    pytest.param(b'{"resourceType":"Patient","id":"1","x":NaN}', "NaN", id="nan"),
    pytest.param(b"[1]", "not a JSON object", id="array"),
    pytest.param(b'{"resourceType":"Patient","id":"1"} {}', "goes on", id="two-objects"),
]


@pytest.mark.parametrize(("raw", "fault"), ENTRIES)
def test_entry_of_a_line(raw: bytes, fault: str | None) -> None:
    entry = ndjson.Line(1, len(raw), raw).entry()
    assert (entry.fault is None) if fault is None else fault in str(entry.fault)


def test_deletions_of_a_bundle() -> None:
    entries: list[Any] = [
        {"request": {"method": "DELETE", "url": "Patient/1"}},
        {"request": {"method": "PUT", "url": "Patient/2"}},
        {"request": {"method": "DELETE", "url": "../Patient/3"}},
        {"request": {"method": "DELETE", "url": 4}},
        "nonsense",
    ]
    assert list(ndjson.deletions({"resourceType": "Bundle", "entry": entries})) == [("Patient", "1")]
    assert list(ndjson.deletions({"resourceType": "Patient", "entry": entries})) == []


def read(server: Stub, bearer: str | None = "token") -> list[bytes]:
    with server.door() as door, ndjson.opened(door, f"{server.base}/files/1", bearer) as lines:
        return [line.raw for line in lines]


def test_file_is_read_compressed_or_not(stub: Start, wire: Wire) -> None:
    body = b'{"id":"1"}\n' * 3
    server = stub(wire(body, content_type="application/fhir+ndjson"),
                  wire(gzip.compress(body), content_type="", Content_Encoding="gzip"))  # fmt: skip
    assert read(server) == read(server) == [b'{"id":"1"}'] * 3
    assert server.requests[0].headers["accept-encoding"] == "gzip"


def test_no_token_where_none_is_asked_for(stub: Start, wire: Wire) -> None:
    server = stub(wire(b""))
    read(server, None)
    assert "authorization" not in server.requests[0].headers


BAD = [
    pytest.param({"status": 404}, "BULK_JOB_LOST", id="gone"),
    pytest.param({"status": 401}, "FHIR_401", id="not-accepted"),
    pytest.param({"status": 503}, "FHIR_5XX", id="not-well"),
    pytest.param({"status": 302, "Location": "https://elsewhere.example/"}, "NET_REDIRECT", id="redirect"),
    pytest.param({"content_type": "text/html"}, "FHIR_NOT_FHIR", id="web-page"),
]


@pytest.mark.parametrize(("answer", "code"), BAD)
def test_answer_that_is_no_file(stub: Start, wire: Wire, answer: dict[str, Any], code: str) -> None:
    with pytest.raises(WireError) as caught:
        read(stub(wire(b"<html>", **answer)))
    assert caught.value.code == code


def test_gzip_bomb_is_cut_off(stub: Start, wire: Wire) -> None:
    bomb = gzip.compress(b" " * (64 * 1024 * 1024), 9)
    began = time.monotonic()
    with pytest.raises(NeverAgain) as caught:
        read(stub(wire(bomb, Content_Encoding="gzip")))
    assert caught.value.code == "NET_TOO_LARGE"
    assert time.monotonic() - began < 20


def test_file_that_drips_is_given_up_and_slow_work_on_it_is_not(
    stub: Start, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ndjson, "_TIMEOUTS", Timeouts(connect=5.0, read=2.0, wall=1.0))

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(80):
            connection.sendall(b"x")
            time.sleep(0.1)

    with pytest.raises(TryAgain) as caught:
        read(stub(drip))
    assert caught.value.code == "NET_TIMEOUT"
    server = stub(wire(b"a\n" * 100_000, content_type=""))
    with server.door() as door, ndjson.opened(door, f"{server.base}/files/1", "token") as lines:
        for line in lines:
            if line.number % 40_000 == 0:
                time.sleep(0.6)  # storing; longer than the wall clock in sum
        assert line.number == 100_000


def test_short_file_is_an_error_that_may_pass(stub: Start) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{}\n"
    with pytest.raises(TryAgain) as caught:
        read(stub(answer))
    assert caught.value.code == "NET_CONNECT"
