"""The two ways a built-in algorithm fails: by the caller's input, or by itself. The platform shows either as FailureReason."""

from __future__ import annotations


class ClientError(Exception):
    """The caller's data or hyper-parameters are at fault; the sentence says what was given and what is allowed."""

    def __str__(self) -> str:
        return f"ClientError: {self.args[0]}"


class AlgorithmError(Exception):
    """The algorithm failed although its input was in order."""

    def __str__(self) -> str:
        return f"AlgorithmError: {self.args[0]}"


class JobStopped(Exception):  # noqa: N818 - it names an outcome, not a fault
    """The job was told to stop and is to leave no model behind."""
