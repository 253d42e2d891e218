# make demo   makes the environment and the demo data, scores two models and the baseline, prints a table
# make test   makes the environment and runs the tests
# Both need Python 3.10 to 3.13 and make, nothing else.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test lint figures benchmark clean

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
	$(BIN)/python -m aud_dnn.demo.report --root $(DEMO)

test: $(VENV)/.installed-test lint
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) $(DEMO)
