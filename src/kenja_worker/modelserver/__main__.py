"""The command line of the model server."""

from __future__ import annotations

import sys

from kenja_worker.modelserver.command import main

sys.exit(main())
