"""How a training job ended, in AWS's states and words: a table from the shim's cause to status, secondary status and reason."""

from __future__ import annotations

from typing import Any

from kenja.kernel.jobs.driver import Outcome
from kenja.kernel.resources.store import Record

MAX_REASON = 1024  # characters of FailureReason; API reference
_PREFIXES = ("ClientError", "AlgorithmError", "InternalServerError")


def of(record: Record, outcome: Outcome) -> tuple[str, str, dict[str, Any]]:
    """(status, secondary status, members)."""
    match outcome.cause:
        case "exit" if outcome.exit_code == 0:
            if record.status == "Stopping":
                return "Stopped", "Stopped", {}
            return "Completed", "Completed", {}
        case "stopped":
            return "Stopped", "Stopped", {}
        case "timeout":
            return "Stopped", "MaxRuntimeExceeded", {}
        case "exit" if record.status == "Stopping":
            return "Stopped", "Stopped", {}
    return "Failed", "Failed", {"FailureReason": _reason(record, outcome)[:MAX_REASON]}


def _reason(record: Record, outcome: Outcome) -> str:
    status = outcome.status
    match outcome.cause:
        case "refused":
            return outcome.reason
        case "lost":
            attempts = record.body.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
            again = f" after {attempts} retries" if attempts else ""
            return f"InternalServerError: the processes of the job were killed from outside{again}; start it again."
        case "launch":
            return f"InternalServerError: the job could not be started: {_tail(status)}"
        case "memory":
            return (
                "ClientError: the job used more memory than this machine gives it and was ended by the kernel (exit code "
                "137). Train on less data at a time or on a larger machine."
            )
    told = str(status.get("failure") or "").strip()
    code = outcome.exit_code if outcome.exit_code is not None else -int(status.get("signal") or 0)
    if told.startswith(_PREFIXES):
        return told
    if told:
        return f"AlgorithmError: {told}, exit code: {code}"
    return f'AlgorithmError: ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{_tail(status)}"'


def _tail(status: Any) -> str:
    lines = str(status.get("stderr_tail") or "").strip()
    return lines[-(MAX_REASON - 200) :]
