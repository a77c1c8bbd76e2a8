"""CPU of the wire layer alone, parse and serialise in process, beside moto's core in the same run.

usage: wire.py [--seconds 1] [--rounds 3]
Prints CPU microseconds per call (the best of all rounds, which take turns) and the ratio. Ours includes finding the
operation; moto is given the path's labels and keeps its models. Both get the same bytes, written by botocore's serializer,
and return the same result. The goal is a ratio of 4. "prototype" is what the design's first sketch took, on another day.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import botocore
from measure import microseconds
from wire_cases import CALLS, Call

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tools"), str(HERE.parent)]

import sdk_env  # noqa: E402

from kenja.wire import Request, codec, load, resolve, select  # noqa: E402
from tests.wire import samples  # noqa: E402

GOAL = 4.0  # times moto


def ours(call: Call, request: Request) -> Any:
    """A function that does what the gateway does with the request and the handler's result."""
    model = load(call.service)

    def run() -> None:
        fresh = Request(request.method, request.path, request.query, request.headers, request.body)
        protocol = select(fresh.headers, fresh.headers.get("content-type", ""), fresh.path, fresh.query)
        wire = codec(model, protocol)
        routed = wire.route(fresh)
        assert routed is not None
        wire.parse(routed[0], fresh, routed[1])
        result = dict(call.result)
        if call.events:
            result[call.events[0]] = iter(call.events[1])
        body = wire.serialize(routed[0], result, "0" * 36).body
        if not isinstance(body, bytes):
            for _ in body:  # type: ignore[union-attr]
                pass

    return run


def sent(call: Call) -> tuple[Request, dict[str, Any]]:
    """The request for us, and all that moto needs of it."""
    model = load(call.service)
    assert resolve(model, call.protocol) == call.protocol
    request = samples.send(model.operation_model(call.operation), call.protocol, call.params)
    routed = codec(model, call.protocol).route(request)
    assert routed is not None
    body = request.content()
    case = {
        "name": call.name, "service": call.service, "protocol": call.protocol, "operation": call.operation,
        "method": request.method, "path": request.path, "labels": routed[1], "headers": list(request.headers.items()),
        "body": body, "query": request.arguments(), "result": call.result, "events": call.events,
        "form": parse_qsl(body.decode(), keep_blank_values=True) if call.protocol == "query" else [],
    }  # fmt: skip
    return request, case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="per call, side and round")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    python = sdk_env.environment("bench-moto")
    prepared = [(call, *sent(call)) for call in CALLS]
    data = pickle.dumps(([case for _, _, case in prepared], given.seconds))
    mine: dict[str, float] = {}
    theirs: dict[str, float | str] = {}
    for _ in range(given.rounds):
        for call, request, _ in prepared:
            mine[call.name] = min(mine.get(call.name, float("inf")), microseconds(ours(call, request), given.seconds))
        told = subprocess.run(
            [python, str(HERE / "wire_moto.py")], input=data, stdout=subprocess.PIPE, check=True
        ).stdout
        for name, value in json.loads(told).items():
            held = theirs.get(name, value)
            theirs[name] = min(held, value) if isinstance(value, float) and isinstance(held, float) else value
    print_table(mine, theirs)
    return 0


def print_table(mine: dict[str, float], theirs: dict[str, float | str]) -> None:
    print(f"botocore {botocore.__version__}; CPU µs per call, parse and serialise")
    print(f"{'call':30}{'kenja':>9}{'prototype':>11}{'moto':>9}{'ratio':>8}")
    for call in CALLS:
        peer = theirs[call.name]
        ratio = f"{peer / mine[call.name]:.1f}" if isinstance(peer, float) else "-"
        shown = f"{peer:.0f}" if isinstance(peer, float) else "none"
        print(f"{call.name:30}{mine[call.name]:>9.1f}{call.before:>11}{shown:>9}{ratio:>8}")
    ratios = [peer / mine[name] for name, peer in theirs.items() if isinstance(peer, float)]
    print(f"lowest ratio {min(ratios):.1f}, goal {GOAL:.0f}")


if __name__ == "__main__":
    sys.exit(main())
