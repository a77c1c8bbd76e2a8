"""The defaults of AWS's scikit-learn container: 32-bit floats in, `model.predict`, JSON, CSV or NPY out."""

from __future__ import annotations

from typing import Any

from kenja_worker.modelserver import contents
from kenja_worker.modelserver.frameworks import Framework, no_model_fn


class ScikitLearn:
    """See `Framework`."""

    def model_fn(self, model_dir: str) -> Any:
        no_model_fn()

    def input_fn(self, body: str | bytes, content_type: str) -> Any:
        array = contents.decode(body, content_type)
        return array.astype("float32") if contents.media_type(content_type) in contents.TEXTS else array

    def predict_fn(self, data: Any, model: Any) -> Any:
        return model.predict(data)

    def output_fn(self, prediction: Any, accept: str) -> str | bytes:
        return contents.encode(prediction, accept)


FRAMEWORK: Framework = ScikitLearn()
