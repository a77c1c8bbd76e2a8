"""The environments that jobs and replicas run in, as data, and which of AWS's images each stands in for. Nothing is built at import."""

from __future__ import annotations

from kenja.runtimes.images import ImageMatch, resolve, why_unknown
from kenja.runtimes.registry import Runtime, all_runtimes, runtime, worker_path

__all__ = ["ImageMatch", "Runtime", "all_runtimes", "resolve", "runtime", "why_unknown", "worker_path"]
