"""A whole server on PostgreSQL: the same calls, and a second server process finds what the first one left."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import serving
from tests.services.sagemaker import training_jobs


def test_a_server_on_postgresql_trains_and_remembers(postgres: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, "--database-url", postgres) as server:
        s3, sagemaker = server.client("s3"), server.client("sagemaker")
        s3.create_bucket(Bucket="on-postgres")
        s3.put_object(Bucket="on-postgres", Key="train/a.csv", Body=training_jobs.table())
        sagemaker.create_training_job(**training_jobs.request("pg-1", "000000000000", "on-postgres"))
        job = training_jobs.wait(sagemaker, "pg-1")
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert training_jobs.log(server.client("logs"), "pg-1")
        assert server.client("cloudwatch").list_metrics()["Metrics"]
        account = server.new_account()
        assert server.client("sagemaker", account).list_training_jobs()["TrainingJobSummaries"] == []
    assert not (data / "kenja.db").exists()
    with serving(data, "--database-url", postgres) as server:
        listed = server.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
        assert [entry["TrainingJobName"] for entry in listed] == ["pg-1"]
        keys = [item["Key"] for item in server.client("s3").list_objects_v2(Bucket="on-postgres")["Contents"]]
        assert keys == ["output/pg-1/output/model.tar.gz", "train/a.csv"]
