"""Endpoints whose models bring handlers of their own: through CreateModel, sandbox, pool of workers and InvokeEndpoint."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import time
import uuid
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError, EventStreamError
from sklearn.linear_model import LogisticRegression

from tests.conftest import RunningServer, wait_until
from tests.services.sagemaker.endpoints import IMAGE, SKLEARN, Hosting, booster, csv, expected, open_hosting, rows

TABLE = rows(200, seed=5)
CLASSIFIER = LogisticRegression().fit(TABLE, TABLE[:, 0] > TABLE[:, 1])
LOAD = """
    import os, pickle
    def model_fn(model_dir):
        with open(os.path.join(model_dir, "model.pkl"), "rb") as file:
            return pickle.load(file)
"""
TRAIN = """
    import argparse, os, xgboost
    def model_fn(model_dir):
        booster = xgboost.Booster()
        booster.load_model(os.path.join(model_dir, "xgboost-model"))
        return booster
    if __name__ == "__main__":
        raise SystemExit("a script that serves is imported, not run")
"""


@pytest.fixture
def hosting(server: RunningServer) -> Iterator[Hosting]:
    """An account of its own, whose endpoints are gone afterwards."""
    made = open_hosting(server, server.new_account())
    yield made
    for entry in made.sagemaker.list_endpoints()["Endpoints"]:
        made.sagemaker.delete_endpoint(EndpointName=entry["EndpointName"])


def packed(**files: bytes) -> bytes:
    """A tar.gz; `/` in names as keyword names can not have it is given as `__`."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("__", "/").replace("_dot_", "."))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return written.getvalue()


def source(script: str) -> bytes:
    return dedent(script).encode()


def deploy(hosting: Hosting, name: str, body: bytes, image: str = SKLEARN, **variables: str) -> dict[str, Any]:
    """The description of an endpoint once it is settled."""
    container = hosting.container(body, Image=image, Environment=variables)
    hosting.start(name, body, PrimaryContainer=container)
    return hosting.settled(name)


def ask(hosting: Hosting, name: str, body: bytes, content_type: str = "text/csv", **more: str) -> dict[str, Any]:
    answer = hosting.runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType=content_type, **more)
    return {**answer, "Body": answer["Body"].read()}


def test_a_scikit_learn_model_with_code_in_its_archive_serves(hosting: Hosting) -> None:
    body = packed(model_dot_pkl=pickle.dumps(CLASSIFIER), code__inference_dot_py=source(LOAD))
    described = deploy(hosting, "own", body)
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    table = rows(7)
    truth = CLASSIFIER.predict(table).tolist()
    assert json.loads(ask(hosting, "own", csv(table))["Body"]) == truth
    answer = ask(hosting, "own", json.dumps(table.tolist()).encode(), "application/json", Accept="text/csv")
    assert answer["Body"].decode().split() == [str(label) for label in truth]
    assert answer["ContentType"] == "text/csv"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    with pytest.raises(hosting.runtime.exceptions.ModelError) as caught:
        ask(hosting, "own", b"<x/>", "application/xml")
    assert caught.value.response["OriginalStatusCode"] == 415


def test_code_beside_the_model_comes_from_the_submit_directory(hosting: Hosting) -> None:
    code = packed(train_dot_py=source(TRAIN), helper_dot_py=b"x = 1\n")
    key = f"{uuid.uuid4().hex}/sourcedir.tar.gz"
    hosting.s3.put_object(Bucket=hosting.bucket, Key=key, Body=code)
    described = deploy(
        hosting, "script-mode", packed(**{"xgboost-model": bytes(booster().save_raw("ubj"))}), IMAGE,
        SAGEMAKER_PROGRAM="train.py", SAGEMAKER_SUBMIT_DIRECTORY=f"s3://{hosting.bucket}/{key}",
    )  # fmt: skip
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    table = rows(5)
    assert np.allclose(json.loads(ask(hosting, "script-mode", csv(table))["Body"]), expected(table), atol=1e-6)


def test_requirements_beside_the_script_are_there_when_it_is_imported(hosting: Hosting) -> None:
    script = """
        import humanize
        def model_fn(model_dir): return humanize.intcomma
        def input_fn(body, content_type): return int(body)
        def predict_fn(data, model): return model(data)
        def output_fn(prediction, accept): return prediction
    """
    body = packed(code__serve_dot_py=source(script), code__requirements_dot_txt=b"humanize>=4\n")
    described = deploy(
        hosting, "needs", body, SAGEMAKER_PROGRAM="serve.py", SAGEMAKER_SUBMIT_DIRECTORY="/opt/ml/model/code"
    )
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    assert ask(hosting, "needs", b"1234567")["Body"] == b"1,234,567"


def test_an_exception_is_a_model_error_and_its_traceback_is_in_the_log(hosting: Hosting) -> None:
    script = """
        def model_fn(model_dir): return {}
        def predict_fn(data, model): return model["nothing here"]
    """
    described = deploy(hosting, "broken", packed(code__inference_dot_py=source(script)))
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    with pytest.raises(hosting.runtime.exceptions.ModelError) as caught:
        ask(hosting, "broken", b"1")
    assert caught.value.response["OriginalStatusCode"] == 500
    assert "nothing here" in caught.value.response["OriginalMessage"]
    wait_until(lambda: any("KeyError: 'nothing here'" in line for line in hosting.log("broken")))
    assert any('return model["nothing here"]' in line for line in hosting.log("broken"))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import no_such_library", "No module named 'no_such_library'"),
        ("def model_fn(model_dir): raise OSError('weights are missing')", "OSError: weights are missing"),
        ("def predict_fn(data, model): return data", "has no model_fn"),
    ],
)
def test_a_script_that_can_not_load_fails_the_endpoint_with_its_reason(
    hosting: Hosting, script: str, reason: str
) -> None:
    described = deploy(hosting, "unloadable", packed(code__inference_dot_py=source(script)))
    assert described["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in described["FailureReason"]
    assert reason in described["FailureReason"]


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"SAGEMAKER_PROGRAM": "other.py"}, "There is no other.py in the model's code; it holds inference.py"),
        ({"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/etc"}, "SAGEMAKER_SUBMIT_DIRECTORY is '/etc'"),
        ({"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "s3://no-bucket-here/x.tar.gz"}, "S3 said"),
    ],
)  # fmt: skip
def test_code_that_is_not_there_fails_the_endpoint(hosting: Hosting, variables: dict[str, str], reason: str) -> None:
    described = deploy(hosting, "codeless", packed(code__inference_dot_py=source(LOAD)), **variables)
    assert described["EndpointStatus"] == "Failed"
    assert reason in described["FailureReason"]


def test_a_handler_is_in_the_sandbox_and_sees_its_variables(hosting: Hosting) -> None:
    script = """
        import json, os
        def model_fn(model_dir): return model_dir
        def transform_fn(model, body, content_type, accept):
            return json.dumps([model, os.environ["MINE"], os.environ["SM_MODEL_DIR"], os.path.exists(body)])
    """
    body = packed(code__inference_dot_py=source(script))
    assert deploy(hosting, "inside", body, MINE="here")["EndpointStatus"] == "InService"
    seen = json.loads(ask(hosting, "inside", str(hosting.server.data).encode())["Body"])
    assert seen == ["/opt/ml/model", "here", "/opt/ml/model", False]


def test_a_worker_that_is_killed_from_inside_costs_one_request(hosting: Hosting) -> None:
    script = """
        import os
        def model_fn(model_dir): return os.getpid()
        def transform_fn(model, body, content_type, accept):
            if body == "die": os.kill(os.getpid(), 9)
            return "alive"
    """
    body = packed(code__inference_dot_py=source(script))
    described = deploy(hosting, "dying", body, SAGEMAKER_MODEL_SERVER_WORKERS="1")
    assert described["EndpointStatus"] == "InService"
    with pytest.raises(ClientError, match="SIGKILL"):
        ask(hosting, "dying", b"die")
    assert ask(hosting, "dying", b"live")["Body"] == b"alive"


STREAM = """
    import time
    def model_fn(model_dir): return 0
    def transform_fn(model, body, content_type, accept):
        def pieces():
            for number in range(int(body)):
                yield f"piece {number};"
                time.sleep(0.5)
            if number == 1: raise ValueError("no third piece")
        return pieces()
"""


def test_invoke_endpoint_with_response_stream_passes_each_piece_on_as_the_handler_yields_it(hosting: Hosting) -> None:
    body = packed(code__inference_dot_py=source(STREAM))
    assert deploy(hosting, "streaming", body)["EndpointStatus"] == "InService"
    call = hosting.runtime.invoke_endpoint_with_response_stream
    answer = call(EndpointName="streaming", ContentType="text/csv", Accept="text/plain", Body=b"4")
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("text/plain", "AllTraffic")
    pieces = [(time.monotonic(), event["PayloadPart"]["Bytes"]) for event in answer["Body"]]
    assert [piece for _, piece in pieces] == [b"piece %d;" % number for number in range(4)]
    assert pieces[-1][0] - pieces[0][0] > 1.0  # the first was here long before the last was made
    assert ask(hosting, "streaming", b"3")["Body"] == b"piece 0;piece 1;piece 2;"
    broken = call(EndpointName="streaming", ContentType="text/csv", Body=b"2")
    with pytest.raises(EventStreamError, match="no third piece") as caught:
        list(broken["Body"])
    broken["Body"].close()
    assert "ModelStreamError" in str(caught.value)
    with pytest.raises(hosting.runtime.exceptions.ModelError, match="invalid literal"):
        call(EndpointName="streaming", ContentType="text/csv", Body=b"x")
    with pytest.raises(ClientError, match="not found"):
        call(EndpointName="nowhere", Body=b"1")


def test_invoke_endpoint_with_response_stream_of_a_whole_answer_gives_its_bytes(hosting: Hosting) -> None:
    hosting.deploy("whole")
    table = rows(100)
    answer = hosting.runtime.invoke_endpoint_with_response_stream(
        EndpointName="whole", ContentType="text/csv", Body=csv(table)
    )
    body = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"])
    assert np.allclose([float(word) for word in body.split(b",")], expected(table), atol=1e-6)
