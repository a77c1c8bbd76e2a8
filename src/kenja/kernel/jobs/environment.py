"""What every job and replica is given beside its input: the way back to this server, and limits. No service is known here."""

from __future__ import annotations

import os

from kenja.kernel.context import Context

RESERVE = 0.15  # share of the machine's memory that jobs leave to the rest of it
PIDS = 4096  # processes and threads of one job


def client_variables(context: Context, role_arn: str, job: str, *, isolated: bool) -> dict[str, str]:
    """Region, and (unless the job is cut off from the network) the endpoint and refreshing credentials of its role."""
    region = {"AWS_REGION": context.region, "AWS_DEFAULT_REGION": context.region}
    if isolated:
        return region
    kernel = context.kernel
    path, token = kernel.identity.container_credentials_token(context.account, role_arn, context.region, job)
    return {
        **region,
        "AWS_ENDPOINT_URL": kernel.config.endpoint,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": kernel.config.endpoint + path,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def limits() -> dict[str, float | int]:
    """The machine, less a reserve: what one job may use at most, as the shim's spec has it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"memory_bytes": int(memory * (1 - RESERVE)), "cpus": float(os.cpu_count() or 1), "pids": PIDS}
