"""The door: what leaves, what comes back, and that nothing hangs or grows without end."""

import gzip
import logging
import os
import pickle
import socket
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from emr.wire.http import Answer, Door, NeverAgain, Throttled, Timeouts, TryAgain, WireError
from tests.wire.conftest import Stub
from tests.wire.test_origins import HOSTILE

Start = Callable[..., Stub]
Wire = Callable[..., bytes]


def test_get_returns_the_answer(stub: Start, wire: Wire) -> None:
    server = stub(wire('{"a": 7.10}', X_Request_Id="req-1"))
    with server.door() as door:
        answer = door.get(f"{server.base}/Patient?name=x%2Fy+z", bearer="secret-1", headers={"Accept": "a/b"})
    assert (answer.status, answer.body, answer.request_id) == (200, b'{"a": 7.10}', "req-1")
    assert answer.headers["content-type"] == "application/fhir+json"
    assert answer.elapsed > 0
    sent = server.requests[0]
    assert sent.target == "/fhir/r4/AAAAAA/Patient?name=x%2Fy+z"
    assert sent.headers["authorization"] == "Bearer secret-1"
    assert sent.headers["accept-encoding"] == "identity"
    assert sent.headers["accept"] == "a/b"


def test_url_leaves_as_it_was_written(stub: Start, wire: Wire) -> None:
    server = stub(wire())
    tail = "/Observation?code=a%7Cb&x=%7E&y=%2E%2E/..&z=%C3%BC"
    with server.door() as door:
        door.get(server.base + tail)
    assert server.requests[0].target == "/fhir/r4/AAAAAA" + tail


def test_post_form_sends_a_form_once(stub: Start, wire: Wire) -> None:
    server = stub(wire(status=503))
    with server.door() as door:
        assert door.post_form(f"http://{server.host_port}/token", {"a": "1 2", "b": "ü"}).status == 503
    assert [(r.method, r.target, r.body) for r in server.requests] == [("POST", "/token", b"a=1+2&b=%C3%BC")]
    assert server.requests[0].headers["content-type"] == "application/x-www-form-urlencoded"


def test_one_connection_serves_many_requests(stub: Start, wire: Wire) -> None:
    server = stub(wire("x" * 100_000))
    with server.door() as door:
        for _ in range(3):
            door.get(f"{server.base}/Patient")
    assert len(server.requests) == 3
    assert len(server.threads) == 2  # the listener and one connection


def test_cookies_stay_in_their_door(stub: Start, wire: Wire) -> None:
    server = stub(wire(Set_Cookie="node=7; Path=/"))
    with server.door() as door:
        door.get(f"{server.base}/Patient")
        door.get(f"{server.base}/Patient")
    with server.door() as door:
        door.get(f"{server.base}/Patient")
    assert [r.headers.get("cookie") for r in server.requests] == [None, "node=7", None]


# --- where it may go ---------------------------------------------------------------------------------------


def test_hostile_servers_see_no_bearer(stub: Start, wire: Wire) -> None:
    """Every hostile link, and links to two listening servers, one of them a confirmed host: no bearer
    arrives.
    """
    good, confirmed, stranger = stub(wire()), stub(wire()), stub(wire())
    links = list(HOSTILE.values())
    for other in (confirmed, stranger):
        links += [
            f"http://{other.host_port}/fhir/r4/AAAAAA/Patient",
            f"http://{good.host_port}@{other.host_port}/fhir/r4/AAAAAA/Patient",
            f"http://{other.host_port}/fhir/r4/AAAAAA/Patient?a={good.base}",
            f"http://localhost:{other.port}/fhir/r4/AAAAAA/Patient",
            f"//{other.host_port}/fhir/r4/AAAAAA/Patient",
            f"{good.base}/../BBBBBB/Patient",
            f"http://{good.host_port}/fhir/r4/AAAAAAB/Patient",
        ]
    options = {
        "insecure": frozenset(server.host_port for server in (good, confirmed, stranger)),
        "other_hosts": frozenset({f"http://{confirmed.host_port}"}),
    }
    with good.door(**options) as door:
        for link in links:
            with pytest.raises(NeverAgain) as refused:
                door.get(link, bearer="canary")
            assert refused.value.code == "FHIR_LINK_FOREIGN"
        assert door.get(f"http://{confirmed.host_port}/jwks").status == 200
        with pytest.raises(NeverAgain):
            door.get(f"http://{stranger.host_port}/jwks")
        with pytest.raises(NeverAgain) as refused:
            door.post_form(f"http://{stranger.host_port}/token", {"client_assertion": "canary"})
        assert refused.value.code == "DISC_FOREIGN_HOST"
    assert good.requests == []
    assert stranger.requests == []
    assert [r.target for r in confirmed.requests] == ["/jwks"]
    assert "authorization" not in confirmed.requests[0].headers


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308, 399])
def test_redirect_is_an_error_and_is_not_followed(stub: Start, wire: Wire, status: int) -> None:
    target = stub(wire())
    server = stub(wire(status=status, Location=f"http://{target.host_port}/x"))
    insecure = frozenset({server.host_port, target.host_port})
    with server.door(insecure=insecure) as door, pytest.raises(NeverAgain) as refused:
        door.get(f"{server.base}/Patient", bearer="canary")
    assert (refused.value.code, refused.value.status) == ("NET_REDIRECT", status)
    assert target.requests == []


def test_redirect_body_is_not_read(stub: Start) -> None:
    server = stub(drip(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 9999\r\n\r\n"))
    started = time.monotonic()
    with server.door() as door, pytest.raises(NeverAgain) as refused:
        door.get(f"{server.base}/Patient")
    assert refused.value.code == "NET_REDIRECT"
    assert time.monotonic() - started < DRIP_SECONDS


def test_plain_http_needs_an_exact_host_and_port(stub: Start, wire: Wire) -> None:
    server = stub(wire())
    for insecure in (frozenset(), frozenset({"127.0.0.1"}), frozenset({f"127.0.0.1:{server.port + 1}"})):
        with pytest.raises(NeverAgain) as refused:
            server.door(insecure=insecure)
        assert refused.value.code == "CFG_PRACTICE_CODE"
    with pytest.raises(NeverAgain) as refused:
        server.door(other_hosts=frozenset({"http://oauth.example.com"}))
    assert refused.value.code == "DISC_FOREIGN_HOST"


def resolver(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """fhir.example.com leads to `addresses`; returns the names asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def answer(host: str, port: int, *args: object, **kwargs: object) -> list[object]:
        if host != "fhir.example.com":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        kind = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(kind[":" in a], socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.5"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["8.8.8.8", "127.0.0.1"],
    ],
    ids=lambda a: " ".join(a),
)
def test_name_that_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    asked = resolver(monkeypatch, *addresses)
    with Door("https://fhir.example.com/fhir/r4/AAAAAA") as door, pytest.raises(NeverAgain) as refused:
        door.get("https://fhir.example.com/fhir/r4/AAAAAA/Patient", bearer="canary")
    assert (refused.value.code, refused.value.host) == ("NET_ADDRESS_REFUSED", "fhir.example.com")
    assert asked == ["fhir.example.com"]


def test_insecure_host_may_be_loopback_but_not_private(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, "192.168.7.7")
    base = "http://fhir.example.com:8080/fhir"
    with Door(base, insecure=frozenset({"fhir.example.com:8080"})) as door, pytest.raises(NeverAgain):
        door.get(f"{base}/Patient")


def test_connects_to_the_checked_address_and_names_the_host(
    stub: Start, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = stub(wire())
    asked = resolver(monkeypatch, "127.0.0.1")
    base = f"http://fhir.example.com:{server.port}/fhir"
    with Door(base, insecure=frozenset({f"fhir.example.com:{server.port}"})) as door:
        door.get(f"{base}/Patient")
    assert server.requests[0].headers["host"] == f"fhir.example.com:{server.port}"
    assert asked == ["fhir.example.com"], "a second look-up could bring another address"


def test_environment_and_netrc_are_not_read(
    stub: Start, wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, proxy = stub(wire()), stub(wire())
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password thief\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{proxy.host_port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert "HTTP_PROXY" in os.environ
    with server.door() as door:
        door.get(f"{server.base}/Patient", bearer="ours")
    assert server.requests[0].headers["authorization"] == "Bearer ours"
    assert proxy.requests == []


@pytest.mark.parametrize("name", ["Authorization", "HOST", "Cookie", "Accept-Encoding", "content-length"])
def test_caller_cannot_set_headers_of_the_door(stub: Start, wire: Wire, name: str) -> None:
    server = stub(wire())
    with server.door() as door, pytest.raises(ValueError, match="cannot be set"):
        door.get(f"{server.base}/Patient", headers={name: "x"})
    assert server.requests == []


def test_line_break_in_a_header_or_bearer_is_refused_without_quoting_it(stub: Start, wire: Wire) -> None:
    server = stub(wire())
    with server.door() as door:
        with pytest.raises(ValueError, match="bearer") as refused:
            door.get(f"{server.base}/Patient", bearer="canary\r\nX: 1")
        assert "canary" not in str(refused.value)
        with pytest.raises(ValueError, match="cannot be set"):
            door.get(f"{server.base}/Patient", headers={"Accept": "a\r\nX: 1"})
    assert server.requests == []


# --- TLS ---------------------------------------------------------------------------------------------------


def tls(pem: Path, names: list[str | None]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    return context


def test_tls_verifies_and_names_the_host(stub: Start, wire: Wire, authority: Path) -> None:
    names: list[str | None] = []
    server = stub(wire(), context=tls(authority, names))
    base = f"https://localhost:{server.port}/fhir"
    insecure = frozenset({f"localhost:{server.port}"})
    with Door(base, insecure=insecure, ca_file=str(authority)) as door:
        assert door.get(f"{base}/Patient", bearer="ours").status == 200
    assert names == ["localhost"]


def test_tls_unknown_authority_is_never_again(stub: Start, wire: Wire, authority: Path) -> None:
    server = stub(wire(), context=tls(authority, []))
    base = f"https://localhost:{server.port}/fhir"
    with (
        Door(base, insecure=frozenset({f"localhost:{server.port}"})) as door,
        pytest.raises(NeverAgain) as refused,
    ):
        door.get(f"{base}/Patient", bearer="canary")
    assert refused.value.code == "TLS_VERIFY"
    assert server.requests == []


def test_tls_certificate_of_another_name_is_never_again(stub: Start, wire: Wire, authority: Path) -> None:
    server = stub(wire(), context=tls(authority, []))
    base = f"https://127.0.0.1:{server.port}/fhir"
    options = {"insecure": frozenset({server.host_port}), "ca_file": str(authority)}
    with Door(base, **options) as door, pytest.raises(NeverAgain) as refused:
        door.get(f"{base}/Patient", bearer="canary")
    assert refused.value.code == "TLS_VERIFY"
    assert server.requests == []


def test_tls_missing_authority_file_is_refused() -> None:
    with pytest.raises(NeverAgain) as refused:
        Door("https://fhir.example.com/fhir", ca_file="/nowhere/ca.pem")
    assert refused.value.code == "TLS_VERIFY"


def test_tls_drip_is_cut_by_the_clock(stub: Start, authority: Path) -> None:
    server = stub(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"), context=tls(authority, []))
    base = f"https://localhost:{server.port}/fhir"
    options = {"insecure": frozenset({f"localhost:{server.port}"}), "ca_file": str(authority)}
    with Door(base, **options) as door:
        check_cut(lambda: door.get(f"{base}/Patient", timeout=Timeouts(connect=1, read=0.3, wall=0.35)))


# --- servers that fail -------------------------------------------------------------------------------------

DRIP_SECONDS = 10.0


def drip(head: bytes, piece: bytes = b" ") -> Callable[[socket.socket], None]:
    """Sends the head, then a byte every 50 ms for as long as anybody listens (DRIP_SECONDS at most)."""

    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(int(DRIP_SECONDS / 0.05)):
            time.sleep(0.05)
            connection.sendall(piece)

    return send


def check_cut(ask: Callable[[], object]) -> None:
    started = time.monotonic()
    with pytest.raises(TryAgain) as refused:
        ask()
    assert refused.value.code == "NET_TIMEOUT"
    assert time.monotonic() - started < DRIP_SECONDS


DRIPS = {
    "body with a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" "),
    "body until the end": (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    "chunked body": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "length of a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "a header line": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "the status line": (b"HTTP/1.1 200 ", b"x"),
}


@pytest.mark.parametrize(("head", "piece"), DRIPS.values(), ids=DRIPS.keys())
def test_drip_is_cut_by_the_clock(stub: Start, head: bytes, piece: bytes) -> None:
    server = stub(drip(head, piece))
    with server.door() as door:
        check_cut(lambda: door.get(f"{server.base}/Patient", timeout=Timeouts(connect=1, read=0.3, wall=0.35)))


def test_silence_ends_after_the_read_time(stub: Start) -> None:
    server = stub(lambda connection: time.sleep(1))
    with server.door() as door, pytest.raises(TryAgain) as refused:
        door.get(f"{server.base}/Patient", timeout=Timeouts(connect=1, read=0.2, wall=5))
    assert refused.value.code == "NET_TIMEOUT"


def test_clock_of_one_request_leaves_the_next_alone(stub: Start, wire: Wire) -> None:
    server = stub(wire())
    with server.door() as door:
        for _ in range(3):
            assert door.get(f"{server.base}/Patient", timeout=Timeouts(connect=5, read=5, wall=1.0)).status == 200
            time.sleep(0.6)
    assert len(server.threads) == 2, "the connection was not kept"


def test_threads_share_a_door(stub: Start, wire: Wire) -> None:
    server = stub(wire("x" * 50_000))
    lengths: list[int] = []
    with server.door() as door:
        threads = [
            threading.Thread(target=lambda: lengths.append(len(door.get(f"{server.base}/P").body))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert lengths == [50_000] * 8


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def after(head: bytes, then: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        time.sleep(0.05)
        then(connection)

    return send


BROKEN = {
    "closed before an answer": lambda connection: None,
    "reset before an answer": reset,
    "reset in the head": after(b"HTTP/1.1 200 OK\r\nContent-", reset),
    "reset in the body": after(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", reset),
    "short body": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}"),
    "short chunk": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{}"),
    "no last chunk": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    "chunk without a length": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
    "two lengths": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}"),
    "broken gzip": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"),
    "not HTTP": lambda c: c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a hundred headers too many": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n"),
    "a header line without end": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
def test_broken_answer_is_tried_again(stub: Start, answer: Callable[[socket.socket], None], quick: Timeouts) -> None:
    server = stub(answer)
    with server.door() as door, pytest.raises(TryAgain) as refused:
        door.get(f"{server.base}/Patient?name=Quimby", bearer="canary-token", timeout=quick)
    assert refused.value.code == "NET_CONNECT"
    assert len(server.requests) == 1, "nothing is repeated inside"


def test_refused_connection_is_tried_again(stub: Start, wire: Wire) -> None:
    server = stub(wire())
    base = server.base
    with server.door() as door:
        server.close()
        with pytest.raises(TryAgain) as refused:
            door.get(f"{base}/Patient")
    assert refused.value.code == "NET_CONNECT"


def test_unknown_name_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with Door("https://fhir.example.com/fhir") as door, pytest.raises(TryAgain) as refused:
        door.get("https://fhir.example.com/fhir/Patient")
    assert refused.value.code == "NET_DNS"


BOMBS = {
    "plain": (b"x" * 300_000, ""),
    "gzip": (gzip.compress(b"\x00" * 30_000_000), "Content-Encoding: gzip\r\n"),
    "gzip twice": (gzip.compress(gzip.compress(b"\x00" * 30_000_000)), "Content-Encoding: gzip, gzip\r\n"),
}


@pytest.mark.parametrize(("body", "encoding"), BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("chunked", [False, True], ids=["with length", "chunked"])
@pytest.mark.parametrize("status", [200, 500])
def test_body_is_capped_after_decoding(stub: Start, body: bytes, encoding: str, chunked: bool, status: int) -> None:
    if chunked:
        framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        frame = "Transfer-Encoding: chunked\r\n"
    else:
        framed, frame = body, f"Content-Length: {len(body)}\r\n"
    server = stub(f"HTTP/1.1 {status} OK\r\n{encoding}{frame}\r\n".encode() + framed)
    with server.door() as door, pytest.raises(NeverAgain) as refused:
        door.get(f"{server.base}/Patient", max_bytes=200_000)
    assert refused.value.code == "NET_TOO_LARGE"


def test_connections_end_with_the_door_even_while_an_error_is_kept(stub: Start) -> None:
    """A traceback keeps the library's objects alive, and with them what only the garbage collector closes."""
    body, encoding = BOMBS["gzip"]
    server = stub(f"HTTP/1.1 200 OK\r\n{encoding}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    with server.door() as door, pytest.raises(NeverAgain) as kept:
        door.get(f"{server.base}/Patient", max_bytes=200_000)
    server.threads[1].join(timeout=10)
    assert not server.threads[1].is_alive()
    assert kept.value.code == "NET_TOO_LARGE"


def test_body_just_within_the_cap_arrives_also_compressed(stub: Start) -> None:
    body = gzip.compress(b"x" * 200_000)
    server = stub(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    with server.door() as door:
        assert door.get(f"{server.base}/Patient", max_bytes=200_000).body == b"x" * 200_000


# --- what errors and answers tell --------------------------------------------------------------------------


def test_errors_and_logs_hold_no_query_or_token(stub: Start, quick: Timeouts, caplog: pytest.LogCaptureFixture) -> None:
    """Whole tracebacks and all log levels, for every way an answer can break, and for a bad header line."""
    caplog.set_level(logging.DEBUG)
    name, token = "".join(["Quim", "by"]), "-".join(["canary", "token"])  # a traceback quotes source lines
    bad_header = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno colon here\r\nX: y\r\n\r\n{}"
    for answer in [*BROKEN.values(), bad_header]:
        server = stub(answer)
        with server.door() as door:
            try:
                door.get(f"{server.base}/Patient?name={name}", bearer=token, timeout=quick)
            except WireError as error:
                told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)
                assert name not in told
                assert token not in told
    assert name not in caplog.text
    assert token not in caplog.text


def test_answer_repr_holds_no_url_header_or_body(stub: Start, wire: Wire) -> None:
    server = stub(wire('{"family": "Quimby"}', Set_Cookie="s=canary"))
    with server.door() as door:
        answer = door.get(f"{server.base}/Patient?name=Quimby")
    assert "Quimby" not in repr(answer)
    assert "canary" not in repr(answer)


def test_request_id_is_cleaned(stub: Start, wire: Wire) -> None:
    server = stub(wire(X_Request_Id="a\x1b[31m b" + "c" * 500))
    with server.door() as door:
        request_id = door.get(f"{server.base}/Patient").request_id
    assert request_id.startswith("a[31mbccc")
    assert len(request_id) == 128


def answer_with(**headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=429, headers=named, body=b"", url="", elapsed=0.1, request_id="")


def test_retry_after_in_seconds() -> None:
    assert answer_with(Retry_After=" 120 ").retry_after == 120.0


def test_retry_after_as_a_date_counts_from_the_servers_clock() -> None:
    now = datetime(2020, 1, 1, tzinfo=UTC)
    answer = answer_with(
        Date=format_datetime(now, usegmt=True),
        Retry_After=format_datetime(now + timedelta(seconds=90), usegmt=True),
    )
    assert answer.retry_after == 90.0
    assert answer.server_date == now


def test_retry_after_in_the_past_is_zero() -> None:
    assert answer_with(Retry_After="Wed, 01 Jan 2020 00:00:00 GMT").retry_after == 0.0


@pytest.mark.parametrize("value", ["", "soon", "-1", "1e9", "99999999999999", "Wed, 99 Foo 2020"])
def test_retry_after_unreadable_is_none(value: str) -> None:
    assert answer_with(Retry_After=value).retry_after is None


def test_throttled_carries_what_the_answer_said() -> None:
    error = answer_with(Retry_After="7").throttled()
    assert isinstance(error, TryAgain)
    assert (error.code, error.retry_after, error.status) == ("FHIR_429", 7.0, 429)


@pytest.mark.parametrize(
    "error",
    [
        TryAgain("NET_DNS", "x", status=3, request_id="r", host="h"),
        NeverAgain("NET_REDIRECT"),
        Throttled("pause", retry_after=3.0, host="h"),
    ],
)
def test_errors_survive_pickling(error: WireError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), vars(copy), str(copy)) == (type(error), vars(error), str(error))
