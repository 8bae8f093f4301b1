# Set-up and shortcuts. Everything below also works by hand in an environment made from requirements.lock.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo flow ui up down sweep promote rollback refresh chat serve test test-slow test-engines test-formats check lock clean

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DO_NOT_TRACK := 1

help:  ## say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

setup: .venv/installed  ## make .venv from the lock file

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv || { echo "error: python3-venv is missing: apt-get install python3-venv"; exit 1; }
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	@# On all cores, which pip does not, and without their tests; some carry templates that are no Python: no status.
	@.venv/bin/python -W ignore -m compileall -q -j 0 -x '/tests/' .venv/lib > /dev/null || true
	@touch $@

demo: setup  ## crawl, build and measure a small model: set-up plus `dvc repro`
	dvc repro
	@echo
	@echo "model:  data/export  (make chat talks to it)"
	@echo "report: data/report/index.html"

flow: setup  ## the same graph as a Prefect flow
	python -m flows.build

ui: setup  ## start the Prefect server on loopback and say where to look
	python -m flows.server

up: setup  ## server, worker and scheduled flows in the background, on loopback with a password
	python -m flows.service up

down: setup  ## end them
	python -m flows.service down

SWEEP ?= infra/sweeps/learning_rate.yaml
sweep: setup  ## search the best parameters; make sweep SWEEP=infra/sweeps/data_recipe.yaml
	python -m flows.sweep $(SWEEP)

promote: setup  ## make the last commit's build the champion, if it is better beyond error
	python -m flows.promote

rollback: setup  ## make the version before the champion again
	python -m flows.promote --rollback

refresh: setup  ## take in new crawl, rebuild what it touches, promote it if it is better
	python -m flows.refresh --look-again

chat: setup  ## talk to the trained model
	@python -m stages.release.chat --model data/export

serve: setup  ## answer OpenAI's chat completions API with the trained model, on http://127.0.0.1:8000/v1
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check '.[serve]'
	@python -m stages.release.serve --model data/export

check: setup  ## lint, format, types, and the contract of dvc.yaml
	ruff check
	ruff format --check
	mypy
	python -m stages.core.contract

test: check  ## the checks and the tests
	python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: setup  ## the tests that take long: many kills, whole data sets
	python -m pytest -m slow

test-engines: setup  ## real Ray, DVC remotes and, as root with what infra/README.md names, Slurm and two machines
	.venv/bin/python -m pip install --quiet --disable-pip-version-check '.[ray,remote-tests,s3,ssh]'
	python -m pytest tests/core/test_engine_ray.py tests/engines

test-formats: setup  ## what export writes, in the programs that people run it with; builds llama.cpp
	.venv/bin/python -m pip install --quiet --disable-pip-version-check '.[llamacpp,onnx,serve]'
	python -m pytest tests/release/test_{llama_cpp,onnx_file,serve}.py

lock: setup  ## resolve pyproject.toml anew into requirements.lock
	python infra/lock.py

clean:  ## remove what can be rebuilt except data/ and the DVC cache
	rm -rf work .mypy_cache .pytest_cache .ruff_cache
