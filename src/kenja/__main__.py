"""`python -m kenja`, the same as the `kenja` command."""

from __future__ import annotations

import sys

from kenja.cli import main

sys.exit(main())
