# make demo    install, then run the main job end to end on data made on the spot
# make test    install, then run the tests, but for the long proofs: at most 12 minutes on two cores
# make test-slow  the long proofs: killed runs, clusters, engines, large networks, real photos, the commands of the pages
# make lint    formatting, lint, types, layers
# make bench   the benchmarks that need no data; one JSON line each

PYTHON ?= python3
VENV ?= .venv
# train-cpu is TensorFlow without CUDA; `make demo EXTRA=train` takes the wheel that can use a GPU.
EXTRA ?= train-cpu
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed-$(EXTRA)
# Google's client libraries make every start of Beam slower, so the tests of Dataflow have an environment of their own.
DATAFLOW = $(VENV)-dataflow

.PHONY: demo test test-slow lint bench clean

demo: $(INSTALLED)
	$(BIN)/wordtree demo --out demo

test: $(INSTALLED) $(DATAFLOW)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadgroup --durations=10 -m "not slow"
	$(DATAFLOW)/bin/python -m pytest -q tests/pipelines/test_dataflow.py

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadgroup --durations=10 -m slow

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

bench: $(INSTALLED)
	$(BIN)/python benchmarks/convert_speed.py
	$(BIN)/python benchmarks/train_step.py
	$(BIN)/python benchmarks/tree_build.py
	$(BIN)/python benchmarks/tree_softmax.py
	$(BIN)/python benchmarks/mapper_speed.py

$(INSTALLED): setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; found `$(PYTHON) --version`. Name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing into $(VENV) (TensorFlow and Beam: about 2 GB on disk, a minute or two)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip setuptools wheel
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[$(EXTRA),dev]'
	@# The published program that LVIS figures are compared with; its pictures want OpenCV, which no test needs.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps lvis==0.5.3
	@touch $@

$(DATAFLOW)/.installed: setup.py $(INSTALLED)
	$(PYTHON) -m venv $(DATAFLOW)
	$(DATAFLOW)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip setuptools wheel
	PYTHONWARNINGS=ignore $(DATAFLOW)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
	  -e '.[dataflow]' 'pytest>=8.3,<9.2' 'pytest-xdist>=3.6' hypothesis
	@touch $@

clean:
	rm -rf $(VENV) $(DATAFLOW) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis demo
