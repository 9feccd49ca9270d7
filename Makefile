# Every target runs in .venv, which `setup` makes from requirements.lock on the first use and again when the lock,
# pyproject.toml or this directory's path changes. Choose another interpreter with `make clean setup PYTHON=python3.12`.

.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

PYTHON ?=
PY := .venv/bin/python
# Processes start in half the time when Python may keep what it has compiled.
unexport PYTHONDONTWRITEBYTECODE
READY := .venv/.ready

DEMO_ARGS ?=
DEV_ARGS ?=
TEST_ARGS ?=
TEST_WORKERS ?= 3
FAILPOINTS_ARGS ?=
BENCH_ARGS ?=
SECONDS ?= 120
SEED ?=
CHAOS_ARGS ?=
LOCK_ARGS ?=

# An editable install names this directory, so a moved checkout is set up again. (Read by the shell: paths may hold spaces.)
ifneq ($(shell test "$$(cat $(READY) 2>/dev/null)" = "$$(pwd -P)" && echo ready),ready)
.PHONY: $(READY)
endif

$(READY): requirements.lock pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh "$(PYTHON)"

##@ Run
.PHONY: help setup demo dev migrate
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## Create .venv from requirements.lock (every other target does this by itself)

demo: $(READY) ## Run the dependency audit on embedded servers and keep the stack up (DEMO_ARGS=--exit ends by itself)
	@$(PY) -m agentfleet.cli.main demo $(DEMO_ARGS)

dev: $(READY) ## Run the whole stack for your own agents (DEV_ARGS="my.module --port 8080")
	@$(PY) -m agentfleet.cli.main dev $(DEV_ARGS)

migrate: $(READY) ## Bring the database at AGENTFLEET_DATABASE_URL to the newest schema
	@$(PY) -m agentfleet.cli.main migrate

##@ Test
.PHONY: failpoints test helm-test chaos check nightly lint format types contracts
test: $(READY) ## Run the test suite on embedded servers (TEST_ARGS="-k fence", TEST_WORKERS=4)
	@$(PY) -m pytest -n $(TEST_WORKERS) $(TEST_ARGS) \
		|| { echo "What failed beside other tests is tried once more, alone."; \
		     $(PY) -m pytest --last-failed --last-failed-no-failures none; }

helm-test: $(READY) ## Check the chart with both Helms: schemas of four clusters, policies, a release's whole life
	@AGENTFLEET_TOOLS=required $(PY) -m pytest -n $(TEST_WORKERS) tests/helm tests/observability/test_rules.py tests/observability/test_dashboards.py $(TEST_ARGS)

chaos: $(READY) ## Break a fleet under load at random, and check its history (SECONDS=120 SEED=7 CHAOS_ARGS=--at-once=5)
	@$(PY) -m tests.chaos.soak --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(CHAOS_ARGS)

failpoints: $(READY) ## Break a process at every failpoint, at every kind of step (FAILPOINTS_ARGS="--seed 7 --only settle_steps")
	@$(PY) -m tests.chaos.sweep $(FAILPOINTS_ARGS)

check: lint types contracts test ## Run everything that CI runs

FIGURES := .agentfleet/chaos-figures.jsonl
nightly: $(READY) ## Prove every gate figure: the fault matrix in full, failpoints, soak, mutations (hours)
	@mkdir -p .agentfleet && rm -f $(FIGURES)
	@AGENTFLEET_CHAOS=nightly AGENTFLEET_CHAOS_FIGURES=$(FIGURES) $(PY) -m pytest tests/chaos --timeout 3600 $(TEST_ARGS)
	@$(PY) -m tests.chaos.report $(FIGURES)
	@$(MAKE) failpoints FAILPOINTS_ARGS=--thorough
	@$(MAKE) chaos SECONDS=600
	@$(PY) -m scripts.mutate

lint: $(READY) ## Check style and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

format: $(READY) ## Mend what ruff can mend, and format
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

types: $(READY) ## Check types (strict in the library)
	@$(PY) -m basedpyright

contracts: $(READY) ## Check the direction of imports
	@$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

##@ Maintain
.PHONY: docs bench lock clean
docs: $(READY) ## Regenerate the generated pages of docs/
	@$(PY) -m scripts.generate_docs
	@$(PY) -m scripts.generate_chart

bench: $(READY) ## Run the benchmarks and print the figures
	@$(PY) -m benchmarks.steps $(BENCH_ARGS)

LOCK = .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock: $(READY) ## Pin the dependencies of pyproject.toml anew (LOCK_ARGS=--upgrade for newer versions)
	@$(PY) -m pip install --quiet uv
	@$(LOCK) --extra archive --extra bench --extra capacity --extra dev --extra embedded --extra tracing $(LOCK_ARGS) -o requirements.lock
	@$(LOCK) --extra archive --extra tracing --constraint requirements.lock -o requirements-runtime.lock

clean: ## Remove the environment, caches and builds (data of the embedded servers stays: rm -r .agentfleet)
	rm -rf .venv .hypothesis .import_linter_cache .pytest_cache .ruff_cache build dist
	find agentfleet workers tests benchmarks examples migrations scripts -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
