# `make install` needs Python 3.11 or newer; the tests also need node, npm and a C compiler (scripts/system-packages.sh).
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CANDIDATES := python3.11 python3.12 python3.13 python3.14 python3 python
USABLE = import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
# The first one that works; asked only when an environment is made.
PYTHON ?= $(shell for name in $(CANDIDATES); do $$name -c '$(USABLE)' 2>/dev/null && echo $$name && break; done)
NO_PYTHON = No Python 3.11 or newer with venv found: install one (Debian: scripts/system-packages.sh), or make PYTHON=...
# Kept when it is there, so that a new pin does not pull the environment away under a running test.
VENV = test -x $(1)/bin/python || { test -n "$(PYTHON)" || { echo "$(NO_PYTHON)" >&2; exit 1; }; "$(PYTHON)" -m venv $(1); }

BIN := .venv/bin
INSTALLED := .venv/.installed
ROOMS := gateway upstreams policies
COMPILED := .venv/.compiled
SERVERS := .cache/servers/time/.installed .cache/servers/git/.installed
CLIENTS := .cache/clients/openai/.installed
PEERS := $(patsubst %,.cache/peers/%/.installed,fastmcp mcp-proxy contextforge)
BENCH_TOOLS := .cache/bench-tools/.installed
NODE_PACKAGES := $(if $(wildcard tests/package-lock.json),tests/node_modules/.installed)
WHEELS := .cache/wheels/.downloaded
PIP_INSTALL := -m pip --disable-pip-version-check install --quiet
# The tests wait about as often as they compute; a file is run by one process, in the order of its folder, since the
# long files come before the many short ones there.
PYTEST_PROCESSES := -n 2 --dist loadfile --no-loadscope-reorder
PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: help install test-setup run test check bench lock cel-table clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

install: $(INSTALLED) $(COMPILED) ## .venv with .venv/bin/onegate, at pinned versions

run: install ## set-up, then the gateway over built-in sample servers
	$(BIN)/onegate demo

# All at the same time: most of it waits for downloads.
test-setup: ## everything that the tests need
	@$(MAKE) --no-print-directory -j 4 $(COMPILED) $(SERVERS) $(CLIENTS) $(WHEELS) $(NODE_PACKAGES)

test: test-setup ## set-up and all tests; PYTEST_ARGS are passed on
	$(BIN)/python -m pytest tests $(PYTEST_PROCESSES) $(PYTEST_ARGS)

check: install ## lint, format, types, then the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory test

# A peer that cannot be installed is named in the report; the others are measured all the same.
bench: install ## calls per second and cost per call, beside peers and along axes; BENCH_ARGS: --quick, --no-peers, --no-axes ...
	$(if $(findstring --no-peers,$(BENCH_ARGS)),,-@$(MAKE) --no-print-directory --keep-going -j 4 $(PEERS))
	-@$(MAKE) --no-print-directory $(BENCH_TOOLS)
	PYTHONPATH=. $(BIN)/python tests/bench/run.py $(BENCH_ARGS)

lock: ## resolve the versions in requirements/ anew from pyproject.toml
	scripts/lock.sh "$(PYTHON)"

cel-table: $(INSTALLED) ## write the parser tables of the CEL library anew, after `make lock` brought another version
	PYTHONPATH=. $(BIN)/python scripts/cel_table.py

clean: ## remove what the targets above made
	rm -rf .venv .cache tests/node_modules
	find $(ROOMS) -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): requirements/build.txt requirements/runtime.txt requirements/dev.txt pyproject.toml
	@$(call VENV,.venv)
	$(BIN)/python $(PIP_INSTALL) -r requirements/build.txt -r requirements/runtime.txt -r requirements/dev.txt
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# pip does this for a wheel, but not for an editable install; where nobody may write bytecode while programs run
# (PYTHONDONTWRITEBYTECODE), every start would compile all sources anew, which takes as long as the rest of it.
$(COMPILED): $(INSTALLED) $(shell find $(ROOMS) -name '*.py')
	@$(BIN)/python -m compileall -q $(ROOMS)
	@touch $@

.cache/servers/%/.installed: requirements/server-%.txt
	@$(call VENV,.cache/servers/$*)
	.cache/servers/$*/bin/python $(PIP_INSTALL) --no-deps -r $<
	@touch $@

.cache/clients/%/.installed: requirements/client-%.txt
	@$(call VENV,.cache/clients/$*)
	.cache/clients/$*/bin/python $(PIP_INSTALL) --no-deps -r $<
	@touch $@

.cache/peers/%/.installed: requirements/peer-%.txt
	@$(call VENV,.cache/peers/$*)
	.cache/peers/$*/bin/python $(PIP_INSTALL) --no-deps -r $<
	@touch $@

$(BENCH_TOOLS): requirements/bench.txt
	@$(call VENV,$(@D))
	$(@D)/bin/python $(PIP_INSTALL) --no-deps -r $<
	@touch $@

# What the image installs, so that the test of the Dockerfile needs no network.
$(WHEELS): requirements/build.txt requirements/runtime.txt | $(INSTALLED)
	$(BIN)/python -m pip --disable-pip-version-check download --quiet --no-deps --only-binary :all: \
		--dest $(@D) -r requirements/build.txt -r requirements/runtime.txt
	@touch $@

tests/node_modules/.installed: tests/package.json tests/package-lock.json
	npm ci --prefix tests --no-audit --no-fund
	@touch $@
