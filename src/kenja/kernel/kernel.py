"""The kernel of one process: every subsystem that a handler may reach, opened on first use."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from kenja.core.clock import Clock
from kenja.core.config import Config
from kenja.kernel.database import sqlite_url
from kenja.kernel.services import Services

if TYPE_CHECKING:
    from kenja.kernel.events.outbox import Outbox
    from kenja.kernel.hosting.routes import RoutingTable
    from kenja.kernel.hosting.rows import ReplicaRows
    from kenja.kernel.identity import Identity
    from kenja.kernel.jobs.capabilities import Capabilities
    from kenja.kernel.jobs.rows import JobRows
    from kenja.kernel.objects import ObjectStore
    from kenja.kernel.resources.store import Store
    from kenja.kernel.telemetry.logs import Logs
    from kenja.kernel.telemetry.metrics import Metrics


class Kernel:
    """Thread safe. Every process of a server (gateway, reconciler) has one on the same data folder and database."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or Clock()
        self.services = Services()

    @cached_property
    def store(self) -> Store:
        """Resources and their tags."""
        from kenja.kernel.resources.store import Store

        return Store(self.database_url("kenja.db"), self.clock)

    @cached_property
    def jobs(self) -> JobRows:
        """Jobs that wait, run and are collected; in the database of the resources, so that both change together."""
        from kenja.kernel.jobs.rows import JobRows

        return JobRows(self.store.database, self.clock, self.config.run / "reconciler.sock")

    @cached_property
    def hosting(self) -> ReplicaRows:
        """Replicas that are wanted and what became of them; in the database of the resources too."""
        from kenja.kernel.hosting.rows import ReplicaRows

        return ReplicaRows(self.store.database, self.clock)

    @cached_property
    def routes(self) -> RoutingTable:
        """The ways to the replicas of endpoints that serve."""
        from kenja.kernel.hosting.routes import RoutingTable

        return RoutingTable(self.hosting, self.config.jobs)

    @cached_property
    def outbox(self) -> Outbox:
        """Events that are still to be delivered; in the database of the resources too."""
        from kenja.kernel.events.outbox import Outbox

        return Outbox(self.store.database, self.clock)

    @cached_property
    def objects(self) -> ObjectStore:
        """Buckets, objects and their bytes."""
        from kenja.kernel.objects import ObjectStore

        return ObjectStore(self.config.data / "objects", self.database_url("objects/index.db"), self.clock)

    @cached_property
    def logs(self) -> Logs:
        """Log groups, streams and their segments."""
        from kenja.kernel.telemetry.logs import Logs

        return Logs(self.config.data / "telemetry", self.database_url("telemetry/logs.db"), self.clock)

    @cached_property
    def metrics(self) -> Metrics:
        """Metric series."""
        from kenja.kernel.telemetry.metrics import Metrics

        return Metrics(self.database_url("telemetry/metrics.db"), self.clock)

    @cached_property
    def identity(self) -> Identity:
        """Accounts, keys, principals and what they may do."""
        from kenja.kernel.identity import Identity

        return Identity(self.store, self.clock)

    @property
    def capabilities(self) -> Capabilities:
        """What this machine's sandbox can honour."""
        from kenja.kernel.jobs import capabilities

        return capabilities.known(self.config.run, self.clock)

    def database_url(self, file: str) -> str:
        """The configured PostgreSQL URL, or that of a SQLite file in the data folder."""
        return self.config.database_url or sqlite_url(self.config.data / file)

    def open(self) -> None:
        """Open every store now, so that one that can not be used is found when a server starts."""
        for name in ("store", "objects", "logs", "metrics"):
            getattr(self, name)

    def close(self) -> None:
        """Close what was opened, telemetry first (it may still hold buffered points)."""
        for name in ("routes", "metrics", "logs", "objects", "store"):
            subsystem = self.__dict__.pop(name, None)
            if subsystem is not None:
                subsystem.close()
