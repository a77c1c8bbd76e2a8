"""FastAPI on uvicorn, as its users write it: the body raw, one prediction a request."""

from __future__ import annotations

import booster
from fastapi import FastAPI, Request, Response

model = booster.load()
app = FastAPI()


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {}


@app.post("/invocations")
async def invocations(request: Request) -> Response:
    answers = model.inplace_predict(booster.rows(await request.body()))
    return Response(booster.text(answers), media_type="text/csv")
