# Every target does its own set-up inside the checkout; nothing global is touched.
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/uv/bin/uv
export UV_PYTHON_DOWNLOADS := never
export UV_COMPILE_BYTECODE := 1
RUN := $(UV) run --frozen --no-sync

.DEFAULT_GOAL := help
.PHONY: help setup test lint typecheck unit bench demo clean pins

help:
	@echo "make demo   run the whole job against local clouds, into DuckDB"
	@echo "make test   lint, types and tests"
	@echo "make lint   ruff and mypy only"
	@echo "make bench  compare speed with other ways to read the same files"
	@echo "make clean  remove everything that make created"

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, '$(PYTHON)' is $$($(PYTHON) --version). Call: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .tools/uv
	.tools/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: $(UV) uv.lock pyproject.toml offgridflow-common/pyproject.toml tap-offgridflow-aws/pyproject.toml tap-offgridflow-azure/pyproject.toml
	$(UV) sync --quiet --frozen --all-packages --all-groups --python $(PYTHON)
	@touch $@

setup: .venv/.synced

lint: setup
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

unit: setup
	$(RUN) pytest -n auto

test: lint unit

demo:
	@$(PYTHON) demo/python_version.py
	@$(MAKE) --no-print-directory setup
	@$(RUN) python -m demo

bench: setup
	$(RUN) python -m benchmarks

clean:
	rm -rf .venv .tools .meltano .mypy_cache .pytest_cache .ruff_cache .hypothesis output benchmarks/data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

pins: $(UV)
	$(UV) lock
	$(UV) export --frozen --all-packages --all-groups --no-emit-workspace --no-hashes --no-annotate --no-header -o requirements.lock
