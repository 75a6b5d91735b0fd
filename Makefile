# The few words a newcomer needs. `make run` and `make test` set up everything they use inside this folder.
.PHONY: run test unit short mutants check faults engines clients browser soak fuzz audit bench bench-full bench-table fmt setup lock settings-table
.PHONY: docs docs-serve demo kills capacity cluster cluster-real clean console-pictures openapi pictures version images push-images release

# The interpreter to use: by default the best one that is installed, see requirements/python-versions.
PYTHON ?=
VENV ?= .venv
UV := .uv/bin/uv
BIN := $(VENV)/bin
MEMBERS := bench $(wildcard libs/*) $(wildcard services/*)
LOCKED := command-api query-api push-node standalone
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
DOCKER ?= docker
# Where images are pushed to, such as ghcr.io/someone.
REGISTRY ?=

export UV_PYTHON_DOWNLOADS = never
# The theme would tell of its successor at each build.
export NO_MKDOCS_2_WARNING = 1

# Where nothing is installed yet, this installs what it needs, in a tenth of the time that all tools take.
run:                  ## start everything in one process, on http://127.0.0.1:8000 or PORT=8080; nobody is asked for a token
	@sh requirements/environment.sh standalone $(VENV) "$(PYTHON)" $(MEMBERS)
	@IMC_AUTH="$${IMC_AUTH:-off}" IMC_PORT="$${IMC_PORT:-$${PORT:-8000}}" exec $(BIN)/imc-standalone

demo: setup           ## a group chat in the browser: an IMC of separate processes, and two gateways, on PORT=9001 and the next
	@exec $(BIN)/python examples/group-chat/demo.py

# Two files at once, since many tests wait more than they compute; in the order of the folders, so that the
# installations of tests-e2e, which stay until the end, begin after the tests that want a Redis to themselves.
test: check           ## everything that must pass, on a real MariaDB and Redis: half an hour on the Python that ships,
                      ## after a short form of three minutes on each other one that IMC supports and that is installed
	@for other in $$(sh requirements/python.sh others); do \
	  $(MAKE) --no-print-directory short PYTHON="$${other#*=}" VENV=".venv-$${other%%=*}" || exit; done
	$(BIN)/pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

short: setup          ## what depends on the version of Python and is quick: all that needs no server, a start of each process
	$(BIN)/pytest -m 'not servers or programs' --numprocesses=2 --dist=loadfile libs services tests-e2e/test_programs.py

# Three at once: many of these tests wait for deadlines.
unit: setup           ## those tests of the packages that start no server and no program: less than a minute on two quiet cores
	$(BIN)/pytest -m 'not servers and not programs' --numprocesses=3 --dist=worksteal bench libs services

# By COUNT=200, SEED=1, JOBS=2, and ONLY="leases" (an area) or ONLY=writer.py (part of a path). An area whose tests
# fail without a change can't judge one: it stops there.
mutants: setup        ## some 200 subtle changes of what holds promises: each must fail a test; under an hour
	COUNT="$(or $(COUNT),200)" SEED="$(or $(SEED),1)" JOBS="$(or $(JOBS),2)" ONLY="$(ONLY)" \
	  $(BIN)/python -m imc_testkit.mutants

faults: setup         ## each fault in turn, and those that come again and again at length: some ten minutes
	LONG=1 $(BIN)/pytest -s tests-e2e/faults

engines: setup        ## servers of Galera, of Redis Cluster and Sentinel die and hang at random: MINUTES=10 each, SEED=1
	ENGINES=1 MINUTES="$(or $(MINUTES),10)" SEED="$(or $(SEED),1)" $(BIN)/pytest -s tests-e2e/engines

kills: setup          ## the client while processes are killed at random, for MINUTES=60, with SEED=1
	KILLS=1 MINUTES="$(or $(MINUTES),60)" SEED="$(or $(SEED),1)" $(BIN)/pytest -s tests-e2e/gateways/test_random_kills.py

# No root, and no containers: nodes are made up. Go builds the control plane once, in ~/.cache/imc/cluster.
cluster: setup        ## the manifests on a real control plane of Kubernetes; needs Go: a quarter of an hour, once more to build
	CLUSTER=1 $(BIN)/pytest tests-e2e/cluster

# It makes namespaces, installs what it lacks of containerd and buildah, and keeps images in ~/.cache/imc/cluster.
cluster-real: setup   ## the trial in containers on a real node, under load, with SEED=1; needs root on Debian, and Go
	CLUSTER_REAL=1 SEED="$(or $(SEED),1)" $(BIN)/pytest -s tests-e2e/cluster/real

clients: setup        ## clients in Java, JavaScript, Go and Python; their packages come from public registries
	CLIENTS=1 $(BIN)/pytest tests-e2e/clients tests-e2e/gateways/test_languages.py tests-e2e/gateways/test_client_page.py

browser: setup        ## the console and the group chat in Chromium, driven by packages of public registries
	CLIENTS=1 $(BIN)/pytest tests-e2e/console tests-e2e/gateways/test_group_chat.py

console-pictures: setup ## the pictures of the console, in docs/pictures
	CLIENTS=1 PICTURES=1 $(BIN)/pytest tests-e2e/console/test_pictures.py -k taken

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

bench-table: setup    ## tables and pictures in READMEs and docs, from the last full run
	$(BIN)/python -m imc_bench.readme

fuzz: setup           ## bytes and bodies that make no sense, for MINUTES=10, with SEED=1
	FUZZ_MINUTES="$(or $(MINUTES),10)" FUZZ_SEED="$(or $(SEED),1)" $(BIN)/pytest tests-e2e/test_fuzz*.py

audit: setup          ## known vulnerabilities of the pins; fails too where the index tells nothing of them
	$(UV) venv --quiet --allow-existing --python $(BIN)/python .audit
	$(UV) pip sync --quiet --python .audit --require-hashes requirements/pip-audit.txt
	sh requirements/audit.sh .audit/bin/pip-audit

fmt: setup            ## put the code into its one form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

capacity: setup       ## what an installation needs, such as ARGS="--apps 200 --sends 2000", or ARGS="simulate --masters 8"
	@$(BIN)/imc capacity $(ARGS)

settings-table: setup ## the tables of settings in docs, from the code
	$(BIN)/python docs/settings_table.py

openapi: setup        ## the description of all calls, in docs/openapi.json
	$(BIN)/python docs/openapi.py

pictures: setup       ## dark and Chinese pictures, from docs/images/*-light.svg
	$(BIN)/python docs/pictures.py

docs: setup           ## the documents as a site, in .site, in English and Chinese; a link that leads nowhere fails
	$(BIN)/mkdocs build --strict
	$(BIN)/mkdocs build --strict --config-file mkdocs.zh-CN.yml

docs-serve: setup     ## the same in English on PORT=8100, made anew when a document changes; CONFIG=mkdocs.zh-CN.yml in Chinese
	$(BIN)/mkdocs serve --dev-addr "127.0.0.1:$(or $(PORT),8100)" --config-file "$(or $(CONFIG),mkdocs.yml)"

version: setup        ## write the version of pyproject.toml wherever else it stands
	$(BIN)/python deploy/version.py

images:               ## build all images, as $(REGISTRY)/imc-NAME:VERSION
	for package in $(LOCKED); do \
	  $(DOCKER) build --file deploy/docker/Dockerfile --build-arg PACKAGE=$$package \
	    --tag "$(if $(REGISTRY),$(REGISTRY)/)imc-$$package:$(VERSION)" . || exit 1; done

push-images: images   ## and push them to REGISTRY
	test -n "$(REGISTRY)" || { echo "say where to: make push-images REGISTRY=ghcr.io/someone"; exit 1; }
	for package in $(LOCKED); do $(DOCKER) push "$(REGISTRY)/imc-$$package:$(VERSION)" || exit 1; done

# The notes first: without them nothing is pushed.
release:              ## push the images of TAG=v1.2.3, and publish its section of CHANGELOG.md on GitHub
	notes="$$(mktemp)" && python3 deploy/release_notes.py "$(TAG)" > "$$notes" && \
	$(MAKE) push-images && gh release create "$(TAG)" --verify-tag --title "$(TAG)" --notes-file "$$notes"

setup:                ## the tools and all packages, in .uv and .venv
	@sh requirements/environment.sh dev $(VENV) "$(PYTHON)" $(MEMBERS)

clean:                ## remove what `make` made here, but for the data of `make run`
	rm -rf .uv .venv .venv-* .audit .bench .clients .site .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: setup           ## choose versions anew: requirements/*.txt, pins with hashes that name no index
	$(UV) lock --quiet --upgrade
	for package in $(LOCKED); do \
	  case $$package in command-api|standalone) tools="--package imc-cli" ;; *) tools= ;; esac; \
	  $(UV) export --quiet --frozen --no-dev --no-header --no-annotate --no-emit-workspace \
	    --package imc-$$package $$tools --extra tracing --output-file requirements/$$package.txt; done
	$(UV) export --quiet --frozen --no-header --no-annotate --no-emit-workspace \
	  --all-groups --output-file requirements/dev.txt
	for tool in uv pip-audit; do echo $$tool | $(UV) pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --output-file requirements/$$tool.txt -; done
