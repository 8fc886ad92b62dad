# Two commands: `make demo` and `make test`. Each installs what it needs into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKS := aemo dewa ema entsoe gulf_asia ieee1547 nordic north_america ofgem operator
STAMP := $(VENV)/.installed

.PHONY: demo test lint code rules bench nightly packages checkers manual vscode worked-examples clean

demo: $(STAMP)
	$(BIN)/python -m lexwatt demo

test: $(STAMP)
	$(MAKE) --no-print-directory -j2 code rules checkers
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal

lint: code rules

code: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

rules: $(STAMP)
	$(BIN)/python -m lexwatt check $(PACKS)
	$(BIN)/python -m lexwatt fmt --check $(PACKS)
	for pack in $(PACKS); do $(BIN)/python -m lexwatt test $$pack || exit 1; done

# What tests need beside Python: Coq and what makes programs of its proofs, a database server, a C compiler for the tests of
# failing disks. Where it is missing and cannot be installed, the tests that need it are skipped with that reason (in CI they
# fail).
DEBIAN := coq ocaml-findlib js-of-ocaml nodejs postgresql gcc libc6-dev
PROVER := (for c in coqc js_of_ocaml ocamlfind node; do command -v $$c || exit 1; done) >/dev/null 2>&1
PRESENT = $(PROVER) && (command -v cc && ls /usr/lib/postgresql/*/bin/initdb) >/dev/null 2>&1
packages:
	@{ $(PRESENT); } || \
	{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && { apt-get update -q; \
	  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(DEBIAN); }; } >/dev/null 2>&1 || true
	@{ $(PRESENT); } || { echo "some tests need the packages $(DEBIAN)"; test "$(CI)" != true; }

# The certificate checker proved in Coq, as a command and as JavaScript, and the proved lowering as a command.
COQ := proofs/coq
CHECKERS := build/checkers
PROVED := Certificate Claim Core Branches Polynomial Lower Agree Reader Extract

checkers: packages
	@if $(PROVER); then \
	  $(MAKE) --no-print-directory $(CHECKERS)/lexwatt_check.js; \
	else echo "the checkers are not built"; fi

$(CHECKERS)/lexwatt_check.js: $(wildcard $(COQ)/*.v $(COQ)/*.ml)
	mkdir -p $(CHECKERS) && cp $^ $(CHECKERS)
	cd $(CHECKERS) && for file in $(PROVED); do coqc -q -Q . Lexwatt $$file.v || exit 1; done > axioms.txt
	cd $(CHECKERS) && ocamlfind ocamlopt -O3 -w -a -o lexwatt-check checker.mli checker.ml input.ml main.ml 2>/dev/null
	cd $(CHECKERS) && ocamlfind ocamlopt -O3 -w -a -o lexwatt-lower checker.mli checker.ml input.ml lowering.ml 2>/dev/null
	cd $(CHECKERS) && ocamlfind ocamlc -w -a -package js_of_ocaml -linkpkg -o browser.byte \
	  checker.mli checker.ml input.ml browser.ml
	cd $(CHECKERS) && js_of_ocaml --opt 3 browser.byte -o lexwatt_check.js

# Worked examples of fact files in a folder, by default those beside the packs, held against the rules.
FACTS ?= jurisdictions
worked-examples: $(STAMP)
	$(BIN)/python -m lexwatt worked-examples $(FACTS)

manual: $(STAMP)
	$(BIN)/python -m lexwatt.manual
	$(BIN)/python -m lexwatt.textmate

vscode: $(STAMP)
	$(BIN)/python -m lexwatt.textmate
	cd editors/vscode && npm ci --no-audit --no-fund && npx vsce package --out ../../lexwatt-rules.vsix

nightly: $(STAMP) checkers
	$(BIN)/python -m pytest

bench: $(STAMP)
	$(BIN)/python -m bench
	$(BIN)/python -m bench.kernel
	$(BIN)/python -m bench.ledger
	$(BIN)/python -m bench.twin
	$(BIN)/python -m bench.guard
	$(BIN)/python -m bench.proofs
	$(BIN)/python -m bench.editor
	$(BIN)/python -m bench.service

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf $(VENV) var build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
