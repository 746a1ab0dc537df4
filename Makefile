# make        install what running needs into .venv, then run every claim in configs/ but sweeps
# make predictions   the tests, and docs/predictions.md from what they measure; docs/law-counts.md
# make test   install the development tools, then run the tests
# make docs   the site, docs/_build/html; a warning is an error
# make benchmarks   faflow beside other solvers, some 35 minutes: benchmarks/results/goals.md
PYTHON ?= python3
CONFIG ?= $(filter-out configs/sweep_%,$(wildcard configs/*.toml))
# How many configs `make run` runs at a time.
JOBS ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
# For `make test`: further arguments to pytest, for instance PYTEST_ARGS="-k drift"; "--slow" adds
# the larger cases, as `make predictions` does.
PYTEST_ARGS ?=
# For `make lock`: UPGRADE=--upgrade moves every pin to its newest release.
UPGRADE ?=

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := run
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: run test predictions docs benchmarks lint format lock clean

VENV := .venv
BIN := $(VENV)/bin
# Twice quiet: errors only, no warnings about the indices that a machine happens to be set up with.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev

# Nothing is written outside the checkout: caches of pip, matplotlib and others lie in the venv.
CACHE_FOLDER := $(CURDIR)/$(VENV)/cache
export PIP_CACHE_DIR := $(CACHE_FOLDER)/pip
export MPLCONFIGDIR := $(CACHE_FOLDER)/matplotlib
export XDG_CACHE_HOME := $(CACHE_FOLDER)/xdg
export CUDA_CACHE_PATH := $(CACHE_FOLDER)/cuda

# Two pytest workers, each with a single-threaded BLAS and XLA: more threads only fight for cores.
# Programs of tests are small and run once: XLA, which would take most of the time, optimises none.
QUICK := --xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0 \
	--xla_cpu_parallel_codegen_split_count=1
# Modules are kept compiled, whatever the shell says: a hundred tests start processes of their own.
TEST_ENV := env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	XLA_FLAGS="--xla_cpu_multi_thread_eigen=false $(QUICK) $${XLA_FLAGS:-}"
# `make test CACHE=1` keeps the programs that it compiles, for the next one.
ifdef CACHE
TEST_ENV += FAFLOW_TEST_PROGRAMS=$(CACHE_FOLDER)/programs
endif

run: $(RUN_STAMP)
	@$(BIN)/faflow run --replace --jobs $(JOBS) $(CONFIG)

test: $(DEV_STAMP)
	@echo "test: pytest"
	@$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

# The table of what the tests measured of each prediction.
predictions: $(DEV_STAMP)
	@$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal --predictions=docs/predictions.md
	@$(BIN)/python scripts/checks/law_counts.py docs/law-counts.md

docs: $(DEV_STAMP)
	@echo "docs: sphinx"
	@$(TEST_ENV) $(BIN)/sphinx-build -q -W --keep-going -E -b html docs docs/_build/html
	@echo "docs: docs/_build/html/index.html"

# Races last: they end with the goals, which judge all five tables.
BENCHMARKS := law_keeping stabilised automatic standing races
benchmarks: $(DEV_STAMP) build/peers/.installed
	@for name in $(BENCHMARKS); do \
		echo "benchmarks: $$name"; $(BIN)/python benchmarks/$$name.py; done

build/peers/.installed: benchmarks/peers.txt
	@echo "venv: build/peers"
	@$(BIN)/python benchmarks/races.py --make-peers
	@touch $@

lint: $(DEV_STAMP)
	@echo "lint: ruff check"
	@$(BIN)/ruff check --quiet
	@echo "lint: ruff format"
	@$(BIN)/ruff format --check --quiet
	@echo "lint: pyright"
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

format: $(DEV_STAMP)
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format --quiet

$(RUN_STAMP): requirements/run.txt pyproject.toml
	$(call install,requirements/run.txt)
	@touch $(RUN_STAMP)

# dev.txt contains run.txt, so this installs for `make run` as well.
$(DEV_STAMP): requirements/dev.txt requirements/run.txt pyproject.toml
	$(call install,requirements/dev.txt)
	@touch $(RUN_STAMP) $(DEV_STAMP)

# The stamps go before anything is installed and come back when all of it is: an environment
# without one was interrupted (pip can leave a package half there) and is made afresh.
define install
$(if $(shell $(PYTHON) -c 'import sys; print("ok" if sys.version_info >= (3, 11) else "")' 2>/dev/null),,\
$(error faflow needs Python 3.11 or newer, but `$(PYTHON)` is not: try `make PYTHON=python3.12`))
@if [ ! -e $(RUN_STAMP) ] || ! $(BIN)/python -c '' 2>/dev/null; then \
	echo "venv: $(VENV)"; rm -rf $(VENV); $(PYTHON) -m venv $(VENV); fi
@rm -f $(RUN_STAMP) $(DEV_STAMP)
@echo "install: $(1)"
@$(PIP) install --require-hashes -r $(1)
@echo "install: faflow"
@$(PIP) install --no-deps --no-build-isolation --editable .
endef

# `env -u`: what this machine sets for uv must not reach the locks.
UV := env -u UV_FIND_LINKS -u UV_INDEX -u UV_DEFAULT_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL \
	UV_CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/uv --no-config
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes $(UPGRADE)

# One lock for every Python from 3.11 on, each file in it by its hash, no host named.
lock: build/lock/bin/uv
	@echo "lock: requirements/run.txt"
	@$(COMPILE) --extra data pyproject.toml requirements/run.in --output-file requirements/run.txt
	@echo "lock: requirements/dev.txt"
	@$(COMPILE) --extra dev pyproject.toml requirements/dev.in --output-file requirements/dev.txt

build/lock/bin/uv:
	@echo "venv: build/lock"
	@rm -rf build/lock
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip -qq --disable-pip-version-check install uv

# results/ stays: it is what the runs were for.
clean:
	@rm -rf $(VENV) build dist docs/_build .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
