# One entry for people and for CI. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STUBS := service/pb
# Where pip finds torch: empty takes the default index, whose Linux build carries CUDA; https://download.pytorch.org/whl/cpu is the CPU build.
TORCH_INDEX_URL ?=

.PHONY: help setup demo test check format lint types contract e2e test-gpu bench load docs pictures proto proto-check wheels serve image up down clean

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## install everything into .venv (done by every other target when needed)

$(READY): requirements.lock pyproject.toml setup.py $(wildcard models/implementations/packed/native/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "cellserve needs Python 3.11 or newer; this is $$($(PYTHON) --version). Set PYTHON=python3.11."; exit 1; }
	@test -x $(BIN)/python || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the pinned packages (a few minutes the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) -r requirements.lock
	@command -v c++ g++ clang++ >/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check ziglang || echo "no C++ compiler: installing without the packed kernel"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@mkdir -p .typing/cellserve && ln -sfn ../../service .typing/cellserve/service && ln -sfn ../../models .typing/cellserve/models
	@touch $@

demo: setup ## import a real trained model, serve it, send real requests, print answers and metrics
	@$(BIN)/python deploy/demo/demo.py

test: setup ## the whole test suite, on all cores
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: setup lint types contract proto-check ## format, lint, types, import contract, generated stubs

format: setup ## rewrite the code in the house style
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix --output-format concise . \
	  || { echo "make format cannot mend what is listed above: mend it by hand, then run make check"; exit 1; }

lint: setup
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: setup
	@MYPYPATH=.typing $(BIN)/mypy -p cellserve.service -p cellserve.models

contract: setup
	@$(BIN)/lint-imports

e2e: setup ## slow tests: real clients, containers, long fuzz, properties on ten times the examples
	@EXAMPLES_FACTOR=$${EXAMPLES_FACTOR:-10} $(BIN)/python -m pytest --numprocesses auto --dist worksteal -m 'hypothesis and not gpu and not e2e'
	@$(BIN)/python -m pytest -m e2e tests/e2e tests/test_wheel.py

test-gpu: setup ## the tests that need a CUDA device
	@$(BIN)/python -m pytest -m gpu

bench: setup ## benchmarks, printed as ratios measured in one run
	@$(BIN)/python -m tests.bench

load: setup ## a load test against a server started for it
	@$(BIN)/python -m tests.load

docs: setup ## the documentation as a site, in build/site
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock "mkdocs-material==9.8.2"
	@rm -rf build/docs build/site && $(BIN)/python -m tests.site build/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file build/docs/mkdocs.yml --site-dir $(CURDIR)/build/site && echo "open build/site/index.html"

pictures: setup ## the pictures of docs/, of a real server under load (needs chromium and prometheus)
	@$(BIN)/python -m tests.pictures

proto: setup ## regenerate the gRPC stubs from proto/
	@$(BIN)/python -m grpc_tools.protoc -Icellserve/service/pb=proto --python_out=.typing --pyi_out=.typing --grpc_python_out=.typing proto/*.proto

proto-check: setup
	@tmp=$$(mktemp -d) && mkdir -p $$tmp/cellserve/service/pb \
	  && $(BIN)/python -m grpc_tools.protoc -Icellserve/service/pb=proto --python_out=$$tmp --pyi_out=$$tmp --grpc_python_out=$$tmp proto/*.proto \
	  && for f in $$tmp/cellserve/service/pb/*; do diff -q $$f $(STUBS)/$$(basename $$f) >/dev/null || { echo "$(STUBS)/$$(basename $$f) is not what proto/ generates: run make proto"; exit 1; }; done; rm -rf $$tmp

wheels: setup ## wheels for Linux on x86-64 and aarch64, in dist/
	@$(BIN)/pip install --quiet --disable-pip-version-check "ziglang>=0.13"
	@for machine in x86_64 aarch64; do \
	  CXX="$(CURDIR)/$(BIN)/python -m ziglang cc -target $$machine-linux-gnu.2.17 -mcpu=baseline" \
	  $(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w dist \
	  --config-settings "--build-option=--plat-name=manylinux2014_$$machine" . ; done

serve: setup ## serve ./model-repository
	@$(BIN)/cellserve serve

image: ## build the container image
	docker build -t cellserve:latest -f deploy/Dockerfile .

up: ## start the server, Prometheus and Grafana with docker compose
	docker compose -f deploy/compose.yaml up --build -d

down: ## stop what `make up` started
	docker compose -f deploy/compose.yaml down

clean: ## remove what the targets above made
	rm -rf $(VENV) .e2e .typing .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build models/implementations/packed/libpacked.so
