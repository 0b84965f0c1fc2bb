# Everything runs from a checkout with python3 (3.11 or later) and make.
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= .careloop
PORT ?= 8080
WORKERS ?= 3
MINUTES ?= 10
LOG ?= postgres
PROFILE ?= whole
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
OWN := $(PIP) --no-deps --no-build-isolation -e .
PYTEST := $(BIN)/python -m pytest
# what attacks, kills, waits or draws at length runs in `make ci`
LONG := tests/security/attacks tests/security/test_limits.py tests/chaos \
	tests/security/test_hostile_json.py tests/security/test_scoping.py tests/e2e/test_bad_input.py tests/e2e/test_partner_guide.py tests/e2e/test_trace.py \
	tests/service/document_svc/test_belt.py tests/service/referral_svc/test_belt.py tests/service/gateway/test_streams.py tests/service/case_svc/test_belt.py tests/e2e/test_lifecycle.py tests/e2e/test_independent_client.py \
	tests/service/notify_svc/test_together.py tests/service/eventlog/test_many_at_once.py tests/service/eventlog/test_consume.py \
	tests/service/eventlog/test_marks.py tests/e2e/test_kill.py tests/e2e/test_stream.py tests/e2e/test_policy.py tests/e2e/test_event_log_stopped.py tests/e2e/test_schemathesis.py tests/e2e/test_oauth4webapi.py \
	tests/service/gateway/test_replicas.py tests/service/gateway/test_ledger.py tests/service/gateway/test_ledger_proofs.py \
	tests/service/notify_svc/test_process.py tests/service/notify_svc/test_views.py tests/service/notify_svc/test_stream.py \
	tests/service/notify_svc/test_remind_process.py tests/service/notify_svc/mail \
	tests/service/notify_svc/test_parked.py tests/service/notify_svc/test_recovery.py tests/service/notify_svc/transport tests/service/document_svc/test_kill.py \
	tests/service/eventlog/test_relay.py tests/service/eventlog/test_parked_commands.py tests/service/eventlog/test_operator.py tests/receivers tests/e2e/test_operator.py tests/service/sharing/test_matrix.py
PACKAGES := svckit sharing case_svc referral_svc document_svc notify_svc gateway careloop

.PHONY: help setup demo up down seed logs test check fmt lint types imports unit service contract e2e security chaos bench prove long kafka containers contracts requirements migration migrate ci untimed clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  \033[1m%-11s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp is newer than what it was made from: the second run installs nothing.
$(VENV)/.local: requirements/local.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/local.txt && $(OWN) && touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/dev.txt && $(OWN) && touch $@ $(VENV)/.local

setup: $(VENV)/.dev ## install everything for working on it into .venv

demo: $(VENV)/.local ## start everything, play the whole loop, stop again
	$(BIN)/careloop demo --data-dir $(DATA) --port $(PORT)

up: $(VENV)/.local ## start everything and leave it running (Ctrl-C stops it)
	$(BIN)/careloop up --data-dir $(DATA) --port $(PORT)

down: $(VENV)/.local ## stop what `careloop up --detach` left running
	$(BIN)/careloop down --data-dir $(DATA)

seed: $(VENV)/.local ## load the sandbox's network into what runs
	$(BIN)/careloop seed --data-dir $(DATA)

logs: ## follow the logs of what runs
	tail -n 20 -F $(DATA)/logs/*.log

test: $(VENV)/.dev ## every test that needs neither Kafka nor containers
	$(PYTEST) -m "not kafka" -n $(WORKERS) --dist loadfile $(addprefix --ignore=,tests/bench tests/prove $(LONG)) tests

long: $(VENV)/.dev ## the tests that take their time: attacks, kills, replicas, a stopped log, the matrix
	$(PYTEST) -q -m "not kafka" -n $(WORKERS) --dist loadfile $(LONG)

check: fmt lint types imports unit ## the quick gates

fmt: $(VENV)/.dev ## is everything formatted
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev ## ruff, with the house rules
	$(BIN)/ruff check .

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

imports: $(VENV)/.dev ## who may import whom
	$(BIN)/lint-imports

unit: $(VENV)/.dev ## rules without a database
	$(PYTEST) -q -n $(WORKERS) tests/unit

service: $(VENV)/.dev ## each service against a real PostgreSQL
	$(PYTEST) -q -m "not kafka" -n $(WORKERS) --dist loadfile tests/service

contract: $(VENV)/.dev ## OpenAPI, event schemas and AsyncAPI agree with the code
	$(PYTEST) -q -n $(WORKERS) --dist loadfile tests/contract

e2e: $(VENV)/.dev ## the whole loop, as separate processes
	$(PYTEST) -q -m "not kafka" tests/e2e

security: $(VENV)/.dev ## who sees what, and bad input, through the gateway
	$(PYTEST) -q -m "not kafka" tests/security

chaos: $(VENV)/.dev ## faults for MINUTES=10 with SEED=n on LOG=postgres|kafka, PROFILE=whole|storm, judged by histories
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) --log $(LOG) --profile $(PROFILE) $(addprefix --seed ,$(SEED))

bench: $(VENV)/.dev ## lists of 100,000 cases, what an event and a webhook cost, the gateway's hop
	$(PYTEST) -q -s tests/bench

prove: $(VENV)/.dev ## every decision through evaluator, SQL, Cedar and oracle (PROVE_ONE_IN=n: a part)
	$(PYTEST) -q -s -m "not kafka" tests/prove

kafka: $(VENV)/.dev ## conformance and the whole loop on a real Apache Kafka
	$(PYTEST) -q -m kafka -n 2 --dist loadfile tests

containers: $(VENV)/.dev ## build an image and ask it something, where podman is present
	$(BIN)/python deploy/containers.py

contracts: $(VENV)/.dev ## export OpenAPI, AsyncAPI and settings examples from the code
	$(BIN)/python -m careloop.contracts && $(BIN)/python deploy/env_examples.py

requirements: $(VENV)/.dev ## resolve requirements/*.in and pin them with hashes
	cd requirements && for f in runtime local dev; do ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $$f.in -o $$f.txt; done

migration: $(VENV)/.dev ## write a revision: make migration s=referral_svc m="add a column"
	$(BIN)/python deploy/local/revision.py $(s) "$(m)"

migrate: $(VENV)/.local ## bring the databases of DATA to their newest revision
	$(BIN)/careloop migrate --data-dir $(DATA)

ci: ## everything, as .ci/run calls it
	$(MAKE) fmt lint types imports
	CARELOOP_WITHDRAWALS=60 $(MAKE) bench
	$(MAKE) -j 2 --output-sync=target chaos untimed
	$(MAKE) long
	$(MAKE) test

untimed: # what asks for nothing but time runs beside the faults, which ask for little of the processor
	PROVE_ONE_IN=20 $(MAKE) prove
	$(MAKE) containers
	$(MAKE) kafka

clean: ## remove what was made here (stop it first)
	rm -rf $(VENV) $(DATA) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build
