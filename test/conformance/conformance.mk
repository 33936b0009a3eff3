# Other projects' tests, run through the proxy; included by the top-level Makefile. "go run ./test/conformance --help" says more.

.PHONY: conformance conformance-quick

conformance: ## other projects' test suites and clients through the proxy; prints a table (root, some minutes, network)
	@test/deps.sh ip iptables ip6tables python3.11 venv node npm javac mvn curl ab wrk hey h2load redis-server redis-benchmark pgbench
	cd test/grpc && $(GO) vet ./... && $(GO) test ./...
	$(GO) run ./test/conformance

conformance-quick: ## the part of it that takes little time and no servers; times are shown and not judged (root)
	@test/deps.sh ip iptables ip6tables python3.11
	cd test/grpc && $(GO) vet ./... && $(GO) test ./...
	$(GO) run ./test/conformance --quick
