#!/usr/bin/env bash
# Makes .venv, installs the package and builds the runtimes that are not there yet. Usage: setup.sh [dev|demo]; demo installs less.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-dev}
runtimes=${KENJA_RUNTIMES:-$PWD/.runtimes}

# What was set up is remembered as a hash of its inputs, so that a second run has nothing to do.
fingerprint() { # PROFILE
    { echo "$runtimes"; cat pyproject.toml requirements/"$1".txt tools/setup.sh src/kenja/runtimes/*/runtime.toml src/kenja/runtimes/*/requirements.txt; } |
        sha256sum | cut -d' ' -f1
}
done_before() { [ -x .venv/bin/python ] && [ -d "$runtimes" ] && [ "$(cat ".venv/.setup-$1" 2>/dev/null)" = "$(fingerprint "$1")" ]; }
if done_before "$profile" || done_before dev; then exit 0; fi # dev contains demo

started=$SECONDS
apt_log=${TMPDIR:-/tmp}/kenja-apt-$(id -u).log
say() { printf '%4ds  %s\n' "$((SECONDS - started))" "$*"; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$candidate"; return; }
    done
    echo "Kenja needs Python 3.11 or newer (on Debian 12: apt-get install python3.11 python3.11-venv), or PYTHON=/path/to/it" >&2
    return 1
}

# Packages of the system that raise what jobs can be given. One that stays missing only drops a rung: `kenja doctor` tells.
apt_install() { # PACKAGE…; false where that is not possible
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    apt-get install -y -qq --no-install-recommends "$@" </dev/null &>"$apt_log" && return
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } </dev/null &>"$apt_log"
}

system_packages() {
    if command -v bwrap >/dev/null; then return; fi
    say "installing bubblewrap (the cold rung of the sandbox ladder) …"
    apt_install bubblewrap || say "bubblewrap could not be installed ($apt_log); jobs use another rung of the ladder"
}

make_venv() {
    local python
    python=$(find_python)
    say "making .venv with $("$python" --version) …"
    "$python" -m venv .venv &>/dev/null && return
    rm -rf .venv # Debian keeps venv in a package of its own
    apt_install "$(basename "$(readlink -f "$python")")-venv" && "$python" -m venv .venv && return
    echo "$python can make no virtual environment; on Debian: apt-get install python3-venv" >&2
    return 1
}

install_packages() {
    local uv_pin
    uv_pin=$(grep '^uv==' requirements/"$profile".txt)
    if [ ! -x .venv/bin/uv ]; then
        say "installing uv …"
        .venv/bin/python -m pip install -qq --disable-pip-version-check "$uv_pin" || say "uv could not be installed; pip does its work, slower"
    fi
    say "installing the pinned requirements ($(wc -l <requirements/"$profile".txt) packages) and kenja …"
    if [ -x .venv/bin/uv ]; then
        .venv/bin/uv pip install --quiet --python .venv/bin/python -r requirements/"$profile".txt
        .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --editable .
    else
        .venv/bin/python -m pip install -qq --disable-pip-version-check -r requirements/"$profile".txt
        .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --editable .
    fi
}

[ -x .venv/bin/python ] || make_venv
system_packages
install_packages
.venv/bin/python -m kenja.runtimes.build --root "$runtimes" | while read -r line; do say "$line"; done
fingerprint "$profile" >".venv/.setup-$profile"
say "set up ($profile)"
