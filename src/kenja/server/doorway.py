"""The first bytes of a connection: TLS, a proxy's request, or plain HTTP. Here is decided who gets it; nothing is answered but refusals.

What is for AWS stays here, whatever its host is called; other hosts are tunnelled for clients on this machine.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from kenja.core.log import logger
from kenja.server import fastpath, tunnel
from kenja.server.chain import hosts
from kenja.server.tls import LOCAL, Contexts

SILENCE = 75.0  # seconds that a new connection may say nothing; as an idle one after a request
PATIENCE = 10.0  # seconds from the first byte until it is clear what the client wants, and for a TLS handshake
MAX_HEAD = 64 * 1024  # bytes of a proxy request's head
_METHOD = 32  # bytes; no HTTP method is as long
_HANDSHAKE = 0x16  # the first byte of a TLS connection; RFC 8446, 5.1
_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?):([0-9]{1,5})")
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_HOP = (b"proxy-", b"connection:", b"keep-alive:")  # headers between a client and its proxy only; RFC 9110, 7.6.1
_REASONS = {400: "Bad Request", 403: "Forbidden", 408: "Request Timeout", 431: "Request Header Fields Too Large",
            502: "Bad Gateway"}  # fmt: skip
_SCHEMES = (b"http://", b"https://")
_log = logger(__name__)


class Inside(asyncio.Protocol):
    """Keeps what arrives in a TLS connection until its protocol is there: a client may speak before the handshake returns."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Doorway(asyncio.Protocol):
    """Stands at a connection until its first bytes are understood."""

    def __init__(self, fast: fastpath.FastPath, contexts: Contexts, own: tuple[str, int], **settings: Any) -> None:
        self.fast = fast
        self.contexts = contexts
        self.own = own  # host and port of this server
        self.settings = settings
        self.connections: set[Any] = settings["server_state"].connections
        self.data = bytearray()
        self.host: str | None = None  # named by CONNECT; what follows is its TLS or HTTP
        self.busy = False  # a task decides
        self.timer: asyncio.TimerHandle | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are none of asyncio's classes
        self.connections.add(self)
        self._wait(SILENCE)

    def data_received(self, data: bytes) -> None:
        if not self.data:
            self._wait(PATIENCE)
        self.data += data
        if not self.busy:
            self._look()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def shutdown(self) -> None:
        """The server ends."""
        self.transport.close()

    # What the bytes say

    def _look(self) -> None:
        data = self.data
        if data[0] == _HANDSHAKE:
            self._spawn(self._secure())
        elif self.host is not None or not _may_be_proxied(data):
            self._hand_over(self.transport, bytes(data))
        elif _is_proxied(data):
            self._proxy()

    def _proxy(self) -> None:
        """A proxy's request: wait for its whole head."""
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            if len(self.data) > MAX_HEAD:
                self._refuse(431, f"The head of a request to a proxy may have {MAX_HEAD} bytes.")
            return
        lines = bytes(self.data[:end]).split(b"\r\n")
        rest = bytes(self.data[end + 4 :])
        words = lines[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            self._refuse(400, "The request line must have a method, a target and HTTP/1.1.")
        elif words[0] == "CONNECT":
            self._connect(words[1], rest)
        else:
            self._forward(words, lines[1:], rest)

    def _connect(self, authority: str, rest: bytes) -> None:
        match = _AUTHORITY.fullmatch(authority)
        port = int(match[2]) if match else 0
        if match is None or not 0 < port < 65536:
            self._refuse(400, f"CONNECT wants HOST:PORT, such as example.com:443, not {authority[:100]!r}.")
            return
        host = hosts.bare(match[1])
        if self._is_ours(host, port):
            self.transport.write(ESTABLISHED)
            self.host, self.data = host, bytearray()
            self._wait(SILENCE)
            if rest:
                self.data_received(rest)
        elif self._may_leave(host):
            upper = tunnel.upstream("https", host, self.own)
            if upper is None:
                self._tunnel((host, port), rest, ESTABLISHED)
            else:
                ask = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n".encode("latin-1")
                self._tunnel((upper.host, upper.port), ask + upper.authorization + b"\r\n" + rest, b"")

    def _forward(self, words: list[str], headers: list[bytes], rest: bytes) -> None:
        """Plain HTTP by proxy. One request a connection, so that the next one may be for another host."""
        target = _target(words[1])
        if target is None:
            self._refuse(400, "A proxy takes http://HOST/PATH; for https, clients use CONNECT.")
            return
        host, port = hosts.bare(target.netloc.rpartition("@")[2]), target.port or 80
        kept = [line for line in headers if not line.lower().startswith(_HOP)]
        path = f"{target.path or '/'}{'?' + target.query if target.query else ''}"
        ours = self._is_ours(host, port)
        if not any(line.lower().startswith(b"host:") for line in kept):
            kept.append(b"Host: " + target.netloc.encode("latin-1"))
        kept.append(b"Connection: close")
        if ours:
            self._hand_over(self.transport, _head(words[0], path, words[2], kept) + b"\r\n" + rest)
        elif self._may_leave(host):
            upper = tunnel.upstream("http", host, self.own)
            if upper is None:
                self._tunnel((host, port), _head(words[0], path, words[2], kept) + b"\r\n" + rest, b"")
            else:
                ask = _head(words[0], words[1], words[2], kept) + upper.authorization
                self._tunnel((upper.host, upper.port), ask + b"\r\n" + rest, b"")

    def _is_ours(self, host: str, port: int) -> bool:
        """AWS's hosts, and this server itself, also with a host prefix: botocore asks `stream-127.0.0.1` for live tails."""
        if hosts.parse(host) is not None:
            return True
        return port == self.own[1] and any(host == name or host.endswith(f"-{name}") for name in (*LOCAL, self.own[0]))

    def _may_leave(self, host: str) -> bool:
        """Whether a foreign host may be reached; refuses when not."""
        if host in hosts.METADATA:
            self._refuse(403, f"{host} gives out the keys of this machine's own AWS role; Kenja does not pass that on.")
            return False
        peer = self.transport.get_extra_info("peername")
        if not peer or not ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback:
            self._refuse(403, f"Only clients on Kenja's own machine are tunnelled to other hosts such as {host}.")
            return False
        return True

    # What is done with it

    async def _secure(self) -> None:
        """Become the server end of TLS, and give what is inside to HTTP."""
        transport, loop, inside = self.transport, self.fast.loop, Inside()
        transport.pause_reading()
        context = await self.fast.in_thread(self.contexts.of, self.host or "")
        if transport.is_closing():
            return
        first, self.data = bytes(self.data), bytearray()
        taking = loop.create_task(
            loop.start_tls(transport, inside, context, server_side=True, ssl_handshake_timeout=PATIENCE)
        )
        await asyncio.sleep(0)  # now the transport has its TLS protocol, whose connection_made and reading are queued
        loop.call_soon(_feed, transport.get_protocol(), first)
        self._leave()  # TLS has a time-out of its own
        try:
            secured = await taking
        except OSError as error:  # ssl's errors are OSErrors, and so are time-outs
            _log.info("no TLS with %s: %s", transport.get_extra_info("peername"), error)
            transport.close()
            return
        if secured is not None and not inside.lost:
            self._hand_over(secured, bytes(inside.data))

    def _tunnel(self, place: tuple[str, int], first: bytes, answer: bytes) -> None:
        """Connect with a foreign host; it gets `first`, and the client `answer`."""
        self.data = bytearray()
        if self.timer is not None:
            self.timer.cancel()
        self.transport.pause_reading()
        self._spawn(self._reach(place, first, answer))

    async def _reach(self, place: tuple[str, int], first: bytes, answer: bytes) -> None:
        try:
            end = await tunnel.reach(*place, self.connections)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that IDNA can not spell
            self._refuse(502, f"{place[0]}:{place[1]} could not be reached: {str(error) or 'it took too long'}.")
            return
        if self.transport.is_closing():
            end.shutdown()
            return
        self._leave()
        if answer:
            self.transport.write(answer)
        tunnel.join(self.transport, end, first + bytes(self.data))

    def _hand_over(self, transport: asyncio.Transport, data: bytes) -> None:
        """Give the connection to HTTP, together with what was read of it."""
        self._leave()
        protocol = fastpath.Connection(self.fast, **self.settings)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            protocol.data_received(data)

    def _refuse(self, status: int, sentence: str) -> None:
        self.busy = True
        text = sentence.encode("utf-8", "replace") + b"\n"
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        if not self.transport.is_closing():
            self.transport.write(f"{head}content-length: {len(text)}\r\nconnection: close\r\n\r\n".encode() + text)
            self.transport.close()

    def _spawn(self, work: Any) -> None:
        self.busy = True
        self.fast.spawn(work)

    def _wait(self, seconds: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.fast.loop.call_later(seconds, self._impatient)

    def _impatient(self) -> None:
        if self.data and not self.busy:
            self._refuse(408, f"The request did not become clear within {PATIENCE:.0f} s.")
        self.transport.close()

    def _leave(self) -> None:
        self.connections.discard(self)
        if self.timer is not None:
            self.timer.cancel()


def _may_be_proxied(data: bytearray) -> bool:
    """False once it is clear that this is a request to a server, not to a proxy: its target begins with a slash."""
    space = data.find(b" ", 0, _METHOD + 1)
    if space < 0:
        return len(data) <= _METHOD and b"\n" not in data
    begin = bytes(data[space + 1 : space + 9]).lower()
    return data[:space] == b"CONNECT" or any(begin.startswith(scheme[: len(begin)]) for scheme in _SCHEMES)


def _is_proxied(data: bytearray) -> bool:
    """True once it is clear that this is a request to a proxy."""
    method, space, target = bytes(data[: _METHOD + 10]).partition(b" ")
    return bool(space) and (method == b"CONNECT" or target.lower().startswith(_SCHEMES))


def _target(url: str) -> SplitResult | None:
    """The parts of `http://host:port/path?query`, or None when it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        return None
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return parts if parts.scheme.lower() == "http" and _AUTHORITY.fullmatch(authority) else None


def _head(method: str, target: str, version: str, headers: list[bytes]) -> bytes:
    """A request's head without its last, empty line."""
    return b"".join(line + b"\r\n" for line in (f"{method} {target} {version}".encode("latin-1"), *headers))


def _feed(protocol: Any, data: bytes) -> None:
    """Give bytes to a protocol that wants them in its own buffer (asyncio.BufferedProtocol), as TLS does."""
    while data:
        buffer = protocol.get_buffer(len(data))
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


def protocol(fast: fastpath.FastPath, contexts: Contexts, own: tuple[str, int]) -> Callable[..., Doorway]:
    """What uvicorn makes its connections with."""
    return partial(Doorway, fast, contexts, own)
