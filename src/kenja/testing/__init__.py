"""Kenja for users' own tests: a server of their own, a fresh account per test, jobs that can be stepped. Not for production.

With pytest nothing is to be imported: the fixtures `kenja` and `kenja_server` are there once Kenja is installed (`plugin.py`).
"""

from kenja.testing.account import HeldJob, TestAccount
from kenja.testing.server import TestServer

__all__ = ["HeldJob", "TestAccount", "TestServer"]
