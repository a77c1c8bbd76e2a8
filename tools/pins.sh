#!/usr/bin/env bash
# Writes every pinned requirements file anew from what pyproject.toml and the .in files ask for. Not part of set-up.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # SOURCE TARGET [OPTION…]; a pin that still fits stays, unless UPGRADE=1
    local source=$1 target=$2
    shift 2
    .venv/bin/uv pip compile "$source" --output-file "$target" --python-version 3.11 --strip-extras --no-header --no-annotate \
        --no-emit-index-url --no-emit-options --quiet ${UPGRADE:+--upgrade} "$@"
    echo "$target: $(wc -l <"$target") packages"
}

compile pyproject.toml requirements/dev.txt --all-extras
compile pyproject.toml requirements/demo.txt --extra demo --extra runtimes --constraint requirements/dev.txt
compile pyproject.toml requirements/core.txt --constraint requirements/dev.txt
compile requirements/sdk-v2.in requirements/sdk-v2.txt
compile requirements/bench.in requirements/bench.txt
for recipe in src/kenja/runtimes/*/requirements.in; do # the same releases as the main environment, so that the two can be compared
    compile "$recipe" "${recipe%.in}.txt" --constraint requirements/dev.txt
done
