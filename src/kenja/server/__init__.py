"""HTTP on one port: the gateway's chain, its fast path, and the supervisor of the server's processes."""
