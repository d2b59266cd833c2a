# What a developer runs and what CI runs. Everything works on a fresh machine with Python 3.11 or newer:
# the first run makes .venv. `make run PYTHON=python3.13` begins with another interpreter.
PYTHON ?= python3
export PYTHON

BIN = .venv/bin

.PHONY: help run test soak lint format audit clean
.DEFAULT_GOAL := help

help:
	@echo 'make run      run the sample application and its demonstration on this machine, until Ctrl-C'
	@echo '              (make run ARGS=--exit ends after the demonstration; ARGS="--port 8081" moves it)'
	@echo 'make test     everything that CI checks: make lint, then the tests (ARGS is for pytest)'
	@echo 'make soak     simulated runs of the engine against every kind of fault (SEEDS=20000; FROM is the first)'
	@echo 'make lint     format, lint, types, import fences, and what bandit finds'
	@echo 'make format   put the code into its format'
	@echo 'make audit    known vulnerabilities of everything that is installed (needs the network)'
	@echo 'make clean    remove what these made: .venv, caches, and the data of make run'

run:
	@sh .ci/venv.sh run
	@$(BIN)/python -m fantasm_gcp dev --demo $(ARGS)

test: lint
	@$(BIN)/python -m pytest --quiet --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

SEEDS = 10000
FROM = 0

soak:
	@sh .ci/venv.sh test
	@$(BIN)/python -m fantasm_gcp.testing.simulation $(SEEDS) --from $(FROM) --processes 2

lint:
	@sh .ci/venv.sh test
	@$(BIN)/python -m ruff format --quiet --diff . || { echo 'make format puts this right'; exit 1; }
	@$(BIN)/python -m ruff check --quiet .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive fantasm_gcp examples main.py

format:
	@sh .ci/venv.sh test
	@$(BIN)/python -m ruff format .
	@$(BIN)/python -m ruff check --fix .

# It has an environment of its own, so that what it needs is not what it looks at. A package of which the
# advisories say nothing because they do not know it is a failure, and not passed over.
AUDITOR = pip-audit==2.10.1

audit:
	@sh .ci/venv.sh test
	@test -x .venv/audit/bin/pip-audit || { $(BIN)/python -m venv .venv/audit && \
		.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check '$(AUDITOR)'; }
	@.venv/audit/bin/pip-audit --strict --progress-spinner off --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

clean:
	rm -rf .venv .fantasm .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
