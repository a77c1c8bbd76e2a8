"""What holds for every test run: the time of each suite is printed. Fixtures live in tests/conftest.py."""

from __future__ import annotations

pytest_plugins = ["tests.plugins.timing"]
