"""moto's side of bench/wire.py, run by the interpreter of an environment that has moto: reads a pickle, prints JSON. No Kenja here."""

from __future__ import annotations

import json
import pickle
import sys
from typing import Any

from measure import microseconds
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.responses import XFormedAttributePicker
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.datastructures import Headers, MultiDict


def call(case: dict[str, Any]) -> Any:
    """A function that parses the request and serialises the result as moto does; its models are kept between calls."""
    model = get_service_model(case["service"])
    operation = model.operation_model(case["operation"])
    parser, serializer = PROTOCOL_PARSERS[case["protocol"]], get_serializer_class(case["service"], case["protocol"])
    arguments = case["form"] if case["protocol"] == "query" else case["query"]

    def run() -> None:
        request = {
            "method": case["method"], "url_path": case["path"], "url_params": case["labels"], "body": case["body"],
            "headers": Headers(case["headers"]), "values": MultiDict(arguments),
        }  # fmt: skip
        parser(operation).parse(request)
        result = dict(case["result"])
        if case["events"]:
            result[case["events"][0]] = iter(case["events"][1])
        written = serializer(operation_model=operation, value_picker=XFormedAttributePicker(response_transformers=None))
        body = written.serialize(result)["body"]
        if not isinstance(body, (str, bytes)):
            for _ in body:
                pass

    return run


def main() -> None:
    cases, seconds = pickle.loads(sys.stdin.buffer.read())
    found: dict[str, float | str] = {}
    for case in cases:
        try:
            found[case["name"]] = microseconds(call(case), seconds)
        except KeyError as missing:  # a protocol that moto does not have
            found[case["name"]] = f"not supported: {missing}"
    print(json.dumps(found))


if __name__ == "__main__":
    main()
