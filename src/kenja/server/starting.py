"""How a process of the server tells that it can not begin, and that beginning again would not help. The supervisor listens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kenja.core import trouble

UNUSABLE = 78  # exit status; EX_CONFIG of sysexits.h


@contextmanager
def told() -> Iterator[None]:
    """Around the opening of what a process stands on: what a person can mend is one sentence and UNUSABLE."""
    try:
        yield
    except Exception as error:
        from kenja.kernel.database import SchemaTooNew

        sentence = str(error) if isinstance(error, SchemaTooNew) else trouble.of(error)
        if sentence is None:
            raise
        with suppress(OSError):  # standard error may lie on the very disk that is full
            print(f"kenja: {sentence}", file=sys.stderr, flush=True)
        raise SystemExit(UNUSABLE) from None
