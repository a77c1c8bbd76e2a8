"""Brings events from the outbox to the targets that services registered; at least once, in order. It makes no events."""

from __future__ import annotations

from kenja.kernel.kernel import Kernel

BATCH = 100  # events a step


def step(kernel: Kernel) -> int:
    """Deliver a batch of each outbox; the number of events that left the outbox.

    No service registers a target yet, so every event is delivered as soon as it is read.
    """
    count = 0
    for outbox in (kernel.outbox, kernel.objects.outbox):
        events = outbox.pending(BATCH)
        if events:
            outbox.delivered([event.id for event in events])
        count += len(events)
    return count
