"""Users' own handlers in the model server, as AWS's inference toolkits call them; a process of its own, spoken to over its socket."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import numpy
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression

from kenja_worker.modelserver.frames import Frame, Kind
from tests.worker.test_modelserver import Peer

ROWS = numpy.random.default_rng(2).normal(size=(60, 3)).astype(numpy.float32)
LABELS = (ROWS[:, 0] > ROWS[:, 1]).astype(int)
ECHO = """
    import json, os
    def model_fn(model_dir):
        return sorted(os.listdir(model_dir))
    def transform_fn(model, body, content_type, accept):
        return json.dumps([model, body if isinstance(body, str) else body.hex(), content_type, accept])
"""


@contextmanager
def serving(
    folder: Path, script: str, framework: str = "sklearn", **variables: str
) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A server whose base folder is `folder`: the script in model/code, whatever the test put in model beside it."""
    (folder / "model" / "code").mkdir(parents=True, exist_ok=True)
    (folder / "model" / "code" / "inference.py").write_text(dedent(script))
    path = folder / "m.sock"
    command = [sys.executable, "-m", "kenja_worker.modelserver", "--socket", str(path), "--framework", framework]
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(folder), "SAGEMAKER_MODEL_SERVER_WORKERS": "1", **variables}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            while not path.exists() and process.poll() is None:
                time.sleep(0.01)
            yield path, process
        finally:
            process.kill()


def ask(
    path: Path, body: bytes, content_type: bytes = b"application/json", accept: bytes = b"", **more: bytes
) -> Frame:
    with Peer(path) as peer:
        peer.send(Frame(7, Kind.INVOKE, body, content_type, accept, **more))
        return peer.receive(1)[7]


def trained(folder: Path) -> LogisticRegression:
    model = LogisticRegression().fit(ROWS, LABELS)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "model.pickle").write_bytes(pickle.dumps(model))
    return model


PICKLED = """
    import os, pickle
    def model_fn(model_dir):
        with open(os.path.join(model_dir, "model.pickle"), "rb") as file:
            return pickle.load(file)
"""


def test_a_script_with_model_fn_alone_has_the_defaults_of_scikit_learns_container(tmp_path: Path) -> None:
    model = trained(tmp_path)
    truth = model.predict(ROWS[:5]).tolist()
    csv = "\n".join(",".join(map(repr, map(float, row))) for row in ROWS[:5]).encode()
    packed = io.BytesIO()
    numpy.save(packed, ROWS[:5])
    with serving(tmp_path, PICKLED) as (path, _):
        assert json.loads(ask(path, json.dumps(ROWS[:5].tolist()).encode()).body) == truth
        assert json.loads(ask(path, csv, b"text/csv").body) == truth
        assert ask(path, csv, b"text/csv", b"text/csv").body == b"".join(b"%d\n" % label for label in truth)
        answer = ask(path, packed.getvalue(), b"application/x-npy", b"application/x-npy")
        assert (answer.status, answer.content_type) == (200, b"application/x-npy")
        assert numpy.load(io.BytesIO(answer.body)).tolist() == truth
        one = ask(path, csv.partition(b"\n")[0], b"text/csv")
        assert json.loads(one.body) == truth[:1]


def test_unknown_types_are_answered_as_the_container_does(tmp_path: Path) -> None:
    trained(tmp_path)
    with serving(tmp_path, PICKLED) as (path, _):
        refused = ask(path, b"<x/>", b"application/xml")
        assert refused.status == 415
        assert json.loads(refused.body)["error"] == "UnsupportedFormat"
        assert "application/xml" in json.loads(refused.body)["error-message"]
        unacceptable = ask(path, json.dumps(ROWS[:1].tolist()).encode(), accept=b"image/png")
        assert unacceptable.status == 406


def test_a_pickle_in_a_request_is_never_loaded(tmp_path: Path) -> None:
    trained(tmp_path)
    packed = io.BytesIO()
    numpy.save(packed, numpy.array([{"x": 1}], dtype=object), allow_pickle=True)
    with serving(tmp_path, PICKLED) as (path, _):
        answer = ask(path, packed.getvalue(), b"application/x-npy")
        assert answer.status == 500
        assert b"allow_pickle" in answer.body


def test_transform_fn_sees_model_text_types_and_default_accept(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv") as (path, _):
        assert json.loads(ask(path, b"1,2", b"text/csv; charset=utf-8").body) == [
            ["code"], "1,2", "text/csv; charset=utf-8", "text/csv"
        ]  # fmt: skip
        assert json.loads(ask(path, b"\xff", b"image/x", b"a/b").body) == [["code"], "ff", "image/x", "a/b"]


def test_every_step_of_a_script_is_its_own(tmp_path: Path) -> None:
    script = """
        def model_fn(model_dir): return 10
        def input_fn(body, content_type): return [int(word) for word in body.split(";")]
        def predict_fn(data, model): return [model * value for value in data]
        def output_fn(prediction, accept): return ";".join(map(str, prediction)), "text/x-mine"
    """
    with serving(tmp_path, script) as (path, _):
        answer = ask(path, b"1;2;3", b"text/csv")
        assert (answer.body, answer.content_type) == (b"10;20;30", b"text/x-mine")


def test_a_handler_may_take_the_context(tmp_path: Path) -> None:
    script = """
        def model_fn(model_dir, context): return context.system_properties["model_dir"] == model_dir
        def transform_fn(model, body, content_type, accept, context):
            assert model
            context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "seen")
            return context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")
    """
    with serving(tmp_path, script) as (path, _):
        answer = ask(path, b"{}", custom_attributes=b"trace=9")
        assert (answer.status, answer.body, answer.custom_attributes) == (200, b"trace=9", b"seen")


def test_an_exception_is_a_500_with_its_traceback_in_the_log(tmp_path: Path) -> None:
    script = """
        class Refusal(Exception):
            status_code = 422
        def model_fn(model_dir): return {}
        def predict_fn(data, model):
            if data.sum() > 5: raise Refusal("too much")
            return model["no such key"]
    """
    with serving(tmp_path, script) as (path, process):
        broken = ask(path, b"[[1]]")
        assert broken.status == 500
        assert broken.body.startswith(b"'no such key'\nTraceback")
        assert ask(path, b"[[9]]").status == 422
        assert ask(path, b"{").status == 500
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
        assert process.returncode == 0
        assert 'return model["no such key"]' in log
        assert "KeyError" in log


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("def model_fn(model_dir): raise RuntimeError('no weights')", "RuntimeError: no weights"),
        ("def predict_fn(data, model): return data", "has no model_fn"),
        ("def model_fn(d): return 1\ndef transform_fn(m, b, c, a): return b\ndef input_fn(b, c): return b", "Cannot use transform_fn"),
        ("def model_fn(model_dir):\n    import sys; sys.exit(3)", ""),
    ],
)  # fmt: skip
def test_a_script_that_can_not_load_ends_the_server_with_its_reason_last(
    tmp_path: Path, script: str, sentence: str
) -> None:
    with serving(tmp_path, script) as (path, process):
        _, log = process.communicate(timeout=60)
        assert (process.returncode, path.exists()) == (1, False)
        assert sentence in log.strip().rpartition("\n")[2]


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO, framework="xgboost") as (path, _):
        assert path.exists()
    command = [
        sys.executable,
        "-m",
        "kenja_worker.modelserver",
        "--socket",
        str(tmp_path / "n"),
        "--framework",
        "sklearn",
    ]
    done = subprocess.run(
        [*command, "--program", "other.py"], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "There is no other.py in the model's code; it holds inference.py." in done.stderr


def test_the_defaults_of_the_xgboost_container(tmp_path: Path) -> None:
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(ROWS, ROWS[:, 0] * 3), 5)
    (tmp_path / "model").mkdir()
    booster.save_model(tmp_path / "model" / "m.json")
    script = """
        import os, xgboost
        def model_fn(model_dir):
            booster = xgboost.Booster()
            booster.load_model(os.path.join(model_dir, "m.json"))
            return booster
    """
    table = ROWS[:4].copy()
    table[1, 2] = numpy.nan
    truth = booster.predict(xgboost.DMatrix(table))
    csv = "\n".join(",".join("" if numpy.isnan(cell) else repr(float(cell)) for cell in row) for row in table).encode()
    libsvm = "\n".join(
        "0 " + " ".join(f"{place}:{float(cell)!r}" for place, cell in enumerate(row) if not numpy.isnan(cell))
        for row in table
    ).encode()
    with serving(tmp_path, script, "xgboost") as (path, _):
        assert numpy.allclose(json.loads(ask(path, csv, b"text/csv").body), truth)
        assert numpy.allclose(json.loads(ask(path, csv.replace(b",", b"\t"), b"text/csv").body), truth)
        assert numpy.allclose(json.loads(ask(path, libsvm, b"text/libsvm").body), truth)
        lines = ask(path, csv, b"text/csv", b"text/csv").body.split()
        assert numpy.allclose([float(line) for line in lines], truth)
        assert ask(path, b"[[1,2,3]]").status == 415


def test_requests_run_side_by_side_in_as_many_workers_as_are_wished(tmp_path: Path) -> None:
    script = """
        import os, time
        def model_fn(model_dir): return os.getpid()
        def transform_fn(model, body, content_type, accept):
            time.sleep(1.0)
            return str(model)
    """
    with serving(tmp_path, script, SAGEMAKER_MODEL_SERVER_WORKERS="3") as (path, _), Peer(path) as peer:
        deadline = time.monotonic() + 60
        while True:  # the second and third worker start after the socket has appeared
            peer.send(*[Frame(number, Kind.INVOKE, b"{}") for number in range(3)])
            if len({answer.body for answer in peer.receive(3).values()}) == 3:
                break
            assert time.monotonic() < deadline


def test_a_worker_that_dies_costs_its_own_request_only_and_is_replaced(tmp_path: Path) -> None:
    script = """
        import os
        def model_fn(model_dir): return os.getpid()
        def transform_fn(model, body, content_type, accept):
            if body == '"die"': os._exit(9)
            return str(os.getpid())
    """
    with serving(tmp_path, script) as (path, process), Peer(path) as peer:
        peer.send(Frame(1, Kind.INVOKE, b'"a"'), Frame(2, Kind.INVOKE, b'"die"'), Frame(3, Kind.INVOKE, b'"b"'))
        answers = peer.receive(3)
        assert [answers[number].status for number in (1, 2, 3)] == [200, 500, 200]
        assert answers[1].body != answers[3].body
        assert b"ended with exit code 9" in answers[2].body
        assert process.poll() is None


def test_a_worker_that_hangs_is_killed_and_pings_are_answered_meanwhile(tmp_path: Path) -> None:
    script = """
        import time
        def model_fn(model_dir): return 0
        def transform_fn(model, body, content_type, accept):
            time.sleep(600 if body == '"hang"' else 0)
            return body
    """
    with serving(tmp_path, script, SAGEMAKER_MODEL_SERVER_TIMEOUT="1") as (path, _), Peer(path) as peer:
        peer.send(Frame(1, Kind.INVOKE, b'"hang"'), Frame(2, Kind.PING))
        assert peer.receive(1)[2].kind is Kind.PONG
        answer = peer.receive(1)[1]
        assert answer.status == 500
        assert b"SIGKILL" in answer.body
        peer.send(Frame(3, Kind.INVOKE, b'"well"'))
        assert peer.receive(1)[3].body == b'"well"'


def test_sigterm_lets_a_running_request_end(tmp_path: Path) -> None:
    script = """
        import time
        def model_fn(model_dir): return 0
        def transform_fn(model, body, content_type, accept):
            print("at work", flush=True)
            time.sleep(1)
            return "done"
    """
    with serving(tmp_path, script) as (path, process), Peer(path) as peer:
        assert process.stdout is not None
        peer.send(Frame(1, Kind.INVOKE, b"{}"), Frame(2, Kind.INVOKE, b"{}"))
        while "at work" not in process.stdout.readline():
            continue
        process.send_signal(signal.SIGTERM)
        answers = peer.receive(2)
        assert {answer.body for answer in answers.values()} == {b"done"}
        assert process.wait(timeout=30) == 0
