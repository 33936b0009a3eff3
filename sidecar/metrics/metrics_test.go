package metrics

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

var update = flag.Bool("update", false, "write the golden files anew")

// used answers counters in which everything has happened at least once.
func used(loops int) *Metrics {
	m := New(loops, Words{Refusals: []string{"bare LF"}, Outcomes: []string{"answered", "cut"}, Passthroughs: []string{"unknown-service"},
		Violations: []string{"reset-flood"}, Keys: []string{"found"}})
	for i := range loops {
		l := m.Loop(i)
		for _, c := range []interface{ Add(uint64) uint64 }{&l.Accepted, &l.LoopGuard, &l.Panics, &l.Connects, &l.ConnectFailures, &l.Reuses,
			&l.Refusals[0], &l.Passthroughs[0], &l.TunnelUp, &l.TunnelDown, &l.Violations[0], &l.UpstreamViolations[0]} {
			c.Add(1)
		}
		l.Open.Add(1)
		l.Idle.Add(1)
		l.Upstreams.Add(1)
		s := m.Service("default/web:80", i)
		for c := range s.Attempts {
			s.Attempts[c][1].Add(1)
		}
		s.Retries[1].Add(1)
		s.Refused.Add(1)
		s.Opaque.Add(1)
		for _, c := range []interface{ Add(uint64) uint64 }{&s.Keys[0], &s.Decisions[ToOwner], &s.Turns[TurnFree], &s.Sessions[SessionNew], &s.Scattered} {
			c.Add(1)
		}
		s.Answered(204)
		s.GRPC(14)
	}
	return m
}

// sample is one line of a scrape.
type sample struct {
	family, help, kind string
	labels             map[string]string
	names              []string // of the labels
	value              float64
}

func gather(t *testing.T, m *Metrics, loops int) (samples []sample) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(m.Collector(Sources{
		Loops:     func() []loop.Stats { return make([]loop.Stats, loops) },
		Discovery: func() (bool, time.Duration, int) { return true, 3 * time.Second, 7 },
		Replay:    func() (int64, uint64) { return 4096, 2 },
	}))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			s := sample{f.GetName(), f.GetHelp(), strings.ToLower(f.GetType().String()), map[string]string{}, nil,
				m.GetCounter().GetValue() + m.GetGauge().GetValue()}
			for _, l := range m.Label {
				s.labels[l.GetName()] = l.GetValue()
				s.names = append(s.names, l.GetName())
			}
			samples = append(samples, s)
		}
	}
	return samples
}

// The families, their labels and help are what dashboards and alerts are made of.
func TestFamilies(t *testing.T) {
	var b strings.Builder
	last := ""
	for _, s := range gather(t, used(1), 1) {
		if s.family != last {
			fmt.Fprintf(&b, "%s %s {%s}\n    %s\n", s.family, s.kind, strings.Join(s.names, ","), s.help)
		}
		last = s.family
	}
	const golden = "testdata/families.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got:\n%s\nwant %s:\n%s", b.String(), golden, want)
	}
}

func TestLoopsAreAddedUp(t *testing.T) {
	const loops = 12
	got := map[string]float64{}
	names := map[string]bool{}
	for _, s := range gather(t, used(loops), loops) {
		if s.family == "sluice_loop_polls_total" {
			names[s.labels["loop"]] = true
		}
		got[s.family+s.labels["code_class"]+s.labels["state"]+s.labels["choice"]+s.labels["direction"]] += s.value
	}
	for key, want := range map[string]float64{
		"sluice_requests_total2xx": loops, "sluice_requests_total5xx": 0, "sluice_attempts_totalagain": loops,
		"sluice_upstream_connectionsidle": loops, "sluice_upstream_connectionsactive": loops, "sluice_opaque_bytes_totalup": loops,
		"sluice_downstream_connections": loops, "sluice_discovery_age_seconds": 3, "sluice_discovery_targets": 7,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	for i := range loops {
		if !names[fmt.Sprint(i)] {
			t.Errorf("loop %d has no metrics of its own; there are %v", i, names)
		}
	}
}

func TestAnsweredClasses(t *testing.T) {
	m := New(1, Words{})
	s := m.Service("a", 0)
	for status, class := range map[int]int{0: 0, 101: 1, 200: 2, 299: 2, 304: 3, 404: 4, 503: 5, 600: 0, 999: 0} {
		before := s.Classes[class].Load()
		s.Answered(status)
		if s.Classes[class].Load() != before+1 {
			t.Errorf("status %d is not counted in class %d", status, class)
		}
	}
}

// Scrapes come from another goroutine than counts.
func TestScrapeWhileCounting(t *testing.T) {
	m := used(1)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := range 1000 {
			m.Service(fmt.Sprintf("default/s%d:80", i), 0).Answered(200)
		}
	}()
	for range 20 {
		gather(t, m, 1)
	}
	wg.Wait()
}

// A loop that has left a Service is in its sums until all have: a sum that falls would be read as a restart, and the rest as what happened since.
func TestServicesThatAllLoopsHaveLeftAreForgotten(t *testing.T) {
	m := New(2, Words{Outcomes: []string{"answered"}})
	const name = "default/web:80"
	answers := func() (n float64, there bool) {
		for _, s := range gather(t, m, 2) {
			if s.family == "sluice_requests_total" && s.labels["service"] == name && s.labels["code_class"] == "2xx" {
				return s.value, true
			}
		}
		return 0, false
	}
	expect := func(why string, want float64, wantThere bool) {
		t.Helper()
		if n, there := answers(); n != want || there != wantThere {
			t.Errorf("%s: %v answers, on the page: %v; want %v, %v", why, n, there, want, wantThere)
		}
	}
	a := m.Service(name, 0)
	a.Answered(200)
	m.Service(name, 1).Answered(200)
	m.Service(name, 1).Answered(200)
	expect("both use it", 3, true)
	m.Leave(name, 1)
	m.Leave(name, 1)
	m.Leave("default/other:80", 1)
	expect("the second has left", 3, true)
	m.Service(name, 1).Answered(200)
	m.Leave(name, 0)
	expect("the second is back, and the first has left", 4, true)
	if m.Service(name, 0) != a {
		t.Error("the first comes back to other counters")
	}
	m.Leave(name, 0)
	m.Leave(name, 1)
	expect("both have left", 0, false)
	m.Service(name, 1).Answered(200)
	expect("anew", 1, true)
	for i := range 10_000 {
		name := fmt.Sprintf("default/preview-%d:80", i)
		m.Service(name, i%2)
		m.Leave(name, i%2)
	}
	if n := len(m.services); n != 1 {
		t.Errorf("%d Services are kept, want 1", n)
	}
}
