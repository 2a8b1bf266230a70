# Each target does its own set-up in .venv: a fresh machine needs Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .demo
NPROCS ?= $(shell nproc)
HEADS ?= 2
# Python compiles a module when it is first imported; to compile all that is installed would take a minute. What is
# compiled is kept, also where the environment says otherwise: each of many processes would compile it again.
PIP_INSTALL := -m pip install --quiet --no-compile
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test coverage lint audit docs image lock clean

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) --prefer-binary -e '.[test]'
	touch $@

$(VENV)/.lint: $(VENV)/.installed
	$(BIN)/python $(PIP_INSTALL) -e '.[lint]'
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python $(PIP_INSTALL) -e '.[docs]'
	touch $@

# All of them in one go, which is quicker.
$(VENV)/.all: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) --prefer-binary -e '.[test,lint,docs]'
	touch $(VENV)/.installed $(VENV)/.lint $(VENV)/.docs $@

# Simulates HEADS heads, finds the perivascular spaces in them, and shows where the reports are.
demo: $(VENV)/.installed
	$(BIN)/pvs simulate $(DEMO)/bids --n-subjects $(HEADS) --suite easy --nprocs $(NPROCS)
	$(BIN)/pvs $(DEMO)/bids $(DEMO)/out participant --modality T1w --nprocs $(NPROCS) --device cpu
	$(BIN)/pvs $(DEMO)/bids $(DEMO)/out group
	$(BIN)/pvs evaluate $(DEMO)/out $(DEMO)/bids/derivatives/labels $(DEMO)/evaluation
	@echo; echo "Reports:"; ls -1 $(CURDIR)/$(DEMO)/out/*.html

# One process for each test file, so that fixtures that its tests share are made once. In the order of the files,
# those that run the whole program come first: at the end no process waits for another.
test: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(NPROCS) --dist loadfile --no-loadscope-reorder

# Known vulnerabilities of the pinned dependencies, by pip-audit in an environment of its own.
audit: $(VENV)-audit/.installed
	$(VENV)-audit/bin/python .ci/audit requirements.lock

$(VENV)-audit/.installed:
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python $(PIP_INSTALL) 'pip-audit>=2.9'
	touch $@

# The same tests with their coverage, that of the programs they start included.
coverage: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -n $(NPROCS) --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	.ci/file-sizes

# The documentation as a site, in build/docs; broken links and anchors are errors. (The two variables silence
# announcements of other versions of MkDocs.)
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

# The container image, by Docker; its dependencies' versions stand in requirements.lock, its own in the git tag.
image:
	docker build --build-arg VERSION=$(shell git describe --tags --always) -t pvs .

# Run it after a change of the dependencies in pyproject.toml. Of torch the version alone is kept: which build it
# is (CPU, CUDA) is for pip to say where the image is built.
lock:
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --prefer-binary torch==2.13.0 .
	{ sed -n '/^#/p' requirements.lock; $(VENV)-lock/bin/pip freeze | grep -v '^pvs-bidsapp' | sed 's/+cpu//'; } > requirements.new
	mv requirements.new requirements.lock && rm -rf $(VENV)-lock build

clean:
	rm -rf $(VENV) $(VENV)-audit $(DEMO) build *.egg-info
