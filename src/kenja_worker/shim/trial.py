"""What a rung's trial runs inside the sandbox: is it what it claims to be? Prints "fine" or the first complaint on stderr."""

from __future__ import annotations

import os
import sys


def examine(secret: str, expected: str) -> str:
    base = os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")
    try:
        with open(os.path.join(base, "trial"), "w") as handle:
            handle.write("written")
    except OSError as error:
        return f"{base} cannot be written: {error}"
    if expected == "hidden" and os.path.lexists(secret):
        return "a file outside of the job's folder can be seen"
    if expected == "hidden" and len([name for name in os.listdir("/proc") if name.isdigit()]) > 3:
        return "processes outside of the sandbox can be seen"
    return "fine"


if __name__ == "__main__":
    sys.stderr.write(examine(*sys.argv[1:3]))
