# Everything runs from .venv, made on first use from the pinned requirements.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE ?= 1
# The same lists for every platform; with hashes in it, pip takes nothing from a list that is not exactly what was pinned.
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock"

.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/.runtime: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(BIN)/.dev: requirements-dev.txt requirements-pdf.txt $(BIN)/.runtime
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@if ldconfig -p | grep -q libpangoft2-1.0; then $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-pdf.txt; else echo "No Pango: PDF tests will be skipped"; fi
	@touch $@

demo: $(BIN)/.runtime ## the whole product against its own sandbox EMR (DEMO_PATIENTS=12, DEMO_DATA=folder)
	@$(BIN)/python -m headachemd.demo

demo-check: $(BIN)/.runtime ## the same on free ports, opened as staff would; one JSON line
	@$(BIN)/python -m headachemd.demo --check

demo-code: $(BIN)/.runtime ## the sign-in code of the demo's people, as an authenticator app would show it now
	@$(BIN)/python -m headachemd.demo --code

demo-reset: $(BIN)/.runtime ## forget the demo's data
	@$(BIN)/python -m headachemd.demo --reset

lock: ## pin anew what pyproject.toml names, with the hashes of all files (wants uv); delete a list to take newer versions
	@uv pip compile $(LOCK) pyproject.toml -o requirements.txt
	@uv pip compile $(LOCK) --group dev -c requirements.txt -o requirements-dev.txt
	@uv pip compile $(LOCK) --group pdf -c requirements.txt -o requirements-pdf.txt

test: $(BIN)/.dev ## every test: on SQLite, then on PostgreSQL and Redis where they are installed
	@$(BIN)/python -m tests.everything

lint: $(BIN)/.dev ## ruff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(BIN)/.dev ## let ruff rewrite
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: $(BIN)/.dev ## mypy
	@$(BIN)/mypy

audit: $(BIN)/.dev ## dependencies, their licences, and published vulnerabilities where pip-audit is installed
	@$(BIN)/python -m tests.dependencies

bench: $(BIN)/.dev ## measured figures beside their goals: make bench AREA=main
	@$(BIN)/python -m bench $(AREA)

.PHONY: audit help lock demo demo-check demo-code demo-reset test lint format types bench
