package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/test/manifest"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

// HTTP/2 with prior knowledge on both sides of the proxy.
const (
	streams mode = "h2c"  // small answers of nginx
	calls   mode = "grpc" // calls of grpc-go
)

const (
	streamsPort = 8082 // of the backends
	callsPort   = 9090
)

var (
	streamsVIP = netip.MustParseAddrPort("10.96.0.50:80")
	callsVIP   = netip.MustParseAddrPort("10.96.0.60:80")
)

// modesOfRequests are those in which peers speak HTTP/1.1 and HTTP/2.
var modesOfRequests = []mode{requests, streams, calls}

// http2Services are the Services of these modes, as a cluster would declare them.
func http2Services() []manifest.Service {
	return []manifest.Service{
		{Name: "streams", ClusterIPs: []netip.Addr{streamsVIP.Addr()},
			Ports: []manifest.Port{{Name: "http2", AppProtocol: "kubernetes.io/h2c", Port: streamsVIP.Port(), Target: streamsPort}}},
		{Name: "calls", ClusterIPs: []netip.Addr{callsVIP.Addr()},
			Ports: []manifest.Port{{Name: "grpc", AppProtocol: "grpc", Port: callsVIP.Port(), Target: callsPort}}},
	}
}

// http2Cases are done behind those of HTTP/1.1.
func http2Cases() []testcase {
	return []testcase{
		{name: "h2c", title: "HTTP/2, 10 connections with 10 streams each, full speed", mode: streams, direct: true, noise: "cpu_us",
			how: "h2load -t 1 -c 10 -m 10 http://SERVICE/", measure: h2load(10, 10),
			metrics: []metric{cpuPerRequest, switches, {key: "rps", title: "requests", unit: "/s"}}},
		{name: "h2c1", title: "HTTP/2, 10 connections with one stream each, full speed", mode: streams, direct: true, noise: "cpu_us",
			how: "h2load -t 1 -c 10 -m 1 http://SERVICE/", measure: h2load(10, 1),
			metrics: []metric{cpuPerRequest, switches, {key: "rps", title: "requests", unit: "/s"}}},
		{name: "h2rate", title: "HTTP/2, 10 connections, 5,000 requests/s in all", mode: streams, direct: true, latency: true, noise: "p50",
			how: "h2load -t 1 -c 10 -m 10 --rps=500 --log-file=FILE http://SERVICE/", measure: streamsRate, added: []string{"p50", "p99"},
			metrics: []metric{{key: "p50", title: "p50", unit: "µs"}, {key: "p99", title: "p99", unit: "µs"},
				{key: "added_p50", title: "added p50", unit: "µs", apart: true}, {key: "added_p99", title: "added p99", unit: "µs", apart: true}, cpuPerRequest}},
		{name: "grpc", title: "gRPC, unary calls of 100 bytes, 50 at a time on one channel", mode: calls, direct: true, noise: "cpu_us",
			how: "test/grpc/box load --concurrency=50 --bytes=100 --target=SERVICE", measure: unaryCalls,
			metrics: []metric{cpuPerRequest, switches, {key: "rps", title: "calls", unit: "/s"}}},
		{name: "grpcstream", title: "gRPC, streams of messages of 1 MiB, down and up", mode: calls, direct: true, noise: "cpu_gib",
			how: "test/grpc/box bulk [--down] --target=SERVICE", measure: streamedMessages, metrics: []metric{
				{key: "cpu_gib", title: "CPU", unit: "ms/GiB", ratio: true}, {key: "gib_s", title: "throughput", unit: "GiB/s", digits: 2}}},
		{name: "syscallsh2", title: "system calls, HTTP/2, 4 connections with 16 streams each", mode: streams, once: true,
			how:     "perf stat -e raw_syscalls:sys_enter -p PROXY -- h2load -t 1 -c 4 -m 16 http://SERVICE/",
			measure: syscallsHTTP2, metrics: []metric{allCalls, {key: "allocs", title: "allocations", unit: "/request", digits: 4}}},
	}
}

// http2Targets are the gates of HTTP/2 and gRPC. Aims come from the prototypes.
func http2Targets() []target {
	return []target{
		{Case: "h2c", Metric: "cpu_us", Text: "CPU per request, HTTP/2, 10 connections with 10 streams", Ratio: true, Gate: 0.7, Aim: 0.5},
		{Case: "h2c1", Metric: "cpu_us", Text: "CPU per request, HTTP/2, one stream a connection", Ratio: true, Gate: 0.9, Aim: 0.75},
		{Case: "h2rate", Metric: "added_p50", Text: "added p50 at 5,000/s, HTTP/2", Apart: true, Unit: "µs"},
		{Case: "h2rate", Metric: "added_p99", Text: "added p99 at 5,000/s, HTTP/2", Apart: true, Unit: "µs"},
		{Case: "grpc", Metric: "cpu_us", Text: "CPU per unary gRPC call", Ratio: true, Gate: 0.8},
		{Case: "grpcstream", Metric: "cpu_gib", Text: "CPU per GiB of gRPC streams", Ratio: true, Gate: 0.7, Aim: 0.5},
		{Case: "syscallsh2", Metric: "all", Text: "system calls per request, HTTP/2 with 16 streams", Gate: 1},
		{Case: "syscallsh2", Metric: "allocs", Text: "allocations per request in steady state, HTTP/2", Gate: 2},
	}
}

func h2loadArgs(w *way, connections, streams int, d time.Duration) []string {
	return []string{"-t", "1", "-c", strconv.Itoa(connections), "-m", strconv.Itoa(streams), "-D", fmt.Sprintf("%.0f", d.Seconds()),
		"-N", "5s", "http://" + w.vip().String() + "/"}
}

// h2load makes a measurement of HTTP/2 at full speed.
func h2load(connections, streams int) func(*bench, *way) (values, error) {
	return func(b *bench, w *way) (values, error) {
		if _, err := w.run("h2load", h2loadArgs(w, connections, streams, time.Second)...); err != nil { // pools fill, buffers grow
			return nil, err
		}
		u := &used{w: w}
		if err := u.begin(); err != nil {
			return nil, err
		}
		out, err := w.run("h2load", h2loadArgs(w, connections, streams, b.sizes.Full)...)
		if err := errors.Join(err, u.end()); err != nil {
			return nil, err
		}
		n, err := parseH2load(out)
		if err != nil {
			return nil, err
		}
		v := u.per(n)
		v["rps"] = n / b.sizes.Full.Seconds()
		return v, nil
	}
}

// streamsRate sends at a rate that leaves every peer idle for most of the time.
func streamsRate(b *bench, w *way) (values, error) {
	const connections, streams = 10, 10
	log := filepath.Join(w.rig.dir, "h2load.log")
	defer os.Remove(log)
	args := []string{fmt.Sprintf("--rps=%d", latencyRate/connections)}
	if _, err := w.run("h2load", append(args, h2loadArgs(w, connections, streams, time.Second)...)...); err != nil {
		return nil, err
	}
	u := &used{w: w}
	if err := u.begin(); err != nil {
		return nil, err
	}
	out, err := w.run("h2load", append(append(args, "--log-file="+log), h2loadArgs(w, connections, streams, b.sizes.Rate)...)...)
	if err := errors.Join(err, u.end()); err != nil {
		return nil, err
	}
	n, err := parseH2load(out)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	v, err := parseH2loadLog(string(text))
	if err != nil {
		return nil, err
	}
	maps.Copy(v, u.per(n))
	return v, nil
}

// parseH2loadLog reads how long each request took.
func parseH2loadLog(text string) (values, error) {
	var took []float64
	for line := range strings.Lines(text) {
		columns := strings.Split(strings.TrimSpace(line), "\t")
		if len(columns) < 3 {
			return nil, fmt.Errorf("h2load --log-file: line %q, where start, status and microseconds were due", line)
		}
		us, err := strconv.ParseFloat(columns[2], 64)
		if err != nil {
			return nil, fmt.Errorf("h2load --log-file: line %q: %w", line, err)
		}
		took = append(took, us)
	}
	if len(took) == 0 {
		return nil, errors.New("h2load --log-file: no requests")
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[max(int(math.Ceil(q*float64(len(took))))-1, 0)] }
	return values{"p50": at(0.5), "p99": at(0.99)}, nil
}

var (
	h2loadRequests = regexp.MustCompile(`(?m)^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored`)
	h2loadStatus   = regexp.MustCompile(`(?m)^status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx`)
)

// parseH2load reads h2load's report. Any failure is an error: the figures of a proxy that fails are not comparable.
func parseH2load(out string) (float64, error) {
	m := h2loadRequests.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("h2load: no number of requests in %q", out)
	}
	if m[3] != "0" || m[4] != "0" || m[2] == "0" || !h2loadStatus.MatchString(out) {
		return 0, fmt.Errorf("h2load: %s", m[0])
	}
	return strconv.ParseFloat(m[2], 64)
}

func syscallsHTTP2(b *bench, w *way) (values, error) {
	const connections, streams = 4, 16
	if _, err := w.run("h2load", h2loadArgs(w, connections, streams, time.Second)...); err != nil {
		return nil, err
	}
	d := b.sizes.Full + time.Second
	return callsAndAllocations(b, w, d, parseH2load, append([]string{"h2load"}, h2loadArgs(w, connections, streams, d)...)...)
}

// grpcBox runs the gRPC application in the way's pod and reads what it prints.
func grpcBox(w *way, result any, args ...string) error {
	out, err := w.run(filepath.Join(w.rig.dir, grpcBoxName), args...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), result)
}

func unaryCalls(b *bench, w *way) (values, error) {
	var r struct {
		Requests, Failed int
		Errors           map[string]int
	}
	load := func(d time.Duration) error {
		err := grpcBox(w, &r, "load", "--target="+w.vip().String(), "--concurrency=50", "--bytes=100", "--duration="+d.String())
		if err == nil && (r.Failed > 0 || r.Requests == 0) {
			err = fmt.Errorf("%d of %d calls failed: %v", r.Failed, r.Requests, r.Errors)
		}
		return err
	}
	if err := load(time.Second); err != nil {
		return nil, err
	}
	u := &used{w: w}
	err := errors.Join(u.begin(), load(b.sizes.Full), u.end())
	if err != nil {
		return nil, err
	}
	v := u.per(float64(r.Requests))
	v["rps"] = float64(r.Requests) / b.sizes.Full.Seconds()
	return v, nil
}

func streamedMessages(b *bench, w *way) (values, error) {
	u := &used{w: w}
	if err := u.begin(); err != nil {
		return nil, err
	}
	gib, seconds := 0.0, 0.0
	for _, way := range [][]string{{"--down"}, nil} {
		var r struct{ Bytes, Seconds float64 }
		args := append([]string{"bulk", "--target=" + w.vip().String(), fmt.Sprintf("--bytes=%d", int64(b.sizes.Bodies)*blobBytes)}, way...)
		if err := grpcBox(w, &r, args...); err != nil {
			return nil, err
		}
		gib += r.Bytes / (1 << 30)
		seconds += r.Seconds
	}
	if err := u.end(); err != nil {
		return nil, err
	}
	return u.perGiB(gib, seconds), nil
}

// grpcBoxName is the gRPC application, built from its own module.
const grpcBoxName = "grpcbox"

// callsServer is the gRPC application as a server, nil when it was not built. Small answers come from the nginx of HTTP/1.1.
func (r *rig) callsServer() *meshtest.Cmd {
	path := filepath.Join(r.dir, grpcBoxName)
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	return r.server.Command(r.ctx, path, "serve", fmt.Sprintf("--address=0.0.0.0:%d", callsPort))
}

// buildGRPC builds it, and says why it cannot.
func buildGRPC(ctx context.Context, dir string) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("go list -m %s: %w", module, err)
	}
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, grpcBoxName), "./box")
	c.Dir, c.Env = filepath.Join(strings.TrimSpace(string(root)), "test", "grpc"), append(os.Environ(), "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build in test/grpc: %w: %s", err, tail(text))
	}
	return nil
}

// service is what clients call in the mode, and the servers' port behind it.
func (m mode) service() (vip netip.AddrPort, port uint16) {
	switch m {
	case opaque:
		return opaqueVIP, opaquePort
	case streams:
		return streamsVIP, streamsPort
	case calls:
		return callsVIP, callsPort
	}
	return httpVIP, httpPort
}
