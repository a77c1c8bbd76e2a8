"""What a user of the sagemaker SDK v3 writes: nothing here knows of Kenja. No role and no bucket is given; trains, deploys, predicts, notes facts."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.resources import EndpointConfig
from sagemaker.core.shapes import MetricDefinition
from sagemaker.core.utils.exceptions import FailedStatusError
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode

parser = argparse.ArgumentParser()
parser.add_argument(
    "--data", type=Path, required=True, help="train.csv and validation.csv, label first; ask.csv without"
)
parser.add_argument("--source", required=True, help="folder of train.py and requirements.txt")
parser.add_argument("--handlers", required=True, help="folder of inference.py")
parser.add_argument("--facts", type=Path, required=True)
options = parser.parse_args()

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
session = Session()
facts: dict[str, Any] = {"bucket": session.default_bucket(), "region": session.boto_region_name}
compute = Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5)
channels = [
    InputData(channel_name=name, data_source=str((options.data / f"{name}.csv").resolve()), content_type="text/csv")
    for name in ("train", "validation")
]

# a built-in algorithm
image = image_uris.retrieve("xgboost", "us-east-1", "1.7-1")
boosted = ModelTrainer(
    training_image=image,
    base_job_name="boosted",
    compute=compute,
    hyperparameters={"objective": "binary:logistic", "num_round": 12, "max_depth": 3, "eta": 0.4, "seed": 5},
    sagemaker_session=session,
)
boosted.train(input_data_config=channels)
job = boosted._latest_training_job
facts |= {
    "image": image,
    "role": job.role_arn,
    "job": job.training_job_name,
    "model_data": job.model_artifacts.s3_model_artifacts,
    "metrics": {metric.metric_name: metric.value for metric in job.final_metric_data_list},
}

builder = ModelBuilder(
    image_uri=image,
    s3_model_data_url=job.model_artifacts.s3_model_artifacts,
    instance_type="ml.m5.large",
    sagemaker_session=session,
)
made = [builder.build(model_name="boosted")]
boosted_endpoint = builder.deploy(endpoint_name="boosted", initial_instance_count=1, wait=False)

# a script of one's own, run by the SDK's driver
script = {
    "training_image": image_uris.retrieve("sklearn", "us-east-1", "1.2-1"),
    "compute": compute,
    "environment": {"COLOUR": "blue"},
    "sagemaker_session": session,
}
linear = ModelTrainer(
    **script,
    base_job_name="linear",
    source_code=SourceCode(source_dir=options.source, entry_script="train.py", requirements="requirements.txt"),
    hyperparameters={"strength": 0.5, "notes": {"a": [1, 2]}},
).with_metric_definitions([MetricDefinition(name="accuracy", regex="accuracy=([0-9.]+);")])
linear.train(input_data_config=channels)
job = linear._latest_training_job
facts |= {
    "linear": job.model_artifacts.s3_model_artifacts,
    "linear_metrics": {metric.metric_name: metric.value for metric in job.final_metric_data_list},
    "output_data": linear.output_data,
}
broken = ModelTrainer(
    **script,
    base_job_name="broken",
    source_code=SourceCode(source_dir=options.source, command="python -c 'import nothing'"),
)
try:
    broken.train(input_data_config=channels, logs=False)
except FailedStatusError as error:
    facts |= {"failure": str(error), "broken": broken._latest_training_job.training_job_name}

# that model behind handlers of one's own
handled = ModelBuilder(
    image_uri=script["training_image"],
    s3_model_data_url=job.model_artifacts.s3_model_artifacts,
    source_code=SourceCode(source_dir=options.handlers, entry_script="inference.py"),
    instance_type="ml.m5.large",
    sagemaker_session=session,
)
made.append(handled.build(model_name="linear"))
endpoint = handled.deploy(endpoint_name="linear", initial_instance_count=1)
facts["environment"] = made[1].primary_container.environment

table = (options.data / "ask.csv").read_text()
rows = [[float(value) for value in line.split(",")] for line in table.splitlines()]
boosted_endpoint.wait_for_status("InService", poll=1)
answer = boosted_endpoint.invoke(body=table, content_type="text/csv", accept="text/csv")
facts["predictions"] = [float(value) for value in answer.body.read().decode().split(",")]
answer = endpoint.invoke(body=json.dumps(rows), content_type="application/json")
facts |= {"handled": json.loads(answer.body.read()), "handled_type": answer.content_type}
for one in (boosted_endpoint, endpoint):
    EndpointConfig.get(endpoint_config_name=one.endpoint_name).delete()
    one.delete()
for model in made:
    model.delete()
options.facts.write_text(json.dumps(facts))
