# One command each. Everything lives in .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PHOTOS ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint types contract format bench fuzz soak torture lock golden docs clean

demo: $(VENV)/demo.stamp ## index real photos, search them with edited copies, draw what was found
	$(BIN)/lookalike demo $(if $(PHOTOS),"$(PHOTOS)") --output demo

test: $(VENV)/dev.stamp ## every test
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

contract: $(VENV)/dev.stamp ## imports go down only
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/bench.stamp ## every figure of docs/benchmarks.md; half an hour
	$(BIN)/python -m benchmarks.run_all

fuzz: $(VENV)/bench.stamp ## damaged files for an hour, guided by what they reach
	$(BIN)/python scripts/fuzz.py

soak: $(VENV)/dev.stamp ## a server under mixed load for two hours
	$(BIN)/python scripts/soak.py

torture: $(VENV)/dev.stamp ## kill -9 whoever writes, a thousand times
	$(BIN)/python scripts/torture.py

lock: $(VENV)/base.stamp ## the server's requirements with hashes, from constraints.txt
	$(BIN)/python -m pip install --quiet uv
	{ head -n 2 deploy/requirements.txt; $(BIN)/uv pip compile --quiet pyproject.toml --extra serve --extra map --constraint constraints.txt \
	  --generate-hashes --no-header --no-annotate --python-version 3.11; } > deploy/requirements.new
	mv deploy/requirements.new deploy/requirements.txt

docs: $(VENV)/docs.stamp ## the documentation site in build/site; a broken link or an undocumented public name fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

golden: $(VENV)/dev.stamp ## a collection of today's format, to be opened for ever
	$(BIN)/python scripts/make_golden.py

clean:
	rm -rf $(VENV) demo build dist

$(VENV)/base.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Lookalike needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=24'
	touch $@

$(VENV)/demo.stamp: $(VENV)/base.stamp pyproject.toml constraints.txt
	$(PIP) --editable '.[demo]'
	touch $@

$(VENV)/dev.stamp: $(VENV)/base.stamp pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[demo,hub,train,serve,dev]'
	touch $@

$(VENV)/docs.stamp: $(VENV)/base.stamp pyproject.toml constraints.txt
	$(PIP) --editable '.[docs]'
	touch $@

$(VENV)/bench.stamp: $(VENV)/dev.stamp
	$(PIP) --editable '.[demo,hub,train,serve,dev,bench]'
	touch $@
