# Every target is one line; what is longer lives in tools/. The first run of any target sets the machine up.
SHELL := /bin/bash
export KENJA_RUNTIMES ?= $(CURDIR)/.runtimes
BIN := .venv/bin
.PHONY: help setup demo serve test test-fast check fix bench soak docs pins ui

help: ## this list
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: ## .venv, the package, the runtimes; a second run takes less than a second
	@tools/setup.sh

demo: ## set up, start the server, train, deploy and predict on real data; DEMO_ONCE=1 ends by itself
	@tools/demo.sh

serve: setup ## start the server on 127.0.0.1:4566; more options by ARGUMENTS="--port 5000"
	@exec $(BIN)/kenja serve $(ARGUMENTS)

test: setup ## all tests
	@$(BIN)/pytest $(ARGUMENTS)

test-fast: setup ## what answers within a minute or so: no crash rounds, SDK environments, browser
	@$(BIN)/pytest -n 2 -m "not (crash or sdk or browser or slow)" $(ARGUMENTS)

check: setup ## formatting, lint, types, imports, service rules
	@$(BIN)/python tools/check.py

fix: setup ## let ruff mend what it can
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: setup ## inference beside FastAPI and uvicorn with the same model; job launch over the bare library
	@$(BIN)/python bench/serving.py $(ARGUMENTS) && $(BIN)/python bench/launch.py

soak: setup ## the crash rounds, many of them: KENJA_CRASH_ROUNDS=200
	@KENJA_CRASH_ROUNDS=$${KENJA_CRASH_ROUNDS:-200} $(BIN)/pytest -m crash --timeout 0 $(ARGUMENTS)

docs: setup ## the generated files: types of the services, parity tables
	@$(BIN)/python tools/gen_types.py && $(BIN)/python tools/parity.py

pins: setup ## resolve the pinned requirements anew; UPGRADE=1 takes newer releases
	@tools/pins.sh

ui: ## not there yet
	@echo "The Studio does not exist yet, so there is nothing to build." >&2; exit 1
