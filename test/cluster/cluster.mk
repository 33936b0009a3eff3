# The one-node Kubernetes of test/cluster; included by the top-level Makefile.
# "cluster-up" starts it, "image" builds Sluice's image and loads it there.

CLUSTER := test/cluster/cluster

.PHONY: cluster-build cluster-up cluster-down cluster-verify image

cluster-build: ## build the test cluster's programs (first time: some minutes)
	@$(CLUSTER) build

cluster-up: ## start the one-node Kubernetes (root)
	@$(CLUSTER) up

cluster-down: ## end it and remove all it left
	@$(CLUSTER) down

cluster-verify: ## try on the running cluster what the tests want of it
	@$(CLUSTER) verify

image: ## build Sluice's image without Docker, and load it when the cluster runs
	@$(CLUSTER) image sluice
