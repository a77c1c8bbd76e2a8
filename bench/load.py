"""A load generator: one process that keeps N raw connections busy with one prepared request and times every answer.

usage: load.py HOST PORT CONNECTIONS SECONDS REQUEST_FILE   prints one JSON object. All answers must be 200 and of one length.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from pathlib import Path

READ = 65536  # bytes


def run(host: str, port: int, connections: int, seconds: float, request: bytes) -> dict[str, object]:
    """Rate and latencies of as many requests as are answered within `seconds`."""
    length = _length(host, port, request)
    lines = [socket.create_connection((host, port)) for _ in range(connections)]
    poller = select.epoll()
    by_number = {}
    for line in lines:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        by_number[line.fileno()] = line
        poller.register(line.fileno(), select.EPOLLIN)
    clock = time.perf_counter
    sent = dict.fromkeys(by_number, 0.0)
    got = dict.fromkeys(by_number, 0)
    took: list[float] = []
    bad = 0
    began = clock()
    for number, line in by_number.items():
        sent[number] = clock()
        line.send(request)
    while (now := clock()) - began < seconds:
        for number, _ in poller.poll(1.0):
            line = by_number[number]
            data = line.recv(READ)
            if not data:
                raise ConnectionError("the server closed a connection")
            if not got[number] and not data.startswith(b"HTTP/1.1 200"):
                bad += 1
            got[number] += len(data)
            if got[number] >= length:
                now = clock()
                took.append(now - sent[number])
                got[number], sent[number] = 0, now
                line.send(request)
    elapsed = clock() - began
    for line in lines:
        line.close()
    took.sort()
    return {
        "requests": len(took), "bad": bad, "rate": len(took) / elapsed,
        "p50_ms": took[len(took) // 2] * 1e3, "p99_ms": took[int(len(took) * 0.99)] * 1e3,
    }  # fmt: skip


def _length(host: str, port: int, request: bytes) -> int:
    """Bytes of a whole answer; they are the same for every answer to the same request."""
    with socket.create_connection((host, port), timeout=30) as line:
        line.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += line.recv(READ)
        head, _, _ = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"the server answers {data[:300]!r}")
        fields = dict(row.lower().split(b": ", 1) for row in head.split(b"\r\n")[1:])
        return len(head) + 4 + int(fields[b"content-length"])


if __name__ == "__main__":
    host, port, connections, seconds, file = sys.argv[1:]
    print(json.dumps(run(host, int(port), int(connections), float(seconds), Path(file).read_bytes())))
