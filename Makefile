# `make` lists what there is. Settings: STATE, PORT, TIME_SCALE, ONCE, HUBS (see `make help`).

STATE      ?= .local
TIME_SCALE ?= 0.02
PORT       ?=
ONCE       ?=
HUBS       ?=
UPGRADE    ?=

SHELL := /bin/bash
VENV  := .venv
PY    := $(VENV)/bin/python
PACKAGES_READY := $(VENV)/.ready
AZURITE_READY  := local/node_modules/.ready
BYTECODE_READY := $(VENV)/.compiled
TESTS_READY    := $(VENV)/.tests-compiled
SOURCES := $(shell find function_app.py triggers orchestrators activities shared local -name node_modules -prune -o -name '*.py' -print)
TESTS   := $(shell find tests -name '*.py' -print)

export PIP_DISABLE_PIP_VERSION_CHECK = 1
# One more than there are cores: a test waits for its servers about as long as it computes.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1)
# Files in the order of tests/conftest.py.
SIDE_BY_SIDE = $(PY) -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
STACK_OPTIONS = --state "$(STATE)" --time-scale "$(TIME_SCALE)" $(if $(PORT),--port "$(PORT)") $(if $(HUBS),--hubs "$(HUBS)")

# The Bicep compiler: the one on the PATH, else one beside the checkout; where there is neither, its checks are skipped.
export BICEP ?= $(or $(shell command -v bicep),$(wildcard ../shared/tools/bicep))

.DEFAULT_GOAL := help
.PHONY: help setup run func quick test test-full check mypy others fmt bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  make run takes STATE=DIR (default .local; nowhere else in the checkout), PORT=n (a free one),'
	@echo '  TIME_SCALE=x (0.02; 1 is the pace of real Azure), ONCE=1 (end when the sample spoke is completed) and'
	@echo '  HUBS=FILE (several hubs, such as samples/two-hubs.json).'
	@echo '  Needs Python 3.11-3.13, Node.js 18 or newer and make. Downloads PyPI and npm packages, nothing else.'

setup: ## .venv with all Python packages, Azurite from npm; instant the second time
	@$(MAKE) --silent --no-print-directory -j2 $(BYTECODE_READY) $(AZURITE_READY)

run: setup ## the local stack, the sample spoke deployed through the API, then served until Ctrl-C
	@$(PY) -m local.run $(STACK_OPTIONS) $(if $(filter-out 0 no false,$(ONCE)),--once)

func: ## the same stack, with Azure Functions Core Tools as the host
	@command -v func >/dev/null || { \
	  echo 'Azure Functions Core Tools (`func`) are not installed. `make run` does without them. To have them:' \
	    'npm install --global azure-functions-core-tools@4' >&2; exit 1; }
	@$(MAKE) --silent setup
	@$(PY) -m local.run $(STACK_OPTIONS) $(if $(filter-out 0 no false,$(ONCE)),--once) --func

quick: check ## lint, types, layers and the unit tests but the long ones: under a minute
	@$(PY) -m pytest -q -n $(WORKERS) -m "not full" tests/unit

test: check ## lint, types, layers and every test but the long ones
	@$(SIDE_BY_SIDE) -m "not full" || { \
	  echo 'Once more, one after the other, what has failed: only what fails again has failed.'; \
	  $(PY) -m pytest --last-failed --last-failed-no-failures none -m "not full"; }

test-full: check ## the long tests too
	$(SIDE_BY_SIDE)

check: setup ## ruff, mypy, import-linter, Bicep
	@$(MAKE) --no-print-directory -j2 mypy others

mypy:
	$(VENV)/bin/mypy -m function_app -p triggers -p orchestrators -p activities -p shared -p local -p tests

others:
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/lint-imports
	@$(PY) -m local.bicep
	@$(MAKE) --silent --no-print-directory $(TESTS_READY)

fmt: setup ## put the code into ruff's form
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

bench: setup ## the benchmarks
	@shopt -s nullglob; for benchmark in benchmarks/[a-z]*.py; do \
	  echo "== $$benchmark"; PYTHONPATH=. $(PY) "$$benchmark" || exit 1; \
	done

lock: ## compile requirements*.txt and package-lock.json anew (UPGRADE=1: to the newest)
	@set -e; uv=$$(mktemp -d); trap 'rm -rf "$$uv"' EXIT; \
	python3 -m venv "$$uv"; "$$uv/bin/pip" install --quiet uv; \
	compile() { "$$uv/bin/uv" pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header \
	  --generate-hashes $(if $(UPGRADE),--upgrade) "$$@"; }; \
	compile requirements.in --output-file requirements.txt; \
	compile requirements-dev.in --constraint requirements.txt --output-file requirements-dev.txt
	@cd local && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

clean: ## remove what `make setup` and the checks made (records in STATE are kept)
	rm -rf $(VENV) local/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PACKAGES_READY): requirements-dev.txt
	@set -e; suits() { "$$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }; \
	if ! suits $(PY); then \
	  for python in python3 python3.13 python3.12 python3.11 none; do \
	    if suits $$python; then break; fi; \
	  done; \
	  if [ $$python = none ]; then \
	    echo "Python 3.11, 3.12 or 3.13 is needed; python3 here is: $$(python3 --version 2>&1 || true)" >&2; \
	    echo "Install one of them (as python3, python3.13, python3.12 or python3.11) and run make again." >&2; exit 1; \
	  fi; \
	  $$python -m venv --clear $(VENV) || { echo "No virtual environment could be made with $$python." \
	    "On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	fi
	@echo "Installing the Python packages (about a minute, once)"
	@$(PY) -m pip install --quiet --require-hashes --requirement requirements-dev.txt
	@touch $@

# As a deployment ships it, so that a cold start doesn't compile: also where Python is told to write none.
$(BYTECODE_READY): $(PACKAGES_READY) $(SOURCES)
	@$(PY) -m compileall -q $(SOURCES)
	@touch $@

# What pytest makes of the tests' asserts, so that not each of its workers makes it anew: also where Python is told to write
# none. Beside mypy, which takes longer.
$(TESTS_READY): $(PACKAGES_READY) $(TESTS)
	@said=$$(PYTHONDONTWRITEBYTECODE= $(PY) -m pytest --collect-only -qq 2>&1) || { echo "$$said"; exit 1; }
	@touch $@

$(AZURITE_READY): local/package-lock.json
	@major=$$(node --print 'parseInt(process.versions.node)' 2>/dev/null || echo 0); \
	if [ "$$major" -lt 18 ] || ! command -v npm >/dev/null; then \
	  echo "Node.js 18 or newer with npm is needed; node here is: $$(node --version 2>/dev/null || echo missing)" >&2; \
	  echo "Install it (for example from your system's packages or nodejs.org) and run make again." >&2; exit 1; \
	fi
	@echo "Installing Azurite"
	@cd local && npm ci --no-audit --no-fund --ignore-scripts --update-notifier=false --loglevel=error
	@touch $@
