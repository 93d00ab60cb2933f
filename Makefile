# Owns set-up and the commands a contributor types. Needs Python 3.11 or later and make, nothing else.
#   make demo        everything on this machine, shown while it runs        make help    all of them
#   TORCH_INDEX_URL=<PyTorch's CPU index> make demo          with the small CPU build of torch

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
CODE := streaming actors training deploy tidecast_client tests
ARGS ?=
PYTEST_ARGS ?=
# how long callers wait is measured, so they want the machine for themselves
ALONE := tests/e2e/hosts tests/e2e/test_kills.py
# Among 7,000 tests some wait for processes on a machine that others use too. One that fails is run once more, three at
# most, and its first failure is printed all the same: each is a fault of ours to be found.
ONCE_MORE := --reruns 1 --max-suite-reruns 3 --rerun-show-tracebacks
TORCH_INDEX_URL ?=
LOCK_OPTIONS := --quiet --universal --generate-hashes --python-version 3.11 --custom-compile-command 'make lock'
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# One thing at a time: each needs what the one before has made.
.NOTPARALLEL:
.PHONY: help demo test hosts upgrade system-packages unit lint k8s image screenshots docs client format lock venv clean

help: ## this list
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.ready ## Kafka, Ray, the application and a simulated platform; ARGS="--seconds 30" is passed on
	@$(BIN)/tidecast demo $(ARGS)

test: lint system-packages ## style, types and layers, then unit, contract, integration and e2e tests, two files at a time
	@$(BIN)/python -m pytest $(ONCE_MORE) $(ALONE) $(PYTEST_ARGS) || [ $$? = 5 ] # 5: none of them was asked for
	@$(BIN)/python -m pytest $(ONCE_MORE) -n 2 --dist loadfile --no-loadscope-reorder \
	  tests/e2e tests/integration tests/contract tests/unit $(ALONE:%=--ignore=%) $(PYTEST_ARGS)

hosts: $(VENV)/.dev $(VENV)/.ready system-packages ## faults on a cluster of several hosts, as root; writes docs/reliability.md
	@$(BIN)/python -m tests.e2e.hosts.matrix --write docs/reliability.md $(ARGS)

upgrade: $(VENV)/.dev $(VENV)/.ready system-packages ## two installations side by side, as root; writes docs/reliability.md
	@$(BIN)/python -m tests.e2e.hosts.upgrade --write docs/reliability.md $(ARGS)

unit: $(VENV)/.dev ## the unit tests alone: seconds, no broker, no Ray
	@$(BIN)/python -m pytest -q tests/unit $(PYTEST_ARGS)

# What some tests need besides Python: installed where that can be done, else those tests are skipped, with the reason.
system-packages:
	@for package in kcat chromium prometheus redis-server buildah crun mmdebstrap; do \
	  command -v $$package >/dev/null && continue; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    { apt-get install -yqq $$package || { apt-get update -qq && apt-get install -yqq $$package; }; } >/dev/null 2>&1; then \
	    echo "Installed $$package, for tests"; \
	  else echo "$$package is not installed (apt install $$package): the tests that need it are skipped"; fi; done

lint: $(VENV)/.dev $(VENV)/.ready ## ruff, mypy, import-linter
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy
	@$(BIN)/lint-imports

k8s: $(VENV)/.installed ## Kubernetes manifests, brought up to date with their source
	@$(BIN)/tidecast k8s write

image: $(VENV)/.installed ## an image without Docker or a registry, as root; ARGS="torch --cuda", ARGS=--help
	@$(BIN)/python -m deploy.image.build $(or $(ARGS),serving)

screenshots: $(VENV)/.dev ## pictures of the console in docs/, with Chromium
	@$(BIN)/python -m tests.screenshots docs

docs: $(VENV)/.dev ## docs/ as a site, in build/docs; brings docs/kafka.md up to date and checks every link
	@$(BIN)/python -m deploy.docs.kafka_page docs/kafka.md
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo 'build/docs/index.html'

client: $(VENV)/.dev ## the modules of tidecast_client that follow from the OpenAPI document
	@$(BIN)/python -m tests.client_modules

format: $(VENV)/.dev ## lets ruff format the code and order the imports
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

venv: $(VENV)/.dev $(VENV)/.ready ## .venv with everything in it, for tests and evaluation too

lock: ## what pyproject.toml asks for, as exact versions with hashes; ARGS=--upgrade takes the newest
	@$(SET_UP) --uv pip compile $(LOCK_OPTIONS) $(ARGS) --group build -o requirements.lock pyproject.toml
	@$(SET_UP) --uv pip compile $(LOCK_OPTIONS) $(ARGS) -o requirements-dev.lock -c requirements.lock --extra dev --group build pyproject.toml

clean: ## removes .venv and caches; data in .tidecast stays
	rm -rf $(VENV) .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist *.egg-info
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# The packages, for running and, in .dev, for working on it too. Nothing is looked at again until what is asked for
# changes; an installation that was stopped goes on where it was.
SET_UP = check='import sys'; command -v uv >/dev/null || check='import ensurepip, sys, venv'; found=; \
  for python in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
    if $$python -c "$$check; sys.exit(not (3, 11) <= sys.version_info < (3, 14))" 2>/dev/null; then found=$$python; break; fi; done; \
  if [ -z "$$found" ]; then \
    echo 'No Python 3.11, 3.12 or 3.13 with the venv module was found (on Debian and Ubuntu: apt install python3-venv).' >&2; \
    echo 'If there is one elsewhere: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; fi; \
  TORCH_INDEX_URL='$(TORCH_INDEX_URL)' $$found -I deploy/local/set_up.py

$(VENV)/.dev: pyproject.toml requirements-dev.lock
	@$(SET_UP) --dev
	@touch $(VENV)/.installed $@

$(VENV)/.installed: pyproject.toml requirements.lock
	@if [ -e $(VENV)/.dev ]; then $(SET_UP) --dev; touch $(VENV)/.dev; else $(SET_UP); fi
	@touch $@

# Kafka's jars and the kernels' machine code, so that the first demo does not wait for them.
$(VENV)/.ready: $(VENV)/.installed
	@$(BIN)/tidecast kafka fetch
	@echo 'Compiling kernels, once: some 20 s'
	@$(BIN)/python -m actors.recommend.warm_up
	@touch $@
