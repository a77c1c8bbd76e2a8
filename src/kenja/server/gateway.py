"""The gateway's process: uvicorn around the ASGI application, on a socket that the supervisor holds open."""

from __future__ import annotations

import os
import socket

import uvicorn

from kenja.core import log
from kenja.kernel.kernel import Kernel
from kenja.server import fastpath, settings
from kenja.server.app import Gateway

SOCKET = "KENJA_SOCKET"  # number of the inherited listening socket
READY = "KENJA_READY"  # number of the inherited pipe that is told when requests are served
KEEP_ALIVE = 75  # seconds that an idle connection is kept; boto3's pools reuse theirs


class _Server(uvicorn.Server):
    """Puts the fast path under the application and tells the supervisor when both serve."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.http_protocol_class = fastpath.protocol(fastpath.FastPath(self._gateway))
        await super().startup(sockets)
        if pipe := os.environ.get(READY):
            os.write(int(pipe), b"!")


def main() -> None:
    """Run with the settings that the supervisor put into the environment."""
    log.configure(os.environ.get("KENJA_LOG_LEVEL", "WARNING"))
    kernel = Kernel(settings.received())
    kernel.identity.ensure_root_credentials(kernel.config.data)
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
    line = socket.socket(fileno=int(os.environ[SOCKET]))
    _Server(config, gateway).run(sockets=[line])


if __name__ == "__main__":
    main()
