"""Models of XGBoost at an endpoint: a model of several folds, requests as libsvm and RecordIO, answers selected by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xgboost
from botocore.exceptions import ClientError

from kenja_worker.algorithms.channels import record, recordio
from tests.conftest import RunningServer
from tests.services.sagemaker import endpoints
from tests.services.sagemaker.endpoints import open_hosting


def test_folds_answer_together_what_was_selected(server: RunningServer) -> None:
    hosting = open_hosting(server, server.new_account())
    boosters = [endpoints.booster(seed) for seed in range(3)]
    files = {f"xgboost__model__{number}": bytes(one.save_raw("ubj")) for number, one in enumerate(boosters)}
    container = hosting.container(
        endpoints.archive(**files), Environment={"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label,probability"}
    )
    hosting.deploy("folds", PrimaryContainer=container)
    table = endpoints.rows(4).astype(np.float32)
    shares = np.mean([one.predict(xgboost.DMatrix(table)) for one in boosters], axis=0)
    bodies = {
        "text/csv": endpoints.csv(table),
        "text/libsvm": b"\n".join(b" ".join(b"%d:%.9g" % pair for pair in enumerate(row)) for row in table.tolist()),
        "application/x-recordio-protobuf": b"".join(map(recordio.frame, record.dense(table))),
    }
    for kind, body in bodies.items():
        answer = hosting.runtime.invoke_endpoint(
            EndpointName="folds", ContentType=kind, Accept="application/json", Body=body
        )
        found = json.loads(answer["Body"].read())["predictions"]
        assert [row["predicted_label"] for row in found] == [int(share > 0.5) for share in shares]
        assert [row["probability"] for row in found] == pytest.approx(shares.tolist(), abs=1e-5)
    with pytest.raises(ClientError, match="request, line 1: 'x' is not a number"):
        hosting.runtime.invoke_endpoint(EndpointName="folds", ContentType="text/libsvm", Body=b"x")
