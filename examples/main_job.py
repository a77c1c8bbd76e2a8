"""The main job with nothing but boto3: upload a table, train XGBoost on it, deploy the model, predict, check the result.

    python examples/main_job.py --role ROLE_ARN --bucket BUCKET [--verify]

It runs unchanged against AWS and against Kenja: the endpoint, region and keys come from the environment, as always.
With --verify the same model is trained here with the library itself, and both must agree within 0.005.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import boto3
import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score
from sklearn.model_selection import train_test_split

IMAGE = (
    "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"  # us-east-1's; other regions: other accounts
)
PARAMETERS = {
    "objective": "binary:logistic",
    "num_round": "60",
    "max_depth": "4",
    "eta": "0.2",
    "subsample": "0.9",
    "eval_metric": "auc",
    "seed": "7",
}
TOLERANCE = 0.005  # between the deployed model and the one trained here
Table = npt.NDArray[np.float64]
Result = TypeVar("Result")


@dataclass
class Report:
    """The time of each step."""

    steps: list[tuple[str, float]] = field(default_factory=list)

    def step(self, what: str, work: Callable[[], Result]) -> Result:
        """Do a piece of work, say so, and remember how long it took."""
        print(f"  {what} …", end="", flush=True)
        began = time.perf_counter()
        result = work()
        self.steps.append((what, time.perf_counter() - began))
        print(f" {self.steps[-1][1]:.2f} s", flush=True)
        return result


def csv(labels: Table, rows: Table) -> bytes:
    """The label first, no header: what AWS's XGBoost reads."""
    text = io.StringIO()
    np.savetxt(text, np.column_stack([labels, rows]), delimiter=",", fmt="%.9g")
    return text.getvalue().encode()


def channel(name: str, uri: str) -> dict[str, Any]:
    """One input channel of CSV objects."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}


def train(sagemaker: Any, name: str, role: str, bucket: str) -> dict[str, Any]:
    """Start the training job and follow it to its end."""
    sagemaker.create_training_job(
        TrainingJobName=name,
        RoleArn=role,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        HyperParameters=PARAMETERS,
        InputDataConfig=[
            channel("train", f"s3://{bucket}/{name}/train/"),
            channel("validation", f"s3://{bucket}/{name}/validation/"),
        ],
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/{name}/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    seen = ""
    while True:
        job: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
        if job["SecondaryStatus"] != seen:
            seen = job["SecondaryStatus"]
            print(f" {seen}", end="", flush=True)
        if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
            break
        time.sleep(0.2)
    if job["TrainingJobStatus"] != "Completed":
        raise SystemExit(f"\nThe training job {name} ended {job['TrainingJobStatus']}: {job.get('FailureReason')}")
    return job


def deploy(sagemaker: Any, name: str, role: str, artifact: str) -> None:
    """A model, an endpoint configuration and an endpoint, all of one name; returns when it is in service."""
    sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": artifact}
    )
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    while (endpoint := sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] == "Creating":
        time.sleep(0.2)
    if endpoint["EndpointStatus"] != "InService":
        raise SystemExit(f"\nThe endpoint {name} is {endpoint['EndpointStatus']}: {endpoint.get('FailureReason')}")


def predict(runtime: Any, name: str, rows: Table) -> Table:
    """The endpoint's probabilities, asked for in batches of fifty rows."""
    answers = []
    for start in range(0, len(rows), 50):
        body = "\n".join(",".join(f"{value:.9g}" for value in row) for row in rows[start : start + 50])
        reply = runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=body)
        answers.append(np.array(reply["Body"].read().decode().replace(",", "\n").split(), dtype=float))
    return np.concatenate(answers)


def reference(train_set: bytes, validation_set: bytes, rows: Table) -> Table:
    """The same model, trained here by the library itself on the same bytes."""
    import xgboost

    def matrix(text: bytes) -> Any:
        table = np.loadtxt(io.BytesIO(text), delimiter=",")
        return xgboost.DMatrix(table[:, 1:], label=table[:, 0])

    parameters = {key: value for key, value in PARAMETERS.items() if key != "num_round"}
    watched = [(matrix(train_set), "train"), (matrix(validation_set), "validation")]
    booster = xgboost.train(parameters, watched[0][0], int(PARAMETERS["num_round"]), evals=watched, verbose_eval=False)
    text = "\n".join(",".join(f"{value:.9g}" for value in row) for row in rows).encode()
    found: Table = booster.predict(xgboost.DMatrix(np.loadtxt(io.BytesIO(text), delimiter=",", ndmin=2))).astype(float)
    return found


def show(title: str, truth: Table, scores: Table) -> tuple[float, float]:
    """Print accuracy, AUC and the confusion matrix; the first two."""
    guess = scores > 0.5
    accuracy, auc = float(accuracy_score(truth, guess)), float(roc_auc_score(truth, scores))
    (true_negative, false_positive), (false_negative, true_positive) = confusion_matrix(truth, guess)
    print(f"\n{title}\n  accuracy {accuracy:.4f}   AUC {auc:.4f}")
    print("                     said malignant   said benign")
    print(f"  is malignant       {true_negative:14d} {false_positive:13d}")
    print(f"  is benign          {false_negative:14d} {true_positive:13d}")
    return accuracy, auc


def main() -> int:
    """Run it all; 0 when the deployed model is as good as it must be."""
    parser = argparse.ArgumentParser(description="Train, deploy and ask an XGBoost model with boto3.")
    parser.add_argument("--role", required=True, help="ARN of the execution role")
    parser.add_argument("--bucket", required=True, help="bucket for the data and the model; made when it is missing")
    parser.add_argument("--verify", action="store_true", help="train the same model here and compare")
    parser.add_argument("--delete", action="store_true", help="delete endpoint, configuration and model afterwards")
    options = parser.parse_args()
    s3, sagemaker, runtime = (boto3.client(name) for name in ("s3", "sagemaker", "sagemaker-runtime"))
    name, report = f"breast-cancer-{int(time.time())}", Report()

    rows, labels = load_breast_cancer(return_X_y=True)
    rest, held_out, rest_labels, truth = train_test_split(rows, labels, test_size=0.3, random_state=0, stratify=labels)
    fit, check, fit_labels, check_labels = train_test_split(rest, rest_labels, test_size=0.2, random_state=0)
    train_set, validation_set = csv(fit_labels, fit), csv(check_labels, check)
    print(f"Breast cancer: {len(fit)} rows to train, {len(check)} to validate, {len(held_out)} held out.")

    def upload() -> None:
        if options.bucket not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=options.bucket)
        s3.put_object(Bucket=options.bucket, Key=f"{name}/train/train.csv", Body=train_set)
        s3.put_object(Bucket=options.bucket, Key=f"{name}/validation/validation.csv", Body=validation_set)

    report.step("uploading to S3", upload)
    job = report.step("training", lambda: train(sagemaker, name, options.role, options.bucket))
    for metric in job.get("FinalMetricDataList", []):
        print(f"    {metric['MetricName']} = {metric['Value']:.4f}")
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    report.step("deploying", lambda: deploy(sagemaker, name, options.role, artifact))
    scores = report.step("predicting", lambda: predict(runtime, name, held_out))
    measured = show("The deployed model on the held-out rows:", truth, scores)
    agreed = True
    if options.verify:
        expected = show(
            "The same model, trained directly with the library:", truth, reference(train_set, validation_set, held_out)
        )
        agreed = all(abs(one - other) <= TOLERANCE for one, other in zip(measured, expected, strict=True))
        print(f"\nBoth agree within {TOLERANCE}: {'yes' if agreed else 'NO'}")
    if options.delete:
        sagemaker.delete_endpoint(EndpointName=name)
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
        sagemaker.delete_model(ModelName=name)
    total = sum(seconds for _, seconds in report.steps)
    print(
        "\nTime:  "
        + "   ".join(f"{what} {seconds:.2f} s" for what, seconds in report.steps)
        + f"   in all {total:.2f} s"
    )
    print(
        "\nWhere to look next:\n"
        f"  aws sagemaker describe-training-job --training-job-name {name}\n"
        f"  aws logs filter-log-events --log-group-name /aws/sagemaker/TrainingJobs --log-stream-name-prefix {name}/\n"
        f"  aws s3 ls s3://{options.bucket}/{name}/ --recursive\n"
        f"  aws sagemaker-runtime invoke-endpoint --endpoint-name {name} --content-type text/csv --body fileb://row.csv out.csv"
    )
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
