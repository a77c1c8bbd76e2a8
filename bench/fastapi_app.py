"""The peer of bench/serving.py: the same model behind FastAPI and uvicorn, as its users write it. MODEL names the file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy
import orjson
import xgboost
from fastapi import FastAPI, Request, Response

booster = xgboost.Booster()
booster.load_model(bytearray(Path(os.environ["MODEL"]).read_bytes()))
booster.set_param({"nthread": 1})
app = FastAPI()


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {}


@app.post("/invocations")
async def invocations(request: Request) -> Response:
    body = await request.body()
    rows = numpy.array(orjson.loads(b"[[" + body.replace(b"\n", b"],[") + b"]]"), dtype=numpy.float32)
    answers = booster.inplace_predict(rows)
    return Response(",".join(map(str, answers.tolist())), media_type="text/csv")
