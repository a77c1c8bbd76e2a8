"""The model server as a process of its own, spoken to over its socket; answers beside the bare library's."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy
import pytest
import xgboost

from kenja_worker.modelserver import batching, frames
from kenja_worker.modelserver.frames import Frame, FrameReader, Kind
from kenja_worker.modelserver.handler import Answer, Handler, Invocation, Refused

WIDTH = 4
ROWS = numpy.random.default_rng(1).normal(size=(200, WIDTH)).astype(numpy.float32)


def booster(objective: str = "binary:logistic", **parameters: object) -> xgboost.Booster:
    labels = numpy.digitize(ROWS[:, 0] - ROWS[:, 1], [-1, 1]) if "num_class" in parameters else ROWS[:, 0] > ROWS[:, 1]
    return xgboost.train({"objective": objective, "nthread": 1, **parameters}, xgboost.DMatrix(ROWS, labels), 8)


@contextmanager
def running(folder: Path, model: xgboost.Booster) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    folder.mkdir(exist_ok=True)
    (folder / "model").mkdir()
    (folder / "model" / "xgboost-model").write_bytes(model.save_raw("ubj"))
    path = folder / "m.sock"
    command = [sys.executable, "-m", "kenja_worker.modelserver", "--socket", str(path)]
    command += ["--algorithm", "xgboost", "--model", str(folder / "model")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not path.exists():
                assert process.poll() is None, process.stderr and process.stderr.read()
                time.sleep(0.01)
            yield path, process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running(tmp_path_factory.mktemp("served"), booster()) as (path, process):
        yield path
        assert process.poll() is None, "the server died of what the tests sent it"


class Peer:
    """A blocking client: sends frames and collects answers by id."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.reader = FrameReader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.socket.close()

    def send(self, *requests: Frame) -> None:
        self.socket.sendall(b"".join(frames.encode(request) for request in requests))

    def receive(self, count: int) -> dict[int, Frame]:
        answers: dict[int, Frame] = {}
        while len(answers) < count:
            data = self.socket.recv(1 << 16)
            assert data, "the server closed the connection"
            answers.update((answer.id, answer) for answer in self.reader.feed(data))
        return answers

    def ask(self, body: bytes, content_type: bytes = b"text/csv", accept: bytes = b"") -> Frame:
        self.send(Frame(5, Kind.INVOKE, body, content_type, accept))
        return self.receive(1)[5]


def csv(rows: numpy.ndarray) -> bytes:
    return "\n".join(",".join("" if numpy.isnan(cell) else repr(float(cell)) for cell in row) for row in rows).encode()


def expected(rows: numpy.ndarray, model: xgboost.Booster | None = None) -> list[float]:
    return (model or booster()).predict(xgboost.DMatrix(rows)).tolist()


def test_csv_rows_are_answered_in_one_comma_separated_line(served: Path) -> None:
    with Peer(served) as peer:
        for rows in (ROWS[:1], ROWS[:3]):
            for body in (csv(rows), csv(rows) + b"\n", csv(rows).replace(b"\n", b"\r\n")):
                answer = peer.ask(body)
                assert (answer.status, answer.kind, answer.content_type) == (
                    200,
                    Kind.ANSWER,
                    b"text/csv; charset=utf-8",
                )
                assert [float(value) for value in answer.body.split(b",")] == pytest.approx(expected(rows), abs=1e-6)


def test_missing_values_are_missing(served: Path) -> None:
    rows = ROWS[:4].copy()
    rows[0, 0] = rows[1, 3] = rows[2, 1] = numpy.nan
    with Peer(served) as peer:
        for body in (csv(rows), csv(rows).replace(b",,", b",nan,")):
            assert [float(value) for value in peer.ask(body).body.split(b",")] == pytest.approx(
                expected(rows), abs=1e-6
            )
        lists = [[None if numpy.isnan(cell) else float(cell) for cell in row] for row in rows]
        answer = peer.ask(json.dumps(lists).encode(), b"application/json")
        assert [one["score"] for one in json.loads(answer.body)["predictions"]] == pytest.approx(
            expected(rows), abs=1e-6
        )


@pytest.mark.parametrize(
    "shape",
    [
        lambda rows: {"instances": [{"features": row} for row in rows]},
        lambda rows: {"instances": rows},
        lambda rows: rows,
        lambda rows: [{"features": row} for row in rows],
    ],
)
def test_json_forms_are_the_same_rows(served: Path, shape: object) -> None:
    with Peer(served) as peer:
        body = json.dumps(shape(ROWS[:3].tolist())).encode()
        answer = peer.ask(body, b"application/json; charset=utf-8")
        assert (answer.status, answer.content_type) == (200, b"application/json")
        scores = [one["score"] for one in json.loads(answer.body)["predictions"]]
        assert scores == pytest.approx(expected(ROWS[:3]), abs=1e-6)
        as_csv = peer.ask(body, b"application/json", b"text/csv")
        assert [float(value) for value in as_csv.body.split(b",")] == pytest.approx(scores)


def test_one_flat_json_list_is_one_row(served: Path) -> None:
    with Peer(served) as peer:
        answer = peer.ask(json.dumps(ROWS[0].tolist()).encode(), b"application/json", b"*/*")
        assert json.loads(answer.body)["predictions"][0]["score"] == pytest.approx(expected(ROWS[:1])[0], abs=1e-6)


def test_accept_decides_the_form(served: Path) -> None:
    with Peer(served) as peer:
        assert peer.ask(csv(ROWS[:1]), accept=b"application/json").content_type == b"application/json"
        assert peer.ask(csv(ROWS[:1]), accept=b"*/*").content_type.startswith(b"text/csv")
        assert peer.ask(csv(ROWS[:1]), b"", b"").status == 200
        refused = peer.ask(csv(ROWS[:1]), accept=b"image/png")
        assert (refused.status, b"image/png" in refused.body) == (406, True)


GOOD = b"1,2,3,4"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "sentence"),
    [
        (b"", b"text/csv", 400, b"empty"),
        (b" \n\n", b"text/csv", 400, b"empty"),
        (b"1,2,3", b"text/csv", 400, b"3 features; the model was trained with 4"),
        (b"1,2,3,4,5", b"text/csv", 400, b"5 features"),
        (GOOD + b"\n1,2", b"text/csv", 400, b"Row 2 has 2 values, row 1 has 4"),
        (b"a,b,c,d\n" + GOOD, b"text/csv", 400, b"Row 1: 'a' is not a number"),
        (GOOD + b"\n1,2,x,4", b"text/csv", 400, b"Row 2: 'x'"),
        (b"1,2,3,true", b"text/csv", 400, b"'true'"),
        (b"1,2,3,inf", b"text/csv", 400, b"too large"),
        (b"1,2,3,1e39", b"text/csv", 400, b"too large"),
        (b"1,2,3,1_0", b"text/csv", 400, b"'1_0'"),
        (b"\xff\xfe\x00,2,3,4", b"text/csv", 400, b"not a number"),
        (b"{", b"application/json", 400, b"not JSON"),
        (b"[" * 100_000, b"application/json", 400, b"JSON"),
        (b"{}", b"application/json", 400, b"instances"),
        (b"[]", b"application/json", 400, b"instances"),
        (b"3", b"application/json", 400, b"instances"),
        (b'{"instances": 3}', b"application/json", 400, b"instances"),
        (b'{"instances": [{"values": [1]}]}', b"application/json", 400, b"Instance 1"),
        (b'{"instances": [[1, 2, 3, "4"]]}', b"application/json", 400, b'"4" is not a number'),
        (b'{"instances": [[1, 2, 3, true]]}', b"application/json", 400, b"true is not a number"),
        (b"[[1,2,3,4],[1,2,3]]", b"application/json", 400, b"Row 2 has 3 values"),
        (b"[[]]", b"application/json", 400, b"0 features"),
        (b"[[1,2,3,1" + b"0" * 400 + b"]]", b"application/json", 400, b""),
        (GOOD, b"application/x-recordio-protobuf", 400, b"request ends within a record"),
        (GOOD, b"text/libsvm", 400, b"request, line 1: '"),
        (GOOD, b"application/x-parquet", 415, b"application/x-parquet is not supported"),
        (GOOD, b"\xff\xfe", 415, b"not supported"),
    ],
)
def test_bad_input_gets_a_status_and_a_sentence(
    served: Path, body: bytes, content_type: bytes, status: int, sentence: bytes
) -> None:
    with Peer(served) as peer:
        answer = peer.ask(body, content_type)
        assert (answer.status, answer.kind) == (status, Kind.ANSWER)
        assert sentence in answer.body
        assert peer.ask(GOOD).status == 200


def test_many_requests_in_flight_each_get_their_own_answer(served: Path) -> None:
    """Good and bad ones mixed over several connections: a batch never mixes rows up."""
    everyone = [Peer(served) for _ in range(4)]
    truth = expected(ROWS)
    for number, peer in enumerate(everyone):
        requests = [Frame(row, Kind.INVOKE, csv(ROWS[row : row + 2]), b"text/csv") for row in range(number, 190, 7)]
        bad = [Frame(1000 + row, Kind.INVOKE, b"1,x", b"text/csv") for row in range(5)]
        peer.send(*[one for pair in zip(requests, bad * 10, strict=False) for one in pair][: 2 * len(requests)])
    for number, peer in enumerate(everyone):
        rows = range(number, 190, 7)
        answers = peer.receive(len(rows) + 5)
        for row in rows:
            assert [float(value) for value in answers[row].body.split(b",")] == pytest.approx(
                truth[row : row + 2], abs=1e-6
            )
        assert [answers[1000 + row].status for row in range(5)] == [400] * 5
        peer.socket.close()


def test_ping_is_answered(served: Path) -> None:
    with Peer(served) as peer:
        peer.send(Frame(3, Kind.PING))
        assert peer.receive(1)[3] == Frame(3, Kind.PONG, status=200)


def test_a_large_request_is_answered_as_the_library_does(served: Path) -> None:
    rows = numpy.tile(ROWS, (300, 1))
    with Peer(served) as peer:
        answer = peer.ask(csv(rows))
        assert [float(value) for value in answer.body.split(b",")] == pytest.approx(expected(ROWS) * 300, abs=1e-6)


def test_rubbish_closes_that_connection_only(served: Path) -> None:
    with Peer(served) as good, Peer(served) as bad, Peer(served) as half:
        half.socket.sendall(frames.encode(Frame(1, Kind.INVOKE, GOOD, b"text/csv"))[:20])
        bad.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert bad.socket.recv(100) == b""
        assert good.ask(GOOD).status == 200
        half.socket.sendall(frames.encode(Frame(1, Kind.INVOKE, GOOD, b"text/csv"))[20:])
        assert half.receive(1)[1].status == 200


def test_a_peer_that_goes_away_or_does_not_read_harms_nobody(served: Path) -> None:
    lazy = Peer(served)
    lazy.send(*[Frame(number, Kind.INVOKE, csv(ROWS), b"text/csv") for number in range(300)])
    gone = Peer(served)
    gone.send(*[Frame(number, Kind.INVOKE, csv(ROWS), b"text/csv") for number in range(50)])
    gone.socket.close()
    with Peer(served) as peer:
        assert peer.ask(GOOD).status == 200
    assert len(lazy.receive(300)) == 300
    lazy.socket.close()


def test_a_model_of_several_classes_answers_a_row_of_scores(tmp_path: Path) -> None:
    model = booster("multi:softprob", num_class=3)
    with running(tmp_path, model) as (path, _), Peer(path) as peer:
        truth = model.predict(xgboost.DMatrix(ROWS[:2]))
        assert numpy.allclose(json.loads(b"[" + peer.ask(csv(ROWS[:2])).body + b"]"), truth, atol=1e-6)
        scores = json.loads(peer.ask(csv(ROWS[:2]), accept=b"application/json").body)["predictions"]
        assert numpy.allclose([one["score"] for one in scores], truth, atol=1e-6)


def test_sigterm_answers_what_has_arrived_and_ends_well(tmp_path: Path) -> None:
    with running(tmp_path, booster()) as (path, process), Peer(path) as peer:
        assert (path.stat().st_mode & 0o777) == 0o600
        assert peer.ask(GOOD).status == 200
        process.send_signal(signal.SIGSTOP)
        peer.send(*[Frame(number, Kind.INVOKE, GOOD, b"text/csv") for number in range(20)])
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        assert len(peer.receive(20)) == 20
        assert process.wait(timeout=20) == 0
        assert not path.exists()


@pytest.mark.parametrize(
    ("content", "algorithm", "sentence"),
    [
        (None, "xgboost", "holds nothing"), (b"rubbish", "xgboost", "not a model"), (b"\x80\x04x", "xgboost", "pickle"),
        (b"{L", "xgboost", "not a model"), (b"x", "nothing", "no built-in algorithm 'nothing'"),
    ],
)  # fmt: skip
def test_a_server_without_a_model_ends_with_a_sentence(
    tmp_path: Path, content: bytes | None, algorithm: str, sentence: str
) -> None:
    if content is not None:
        (tmp_path / "xgboost-model").write_bytes(content)
    command = [sys.executable, "-m", "kenja_worker.modelserver", "--socket", str(tmp_path / "s")]
    command += ["--algorithm", algorithm, "--model", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=os.environ)
    assert (done.returncode, (tmp_path / "s").exists()) == (1, False)
    assert done.stderr.startswith("ClientError: ")
    assert sentence in done.stderr


class Adding:
    """A small real handler: the answer is the sum of a row; 13 is too much for it, in a batch or alone."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def decode(self, invocation: Invocation) -> list[int]:
        if invocation.body == b"refuse":
            raise Refused(422, "no")
        return [int(field) for field in invocation.body.split(b",")]

    def join(self, batch: list[list[int]]) -> list[int]:
        return [value for rows in batch for value in rows]

    def predict(self, rows: list[int]) -> list[int]:
        self.batches.append(len(rows))
        if 13 in rows:
            raise ArithmeticError("thirteen")
        return [value + 1 for value in rows]

    def encode(self, answers: list[int], invocation: Invocation) -> Answer:
        return Answer(b",".join(b"%d" % value for value in answers), invocation.accept)


def ask(handler: Handler, *bodies: bytes) -> list[tuple[int, bytes]]:
    requests = [Frame(number, Kind.INVOKE, body) for number, body in enumerate(bodies)]
    answers = batching.answer_all(handler, requests)
    assert [answer.id for answer in answers] == list(range(len(bodies)))
    return [(answer.status, answer.body) for answer in answers]


def test_what_waits_is_one_prediction() -> None:
    handler = Adding()
    assert ask(handler, b"1", b"2,3", b"4") == [(200, b"2"), (200, b"3,4"), (200, b"5")]
    assert handler.batches == [4]


def test_a_batch_is_bounded() -> None:
    handler = Adding()
    body = b",".join([b"1"] * 40_000)
    ask(handler, body, body, b"5")
    assert handler.batches == [40_000, 40_001]


def test_one_failing_request_fails_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(Adding(), b"1", b"13", b"refuse", b"x", b"2") == [
        (200, b"2"),
        (500, b"The model failed on this request: ArithmeticError: thirteen"),
        (422, b"no"),
        (500, b"The model failed on this request: ValueError: invalid literal for int() with base 10: b'x'"),
        (200, b"3"),
    ]
    assert "ArithmeticError: thirteen" in capsys.readouterr().err
