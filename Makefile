# Each target does its own set-up in .venv: a fresh machine needs Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .demo
NPROCS ?= $(shell nproc)

.PHONY: demo test lint clean

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --prefer-binary -e '.[test]'
	touch $@

$(VENV)/.lint: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[lint]'
	touch $@

# Simulates two heads, finds the perivascular spaces in them, and shows where the reports are.
demo: $(VENV)/.installed
	$(BIN)/pvs simulate $(DEMO)/bids --n-subjects 2 --suite easy --nprocs $(NPROCS)
	$(BIN)/pvs $(DEMO)/bids $(DEMO)/out participant --nprocs $(NPROCS) --device cpu
	$(BIN)/pvs $(DEMO)/bids $(DEMO)/out group
	$(BIN)/pvs evaluate $(DEMO)/out $(DEMO)/bids/derivatives/labels $(DEMO)/evaluation
	@echo; echo "Reports:"; ls -1 $(CURDIR)/$(DEMO)/out/*.html

test: $(VENV)/.installed
	$(BIN)/python -m pytest

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info
