"""`python -m kenja_worker.shim JOBDIR`: the cold shim's command line. Everything it does is in main.py."""

from __future__ import annotations

import sys

from kenja_worker.shim.main import command

sys.exit(command(sys.argv[1:]))
