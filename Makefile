# `make` alone lists what there is. Python 3.11 or newer and make are all a machine needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# as many tests at once; 0 is one after the other
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --quiet --numprocesses $(WORKERS) --no-loadscope-reorder --durations 30 --durations-min 5

.PHONY: help demo demo-stream serve test check soak bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "skewless needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …" >&2; exit 2; }
	@echo "setting up $(VENV) (about a minute, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY)  ## the main job on real flights: build, register, materialize, sync, train, look up
	@$(BIN)/python dbt_project/demo.py

demo-stream: $(READY)  ## the same flights as a live stream: Kafka, Flink, Valkey, and lookups that change
	@$(BIN)/python dbt_project/demo_stream.py

serve: $(READY)  ## keep the demo's server up on http://127.0.0.1:8000
	@cd dbt_project && SKEWLESS_CLOCK=2014-01-01T12:00:00Z ../$(BIN)/skewless serve

test: $(READY)  ## everything: unit, property, crash, packaging, docs, end to end
	@$(BIN)/skewless stream install
	@$(PYTEST)

check: $(READY)  ## style, types, layers, generated docs
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --quiet tests/test_layers.py tests/test_docs.py

soak: $(READY)  ## the same properties for longer
	@SKEWLESS_SOAK=1 $(PYTEST) --timeout 0 --override-ini faulthandler_timeout=0

bench: $(READY)  ## measure; tables and plots under bench/out
	@$(BIN)/python -m bench

clean:  ## remove what demo, test and bench made (not the environment)
	@rm -rf demo bench/out build dist .pytest_cache .hypothesis dbt_project/.skewless dbt_project/lake dbt_project/data dbt_project/target dbt_project/logs dbt_project/dbt_packages
