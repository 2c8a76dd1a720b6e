# The project's commands. `make demo` and `make test` work on a fresh machine with Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := geo model pipeline tests docker setup.py

.PHONY: setup demo test test-tools format lint types bench lock image-locks template clean
.DELETE_ON_ERROR:

setup: .venv/installed

# uv comes out of the lock file too (with its hashes), and then installs everything else from it.
.venv/installed: requirements.lock setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": run make with PYTHON=python3.11")'
	$(PYTHON) -m venv --clear .venv
	awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements.lock > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

# Programs that only the tests need: Chromium for the pages, ogrinfo as a reader of the GIS files. Installed where apt may.
test-tools:
	@if command -v chromium > /dev/null && command -v ogrinfo > /dev/null; then :; \
	elif command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium gdal-bin > /dev/null; \
	else echo "Tests that need chromium and ogrinfo fail without them: install Debian's packages chromium and gdal-bin" >&2; fi

demo: setup
	$(BIN)/python -m pipeline.demo

test: setup test-tools
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile

format: setup
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

# Options: make bench ARGS="--memory", or ARGS="--peer PYTHON" for SAHI and YOLO11n beside it.
bench: setup
	$(BIN)/python -m tests.benchmarks.bench $(ARGS)

# Resolves setup.py's ranges anew; `make setup` then installs the result.
lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--extra dev --custom-compile-command "make lock" --upgrade setup.py --output-file requirements.lock

# What the images install: the runtime part of requirements.lock, for the GPU with TensorFlow for CUDA. After `make lock`.
image-locks: setup
	$(BIN)/uv pip compile $(IMAGE_LOCK) setup.py docker/cpu.in --output-file docker/cpu.lock
	$(BIN)/uv pip compile $(IMAGE_LOCK) --override docker/gpu.overrides setup.py docker/gpu.in --output-file docker/gpu.lock
IMAGE_LOCK = --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-emit-index-url \
	--constraint requirements.lock --custom-compile-command "make image-locks" --upgrade

# The Flex Template's metadata, from the options of the command.
template: setup
	$(BIN)/python -m pipeline.flex_template > docker/template/metadata.json

clean:
	rm -rf .venv out
