package main

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// microCases run Go's own benchmarks of what is done for a request, and beside requests, where there are 10,000 endpoints.
func microCases() []testcase {
	return []testcase{{name: "picks", title: "picks and changes at 10,000 endpoints, the dearest of all policies and maps", mode: requests, quiet: true, once: true,
		only: []string{sluice}, measure: picks, how: "go test -run xxx -bench 'Pick|Owner|Change' -benchmem ./sidecar/balancer ./sidecar/shard",
		metrics: []metric{{key: "pick_ns", title: "pick by a policy", unit: "ns", digits: 1}, {key: "owner_ns", title: "owner of a key", unit: "ns", digits: 1},
			{key: "place_ns", title: "owner of a place (s2), with the place to read", unit: "ns", digits: 1},
			{key: "change_ms", title: "one endpoint of a map changes", unit: "ms", digits: 2},
			{key: "change_kib", title: "garbage of it", unit: "KiB"}}}}
}

func microTargets() []target {
	return []target{
		{Case: "picks", Metric: "pick_ns", Text: "pick by any policy at 10,000 endpoints", Gate: 100, Unit: "ns"},
		{Case: "picks", Metric: "owner_ns", Text: "owner of a key by any map of 10,000", Gate: 100, Unit: "ns"},
		{Case: "picks", Metric: "change_ms", Text: "one endpoint of a map of 10,000 changes", Gate: 5, Unit: "ms"},
		{Case: "picks", Metric: "change_kib", Text: "garbage of it", Gate: 1024, Unit: "KiB"},
	}
}

// picks answers the dearest of each kind.
func picks(b *bench, w *way) (values, error) {
	v := make(values)
	for _, run := range []struct{ pkg, which string }{
		{"balancer", "^BenchmarkPick$/././^10000$"}, {"shard", "^Benchmark(Owner|Change)$/./^10000$"}} {
		c := exec.CommandContext(w.rig.ctx, "go", "test", "-run", "xxx", "-bench", run.which, "-benchmem", "-benchtime", "50ms", "-count", "5", module+"/sidecar/"+run.pkg)
		text, err := c.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", c, err, tail(text))
		}
		if err := dearest(v, string(text)); err != nil {
			return nil, err
		}
	}
	return v, nil
}

var benchmarkLine = regexp.MustCompile(`(?m)^Benchmark(Pick|Owner|Change)/(\S+)/\d+(?:-\d+)?\s+\d+\s+(\S+) ns/op\s+(\d+) B/op`)

// dearest raises the values to those of a benchmark's report, in which each is there some times: the quickest of these is what it takes where nobody
// else uses the caches.
func dearest(v values, report string) error {
	type cost struct{ ns, bytes float64 }
	least := make(map[[2]string]cost)
	for _, m := range benchmarkLine.FindAllStringSubmatch(report, -1) {
		var c cost
		var err1, err2 error
		c.ns, err1 = strconv.ParseFloat(m[3], 64)
		c.bytes, err2 = strconv.ParseFloat(m[4], 64)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("%s: %w", m[0], err)
		}
		if old, ok := least[[2]string{m[1], m[2]}]; !ok || c.ns < old.ns {
			least[[2]string{m[1], m[2]}] = c
		}
	}
	for name, c := range least {
		raise := func(key string, x float64) { v[key] = max(v[key], x) }
		switch {
		case name[0] == "Pick":
			raise("pick_ns", c.ns)
		case name[0] == "Change":
			raise("change_ms", c.ns/1e6)
			raise("change_kib", c.bytes/1024)
		case strings.HasPrefix(name[1], "s2"):
			raise("place_ns", c.ns)
		default:
			raise("owner_ns", c.ns)
		}
	}
	return nil
}
