"""The service object that SageMaker's files register with, and its tag operations."""

from __future__ import annotations

from pathlib import Path

from kenja.kernel.declare import Service
from kenja.kernel.resources import tags

service = Service(str(Path(__file__)))
tags.serve(service)
