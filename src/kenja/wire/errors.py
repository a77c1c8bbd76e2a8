"""What the wire layer raises: a request that cannot be read. Not AWS error codes: the server chooses those per service."""

from __future__ import annotations


class Malformed(Exception):  # noqa: N818 - an adjective says what the request is
    """A request whose bytes do not fit the operation's model; `path` names the member, outermost first."""

    def __init__(self, message: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(message, path)
        self.message = message
        self.path = path

    def under(self, name: str) -> Malformed:
        """The same problem, seen from the structure that holds member `name`."""
        return type(self)(self.message, (name, *self.path))

    def __str__(self) -> str:
        return f"{self.message} (at '{'.'.join(self.path)}')" if self.path else self.message


class MalformedParameter(Malformed):
    """The same outside the body: in the path, the query string or a header."""


class MalformedCoding(Malformed):
    """A body whose transfer coding is broken, or that has another length than was announced."""


class MalformedPath(Malformed):
    """A path that is no text."""
