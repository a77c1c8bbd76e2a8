"""MLServer: a custom runtime behind its V2 protocol, in its own process (parallel_workers=0, its fastest set-up here)."""

import booster
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Runtime(MLModel):
    async def load(self) -> bool:
        self.model = booster.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        answers = self.model.inplace_predict(rows.astype("float32"))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("scores", answers)])
