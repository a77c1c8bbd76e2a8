"""Connections of a client to hosts that are not AWS's, passed on byte by byte. Nothing of them is read or kept."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

CONNECTING = 30.0  # seconds that a foreign host may take to accept


@dataclass(frozen=True, slots=True)
class Upstream:
    """The proxy that the server's own environment names for other hosts, if any."""

    host: str
    port: int
    authorization: bytes  # a Proxy-Authorization line, or nothing


class End(asyncio.Protocol):
    """One end of a tunnel. `other` is the transport of the other end once there is one."""

    def __init__(self, connections: set[Any]) -> None:
        self.connections = connections
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None
        self.early = bytearray()  # what came before there was another end
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early += data
        elif self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """One direction is over; the other one may go on."""
        self.ended = True
        other = self.other.transport if self.other is not None else None
        if self.other is None or other is None or self.other.ended or not other.can_write_eof():
            return False
        if not other.is_closing():
            other.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def shutdown(self) -> None:
        """The server ends, and a tunnel has no last word."""
        if self.transport is not None:
            self.transport.close()


async def reach(host: str, port: int, connections: set[Any]) -> End:
    """A connection to a host. Raises OSError, also when it takes too long."""
    loop = asyncio.get_running_loop()
    opening = loop.create_connection(lambda: End(connections), host, port)
    _, end = await asyncio.wait_for(opening, CONNECTING)
    return end


def join(client: asyncio.Transport, end: End, first: bytes) -> None:
    """Make a client's connection and a foreign one the two ends of a tunnel; `first` goes to the foreign host."""
    near = End(end.connections)
    near.other, end.other = end, near
    client.set_protocol(near)
    near.connection_made(client)
    if end.early:
        client.write(bytes(end.early))
    if end.transport is None or end.transport.is_closing():
        client.close()  # once it has what the foreign host said before it left
        return
    if first:
        end.transport.write(first)
    client.resume_reading()


def upstream(scheme: str, host: str, own: tuple[str, int]) -> Upstream | None:
    """The proxy for a host: HTTPS_PROXY, HTTP_PROXY and NO_PROXY as the server was started with; never itself (`own`)."""
    address = getproxies().get(scheme, "")
    if not address or proxy_bypass(host):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if not parts.hostname or (parts.hostname, parts.port) == own:
        return None
    line = b""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        line = b"Proxy-Authorization: Basic " + base64.b64encode(pair.encode()) + b"\r\n"
    return Upstream(parts.hostname, parts.port or 8080, line)
