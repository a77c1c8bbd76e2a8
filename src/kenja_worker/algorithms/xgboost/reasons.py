"""The library's messages as one sentence. No faults are raised here."""

from __future__ import annotations

import re


def reason(error: object) -> str:
    """The message on one line, without its time stamp, source line and stack."""
    text = str(error).partition("Stack trace:")[0]
    text = re.sub(r"^\[[0-9:]+\] (?:WARNING: )?\S+:[0-9]+:\s*", "", text.strip())
    return " ".join(text.split())
