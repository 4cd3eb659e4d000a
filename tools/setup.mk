# Targets that get what the others need; the Makefile includes this file.

TOOLS := $(or $(LLM_SERVING_TOOLS),$(CURDIR)/.tools)
VENV := $(CURDIR)/.venv

export LLM_SERVING_TOOLS := $(TOOLS)
export PATH := $(VENV)/bin:$(TOOLS)/bin:$(PATH)

.PHONY: setup setup-node setup-autoscaling setup-karpenter setup-official-kubernetes setup-python tools-status

setup: ## get everything that the other targets need (a first run may build for some minutes)
	@sh tools/bootstrap.sh ensure

setup-node: setup ## the same, and what a real local node needs (Linux; as root it installs the missing system packages)
	@sh tools/bootstrap.sh ensure node

setup-autoscaling: setup ## the same, and KEDA, kube-state-metrics and Prometheus (a first run builds for a quarter of an hour)
	@sh tools/bootstrap.sh ensure autoscaling

setup-karpenter: setup ## the same, and Karpenter, for the machines of a local AWS (a first run builds for five minutes)
	@sh tools/bootstrap.sh ensure karpenter

setup-official-kubernetes: setup ## the same, and Pulumi's own Kubernetes plugin, for LLM_SERVING_KUBERNETES_PLUGIN=official
	@sh tools/bootstrap.sh ensure official-kubernetes

setup-python: ## make and fill .venv alone
	@sh tools/bootstrap.sh ensure python

tools-status: ## show each tool, its version, where it came from and where it is
	@sh tools/bootstrap.sh status
