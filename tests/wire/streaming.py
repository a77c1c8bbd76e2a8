"""A gateway in this process whose services are handlers of the test. No tests here."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from botocore.config import Config as BotoConfig

from kenja.core.config import Config
from kenja.kernel.declare import Service
from kenja.kernel.kernel import Kernel
from kenja.kernel.services import Manifest
from kenja.server.app import Gateway
from kenja.wire import load
from tests.conftest import REGION, root_keys, wait_until

Handler = Callable[[Any, dict[str, Any]], dict[str, Any]]
ERRORS = '[validation]\ncode = "ValidationException"\n'


@contextmanager
def gateway(folder: Path, handlers: dict[str, dict[str, Handler]]) -> Iterator[Callable[[str], Any]]:
    """`client(service)`: boto3 against a real gateway that serves `handlers`: service → operation → handler."""
    kernel = Kernel(Config(folder / "data"))
    kernel.identity.ensure_root_credentials(kernel.config.data)
    for name, operations in handlers.items():
        service, manifest = _service(folder, name)
        for operation, handler in operations.items():
            service.operation(operation)(handler)
        kernel.services.manifests = {**kernel.services.manifests, name: manifest}
        kernel.services._loaded[name] = service
    line = socket.socket()
    line.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Gateway(kernel), log_level="warning", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, args=([line],))
    thread.start()
    wait_until(lambda: server.started)
    keys = root_keys(kernel.config.data)

    clients: list[Any] = []

    def client(service: str) -> Any:
        made = boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{line.getsockname()[1]}",
            region_name=REGION,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            config=BotoConfig(
                retries={"max_attempts": 0}, read_timeout=20, inject_host_prefix=False, max_pool_connections=64
            ),
        )
        clients.append(made)
        return made

    try:
        yield client
    finally:
        for made in clients:
            made.close()
        server.should_exit = True
        thread.join(30)
        line.close()


def _service(folder: Path, name: str) -> tuple[Service, Manifest]:
    package = folder / name
    package.mkdir()
    (package / "service.toml").write_text(f'name = "{name}"\n')
    (package / "errors.toml").write_text(ERRORS)
    metadata = load(name).metadata
    manifest = Manifest(
        name=name,
        package="",
        signing_name=metadata.get("signingName", metadata["endpointPrefix"]),
        endpoint_prefix=metadata["endpointPrefix"],
        target_prefix=metadata.get("targetPrefix", ""),
        api_version=metadata["apiVersion"],
        protocols=tuple(metadata["protocols"]),
    )
    return Service(str(package / "__init__.py")), manifest
