# The ways in. `make demo` and `make test` install what they need themselves, into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data
WORKERS ?= 2
export OPENBLAS_NUM_THREADS ?= 1
export GX_ANALYTICS_ENABLED := false

.DEFAULT_GOAL := help
.PHONY: help setup demo up real test test-long check lint types imports contracts dags bench lock clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed; give one: make PYTHON=/path/to/python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --no-build-isolation -e .
	# Without byte code every Airflow process spends seconds on compiling.
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

setup: $(VENV)/installed ## Make the environment (the other targets do it by themselves).

demo: $(VENV)/installed ## Write a synthetic world and run the whole chain on it through Airflow.
	rm -rf var/demo
	CROSSDOMAIN_HOME=var/demo $(BIN)/crossdomain demo run

up: $(VENV)/installed ## Airflow's UI on loopback, with the DAGs, over the demo's home.
	CROSSDOMAIN_HOME=$${CROSSDOMAIN_HOME:-var/demo} $(BIN)/crossdomain demo up

real: $(VENV)/installed ## Run the chain on real files: make real DATA=<folder>.
	rm -rf var/real
	CROSSDOMAIN_HOME=var/real $(BIN)/crossdomain demo real --data $(DATA)

test: $(VENV)/installed-dev ## The test suite, by two workers (WORKERS=n for more).
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

test-long: $(VENV)/installed-dev ## Tests that take minutes: planted truth over seeds, many kills.
	$(BIN)/pytest -m long -n $(WORKERS) --dist loadfile

check: lint types imports contracts dags ## Everything that CI asks for before the tests.

lint: $(VENV)/installed-dev ## Style.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev ## Types of the library.
	$(BIN)/mypy

imports: $(VENV)/installed-dev ## Who may import whom.
	$(BIN)/lint-imports

contracts: $(VENV)/installed ## Whether the data contracts say what the platform checks.
	$(BIN)/crossdomain contract check

dags: $(VENV)/installed-dev ## DAG integrity.
	$(BIN)/pytest tests/dags

bench: $(VENV)/installed ## Time each stage, and a day of 10 M events; simulate experiments; rows go to benchmarks/results/.
	$(BIN)/python benchmarks/stages.py
	$(BIN)/python benchmarks/large_day.py
	$(BIN)/python benchmarks/experiments.py
	$(BIN)/python benchmarks/experiments_speed.py

lock: $(VENV)/installed-dev ## Lock requirements.in for Python 3.11 to 3.13.
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url requirements-dev.in -o requirements-dev.txt

clean: ## Remove the demo's and the real run's data.
	rm -rf var
