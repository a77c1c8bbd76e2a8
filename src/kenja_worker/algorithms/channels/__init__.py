"""Reading a job's channels into tables: which formats there are, and one reader for each. No algorithm here.

Importing this package loads no heavy library.
"""

from __future__ import annotations

from kenja_worker.algorithms.channels.formats import FORMATS, media_type
from kenja_worker.algorithms.channels.formats import of as form_of
from kenja_worker.algorithms.channels.reading import read
from kenja_worker.algorithms.channels.table import Table

__all__ = ["FORMATS", "Table", "form_of", "media_type", "read"]
