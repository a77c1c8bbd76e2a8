"""What a user of sagemaker-core's resources (SDK v3) writes: nothing here knows of Kenja. Every kind is made, read, listed, changed and deleted."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from sagemaker.core import image_uris
from sagemaker.core.helper.iam_role_resolver import resolve_and_validate_role
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, Pipeline, TrainingJob
from sagemaker.core.shapes import (
    AlgorithmSpecification,
    Channel,
    ContainerDefinition,
    DataSource,
    OutputDataConfig,
    ProductionVariant,
    ResourceConfig,
    S3DataSource,
    StoppingCondition,
)
from sagemaker.core.utils.exceptions import FailedStatusError

parser = argparse.ArgumentParser()
parser.add_argument("--role", required=True)
parser.add_argument("--bucket", required=True)
parser.add_argument("--data", type=Path, required=True, help="train.csv, label first; ask.csv without")
parser.add_argument("--facts", type=Path, required=True)
options = parser.parse_args()

image = image_uris.retrieve("xgboost", "us-east-1", "1.7-1")
boto3.client("s3").upload_file(str(options.data / "train.csv"), options.bucket, "resources/train.csv")
kinds = ("training", "serving", "pipeline", "feature_store", "bedrock", "model_eval")
facts: dict[str, Any] = {
    "roles": [resolve_and_validate_role(None, kind) for kind in kinds]
}  # of the caller, who gives none


def train(name: str, **parameters: str) -> TrainingJob:
    source = S3DataSource(s3_data_type="S3Prefix", s3_uri=f"s3://{options.bucket}/resources/train.csv")
    return TrainingJob.create(
        training_job_name=name,
        role_arn=options.role,
        algorithm_specification=AlgorithmSpecification(training_image=image, training_input_mode="File"),
        input_data_config=[
            Channel(channel_name="train", content_type="text/csv", data_source=DataSource(s3_data_source=source))
        ],
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{options.bucket}/resources"),
        resource_config=ResourceConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=1),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=300),
        hyper_parameters={"objective": "binary:logistic", **parameters},
        tags=[{"key": "team", "value": "blue"}],
    )


def outcome(call: Any) -> str:
    try:
        call()
    except (ClientError, FailedStatusError) as error:
        return str(error)
    return "no error"


good, other = train("good", num_round="12", max_depth="3", eta="0.4", seed="5"), train("other", num_round="2")
wrong, stopped = train("wrong", num_round="-1"), train("stopped", num_round="100000")
stopped.stop()
good.wait(poll=1)
other.wait(poll=1)
facts["failure"] = outcome(lambda: wrong.wait(poll=1))
stopped.wait(poll=1)
read = TrainingJob.get("good")
facts |= {
    "statuses": {job.training_job_name: job.training_job_status for job in TrainingJob.get_all(name_contains="o")},
    "by_name": [job.training_job_name for job in TrainingJob.get_all(sort_by="Name", sort_order="Descending")],
    "artifact": read.model_artifacts.s3_model_artifacts,
    "parameters": read.hyper_parameters,
    "seconds": read.training_time_in_seconds,
    "metrics": {metric.metric_name: metric.value for metric in read.final_metric_data_list},
    "twice": outcome(lambda: train("good", num_round="1")),
}
other.delete()
facts["after_delete"] = outcome(lambda: TrainingJob.get("other"))


def model(name: str, artifact: str) -> Model:
    container = ContainerDefinition(image=image, model_data_url=artifact)
    return Model.create(model_name=name, primary_container=container, execution_role_arn=options.role)


def config(name: str, weight: float) -> EndpointConfig:
    variant = ProductionVariant(
        variant_name="main",
        model_name="good",
        instance_type="ml.m5.large",
        initial_instance_count=1,
        initial_variant_weight=weight,
    )
    return EndpointConfig.create(endpoint_config_name=name, production_variants=[variant])


made = model("good", read.model_artifacts.s3_model_artifacts)
first, second = config("first", 1.0), config("second", 2.0)
endpoint = Endpoint.create(endpoint_name="served", endpoint_config_name="first")
endpoint.wait_for_status("InService", poll=1)
answer = endpoint.invoke(body=(options.data / "ask.csv").read_bytes(), content_type="text/csv", accept="text/csv")
facts |= {
    "predictions": [float(value) for value in answer.body.read().decode().split(",")],
    "content_type": answer.content_type,
    "variant": answer.invoked_production_variant,
    "refusal": outcome(lambda: endpoint.invoke(body="no,numbers", content_type="text/csv")),
    "models": [one.model_name for one in Model.get_all()],
    "configs": sorted(one.endpoint_config_name for one in EndpointConfig.get_all()),
    "endpoints": [one.endpoint_name for one in Endpoint.get_all()],
    "container": made.primary_container.model_data_url,
}
endpoint.endpoint_config_name = "second"
endpoint.update()
endpoint.wait_for_status("InService", poll=1)
facts["updated"] = [endpoint.endpoint_config_name, endpoint.production_variants[0].current_weight]
endpoint.delete()
endpoint.wait_for_delete(poll=1)
first.delete()
second.delete()
made.delete()
facts |= {
    "left": [len(list(kind.get_all())) for kind in (Model, EndpointConfig, Endpoint)],
    "unserved": outcome(lambda: list(Pipeline.get_all())),
}
options.facts.write_text(json.dumps(facts))
