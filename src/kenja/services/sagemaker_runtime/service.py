"""The service object that SageMaker Runtime's files register with."""

from __future__ import annotations

from pathlib import Path

from kenja.kernel.declare import Service

service = Service(str(Path(__file__)))
