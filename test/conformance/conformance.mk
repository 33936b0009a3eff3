# Other projects' tests, run through the proxy; included by the top-level Makefile. "go run ./test/conformance --help" says more.

.PHONY: conformance conformance-quick

conformance: ## other projects' test suites and clients through the proxy; prints a table (root, some minutes, network)
	@test/deps.sh ip iptables ip6tables curl ab wrk hey
	$(GO) run ./test/conformance

conformance-quick: ## the part of it that needs nothing but Go and iptables (root)
	@test/deps.sh ip iptables ip6tables
	$(GO) run ./test/conformance --quick
