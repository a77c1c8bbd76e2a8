"""Telemetry: logs as append-only segments with an index, metrics as bounded series. Not in the resource store."""
