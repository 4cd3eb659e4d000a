# `make help` lists the targets. Everything is set up on first use. Outside the work tree only caches are written:
# ~/.cache/llm-serving, and the caches of Go and uv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
export PYTHONDONTWRITEBYTECODE :=

STACK ?= local
# GNU make 3.81, which macOS has, cannot keep the output of parallel targets apart.
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

include tools/setup.mk

# Stack `local` runs on a node of its own where that is possible and no other cluster is named.
OWN_NODE := $(shell [ "$(STACK)" = local ] && [ "$$(uname -s)" = Linux ] && [ "$$(id -u)" = 0 ] && [ -z "$${KUBECONFIG:-}" ] && echo yes)
SETUP := $(if $(OWN_NODE),setup-node,setup)
# Karpenter brings the nodes of a stack on AWS.
ON_AWS := $(shell grep -qsx ' *llm-serving:cloud: *aws' Pulumi.$(STACK).yaml && echo yes)
UP_SETUP := $(if $(ON_AWS),setup-karpenter,$(SETUP))

# Every run says where its time went.
PYTEST := python -m pytest --durations=20

# Unit tests that import a cloud's SDK, start programs or apply each suggestion of the corpus: most of the time of all.
LONG_UNIT := $(addprefix tests/unit/,addons bench cloud gateway infra local observability plugin serving tools test_tiers.py \
	settings_corpus/test_suggestions.py stacks/test_doc_outputs.py stacks/test_doc_programs.py)

.PHONY: help up preview destroy down status check check-static check-unit test test-unit test-images test-engine fuzz test-e2e test-autoscaling test-official bench format clean

help: ## this list
	@awk -v columns="$${COLUMNS:-80}" 'BEGIN {FS = ":.*## "} \
		/^[a-zA-Z0-9_-]+:.*## / {name[++n] = $$1; text[n] = $$2; if (length($$1) > width) width = length($$1)} \
		END {for (i = 1; i <= n; i++) { \
			line = sprintf("  %-" width "s", name[i]); count = split(text[i], words, " "); \
			for (w = 1; w <= count; w++) { \
				if (length(line) + 1 + length(words[w]) > columns) {print line; line = sprintf("  %" width "s", "")} \
				line = line " " words[w]} \
			print line}}' $(MAKEFILE_LIST)
	@echo; echo "  Variables: STACK=local|dev|staging|prod|prod-aws; YES=1: do not ask"

up: $(UP_SETUP) ## serve a model in real pods on this machine; STACK=dev|staging|prod|prod-aws: that stack on the local clouds
	@python -m local up $(STACK)

preview: $(SETUP) ## show what `up` would change (STACK=prod)
	@python -m local preview $(STACK)

destroy: $(SETUP) ## remove a stack's resources; asks first, unless YES=1
	@python -m local destroy $(STACK) $(if $(YES),--yes)

down: setup-python ## end all processes, of the node and of the local clouds; their state survives for the next `up`
	@python -m local stop

status: setup-python ## what runs: the node, its pods and images, the local clouds
	@python -m local status

check: setup-python ## lint, types, direction of imports, releases, and the unit tests that take no time; a minute
	@$(MAKE) -j 2 $(SYNC) check-static check-unit

check-static:
	@ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@ruff check --quiet .
	@lint-imports --no-logo
	@basedpyright --level error
	@python -m stacks release verify

check-unit:
	@# By file, so that what a file sets up is set up once.
	@$(PYTEST) tests/unit $(addprefix --ignore=,$(LONG_UNIT)) -q -n 2 --dist loadfile

test-unit: setup-python ## the unit tests that `make check` leaves out: components, local clouds, plugin, tools
	@$(PYTEST) $(LONG_UNIT) -q -n 2 --dist loadfile

fuzz: setup-python ## changes the committed settings, and requests to the gateway, at random, ten minutes long: none may end in a traceback
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-10000} $(PYTEST) tests/unit/settings_corpus/test_mutations.py -q -n 0
	@python -m tests.images.gateway.environment
	@python -m tests.images.gateway.clients_environment
	@FUZZ_REQUESTS=$${FUZZ_REQUESTS:-5000} $(PYTEST) tests/images/gateway/test_fuzz.py -q -n 0

format: setup-python ## format and fix what can be fixed
	@-ruff check --fix --quiet .
	@ruff format --quiet .

test: ## all tests that need no container: unit, images, the real engine on the local clouds
	@# Each says how long it took, with its set-up. One that fails ends none of the others: a run shows all that is wrong.
	@failed=; for tier in check test-unit test-images test-engine; do started=$$SECONDS; outcome=; \
		$(MAKE) $$tier || { outcome=", FAILED"; failed="$$failed $$tier"; }; \
		echo "make $$tier: $$(( (SECONDS - started) / 60 )) min $$(( (SECONDS - started) % 60 )) s$$outcome"; done; \
		[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

test-images: setup-python ## launcher, loader and image builds as real processes; a first run builds the engine's image
	@# Not in fixtures: they take minutes, and the processes of the tests would want them at once.
	@python -m tests.images.vllm_distribution
	@python -m tests.images.quantizer_environment
	@python -m tests.images.gateway.environment
	@python -m tests.images.gateway.similarity.environment
	@python -m tests.images.gateway.clients_environment
	@python -m tests.images.router_environment
	@$(PYTEST) tests/images -q -n 2 --dist loadscope

test-engine: setup-karpenter ## previews, updates, faults and destroys on the real engine and a real control plane
	@python -m tests.engine.gateway.environment
	@python -m tests.images.gateway.environment
	@python -m tests.images.router_environment
	@# Each group makes what it needs; most of the time is spent waiting. conftest.py says which tests are a group.
	@$(PYTEST) tests/engine -q -n 2 --dist loadscope

test-e2e: setup-node ## a real node and real pods: the endpoint under load, updates, restarts, failures (Linux, root)
	@# In one run, which has one node for both; twice the tests, so twice as many of the slowest.
	@$(PYTEST) --durations=40 tests/node tests/e2e

test-autoscaling: setup-autoscaling ## KEDA and the HPA controller on a real Prometheus (a first run builds KEDA: a quarter of an hour)
	@# Two processes, each with a cluster: lulls that must last are waited for side by side.
	@$(PYTEST) tests/autoscaling -q -n 2 --dist loadfile

test-official: setup-official-kubernetes ## our Kubernetes plugin beside Pulumi's own (a first run builds that: some minutes)
	@# Two processes, each with a control plane: the tests wait for `pulumi` most of the time.
	@$(PYTEST) tests/official -q -n 2 --dist worksteal
	@LLM_SERVING_KUBERNETES_PLUGIN=official $(PYTEST) tests/engine/test_existing_cluster.py tests/engine/cluster/test_plugin_engine.py -q -n 2

bench: setup ## ratios, measured in one run; names what each measurement that is left out needs
	@python -m bench

clean: setup-python ## remove the virtual environment and the local clouds' state (not the cache of built tools)
	@python -m local clean --yes
	rm -rf .venv .tools
