"""The routing table: which sockets serve which endpoint, in memory, at most a second older than the store."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from pathlib import Path

from kenja.core.log import logger
from kenja.kernel.hosting.host import SOCKET
from kenja.kernel.hosting.rows import ReplicaRow, ReplicaRows

POLL = 0.5  # seconds between two reads of the store
STALE = 1.2  # seconds after which no gateway uses a route that was taken away
_log = logger(__name__)

Key = tuple[str, str, str]  # account, region, name


@dataclass(frozen=True)
class Route:
    """The way to one variant of one endpoint. `sockets` is empty while none of its replicas is ready."""

    account: str
    region: str
    name: str
    variant: str
    sockets: tuple[Path, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Fork:
    """The ways to an endpoint, one for each of its variants, by name."""

    name: str
    routes: tuple[Route, ...]

    @property
    def open(self) -> bool:
        """True when a replica of any variant is ready."""
        return any(route.sockets for route in self.routes)

    def choose(self) -> Route:
        """A variant by its weight; one without a replica that is ready has none, as long as another one has."""
        routes = self.routes
        if len(routes) == 1:
            return routes[0]
        ready = [route for route in routes if route.sockets and route.weight > 0] or list(routes)
        return random.choices(ready, [route.weight or 1.0 for route in ready])[0]  # noqa: S311 - no secret

    def variant(self, name: str) -> Route | None:
        """The way to a variant that the caller names."""
        return next((route for route in self.routes if route.variant == name), None)


class RoutingTable:
    """Thread safe. `find` costs a look into a dict; `watch` keeps it fresh from a thread of its own."""

    def __init__(self, rows: ReplicaRows, folder: Path) -> None:
        """`folder` holds the replicas' folders."""
        self.epoch = 0  # rises whenever a route changes
        self._rows = rows
        self._folder = folder
        self._routes: dict[Key, Fork] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="routes", daemon=True)  # noqa: TID251 - ends with close

    def find(self, account: str, region: str, name: str) -> Fork | None:
        """The ways as they were known at the last refresh; None when there is none."""
        return self._routes.get((account, region, name))

    def refresh(self) -> None:
        """Read the store now. A route that did not change stays the same object."""
        with self._lock:
            groups: dict[Key, list[ReplicaRow]] = {}
            for row in self._rows.serving():
                groups.setdefault((*row.scope, row.name), []).append(row)
            fresh = {key: self._fork(key, rows) for key, rows in groups.items()}
            if fresh != self._routes:
                present = self._routes
                self._routes = {key: present[key] if present.get(key) == new else new for key, new in fresh.items()}
                self.epoch += 1

    def lookup(self, account: str, region: str, name: str, tried: Route | None = None) -> Fork | None:
        """Like `find`, but looks into the store for an unknown endpoint, and for one of which the route `tried` led nowhere."""
        found = self.find(account, region, name)
        if found is None or not found.open or (tried is not None and tried in found.routes):
            self.refresh()
            found = self.find(account, region, name)
        return found

    def sockets(self) -> set[Path]:
        """The sockets of all routes."""
        return {socket for fork in self._routes.values() for route in fork.routes for socket in route.sockets}

    def watch(self) -> None:
        """Begin to refresh by itself."""
        self._thread.start()

    def close(self) -> None:
        """Stop refreshing."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self.refresh()
            except Exception:
                _log.exception("routes could not be read; the last ones are used")
            if self._stop.wait(POLL):
                return

    def _fork(self, key: Key, rows: list[ReplicaRow]) -> Fork:
        variants: dict[str, list[ReplicaRow]] = {}
        for row in rows:
            variants.setdefault(row.variant, []).append(row)
        return Fork(key[2], tuple(self._route(key, name, variants[name]) for name in sorted(variants)))

    def _route(self, key: Key, variant: str, rows: list[ReplicaRow]) -> Route:
        ready = tuple(self._folder / row.folder / "run" / SOCKET for row in rows if row.phase == "ready")
        return Route(*key, variant, ready, rows[0].weight)
