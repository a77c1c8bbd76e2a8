# Every target is one line; what is longer lives in tools/. The first run of any target sets the machine up.
SHELL := /bin/bash
export KENJA_RUNTIMES ?= $(CURDIR)/.runtimes
BIN := .venv/bin
.PHONY: help setup demo serve test test-fast check fix bench s3-conformance soak docs pins release-data ui

help: ## this list
	@grep -E '^[a-z0-9-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 12

setup: ## .venv, the package, the runtimes; a second run takes less than a second
	@tools/setup.sh

demo: ## set up, start the server, train, deploy and predict on real data; DEMO_ONCE=1 ends by itself
	@tools/demo.sh

serve: setup ## start the server on 127.0.0.1:4566; more options by ARGUMENTS="--port 5000"
	@exec $(BIN)/kenja serve $(ARGUMENTS)

test: setup ## all tests, in three processes, as much of them is waiting; a file stays together
	@$(BIN)/pytest -n 3 --dist loadfile $(ARGUMENTS)

test-fast: setup ## what answers within a minute or so: no crash rounds, SDK environments, browser
	@$(BIN)/pytest -n 2 -m "not (crash or sdk or browser or slow)" $(ARGUMENTS)

check: setup ## formatting, lint, types, imports, service rules
	@$(BIN)/python tools/check.py

fix: setup ## let ruff mend what it can
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: setup ## serving, job launch, wire and S3 beside their peers, one after another; each runs alone as well, as a file of bench/
	@set -e; for name in serving launch wire s3; do echo "== bench/$$name.py"; $(BIN)/python bench/$$name.py $(ARGUMENTS); done

s3-conformance: setup ## a checkout of ceph/s3-tests against a fresh server: S3TESTS=DIR, ARGUMENTS=--all
	@test -n "$(S3TESTS)" || { echo "usage: make s3-conformance S3TESTS=DIR (a checkout of https://github.com/ceph/s3-tests)" >&2; exit 2; }
	@$(BIN)/python tools/s3_conformance.py "$(S3TESTS)" $(ARGUMENTS)

soak: setup ## the crash rounds, many of them: KENJA_CRASH_ROUNDS=200; 200 queued and 100,000 listed jobs; an object of 5 GB through S3
	@KENJA_CRASH_ROUNDS=$${KENJA_CRASH_ROUNDS:-200} $(BIN)/pytest -m crash --timeout 0 $(ARGUMENTS) && $(BIN)/python bench/many_jobs.py && KENJA_SOAK_OBJECT=5368709120 $(BIN)/pytest --timeout 0 tests/services/s3/test_large.py

docs: setup ## the generated files: types of the services, parity tables
	@$(BIN)/python tools/gen_types.py && $(BIN)/python tools/parity.py

pins: setup ## resolve the pinned requirements anew; UPGRADE=1 takes newer releases
	@tools/pins.sh

release-data: setup ## at a release, once: a data folder of this version for tests/upgrade
	@$(BIN)/python tools/release_data.py

ui: ## not there yet
	@echo "The Studio does not exist yet, so there is nothing to build." >&2; exit 1
