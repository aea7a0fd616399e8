# Two commands do all the set-up: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Test processes side by side, one more than two cores: tests of the running system mostly wait. Each has a Kafka of its own. A file's tests stay together.
JOBS ?= 3
# How many runs of the fault campaign, over all faults in turn.
RUNS ?= 300

PEERS := .venv-peers

.PHONY: demo test lint format bench bench-peers campaign faults soak lock clean

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("hotline-watch needs Python 3.11 or newer: set PYTHON=/path/to/python3") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/hotline-watch demo $(if $(ONCE),--once,)

lint: $(STAMP)
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

test: lint
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

format: $(STAMP)
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

bench: $(STAMP)
	@$(BIN)/python -m benchmarks

# The peers' own environment: nothing of the service needs them.
$(PEERS)/.installed: benchmarks/peers/requirements.lock
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/peers/requirements.lock
	@touch $@

bench-peers: $(PEERS)/.installed
	@$(PEERS)/bin/python -m benchmarks.peers $(if $(QUICK),--quick,)

campaign: $(STAMP)
	@$(BIN)/python -m tests.campaign --kills 80

faults: $(STAMP)
	@$(BIN)/python -m tests.faults --runs $(RUNS)

soak: $(STAMP)
	@$(BIN)/python -m tests.faults.soak

lock:
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra dev pyproject.toml -o requirements-dev.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header benchmarks/peers/requirements.in pyproject.toml -o benchmarks/peers/requirements.lock

clean:
	@rm -rf $(VENV) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis
