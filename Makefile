# Two commands: `make demo` and `make test`. Each installs what it needs into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKS := dewa ema entsoe ieee1547 nordic ofgem operator
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench nightly manual vscode clean

demo: $(STAMP)
	$(BIN)/python -m lexwatt demo

test: lint
	$(BIN)/python -m pytest -m "not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m lexwatt check $(PACKS)
	$(BIN)/python -m lexwatt fmt --check $(PACKS)
	$(BIN)/python -m lexwatt test $(PACKS) --coverage

manual: $(STAMP)
	$(BIN)/python -m lexwatt.manual
	$(BIN)/python -m lexwatt.textmate

vscode: $(STAMP)
	$(BIN)/python -m lexwatt.textmate
	cd editors/vscode && npm ci --no-audit --no-fund && npx vsce package --out ../../lexwatt-rules.vsix

nightly: $(STAMP)
	$(BIN)/python -m pytest

bench: $(STAMP)
	$(BIN)/python -m bench
	$(BIN)/python -m bench.editor

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf $(VENV) var build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
