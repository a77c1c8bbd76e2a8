"""What a user of the sagemaker SDK v2 writes: nothing here knows of Kenja, no bucket and no role is given.

Trains by algorithm and by scripts, deploys, predicts, updates, cleans up, and notes facts in a file.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import sagemaker
from sagemaker import image_uris
from sagemaker.analytics import TrainingJobAnalytics
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.inputs import TrainingInput
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer
from sagemaker.sklearn import SKLearn
from sagemaker.xgboost import XGBoost

parser = argparse.ArgumentParser()
parser.add_argument(
    "--data", type=Path, required=True, help="train.csv and validation.csv, label first; ask.csv without"
)
parser.add_argument("--source", required=True, help="folder of train.py and boost.py")
parser.add_argument("--facts", type=Path, required=True)
options = parser.parse_args()

began = time.monotonic()
took = {}


def lap(name: str) -> None:
    took[name] = round(time.monotonic() - began - sum(took.values()), 1)


session = sagemaker.Session()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
facts = {"bucket": bucket, "region": session.boto_region_name, "role": role, "account": session.account_id()}
channels = {
    name: TrainingInput(
        session.upload_data(str(options.data / f"{name}.csv"), key_prefix=f"tables/{name}"), content_type="text/csv"
    )
    for name in ("train", "validation")
}
lap("session and uploads")

place = {"role": role, "instance_type": "ml.m5.large"}
script = {"source_dir": options.source, "py_version": "py3", **place}
boosted_script = XGBoost(
    entry_point="boost.py",
    framework_version="1.7-1",
    instance_count=1,
    base_job_name="scripted",
    hyperparameters={"rounds": 7},
    **script,
)
boosted_script.fit(channels, wait=False)
broken = SKLearn(
    entry_point="train.py",
    framework_version="1.2-1",
    base_job_name="broken",
    hyperparameters={"strength": -1.0},
    **script,
)
broken.fit(channels, wait=False)

image = image_uris.retrieve("xgboost", "us-east-1", "1.7-1")
boosted = Estimator(
    image_uri=image,
    instance_count=1,
    base_job_name="boosted",
    hyperparameters={"objective": "binary:logistic", "num_round": 12, "max_depth": 3, "eta": 0.4, "seed": 5},
    **place,
)
boosted.fit(channels)
lap("built-in XGBoost, logs shown")
job = boosted.latest_training_job.name
table = TrainingJobAnalytics(job, metric_names=["validation:logloss"]).dataframe()
described = boosted.latest_training_job.describe()
attached = Estimator.attach(job)
facts |= {
    "image": image,
    "job": job,
    "model_data": boosted.model_data,
    "attached": [attached.model_data, attached.hyperparameters()],
    "columns": list(table.columns),
    "logloss": table["value"].tolist(),
    "boosted_metrics": {metric["MetricName"]: metric["Value"] for metric in described["FinalMetricDataList"]},
}
lap("analytics and attach")

predictor = boosted.deploy(1, "ml.m5.large", serializer=CSVSerializer(), deserializer=CSVDeserializer(), wait=False)

linear = SKLearn(
    entry_point="train.py",
    framework_version="1.2-1",
    base_job_name="linear",
    hyperparameters={"strength": 0.5, "pause": 14},
    metric_definitions=[{"Name": "accuracy", "Regex": "accuracy=([0-9.]+);"}],
    **script,
)
linear.fit(channels)
lap("SKLearn script of 14 s, logs shown")
described = linear.latest_training_job.describe()
boosted_script.latest_training_job.wait(logs="None")
facts |= {
    "linear": linear.model_data,
    "linear_metrics": {metric["MetricName"]: metric["Value"] for metric in described["FinalMetricDataList"]},
    "scripted": boosted_script.model_data,
}
try:
    broken.latest_training_job.wait(logs="All")
except UnexpectedStatusException as failure:
    facts["failure"] = str(failure)
lap("XGBoost script and failed job")

endpoints = predictor.sagemaker_session
endpoints.wait_for_endpoint(predictor.endpoint_name, poll=2)  # what deploy does itself, every 30 s
facts["endpoint"] = predictor.endpoint_name
ask = np.loadtxt(options.data / "ask.csv", delimiter=",")
facts["predictions"] = [float(value) for row in predictor.predict(ask) for value in row]
as_json = Predictor(predictor.endpoint_name, serializer=CSVSerializer(), deserializer=JSONDeserializer())
facts["scores"] = [one["score"] for one in as_json.predict(ask)["predictions"]]
try:
    predictor.predict([[1.0, 2.0]])
except endpoints.sagemaker_runtime_client.exceptions.ModelError as error:
    facts["refusal"] = str(error)
lap("deploy and predict")

predictor.update_endpoint(initial_instance_count=2, instance_type="ml.m5.large", wait=False)
endpoints.wait_for_endpoint(predictor.endpoint_name, poll=2)
described = session.sagemaker_client.describe_endpoint(EndpointName=predictor.endpoint_name)
facts["instances"] = [variant["CurrentInstanceCount"] for variant in described["ProductionVariants"]]
facts["updated"] = [float(value) for row in predictor.predict(ask) for value in row]
lap("update_endpoint")
predictor.delete_model()
predictor.delete_endpoint()
lap("delete")
options.facts.write_text(json.dumps(facts | {"took": took}))
