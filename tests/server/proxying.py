"""Raw clients of a server's port (TLS, CONNECT, plain bytes), and foreign hosts for them. No test here."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import RunningServer

HEALTHY = b'{"status":"ready"}'
AWS = "sts.us-east-1.amazonaws.com"
LIMIT = 30  # seconds that any answer may take on a loaded machine


def trusted(server: RunningServer) -> Path:
    """The authority's certificate; the first TLS connection makes it."""
    with connect(server) as line, unverified().wrap_socket(line):
        pass
    return server.data / "tls" / "authority.crt"


def context(server: RunningServer) -> ssl.SSLContext:
    """What a client uses that trusts the server's authority and nobody else."""
    return ssl.create_default_context(cafile=str(trusted(server)))


def unverified() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def connect(server: RunningServer) -> socket.socket:
    parts = urlsplit(server.endpoint)
    return socket.create_connection((parts.hostname or "", parts.port or 0), LIMIT)


def read_head(line: socket.socket) -> bytes:
    """Bytes up to an empty line, or all there is."""
    got = b""
    while not got.endswith(b"\r\n\r\n"):
        byte = line.recv(1)
        if not byte:
            break
        got += byte
    return got


def read_all(line: socket.socket) -> bytes:
    """Everything until the other side closes; a reset ends it as well."""
    got = b""
    try:
        while piece := line.recv(65536):
            got += piece
    except ConnectionError:
        pass
    return got


def exchange(server: RunningServer, data: bytes) -> bytes:
    """What the server says to these bytes until it closes."""
    with connect(server) as line:
        line.sendall(data)
        return read_all(line)


def tunnelled(server: RunningServer, authority: str) -> socket.socket:
    """A connection after a CONNECT that was granted."""
    line = connect(server)
    line.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    head = read_head(line)
    assert head.startswith(b"HTTP/1.1 200 "), head
    return line


def get(line: socket.socket, host: str, path: str = "/_kenja/health", *more: str) -> tuple[int, bytes]:
    """Status and body of one request on a connection, which it closes."""
    lines = "".join(f"{one}\r\n" for one in more)
    line.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n".encode())
    head, _, body = read_all(line).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def healthy(server: RunningServer) -> bool:
    with connect(server) as line:
        return get(line, "127.0.0.1") == (200, HEALTHY)


@contextmanager
def foreign(answer: Any) -> Iterator[int]:
    """Another server on this machine, which is not Amazon's: `answer` gets each connection. Its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                answer(line)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
