"""The model of the bench and its answer to one CSV body: the same few lines for every peer. MODEL names the file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy
import orjson
import xgboost


def load() -> xgboost.Booster:
    booster = xgboost.Booster()
    booster.load_model(bytearray(Path(os.environ["MODEL"]).read_bytes()))
    booster.set_param({"nthread": 1})
    return booster


def rows(body: bytes) -> numpy.ndarray:
    """(rows, features) float32."""
    return numpy.array(orjson.loads(b"[[" + body.replace(b"\n", b"],[") + b"]]"), dtype=numpy.float32)


def text(answers: numpy.ndarray) -> str:
    return ",".join(map(str, numpy.asarray(answers).tolist()))
