# Two commands for a newcomer: `make demo` and `make test`.
PORT ?= $(or $(APPLINKS_PORT),5000)
PYTHON ?= python3
BIN := .venv/bin

# An authorization server on Node.js for the tests, where there is Node.js; they skip it elsewhere.
NODE_SERVER := tests/thirdparty/node
ifneq ($(and $(shell command -v node),$(shell command -v npm)),)
NODE_INSTALLED := $(NODE_SERVER)/node_modules/.installed
endif

# What `make dist` makes of all this.
EXECUTABLE := dist/applinks
WHEEL := dist/.wheel
SOURCES := app.py pyproject.toml $(shell find applinks templates static packaging -type f -not -name '*.pyc')

.PHONY: demo dist cluster test soak lint screenshots benchmark scaling
demo: .venv/.installed
	@APPLINKS_PORT=$(PORT) exec $(BIN)/python app.py demo

dist: $(EXECUTABLE) $(WHEEL)

cluster: .venv/.installed-for-tests
	@exec $(BIN)/python -m tests.cluster --port $(PORT)

test: .venv/.installed-for-tests $(NODE_INSTALLED) dist
	@$(BIN)/python -m tests.chromium
	@$(BIN)/python -m tests.nginx
	@$(BIN)/python -m pytest -n 3 --dist worksteal

soak: .venv/.installed-for-tests
	@$(BIN)/python -m pytest -n 3 --dist worksteal --all-on-both tests/web tests/services
	@$(BIN)/python -m tests.soak

lint: .venv/.installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy applinks app.py

benchmark: .venv/.installed-for-tests
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@$(BIN)/python -m benchmarks

scaling: .venv/.installed-for-tests
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@$(BIN)/python -m benchmarks.scaling

screenshots: .venv/.installed-for-tests
	@$(BIN)/python -m tests.chromium
	@$(BIN)/python docs/screenshots.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.installed-for-dist: requirements.txt requirements-postgresql.txt packaging/requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r packaging/requirements.txt
	@touch $@ .venv/.installed

.venv/.installed-for-tests: requirements.txt requirements-postgresql.txt packaging/requirements.txt tests/requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@ .venv/.installed .venv/.installed-for-dist

$(EXECUTABLE): $(SOURCES) .venv/.installed-for-dist
	@$(BIN)/python -m PyInstaller --log-level ERROR --distpath dist --workpath build/pyinstaller packaging/applinks.spec

$(WHEEL): $(SOURCES) .venv/.installed-for-dist
	@rm -rf build/lib dist/*.whl
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@touch $@

$(NODE_SERVER)/node_modules/.installed: $(NODE_SERVER)/package.json $(NODE_SERVER)/package-lock.json
	@cd $(NODE_SERVER) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch node_modules/.installed || \
		{ test "$$CI" != true && echo "Without the server on Node.js: its tests are skipped."; }
