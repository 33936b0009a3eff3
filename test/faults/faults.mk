# Pods that turn bad under load, of test/faults; included by the top-level Makefile. FAULTS takes its flags: make faults FAULTS="-only '500/*'".

FAULTS ?=

.PHONY: faults faults-quick

faults: ## pods that turn bad under load: what clients see, with Sluice, kube-proxy alone, HAProxy and nginx (root, some minutes)
	@test/deps.sh ip iptables ab wrk h2load conntrack haproxy nginx
	@$(GO) build -o bin/faults ./test/faults && bin/faults $(FAULTS)

faults-quick: ## the same with fewer requests and Sluice only
	@test/deps.sh ip iptables ab wrk h2load conntrack
	@$(GO) build -o bin/faults ./test/faults && bin/faults -quick $(FAULTS)
