"""The context that handlers may take as their last argument: the request's headers, and what to answer beside the body."""

from __future__ import annotations

from typing import Any

from kenja_worker.modelserver.frames import Frame

CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"


class RequestContext:
    """One for all requests of a worker, which has one at a time. Its methods are those of the model servers in AWS's containers."""

    def __init__(self, model_dir: str) -> None:
        self.system_properties: dict[str, Any] = {"model_dir": model_dir, "gpu_id": None, "batch_size": 1}
        self.content_type = ""
        self.status = 0
        self.answered: dict[str, str] = {}
        self._asked: dict[str, str] = {}

    def begin(self, request: Frame, content_type: str, accept: str) -> None:
        """Forget the request before."""
        self._asked = {"content-type": content_type, "accept": accept}
        if request.custom_attributes:
            self._asked[CUSTOM_ATTRIBUTES] = request.custom_attributes.decode("latin-1")
        self._asked |= {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers}
        self.answered = {}
        self.content_type, self.status = "", 0

    def get_request_header(self, _index: int, name: str) -> str | None:
        return self._asked.get(name.lower())

    def get_all_request_header(self, _index: int = 0) -> dict[str, str]:
        return dict(self._asked)

    def set_response_content_type(self, _index: int, value: str) -> None:
        self.content_type = value

    def set_response_header(self, _index: int, name: str, value: str) -> None:
        self.answered[name.lower()] = value

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        del phrase, idx  # the phrase of a status line is not sent on
        self.status = code
