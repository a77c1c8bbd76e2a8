"""Jobs: rows that wait, are run by a backend in a folder of their own, and are collected; driven by the reconciler."""
