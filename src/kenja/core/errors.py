"""The two failures that a person can be told about; anything else that is raised is our own bug."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ServiceError(Exception):
    """The caller's fault, now: becomes an AWS error on the wire.

    `code` is AWS's name for it; `status` overrides the HTTP status that the service model gives;
    `fields` are further members of the error's shape; `headers` go into the answer as they are.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields: Mapping[str, Any] = fields or {}
        self.headers: Mapping[str, str] = headers or {}

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class JobFailed(Exception):  # noqa: N818 - it names an outcome, as AWS's FailureReason does
    """The job cannot succeed; the message becomes the resource's FailureReason."""
