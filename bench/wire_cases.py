"""The calls that bench/wire.py measures: requests as botocore sends them, and results. What reads and writes them is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
ARN = "arn:aws:sagemaker:us-east-1:000000000000:"
JOB: dict[str, Any] = {
    "TrainingJobName": "bench-job",
    "TrainingJobArn": f"{ARN}training-job/bench-job",
    "ModelArtifacts": {"S3ModelArtifacts": "s3://bench-bucket/output/bench-job/output/model.tar.gz"},
    "TrainingJobStatus": "Completed",
    "SecondaryStatus": "Completed",
    "HyperParameters": {f"parameter-{number}": f"value-{number}" for number in range(25)},
    "AlgorithmSpecification": {"TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::000000000000:role/KenjaExecutionRole",
    "InputDataConfig": [
        {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://bench-bucket/{name}/", "S3DataDistributionType": "FullyReplicated"}}, "ContentType": "text/csv"}
        for name in ("train", "validation", "test")
    ],
    "OutputDataConfig": {"S3OutputPath": "s3://bench-bucket/output"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "CreationTime": MOMENT, "TrainingStartTime": MOMENT, "TrainingEndTime": MOMENT, "LastModifiedTime": MOMENT,
    "SecondaryStatusTransitions": [{"Status": status, "StartTime": MOMENT, "EndTime": MOMENT, "StatusMessage": f"It is {status}"} for status in ("Starting", "Downloading", "Training", "Uploading", "Completed")],
    "FinalMetricDataList": [{"MetricName": f"validation:metric-{number}", "Value": 0.5 + number, "Timestamp": MOMENT} for number in range(5)],
    "EnableNetworkIsolation": False,
}  # fmt: skip
TALK = [{"role": "user", "content": [{"text": "A question of some words. " * 10}]}]
DELTAS = [
    {"contentBlockDelta": {"delta": {"text": f"word {number} "}, "contentBlockIndex": 0}} for number in range(100)
]
ENTITIES = {"Entities": [{"Score": 0.99 - number / 1000, "Type": "PERSON", "Text": f"Person {number}", "BeginOffset": number, "EndOffset": number + 8} for number in range(30)]}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One measured call; `events` names the output's stream member and is given anew each time."""

    name: str
    service: str
    protocol: str
    operation: str
    params: dict[str, Any]
    result: dict[str, Any]
    before: (
        int  # CPU microseconds of the prototype that the wire layer was designed with (2 shared cores, November 2026)
    )
    events: tuple[str, list[dict[str, Any]]] | None = None


CALLS = (
    Call("DescribeTrainingJob", "sagemaker", "json", "DescribeTrainingJob", {"TrainingJobName": "bench-job"}, JOB, 53),
    Call(
        "Converse", "bedrock-runtime", "rest-json", "Converse",
        {"modelId": "kenja.small-v1:0", "messages": TALK, "inferenceConfig": {"maxTokens": 100, "temperature": 0.5}},
        {"output": {"message": {"role": "assistant", "content": [{"text": "An answer of some words. " * 50}]}}, "stopReason": "end_turn", "usage": {"inputTokens": 50, "outputTokens": 250, "totalTokens": 300}, "metrics": {"latencyMs": 12}},
        29,
    ),
    Call(
        "ConverseStream, 104 events", "bedrock-runtime", "rest-json", "ConverseStream", {"modelId": "kenja.small-v1:0", "messages": TALK}, {}, 593,
        ("stream", [{"messageStart": {"role": "assistant"}}, *DELTAS, {"contentBlockStop": {"contentBlockIndex": 0}}, {"messageStop": {"stopReason": "end_turn"}}, {"metadata": {"usage": {"inputTokens": 50, "outputTokens": 250, "totalTokens": 300}, "metrics": {"latencyMs": 12}}}]),
    ),
    Call(
        "ListObjectsV2, 100 keys", "s3", "rest-xml", "ListObjectsV2", {"Bucket": "bench-bucket", "Prefix": "data/"},
        {"IsTruncated": False, "Name": "bench-bucket", "Prefix": "data/", "MaxKeys": 1000, "KeyCount": 100, "Contents": [{"Key": f"data/part-{number:05}.csv", "LastModified": MOMENT, "ETag": '"0123456789abcdef0123456789abcdef"', "Size": number * 1000, "StorageClass": "STANDARD"} for number in range(100)]},
        639,
    ),
    Call(
        "HeadObject", "s3", "rest-xml", "HeadObject", {"Bucket": "bench-bucket", "Key": "data/part-00001.csv"},
        {"ContentLength": 1000, "ETag": '"0123456789abcdef0123456789abcdef"', "LastModified": MOMENT, "ContentType": "text/csv", "AcceptRanges": "bytes", "Metadata": {"team": "research"}},
        21,
    ),
    Call(
        "PutMetricData, 10", "cloudwatch", "query", "PutMetricData",
        {"Namespace": "bench", "MetricData": [{"MetricName": f"m{number}", "Dimensions": [{"Name": "Host", "Value": "a"}], "Timestamp": MOMENT, "Value": 1.5, "Unit": "Count"} for number in range(10)]},
        {}, 200,
    ),
    Call("sns Publish", "sns", "query", "Publish", {"TopicArn": "arn:aws:sns:us-east-1:000000000000:topic", "Message": "hello", "Subject": "s"}, {"MessageId": "0" * 36}, 16),
    Call(
        "ReceiveMessage, 10", "sqs", "json", "ReceiveMessage", {"QueueUrl": "http://127.0.0.1:4566/000000000000/q", "MaxNumberOfMessages": 10},
        {"Messages": [{"MessageId": "0" * 36, "ReceiptHandle": "r" * 200, "MD5OfBody": "0" * 32, "Body": "a body " * 20, "Attributes": {"SentTimestamp": "1767323045678"}} for _ in range(10)]},
        11,
    ),
    Call("DetectEntities, 30 (json)", "comprehend", "json", "DetectEntities", {"Text": "A text. " * 20, "LanguageCode": "en"}, ENTITIES, 26),
    Call("DetectEntities, 30 (cbor)", "comprehend", "smithy-rpc-v2-cbor", "DetectEntities", {"Text": "A text. " * 20, "LanguageCode": "en"}, ENTITIES, 46),
)  # fmt: skip
