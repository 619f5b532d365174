# `make help` lists the targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON_BIN := .venv/bin/python
BASELINE := proto/baseline.binpb
# Passed to the command of run, test, test-* and bench.
ARGS ?=
# The real data sets that seeding, tests and benchmarks read.
export FEEDMESH_DATA ?= $(abspath ../shared/data)

PYTEST := $(PYTHON_BIN) -m pytest

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{ printf "  make %-18s %s\n", $$1, $$2 }'
	@echo
	@echo '  run, test, test-* and bench pass ARGS on: make test-unit ARGS="-k paging"'

.PHONY: run
run: venv ## the whole mesh on this machine, seeded, until Ctrl-C
	@exec $(PYTHON_BIN) -m meshctl up $(ARGS)

.PHONY: test
test: venv ## all test lanes
	$(PYTEST) tests/unit tests/contract tests/integration tests/mesh $(ARGS)

.PHONY: test-unit
test-unit: venv ## no engine: domain, handlers, contract and import rules
	$(PYTEST) tests/unit tests/contract $(ARGS)

.PHONY: test-integration
test-integration: venv ## stores and services against real embedded engines
	$(PYTEST) tests/integration $(ARGS)

.PHONY: test-mesh
test-mesh: venv ## every service at once: replay and fault tests
	$(PYTEST) tests/mesh $(ARGS)

.PHONY: test-faults
test-faults: venv ## real processes under faults: ARGS="--minutes 3 --seed 1"
	@exec $(PYTHON_BIN) -m tests.faults $(ARGS)

.PHONY: test-model
test-model: venv ## feeds against a reference model, for long: MODEL_EXAMPLES, MODEL_SEED
	MODEL_EXAMPLES=$${MODEL_EXAMPLES:-300} MODEL_STEPS=$${MODEL_STEPS:-80} \
		$(PYTEST) tests/mesh/test_feed_machine.py $(ARGS)

.PHONY: test-planted
test-planted: venv ## planted bugs: each must turn the test it names red
	$(PYTHON_BIN) -m tests.planted $(ARGS)

.PHONY: check
check: lint types check-gen check-proto ## everything a change must pass before its tests

.PHONY: fmt
fmt: venv ## format code and contract, fix what can be fixed
	.venv/bin/ruff check --fix-only --quiet
	.venv/bin/ruff format
	.venv/bin/buf format --write --path proto/feedmesh

.PHONY: lint
lint: venv ## ruff: rules and format
	.venv/bin/ruff check
	.venv/bin/ruff format --check

.PHONY: types
types: venv ## mypy, strict
	.venv/bin/mypy

.PHONY: gen
gen: venv ## descriptor image, stubs and the tables of docs/, from proto/
	$(PYTHON_BIN) tools/gen.py
	$(PYTHON_BIN) tools/docs.py

.PHONY: check-gen
check-gen: venv ## generated files are up to date
	$(PYTHON_BIN) tools/gen.py --check
	$(PYTHON_BIN) tools/docs.py --check

# As images: buf compares workspaces only when both have as many modules.
.PHONY: check-proto
check-proto: venv ## contract: lint, format and no breaking change
	.venv/bin/buf lint
	.venv/bin/buf format --diff --exit-code --path proto/feedmesh
	@test -f $(BASELINE) || { \
		echo '$(BASELINE) is missing: without it no breaking change can be seen.' \
			'Restore it, or accept the contract as it is: make baseline' >&2; \
		exit 1; }
	.venv/bin/buf build -o - | .venv/bin/buf breaking - \
		--against $(BASELINE) --config buf.yaml

.PHONY: baseline
baseline: venv ## accept the contract as the one not to be broken
	.venv/bin/buf build --exclude-source-info -o $(BASELINE)

.PHONY: bench
bench: venv ## benchmarks
	$(PYTHON_BIN) -m bench $(ARGS)

.PHONY: bench-against
bench-against: venv ## this tree against an earlier one, in turn: ARGS=<commit>
	$(PYTHON_BIN) -m bench.compare $(ARGS)

.PHONY: venv
venv: .venv/.stamp ## .venv with everything of requirements.lock

.venv/.stamp: requirements.lock pyproject.toml gen/pyproject.toml tools/venv
	tools/venv
	@touch $@

# No index options reach the file: it must not name anybody's package server.
.PHONY: lock
lock: venv ## resolve requirements.lock anew; ARGS=--upgrade for newer versions
	.venv/bin/uv pip compile pyproject.toml --extra embedded --group dev \
		--universal --python-version 3.11 --generate-hashes \
		--no-emit-package feedmesh-stubs --no-header --quiet \
		--output-file requirements.lock $(ARGS)

.PHONY: clean
clean: ## remove caches, the environment and the local mesh's data
	rm -rf .venv .feedmesh .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
