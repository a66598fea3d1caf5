# Every target does its own set-up inside the checkout; nothing global is touched.
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/uv/bin/uv
export UV_PYTHON_DOWNLOADS := never
export UV_COMPILE_BYTECODE := 1
RUN := $(UV) run --frozen --no-sync
AZURITE := tests/local_clouds/azurite

.DEFAULT_GOAL := help
.PHONY: help setup azurite test lint unit soak bench bench-load demo clean pins

help:
	@echo "make demo   run the whole job against local clouds, into DuckDB"
	@echo "make test   lint, types and tests"
	@echo "make lint   ruff and mypy only"
	@echo "make soak   kill 50 runs at random moments, and look for what is lost"
	@echo "make bench  compare speed with other ways to read the same files; make bench-load: to load them"
	@echo "make clean  remove everything that make created"

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, '$(PYTHON)' is $$($(PYTHON) --version). Call: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .tools/uv
	.tools/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: $(UV) uv.lock pyproject.toml offgridflow-common/pyproject.toml tap-offgridflow-aws/pyproject.toml tap-offgridflow-azure/pyproject.toml target-offgridflow-duckdb/pyproject.toml
	$(UV) sync --quiet --frozen --all-packages --all-groups --python $(PYTHON)
	@touch $@

setup: .venv/.synced
	@:

$(AZURITE)/node_modules/.installed: $(AZURITE)/package.json $(AZURITE)/package-lock.json
	@{ node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' && npm --version; } >/dev/null 2>&1 || \
		{ echo "Node.js 20 or newer with npm is needed for Azurite, which stands in for Azure's storage. Install it, then try again."; exit 1; }
	cd $(AZURITE) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

azurite: $(AZURITE)/node_modules/.installed
	@:

lint: setup
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

unit: setup azurite
	$(RUN) pytest -n auto

test: lint unit

demo:
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory azurite || echo "The demo goes on without Azurite and leaves out the exports in Azure's storage."
	@$(RUN) python -m demo

soak: setup
	$(RUN) meltano install
	$(RUN) python -m tests.e2e.soak

bench: setup
	$(RUN) python -m benchmarks

bench-load: setup
	$(RUN) python -m benchmarks loading

clean:
	rm -rf .venv .tools .meltano .mypy_cache .pytest_cache .ruff_cache .hypothesis output benchmarks/data $(AZURITE)/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

pins: $(UV)
	$(UV) lock
	$(UV) export --frozen --all-packages --all-groups --no-emit-workspace --no-hashes --no-annotate --no-header -o requirements.lock
