"""What clients of the port do wrong, slowly or half: each ends its own connection, and nobody else notices."""

from __future__ import annotations

import random
import socket
import ssl
from pathlib import Path

import pytest

from tests.conftest import RunningServer, serving, wait_until
from tests.server import proxying
from tests.server.proxying import AWS, HEALTHY


@pytest.mark.parametrize(
    "line",
    [
        "CONNECT",
        "CONNECT ",
        "CONNECT example.com HTTP/1.1",
        "CONNECT example.com:0 HTTP/1.1",
        "CONNECT example.com:65536 HTTP/1.1",
        "CONNECT example.com:99999999 HTTP/1.1",
        "CONNECT :443 HTTP/1.1",
        "CONNECT exa mple.com:443 HTTP/1.1",
        "CONNECT user@example.com:443 HTTP/1.1",
        "CONNECT ../../etc/passwd:443 HTTP/1.1",
        "CONNECT [::1:443 HTTP/1.1",
        "CONNECT example.com:443 HTTP/2",
        "GET https://example.com/ HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http://:80/ HTTP/1.1",
        "GET http://a:b:c/ HTTP/1.1",
        "GET http://example.com:99999/ HTTP/1.1",
        "GET http://[::1/ HTTP/1.1",
        "GET http://example.com/ HTTP/1.1 more",
    ],
)
def test_odd_requests_to_a_proxy_are_refused(server: RunningServer, line: str) -> None:
    told = proxying.exchange(server, f"{line}\r\nHost: x\r\n\r\n".encode())
    assert told.startswith(b"HTTP/1.1 400 "), told
    assert proxying.healthy(server)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\x05hello",
        b"\x16" * 70_000,
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"\x00\x01\x02\x03\r\n\r\n",
        b"\r\n\r\n\r\n\r\nGARBAGE\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"X" * 100_000,
        random.Random(3).randbytes(100_000),
    ],
)
def test_garbage_ends_its_own_connection_only(server: RunningServer, data: bytes) -> None:
    for prefix in (b"", f"CONNECT {AWS}:443 HTTP/1.1\r\n\r\n".encode()):
        with proxying.connect(server) as line:
            try:
                line.sendall(prefix + data)
                line.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it was refused while it was being sent
            proxying.read_all(line)
    assert proxying.healthy(server)


def test_a_head_that_does_not_end_is_refused(server: RunningServer) -> None:
    with proxying.connect(server) as line:
        line.sendall(b"CONNECT example.com:443 HTTP/1.1\r\n" + b"X-Filler: " + b"y" * 70_000)
        assert proxying.read_all(line).startswith(b"HTTP/1.1 431 ")


def test_bytes_that_come_one_by_one_are_understood(server: RunningServer) -> None:
    with proxying.connect(server) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in f"CONNECT {AWS}:443 HTTP/1.1\r\n\r\n".encode():
            line.send(bytes([byte]))
        assert proxying.read_head(line).startswith(b"HTTP/1.1 200 ")
        for byte in f"GET /_kenja/health HTTP/1.1\r\nHost: {AWS}\r\nConnection: close\r\n\r\n".encode():
            line.send(bytes([byte]))
        assert proxying.read_all(line).endswith(HEALTHY)  # plain HTTP inside is answered as well


def test_a_client_hello_in_the_same_packet_as_connect_is_not_lost(server: RunningServer) -> None:
    context = proxying.context(server)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = context.wrap_bio(incoming, outgoing, server_hostname=AWS)
    with pytest.raises(ssl.SSLWantReadError):
        secure.do_handshake()
    with proxying.connect(server) as line:
        line.sendall(f"CONNECT {AWS}:443 HTTP/1.1\r\n\r\n".encode() + outgoing.read())
        assert proxying.read_head(line).startswith(b"HTTP/1.1 200 ")
        while True:
            try:
                secure.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(line.recv(65536))
        secure.write(b"GET /_kenja/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        line.sendall(outgoing.read())  # the last of the handshake and the request in one packet
        got = b""
        while HEALTHY not in got:
            try:
                got += secure.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(line.recv(65536))


@pytest.mark.slow
def test_those_that_say_nothing_or_stop_half_way_are_left_alone_and_then_closed(server: RunningServer) -> None:
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # the beginning of a client hello
    starts = [
        b"C",
        b"CONNECT example.com:4",
        b"GET http://exa",
        hello,
        f"CONNECT {AWS}:443 HTTP/1.1\r\n\r\n".encode() + hello,
    ]
    lines = [proxying.connect(server) for _ in range(40)]
    for line, start in zip(lines, starts * 8, strict=True):
        line.sendall(start)
    assert proxying.healthy(server)
    for line in lines[: len(starts)]:
        line.settimeout(60)
        told = proxying.read_all(line)  # ends: that it does is what is tested
        assert b"200 OK" not in told
    for line in lines:
        line.close()
    assert proxying.healthy(server)


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_aborted_tunnels_and_handshakes_leave_nothing_open(server: RunningServer) -> None:
    gateway = server.children()["gateway"]
    proxying.trusted(server)
    before = descriptors(gateway)
    with proxying.foreign(lambda line: proxying.read_all(line)) as port:
        for _ in range(60):
            proxying.tunnelled(server, f"127.0.0.1:{port}").close()
            with proxying.connect(server) as line:
                line.sendall(b"\x16\x03\x01")
            with proxying.tunnelled(server, f"{AWS}:443") as plain:
                proxying.unverified().wrap_socket(plain, server_hostname=AWS).close()
    wait_until(lambda: descriptors(gateway) <= before + 8, 30)
    assert proxying.healthy(server)


def test_the_server_stops_while_tunnels_are_open(tmp_path: Path) -> None:
    with proxying.foreign(lambda line: proxying.read_all(line)) as port, serving(tmp_path / "data") as own:
        silent = proxying.connect(own)
        tunnel = proxying.tunnelled(own, f"127.0.0.1:{port}")
        half = proxying.tunnelled(own, f"{AWS}:443")
        assert own.stop() == 0
        for line in (silent, tunnel, half):
            assert proxying.read_all(line) == b""
            line.close()
