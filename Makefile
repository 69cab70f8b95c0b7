# Every target installs what it needs on first use; nothing but Python 3.11+, Node 20+ and make is expected.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
# By major version.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20
export JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo local test lint format synth docs bench clean

help: ## Show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 10

setup: $(STAMP) node_modules/.installed ## Install Python and Node packages

$(STAMP): requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

node_modules/.installed: package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	@touch $@

demo: setup ## Deploy into the local engine, break the platform, watch it heal
	$(BIN)/python -m local.demo

local: setup ## The same, left running until Ctrl-C, for the plain AWS CLI
	$(BIN)/python -m local.serve

test: setup ## All tests: unit, machines, infrastructure, engine
	$(BIN)/python -m pytest

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## Format the Python files
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

synth: setup ## Synthesise the product with every check on
	npx cdk synth --quiet

docs: setup ## Generate docs/runbooks, composed machines and the README table
	$(BIN)/python -m docs.generate

bench: setup ## Measure import cost, synth and run cost as ratios
	$(BIN)/python -m benchmarks.run

clean: ## Remove everything that was generated or installed
	rm -rf $(VENV) node_modules cdk.out .local .pytest_cache .mypy_cache .ruff_cache .hypothesis
