"""BentoML: one worker, its text route, no adaptive batching (that one rejects requests under load)."""

import bentoml
import booster


@bentoml.service(workers=1, traffic={"timeout": 10}, metrics={"enabled": False})
class Service:
    def __init__(self) -> None:
        self.model = booster.load()

    @bentoml.api(route="/invocations")
    def invocations(self, payload: str, /) -> str:
        return booster.text(self.model.inplace_predict(booster.rows(payload.encode())))
