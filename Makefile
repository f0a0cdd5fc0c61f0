# Needs Python (3.10 to 3.14), pip and make; everything else is installed into .venv by the targets themselves.
#   make demo    install, then fit the lynx and hare record by gradients (the main job)
#   make test    install what the tests need, then run them; make test-all also all combinations of kernels and modes
#   make lint    ruff and mypy        make docs   rebuild the generated pages
#   make bench   measure every objective beside the other systems installed, write docs/performance.md (12 minutes);
#                ARGS="--only gmm --peers jax" a part, ARGS=--resume what is missing
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# How many test processes; the tests are bound by compilation, so one for each core.
JOBS ?= 2
ARGS ?=

.PHONY: demo test test-all lint bench docs clean help
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 10) <= v < (3, 15) else f"Python 3.10 to 3.14 is needed, this is {v[0]}.{v[1]}: say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# One stamp for each set of extras: a second run installs nothing.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once; a few minutes on a slow line)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$*]"
	@touch $@

demo: $(VENV)/.installed-plot
	$(BIN)/python examples/lynx_hare.py $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(JOBS) -m "not thorough" $(ARGS)

test-all: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks run $(ARGS)

docs: $(VENV)/.installed-test
	$(BIN)/python -m dialects.rules > docs/rules.md

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
