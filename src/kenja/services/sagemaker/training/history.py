"""The secondary status of a training job and its transitions, as AWS shows them; written by the driver."""

from __future__ import annotations

from typing import Any

from kenja.core.clock import utc
from kenja.kernel.jobs.driver import Job
from kenja.kernel.resources.store import Record

MESSAGES = {  # what each state tells a reader of SecondaryStatusTransitions
    "Starting": "Preparing the job for training",
    "Downloading": "Downloading the input data",
    "Training": "Training in progress",
    "Uploading": "Uploading the trained model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job stopped because it ran longer than MaxRuntimeInSeconds",
}


def shown(record: Record) -> dict[str, Any]:
    """Transitions from the first state on, which begins when the job is made."""
    first = {"Status": "Starting", "StartTime": utc(record.created), "StatusMessage": MESSAGES["Starting"]}
    later = record.body.get("SecondaryStatusTransitions", [])
    if later:
        first["EndTime"] = later[0]["StartTime"]
    return {"SecondaryStatusTransitions": [first, *later]}


def entered(record: Record, state: str, now: float, *, final: bool = False) -> dict[str, Any]:
    """The members of a record that enters `state` at `now`; a state that it is in already changes nothing."""
    transitions = [dict(entry) for entry in record.body.get("SecondaryStatusTransitions", [])]
    if transitions and transitions[-1]["Status"] == state:
        return {"SecondaryStatus": state}
    if transitions:
        transitions[-1]["EndTime"] = utc(now)
    entry: dict[str, Any] = {"Status": state, "StartTime": utc(now), "StatusMessage": MESSAGES[state]}
    if final:
        entry["EndTime"] = utc(now)
    return {"SecondaryStatus": state, "SecondaryStatusTransitions": [*transitions, entry]}


def enter(job: Job, state: str, **members: Any) -> Record:
    """Write that a running job is in `state` now; other writers are waited for. The record as it is then."""
    store, clock = job.context.kernel.store, job.context.kernel.clock
    record = job.record
    while True:
        present = store.get(record.scope, record.kind, record.name)
        if present is None or present.id != record.id:
            return record  # deleted meanwhile: nothing to note
        changed = store.change(present, members={**entered(present, state, clock.virtual()), **members})
        if changed is not None:
            return changed
