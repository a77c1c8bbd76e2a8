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
compile requirements/sdk-v3.in requirements/sdk-v3.txt --excludes requirements/sdk-v3.excludes
for old in requirements/boto3-*.in; do
    compile "$old" "${old%.in}.txt"
done
compile requirements/bench.in requirements/bench.txt
for peer in litserve bentoml mlserver; do compile "requirements/bench-$peer.in" "requirements/bench-$peer.txt"; done
compile requirements/bench-moto.in requirements/bench-moto.txt --constraint requirements/dev.txt
compile requirements/botocore-source.in requirements/botocore-source.txt
compile requirements/bench-s3.in requirements/bench-s3.txt
for recipe in src/kenja/runtimes/*/requirements.in; do # the same releases as the main environment, so that the two can be compared
    compile "$recipe" "${recipe%.in}.txt" --constraint requirements/dev.txt
done
