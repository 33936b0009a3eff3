package main

import (
	"errors"
	"fmt"
	"net/netip"
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
			how: "loader rate --connections=50 --rate=0 --header=account-id, to either in turn", metrics: metrics,
			measure: withAndWithout("by-header", httpVIP, byChanceVIP, byHeaderVIP, drawnRequests("--header="+keyName))},
		{name: "keyedjson", title: "a key at the end of 1 KiB of JSON: POSTs to a Service with shard-key, and the same ones to one without", mode: requests,
			quiet: true, only: mine, how: "loader rate --connections=50 --rate=0 --body=1024, to either in turn", metrics: metrics,
			measure: withAndWithout("by-body", httpVIP, byChanceVIP, byBodyVIP, drawnRequests(fmt.Sprintf("--body=%d", bodyBytes)))},
		{name: "keyedgrpc", title: "a key in metadata: unary calls to a Service with shard-key, and the same ones to one without", mode: calls, quiet: true, only: mine,
			how: "test/grpc/box load --concurrency=50 --bytes=100 --key=account-id, to either in turn", metrics: metrics,
			measure: withAndWithout("by-metadata", callsVIP, anyCallsVIP, byMetadataVIP, drawnCalls)},
	}
}

func keyedTargets() []target {
	return []target{
		{Case: "keyed", Metric: "times", Text: "CPU with a key in a header, to that without", Gate: 1.03},
		{Case: "keyedjson", Metric: "times", Text: "CPU with a key in 1 KiB of JSON, to that without", Gate: 1.15},
		{Case: "keyedgrpc", Metric: "times", Text: "CPU with a key in gRPC metadata, to that without", Gate: 1.03},
	}
}

// withAndWithout measures what the proxy uses for a request to each address. They take turns, each row in the other order than the
// one before it, so that a machine that becomes slower or quicker does so for all, and the median of an address's turns counts: a
// machine that is busy with something else for a second does not.
func withAndWithout(service string, plain, chance, keyed netip.AddrPort, load func(*way, *used, netip.AddrPort, time.Duration) (float64, error)) func(*bench, *way) (values, error) {
	return func(b *bench, w *way) (values, error) {
		cost, n := make(map[netip.AddrPort][]float64), make(map[netip.AddrPort]float64)
		before, err := foundKeys(w, service)
		if err != nil {
			return nil, err
		}
		var turns []netip.AddrPort
		for range 3 {
			turns = append(turns, plain, chance, keyed, keyed, chance, plain)
		}
		for _, to := range turns {
			u := &used{w: w}
			requests, err := load(w, u, to, b.sizes.Full/4)
			if err != nil {
				return nil, err
			}
			cost[to] = append(cost[to], u.cpu.Seconds()*1e6/requests)
			n[to] += requests
		}
		after, err := foundKeys(w, service)
		if err != nil {
			return nil, err
		}
		if after-before < n[keyed] {
			return nil, fmt.Errorf("%.0f of %.0f requests had a key", after-before, n[keyed])
		}
		with, without, random := median(cost[keyed]), median(cost[plain]), median(cost[chance])
		return values{"plain_us": without, "chance_us": random, "keyed_us": with, "times": with / without, "times_chance": with / random}, nil
	}
}

// drawnRequests sends HTTP/1.1 requests, each with another key, at full speed.
func drawnRequests(args ...string) func(*way, *used, netip.AddrPort, time.Duration) (float64, error) {
	return func(w *way, u *used, to netip.AddrPort, d time.Duration) (float64, error) {
		var r struct {
			Due, Answered, Failed int
			Errors                map[string]int
		}
		err := w.load(&r, u.begin, u.end, append([]string{"rate", "--target=" + to.String(), fmt.Sprintf("--connections=%d", fullConns),
			"--rate=0", "--warmup=500ms", "--duration=" + d.String()}, args...)...)
		if err == nil && (r.Failed > 0 || r.Answered == 0) {
			err = fmt.Errorf("%d of %d requests failed: %v", r.Failed, r.Due, r.Errors)
		}
		return float64(r.Answered), err
	}
}

// drawnCalls makes unary calls, each with another key, at full speed.
func drawnCalls(w *way, u *used, to netip.AddrPort, d time.Duration) (float64, error) {
	if err := u.begin(); err != nil {
		return 0, err
	}
	var r struct {
		Requests, Failed int
		Errors           map[string]int
	}
	err := grpcBox(w, &r, "load", "--target="+to.String(), "--concurrency=50", "--bytes=100", "--key="+keyName, "--duration="+d.String())
	if err == nil && (r.Failed > 0 || r.Requests == 0) {
		err = fmt.Errorf("%d of %d calls failed: %v", r.Failed, r.Requests, r.Errors)
	}
	return float64(r.Requests), errors.Join(err, u.end())
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
