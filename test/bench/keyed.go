package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/test/manifest"
)

// A keyed Service is like another one but for its annotation. Both are called through the same sidecar by the same client with the
// same bytes: what a shard key costs is the difference. Owners of keys that differ with each request are spread as by chance, which needs more
// connections than a policy that evens out, so a third Service says how much of the difference is due to that.
var (
	byHeaderVIP   = netip.MustParseAddrPort("10.96.0.11:80")
	byBodyVIP     = netip.MustParseAddrPort("10.96.0.12:80")
	byChanceVIP   = netip.MustParseAddrPort("10.96.0.13:80")
	byMetadataVIP = netip.MustParseAddrPort("10.96.0.61:80")
	anyCallsVIP   = netip.MustParseAddrPort("10.96.0.62:80")
)

const (
	keyName   = "account-id"
	bodyBytes = 1 << 10
)

// keyedServices are those whose requests have owners.
func keyedServices() []manifest.Service {
	service := func(name, annotation, value string, vip netip.AddrPort, protocol string, target uint16) manifest.Service {
		return manifest.Service{Name: name, ClusterIPs: []netip.Addr{vip.Addr()},
			Annotations: map[string]string{"sluice.mesh/" + annotation: value},
			Ports:       []manifest.Port{{Name: "web", AppProtocol: protocol, Port: vip.Port(), Target: target}}}
	}
	return []manifest.Service{
		service("by-header", "shard-key", "header:"+keyName, byHeaderVIP, "http", httpPort),
		service("by-body", "shard-key", "json:/account/id", byBodyVIP, "http", httpPort),
		service("by-chance", "policy", "random", byChanceVIP, "http", httpPort),
		service("by-metadata", "shard-key", "header:"+keyName, byMetadataVIP, "grpc", callsPort),
		service("any-calls", "policy", "random", anyCallsVIP, "grpc", callsPort),
	}
}

func (r *rig) serveKeyed() error {
	return errors.Join(r.net.Service(byHeaderVIP, at(httpPort)...), r.net.Service(byBodyVIP, at(httpPort)...), r.net.Service(byChanceVIP, at(httpPort)...),
		r.net.Service(byMetadataVIP, at(callsPort)...), r.net.Service(anyCallsVIP, at(callsPort)...))
}

// keyedCases compare the sidecar with itself.
func keyedCases() []testcase {
	mine := []string{sluice, earlier}
	metrics := []metric{{key: "plain_us", title: "CPU without a key", unit: "µs/request", digits: 1},
		{key: "chance_us", title: "CPU without a key, policy random", unit: "µs/request", digits: 1},
		{key: "keyed_us", title: "CPU with a key", unit: "µs/request", digits: 1}, {key: "times", title: "with to without", digits: 3},
		{key: "times_chance", title: "with to random", digits: 3}}
	return []testcase{
		{name: "keyed", title: "a key in a header field: GETs to a Service with shard-key, and the same ones to one without", mode: requests, quiet: true, only: mine,
			how: "loader turns --connections=50 --header=account-id --duration=100ms, to each in turn", metrics: metrics,
			measure: withAndWithout("by-header", httpVIP, byChanceVIP, byHeaderVIP, "loader", "turns", "--rate=0", "--warmup=0",
				fmt.Sprintf("--connections=%d", fullConns), "--header="+keyName)},
		{name: "keyedjson", title: "a key at the end of 1 KiB of JSON: POSTs to a Service with shard-key, and the same ones to one without", mode: requests,
			quiet: true, only: mine, how: "loader turns --connections=50 --body=1024 --duration=100ms, to each in turn", metrics: metrics,
			measure: withAndWithout("by-body", httpVIP, byChanceVIP, byBodyVIP, "loader", "turns", "--rate=0", "--warmup=0",
				fmt.Sprintf("--connections=%d", fullConns), fmt.Sprintf("--body=%d", bodyBytes))},
		{name: "keyedgrpc", title: "a key in metadata: unary calls to a Service with shard-key, and the same ones to one without", mode: calls, quiet: true, only: mine,
			how: "test/grpc/box turns --concurrency=50 --bytes=100 --key=account-id --duration=100ms, to each in turn", metrics: metrics,
			measure: withAndWithout("by-metadata", callsVIP, anyCallsVIP, byMetadataVIP, grpcBoxName, "turns", "--concurrency=50",
				"--bytes=100", "--key="+keyName)},
	}
}

// keyedTargets compare a key with the policy that spreads requests as keys do: decision 0023.
func keyedTargets() []target {
	return []target{
		{Case: "keyed", Metric: "times_chance", Text: "CPU with a key in a header, to that with the policy random", Gate: 1.03},
		{Case: "keyedjson", Metric: "times", Text: "CPU with a key in 1 KiB of JSON, to that without", Gate: 1.15},
		{Case: "keyedgrpc", Metric: "times_chance", Text: "CPU with a key in gRPC metadata, to that with the policy random", Gate: 1.03},
	}
}

// withAndWithout measures what the proxy uses for a request to each address, in turns of one loader in the way's pod: program with args.
func withAndWithout(service string, plain, chance, keyed netip.AddrPort, program string, args ...string) func(*bench, *way) (values, error) {
	return func(b *bench, w *way) (values, error) {
		before, err := foundKeys(w, service)
		if err != nil {
			return nil, err
		}
		targets := []netip.AddrPort{plain, chance, keyed}
		blocks := int(6 * b.sizes.Full / turnTime / time.Duration(len(targets)))
		ctx, cancel := context.WithTimeout(w.rig.ctx, toolTime+2*6*b.sizes.Full)
		defer cancel()
		t, err := w.takingTurns(ctx, targets, filepath.Join(w.rig.dir, program), args...)
		if err != nil {
			return nil, err
		}
		p, err := t.pair(len(targets), blocks, rand.New(rand.NewPCG(uint64(b.round), 0)), func() (float64, error) {
			u, err := usageOf(w.proxy.Process.Pid)
			return u.cpu.Seconds() * 1e6, err
		})
		if err != nil {
			cancel() // it may wait for its next turn
			return nil, errors.Join(err, t.wait())
		}
		after, err := foundKeys(w, service)
		if err != nil {
			return nil, err
		}
		if after-before < p.requests[2] {
			return nil, fmt.Errorf("%.0f of %.0f requests had a key", after-before, p.requests[2])
		}
		return values{"plain_us": p.of(0), "chance_us": p.of(1), "keyed_us": p.of(2), "times": p.times(2, 0), "times_chance": p.times(2, 1)}, nil
	}
}

// foundKeys answers in how many requests to a Service the sidecar has found a key. Before the first one it tells nothing of them.
func foundKeys(w *way, service string) (n float64, err error) {
	text, err := w.get(healthPort, "/metrics", 10*time.Second)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		labels, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if strings.HasPrefix(labels, "sluice_shard_keys_total{") && strings.Contains(labels, "/"+service+":") && strings.Contains(labels, `outcome="found"`) {
			if n, err = strconv.ParseFloat(value, 64); err != nil {
				return 0, fmt.Errorf("%s: %w", line, err)
			}
		}
	}
	return n, nil
}
