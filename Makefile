# make demo   makes the environment and the demo data, turns its sounds into activations, scores the models, prints a table
# make test   makes the environment and runs the tests
# Both need Python 3.10 to 3.13 and make, nothing else.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test test-all lint figures benchmark clean


$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.10 to 3.13 found; name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.'
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
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

test: $(VENV)/.installed-test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

test-all: $(VENV)/.installed-test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "slow or not slow" --numprocesses auto --dist loadfile

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .

# the notebooks, run on ROOT (default: the demo), as web pages below results/
ROOT ?= $(DEMO)
figures: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[notebooks]'
	AUD_DNN_ROOT=$(abspath $(ROOT)) $(BIN)/python -m jupyter nbconvert --to html --execute --output-dir $(ROOT)/results/notebooks \
		notebooks/generate_Figure*.ipynb

benchmark: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[benchmark]'
	$(BIN)/python benchmarks/benchmark_ridge.py
	$(BIN)/python benchmarks/benchmark_rsa.py

clean:
	rm -rf $(VENV) $(DEMO)
