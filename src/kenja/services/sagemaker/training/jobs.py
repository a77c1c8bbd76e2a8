"""The training job as a resource; Create, Describe, List, Stop and Delete come from its declaration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.declare import Resource
from kenja.kernel.resources.lifecycle import JOB
from kenja.kernel.resources.store import Record
from kenja.services.sagemaker.service import service
from kenja.services.sagemaker.training import history
from kenja.services.sagemaker.training.check import check
from kenja.services.sagemaker.training.driver import TrainingDriver


def view(_context: Context, record: Record) -> dict[str, Any]:
    """Members that Describe shows and the request did not have."""
    seconds = record.body.get("TrainingTimeInSeconds")
    computed = {"BillableTimeInSeconds": seconds} if seconds is not None else {}
    state = "Stopping" if record.status == "Stopping" else record.body.get("SecondaryStatus", "Starting")
    output = {"KmsKeyId": "", **record.body["OutputDataConfig"]}  # always shown: the sagemaker SDK's attach reads it
    return {**history.shown(record), **computed, "SecondaryStatus": state, "OutputDataConfig": output}


TRAINING_JOB = service.resource(
    Resource(
        "TrainingJob",
        "training-job/{lower}",
        lifecycle=replace(JOB),
        driver="training",
        check=check,
        view=view,
        ascending=True,
        level=2,
        errors={
            "not_found": ("not_found", "Requested resource not found."),
            "duplicate": (
                "exists",
                "Training job names must be unique within an AWS account and region; {name!r} is taken by {arn}.",
            ),
        },
    )
)
service.driver(TrainingDriver())
