#!/usr/bin/env bash
# make demo: sets up, starts a server on a data folder of its own, runs examples/main_job.py against it, and keeps the server until Ctrl-C.
# DEMO_ONCE=1 ends by itself, with the example's exit status. KENJA_PORT and KENJA_DATA choose the port and the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh demo

export KENJA_RUNTIMES=${KENJA_RUNTIMES:-$PWD/.runtimes}
data=${KENJA_DATA:-$PWD/.demo}
log=$data/serve.log
mkdir -p "$data"

free_port() { # 4566, or another one when that is taken
    .venv/bin/python - <<'PYTHON'
import socket

for port in (4566, 0):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(listener.getsockname()[1])
        break
PYTHON
}
port=${KENJA_PORT:-$(free_port)}

.venv/bin/kenja serve --data "$data" --port "$port" >"$log" 2>&1 &
server=$!
stop() { kill -TERM "$server" 2>/dev/null && wait "$server" || true; }
trap stop EXIT

for _ in $(seq 300); do # 30 seconds
    grep -q "is ready at" "$log" && break
    kill -0 "$server" 2>/dev/null || { echo "the server did not start:" >&2; tail -n 20 "$log" >&2; exit 1; }
    sleep 0.1
done
grep "is ready at" "$log" || { echo "the server was not ready within 30 s; its log: $log" >&2; exit 1; }

settings=$(.venv/bin/kenja env --data "$data")
eval "$settings"
export AWS_ENDPOINT_URL=http://127.0.0.1:$port
status=0
.venv/bin/python examples/main_job.py --role arn:aws:iam::000000000000:role/KenjaExecutionRole --bucket kenja-demo --verify || status=$?
if [ -n "${DEMO_ONCE:-}" ]; then exit "$status"; fi
[ "$status" = 0 ] || echo "the example ended with exit status $status; the server's log: $log" >&2
echo "The server goes on at http://127.0.0.1:$port. Another terminal reaches it after:  eval \"\$(.venv/bin/kenja env --data $data)\"   Ctrl-C ends it."
wait "$server"
