# make book    build the book: install, run the quick reproduction, render, print the path
# make test    every check: style, unit tests, chapters, strict book build, its pages in a browser
# make print   the built book as one PDF (needs Chromium): _build/book.pdf
# make bench   the benchmarks (minutes; on a quiet machine), into book/results/bench-*.json
# make bench-gpu  the same of a training step on this machine's GPU
# make chapters-gpu  every chapter on this machine's GPU, with a record of it
# make quick   the quick reproduction only (built-in data; results in runs/quick*)
# make mutants  change the method line by line: each change must turn a test red (minutes)
# make faults   kill, damage and mutate: what has to go on to the bit, or say why not (minutes)
# make audit   compare the pins with published advisories (needs a network)
# make clean   remove what was built (keeps .venv)
#
# Needs Python >= 3.11 and nothing else. Another interpreter: make book PYTHON=python3.12

PYTHON ?= python3
JOBS   ?= 2
SHELL  := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
HTML  := _build/html/index.html
RESULTS := book/results
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)

CHAPTERS  := $(wildcard notebooks/[0-9a]?_*.ipynb)
NOTEBOOKS := $(CHAPTERS) $(wildcard notebooks/full/*.ipynb)

export OMP_NUM_THREADS ?= 2
export PYTHONHASHSEED := 0
export JUPYTER_PLATFORM_DIRS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PATH := $(abspath $(BIN)):$(PATH)
# A forced backend would silence the inline figures of the chapters.
unexport MPLBACKEND

.PHONY: help book render print test lint unit chapters pages mutants faults audit bench bench-gpu chapters-gpu \
        quick clean
.NOTPARALLEL:

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

# One environment, one stamp. The stamp is newer than every file that says what is installed.
$(STAMP): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "This book needs Python >= 3.11, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1); choose another with: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@rm -f $@
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV) (torch first; a few minutes) ..."
	$(BIN)/python -m pip install --quiet -c constraints.txt "$(TORCH)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[book,test]"
	@touch $@

quick: $(STAMP)
	$(BIN)/python -m sjepa.reproduce quick

book: quick render

# Strict: warnings are errors, a failing cell fails the build, no page survives from an older build.
# book/_ext/bookfix.py drops the notebook cache when sjepa/ or book/results/ changed.
render: $(STAMP)
	rm -rf _build/html
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	@touch _build/html/.nojekyll
	@echo "The book: $(abspath $(HTML))"

print: book
	$(BIN)/python book/print.py

# Chapters and pages take the quick run that comes with the package, which unit tests hold to the code.
test: lint unit chapters pages
	@echo "All checks passed."

lint: $(STAMP)
	$(BIN)/ruff check .
ifneq ($(NOTEBOOKS),)
	$(BIN)/nbstripout --verify --keep-id --keep-count $(NOTEBOOKS)
endif

# One thread a worker: two workers on two cores.
unit: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p no:cacheprovider -n $(JOBS) -m "not rendered" tests

# The built book: one number for each reading, and all pages in Chromium where there is one.
pages: render
	$(BIN)/python -m pytest -q -p no:cacheprovider -m rendered tests/pages

# What a chapter puts out here is what the book shows: `render` runs none of them again.
chapters: $(STAMP)
ifneq ($(CHAPTERS),)
	SJEPA_FIGURES=linked OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p no:cacheprovider --nbval --nbval-current-env \
	  --nbval-cell-timeout 300 --book-cache -n $(JOBS) --dist loadscope $(CHAPTERS)
endif

mutants: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutants.py --jobs $(JOBS)

faults: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults/campaign.py --long --json $(RESULTS)/faults.json

audit: $(STAMP)
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit -r constraints.txt --no-deps --disable-pip --strict

bench: $(STAMP)
	$(BIN)/python tests/benchmarks/prepare.py --clips 2000 --rounds 3
	$(BIN)/python tests/benchmarks/step.py --device cpu --batch 16 --accumulate 2 --steps 6 --profile \
	  --json $(RESULTS)/bench-step-cpu.json
	$(BIN)/python tests/benchmarks/step.py --device cpu --threads 1 --clock process --batch 8 --steps 6 \
	  --profile --json $(RESULTS)/bench-step-cpu-1.json
	$(BIN)/torchrun --nproc_per_node=2 tests/benchmarks/step.py --device cpu --threads 1 --batch 16 --steps 4 \
	  --rounds 2 --json $(RESULTS)/bench-step-cpu-2.json
	$(BIN)/python tests/benchmarks/step.py --grow --device cpu --threads 1 --clock process --steps 3 \
	  --json $(RESULTS)/bench-grow-cpu.json

# A store of NTU60's size and 500 steps of the paper's batch, beside the plain step.
bench-gpu: $(STAMP)
	$(BIN)/python tests/benchmarks/step.py --device cuda --batch 256 --steps 500 --rounds 5 --clips 40091 \
	  --profile --json $(RESULTS)/bench-step-gpu.json

# Beside `make test`, which runs chapters and tests/core/test_gpu.py on a GPU too.
chapters-gpu: $(STAMP)
	$(BIN)/python tests/benchmarks/chapters.py --workers $(JOBS) --json $(RESULTS)/chapters-gpu.json

clean:
	rm -rf _build .pytest_cache .ruff_cache .hypothesis build
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
