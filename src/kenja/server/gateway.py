"""The gateway's process: uvicorn around the ASGI application, on a socket that the supervisor holds open."""

from __future__ import annotations

import os
import socket
from typing import Any

import uvicorn

from kenja.core import log
from kenja.kernel.kernel import Kernel
from kenja.server import doorway, fastpath, settings, starting
from kenja.server.app import Gateway
from kenja.server.tls import Contexts

SOCKET = "KENJA_SOCKET"  # number of the inherited listening socket
READY = "KENJA_READY"  # number of the inherited pipe that is told when requests are served
KEEP_ALIVE = 75  # seconds that an idle connection is kept; boto3's pools reuse theirs


def _door(gateway: Gateway) -> Any:
    """What every connection meets first. Made inside the event loop."""
    config = gateway.kernel.config
    contexts = Contexts(config.data / "tls", gateway.kernel.clock, config.host)
    return doorway.protocol(fastpath.FastPath(gateway), contexts, (config.host, config.port))


class _Server(uvicorn.Server):
    """Puts the fast path under the application and tells the supervisor when both serve."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.http_protocol_class = _door(self._gateway)
        await super().startup(sockets)
        if pipe := os.environ.get(READY):
            os.write(int(pipe), b"!")


def server(kernel: Kernel) -> uvicorn.Server:
    """What serves a kernel, once it is run with a listening socket."""
    gateway = Gateway(kernel)
    config = uvicorn.Config(
        gateway,
        loop="uvloop",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=5,
    )
    return _Server(config, gateway)


def main() -> None:
    """Run with the settings that the supervisor put into the environment."""
    log.configure_from()
    kernel = Kernel(settings.received())
    with starting.told():
        kernel.identity.ensure_root_credentials(kernel.config.data)
        kernel.open()
    line = socket.socket(fileno=int(os.environ[SOCKET]))
    server(kernel).run(sockets=[line])


if __name__ == "__main__":
    main()
