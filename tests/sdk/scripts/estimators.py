"""What a user of the sagemaker SDK v2 writes: nothing here knows of Kenja. Trains twice, deploys, predicts, cleans up, notes facts in a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import sagemaker
from sagemaker import image_uris
from sagemaker.analytics import TrainingJobAnalytics
from sagemaker.deserializers import CSVDeserializer
from sagemaker.estimator import Estimator
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.inputs import TrainingInput
from sagemaker.serializers import CSVSerializer
from sagemaker.sklearn import SKLearn

parser = argparse.ArgumentParser()
parser.add_argument("--role", required=True)
parser.add_argument("--bucket", required=True)
parser.add_argument(
    "--data", type=Path, required=True, help="train.csv and validation.csv, label first; ask.csv without"
)
parser.add_argument("--source", required=True, help="folder of train.py")
parser.add_argument("--facts", type=Path, required=True)
options = parser.parse_args()

session = sagemaker.Session(default_bucket=options.bucket)
facts = {"bucket": session.default_bucket(), "region": session.boto_region_name}
channels = {
    name: TrainingInput(
        session.upload_data(str(options.data / f"{name}.csv"), key_prefix=f"tables/{name}"), content_type="text/csv"
    )
    for name in ("train", "validation")
}

image = image_uris.retrieve("xgboost", "us-east-1", "1.7-1")
boosted = Estimator(
    image_uri=image,
    role=options.role,
    instance_count=1,
    instance_type="ml.m5.large",
    output_path=f"s3://{options.bucket}/models",
    base_job_name="boosted",
    hyperparameters={"objective": "binary:logistic", "num_round": 12, "max_depth": 3, "eta": 0.4, "seed": 5},
    sagemaker_session=session,
)
boosted.fit(channels)
job = boosted.latest_training_job.name
table = TrainingJobAnalytics(job, metric_names=["validation:logloss"], sagemaker_session=session).dataframe()
described = boosted.latest_training_job.describe()
attached = Estimator.attach(job, sagemaker_session=session)
facts |= {
    "image": image,
    "job": job,
    "model_data": boosted.model_data,
    "attached": [attached.model_data, attached.hyperparameters()],
    "logloss": table["value"].tolist(),
    "boosted_metrics": {metric["MetricName"]: metric["Value"] for metric in described["FinalMetricDataList"]},
}

predictor = boosted.deploy(1, "ml.m5.large", serializer=CSVSerializer(), deserializer=CSVDeserializer(), wait=False)

script = {"entry_point": "train.py", "source_dir": options.source, "framework_version": "1.2-1", "py_version": "py3"}
place = {"role": options.role, "instance_type": "ml.m5.large", "sagemaker_session": session}
broken = SKLearn(**script, **place, base_job_name="broken", hyperparameters={"strength": -1.0})
broken.fit(channels, wait=False)
linear = SKLearn(
    **script,
    **place,
    base_job_name="linear",
    hyperparameters={"strength": 0.5},
    metric_definitions=[{"Name": "accuracy", "Regex": "accuracy=([0-9.]+);"}],
)
linear.fit(channels)
described = linear.latest_training_job.describe()
facts |= {
    "linear": linear.model_data,
    "linear_metrics": {metric["MetricName"]: metric["Value"] for metric in described["FinalMetricDataList"]},
}

try:
    broken.latest_training_job.wait(logs="All")
except UnexpectedStatusException as failure:
    facts["failure"] = str(failure)

session.wait_for_endpoint(predictor.endpoint_name, poll=2)  # what deploy does itself, every 30 s
facts["endpoint"] = predictor.endpoint_name
answer = predictor.predict(np.loadtxt(options.data / "ask.csv", delimiter=","))
facts["predictions"] = [float(value) for row in answer for value in row]
try:
    predictor.predict([[1.0, 2.0]])
except session.sagemaker_runtime_client.exceptions.ModelError as error:
    facts["refusal"] = str(error)
predictor.delete_model()
predictor.delete_endpoint()
options.facts.write_text(json.dumps(facts))
