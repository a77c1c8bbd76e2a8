"""LitServe: one worker, no batching window (a window adds latency and was slower here), JSON as its documents show. PORT names the port."""

import os

import booster
import litserve
import numpy


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = booster.load()

    def decode_request(self, request: dict) -> numpy.ndarray:
        return numpy.array(request["instances"], dtype=numpy.float32)

    def predict(self, rows: numpy.ndarray) -> numpy.ndarray:
        return self.model.inplace_predict(rows)

    def encode_response(self, answers: numpy.ndarray) -> dict:
        return {"predictions": answers.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Api(api_path="/invocations"), accelerator="cpu", workers_per_device=1)
    server.run(
        port=int(os.environ["PORT"]), host="127.0.0.1", log_level="error", generate_client_file=False, num_api_servers=1
    )
