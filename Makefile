# The few words a newcomer needs. `make run` and `make test` set up everything they use inside this folder.
.PHONY: run test unit mutants check faults soak fuzz audit bench bench-full bench-table fmt setup lock settings-table

PYTHON ?= python3
UV := .uv/bin/uv
BIN := .venv/bin
MEMBERS := bench $(wildcard libs/*) $(wildcard services/*)
LOCKED := command-api query-api push-node standalone

export UV_PYTHON_DOWNLOADS = never

run: setup            ## start everything in one process, on http://127.0.0.1:8000; nobody is asked for a token
	@IMC_AUTH="$${IMC_AUTH:-off}" IMC_PORT="$${IMC_PORT:-$${PORT:-8000}}" exec $(BIN)/imc-standalone

# Two files at once, since many tests wait more than they compute; in the order of the folders, so that the
# installations of tests-e2e, which stay until the end, begin after the tests that want a Redis to themselves.
test: check           ## everything that must pass, on a real MariaDB and Redis: some twelve minutes
	$(BIN)/pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

unit: setup           ## what needs no server: under a minute on two quiet cores
	$(BIN)/pytest --unit --numprocesses=2 --dist=loadfile

# By COUNT=200, SEED=1, JOBS=2, and ONLY="leases" (an area) or ONLY=writer.py (part of a path). An area whose tests
# fail without a change can't judge one: it stops there.
mutants: setup        ## some 200 subtle changes of what holds promises: each must fail a test; under an hour
	COUNT="$(or $(COUNT),200)" SEED="$(or $(SEED),1)" JOBS="$(or $(JOBS),2)" ONLY="$(ONLY)" \
	  $(BIN)/python -m imc_testkit.mutants

faults: setup         ## each fault in turn, and those that come again and again at length: some ten minutes
	LONG=1 $(BIN)/pytest -s tests-e2e/faults

check: setup          ## style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

soak: setup           ## random load and faults for MINUTES=10, with SEED=1, then the checker
	MINUTES="$(or $(MINUTES),10)" SEED="$(or $(SEED),1)" $(BIN)/python -m imc_testkit.soak

bench: setup          ## a short form of all measurements, and the table of goals: some ten minutes
	$(BIN)/python -m imc_bench short

bench-full: setup     ## the long form, whose results are kept: half an hour on a quiet machine
	$(BIN)/python -m imc_bench full

bench-table: setup    ## tables and pictures in READMEs and docs/operations.md, from the last full run
	$(BIN)/python -m imc_bench.readme

fuzz: setup           ## bytes and bodies that make no sense, for MINUTES=10, with SEED=1
	FUZZ_MINUTES="$(or $(MINUTES),10)" FUZZ_SEED="$(or $(SEED),1)" $(BIN)/pytest tests-e2e/test_fuzz*.py

audit: setup          ## known vulnerabilities of the pins; fails too where the index tells nothing of them
	sh requirements/audit.sh .uv/bin/uv

fmt: setup            ## put the code into its one form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

settings-table: setup ## the table of settings in both READMEs, from the code
	$(BIN)/python docs/settings_table.py

setup: .venv/ready    ## the tools and all packages, in .uv and .venv

# An index set for pip counts for uv too, so that a mirror set once serves both.
.venv/ready: requirements/dev.txt requirements/uv.txt $(addsuffix /pyproject.toml,$(MEMBERS))
	test -x $(UV) || $(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --require-hashes --requirement requirements/uv.txt
	index="$${UV_DEFAULT_INDEX:-$$(.uv/bin/pip config get global.index-url 2>/dev/null || true)}"; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv && \
	$(UV) pip sync --quiet --require-hashes requirements/dev.txt && \
	$(UV) pip install --quiet --no-deps $(addprefix --editable ./,$(MEMBERS))
	touch $@

lock:                 ## choose versions anew: requirements/*.txt, pins with hashes that name no index
	test -x $(UV) || { $(PYTHON) -m venv .uv && .uv/bin/pip install --quiet uv; }
	$(UV) lock --quiet --upgrade
	for package in $(LOCKED); do \
	  $(UV) export --quiet --frozen --no-dev --no-header --no-annotate --no-emit-workspace \
	    --package imc-$$package --output-file requirements/$$package.txt; done
	$(UV) export --quiet --frozen --no-header --no-annotate --no-emit-workspace \
	  --all-groups --output-file requirements/dev.txt
	echo uv | $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --output-file requirements/uv.txt -
