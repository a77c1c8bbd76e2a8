"""The links of the gateway's chain, in the order in which a request passes them; `server.app` is the chain itself."""
