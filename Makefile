# Every target is a line or two over go, so that the same runs without make. "make help" lists them.

GO        ?= go
STATIC    := CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w"
TOOL      := $(GO) tool -modfile=test/tools/go.mod
IMAGE     ?= ghcr.io/sluice-mesh/sluice:dev
FUZZTIME  ?= 20s
CHANGED   ?= ./...

export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## show the main job: one keep-alive client, three servers, one of them killed (Linux)
	@test/deps.sh ip iptables
	@$(GO) run ./test/demo

.PHONY: test
test: deps lint ## all that must pass: linters, tests, tests of the net engine, tests under the race detector
	$(GO) test -timeout 20m ./...
	$(GO) test -tags netloop ./sidecar/...
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...

.PHONY: deps
deps: # what the tests need besides Go: a C compiler for the race detector, networks, clients and servers to try
	@test/deps.sh cc ip iptables ip6tables setpriv curl ab wrk h2load conntrack redis-server redis-cli

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@out=$$(gofmt -l cmd initcontainer sidecar test webhook); [ -z "$$out" ] || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags netloop ./sidecar/... && $(GO) vet -tags e2e ./test/e2e/...
	$(TOOL) staticcheck ./...

.PHONY: vuln
vuln: ## govulncheck, with the database of GOVULNDB or the public one
	$(TOOL) govulncheck $(if $(GOVULNDB),-db $(GOVULNDB)) ./...

.PHONY: build
build: ## the programs into bin/
	@mkdir -p bin
	@for p in cmd/*/; do echo "$(STATIC) -o bin/$$(basename $$p) ./$$p"; $(STATIC) -o bin/$$(basename $$p) ./$$p || exit 1; done

.PHONY: e2e
e2e: ## end to end on a real cluster: the one of KUBECONFIG and SLUICE_IMAGE, else one that is built and started here (root)
	@test/e2e/run.sh

.PHONY: golden
golden: ## write all golden files anew; review them as a diff
	@for p in $$(grep -rl --include='*_test.go' 'flag.Bool("update"' . | xargs -n1 dirname | sort -u); do $(GO) test $$p -update || exit 1; done

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each
	@grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' -l . | sort -u | while read -r f; do d=$$(dirname $$f); \
	  grep -oE '^func Fuzz[A-Za-z0-9_]+' $$f | sed 's/func //' | while read -r t; do \
	    echo "$$d $$t"; $(GO) test $$d -run '^$$' -fuzz "^$$t$$" -fuzztime $(FUZZTIME) || exit 1; done || exit 1; done

.PHONY: images
images: ## the container image, with Docker
	docker build -t $(IMAGE) .

include test/cluster/cluster.mk
include test/bench/bench.mk
include test/conformance/conformance.mk
include test/faults/faults.mk
