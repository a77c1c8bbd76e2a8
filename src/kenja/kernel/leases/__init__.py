"""Work that one process at a time looks after: rows with a lease, folders with what runs, and the loop that joins them."""

from kenja.kernel.leases.rows import LEASE, LeasedRow, LeasedRows, LeaseLost

__all__ = ["LEASE", "LeaseLost", "LeasedRow", "LeasedRows"]
