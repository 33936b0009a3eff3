# The benchmark of test/bench; included by the top-level Makefile. BENCH takes its flags: make bench BENCH="-rounds 9 -threads 2".

BENCH ?=

.PHONY: bench bench-quick

bench: ## compare CPU, latency and memory with HAProxy, nginx, Envoy and others (root, Linux; BENCH=flags)
	@$(GO) build -o bin/bench ./test/bench && bin/bench $(BENCH)

bench-quick: ## the same with short measurements and two rounds, to see whether it works
	@$(GO) build -o bin/bench ./test/bench && bin/bench -quick $(BENCH)
