# `make help` lists the commands. Everything runs in .venv, which `make setup` builds from requirements.lock.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=
KERNEL := {"jupytext": null, "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}

.DEFAULT_GOAL := help
.PHONY: help setup lock demo lidc-demo reference test test-slow lint format notebook docs tables figures report clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP)  ## make .venv from the pinned requirements.lock (nothing happens when it is up to date)

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --requirement requirements.lock --no-deps
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --no-deps --editable .
	touch $(STAMP)

lock:  ## pin what pyproject.toml asks for into requirements.lock; ARGS=--upgrade: the newest versions of everything
	$(BIN)/uv pip compile --universal --no-emit-index-url --no-header --extra dev --extra app --extra docs --extra joblib --extra slurm --extra lidc \
	    --override requirements.overrides --python-version 3.11 $(ARGS) pyproject.toml --output-file requirements.lock

demo: setup  ## twelve estimators on both digits datasets: cells, tables and figures in results/
	$(BIN)/cdam-bench sweep experiment=demo $(ARGS)
	$(MAKE) --no-print-directory tables figures

lidc-demo: setup  ## phantom nodules: make, fine-tune a small ViT, explain, tables and figures in results/lidc_demo/
	$(BIN)/cdam-bench prepare phantom
	$(BIN)/cdam-bench train lidc -m finetuning=lidc_demo
	$(BIN)/cdam-bench sweep experiment=lidc_demo results_dir=results/lidc_demo $(ARGS)
	$(BIN)/cdam-bench tables results_dir=results/lidc_demo
	$(BIN)/cdam-bench figures results_dir=results/lidc_demo

reference:  ## copy the tables and the main figures of the demo and of experiment=cifar10 to results/reference/, which is committed
	for cells in digits/digits_vit digits_multi/digits_vit cifar10/cifar10_vit cifar10_grid/cifar10_vit; do \
	    test -d results/tables/$$cells || continue; \
	    mkdir -p results/reference/$${cells%/*} && \
	    cp results/tables/$$cells/*.* results/reference/$${cells%/*}/ && \
	    for figure in maps scores fidelity_patch box_sensitivity cost; do \
	        cp results/figures/$$cells/$$figure.png results/reference/$${cells%/*}/ 2>/dev/null || true; \
	    done; \
	done

test: setup  ## the ordinary test suite, a process per core
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile $(ARGS)

test-slow: setup  ## the slow tests alone
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: setup  ## check style, formatting, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check --no-progress
	$(BIN)/lint-imports --no-cache --no-logo

format: setup  ## mend style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebook: setup  ## make docs/tutorial.ipynb from docs/tutorial.py
	$(BIN)/jupytext --quiet --to ipynb --update --update-metadata '$(KERNEL)' --output docs/tutorial.ipynb docs/tutorial.py

docs: setup  ## the site, from docs/: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

tables: setup  ## tables of every finished cell: results/tables/
	$(BIN)/cdam-bench tables $(ARGS)

figures: setup  ## curves and maps: results/figures/
	$(BIN)/cdam-bench figures $(ARGS)

report: setup  ## one page with everything that was measured: results/report/index.html
	$(BIN)/cdam-bench report $(ARGS)

clean:  ## remove caches and the virtual environment; results stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache build dist site *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
