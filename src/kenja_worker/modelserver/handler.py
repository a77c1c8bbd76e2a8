"""What a model server asks of a model: decode a request, predict a batch, encode an answer. No sockets here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kenja_worker.modelserver.upgrade import Upgrade


@dataclass(frozen=True, slots=True)
class Invocation:
    """One request as the container sees it. Media types are lower-case and without parameters."""

    body: bytes
    content_type: str = ""
    accept: str = ""
    custom_attributes: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, status 200 unless said otherwise."""

    body: bytes
    content_type: str
    status: int = 200


class Refused(Exception):  # noqa: N818 - it names an answer, not a fault
    """The request cannot be served: an HTTP status and a sentence for the caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Handler(Protocol):
    """One loaded model. Used by one thread."""

    def decode(self, invocation: Invocation) -> Any:
        """The rows of one request: something with a length that `join` accepts. Raises Refused."""

    def join(self, batch: list[Any]) -> Any:
        """The rows of several requests as one."""

    def predict(self, rows: Any) -> Any:
        """One answer a row, in order; slices of it are answers to some of the rows. Raises Refused."""

    def encode(self, answers: Any, invocation: Invocation) -> Answer:
        """The answers to one request. Raises Refused when its `accept` cannot be met."""

    def upgrade(self) -> Upgrade | None:
        """Begin to make a faster form of the model; None when there is none. Called once, before the first request."""
