package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

// resolver has a status and nothing else.
type resolver struct {
	discovery.Resolver
	status discovery.Status
}

func (r *resolver) Status() discovery.Status { return r.status }

// start serves both servers until the test ends; get asks one of them.
func start(t *testing.T, o Options) (s *Server, get func(addr, path string) (int, string)) {
	t.Helper()
	o.HealthAddr = netip.MustParseAddrPort("127.0.0.1:0")
	o.Log = slog.New(slog.DiscardHandler)
	if o.Collector == nil {
		o.Collector = prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_test"})
	}
	if o.Resolver == nil {
		o.Resolver = &resolver{status: discovery.Status{Source: "files", Synced: true}}
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	t.Cleanup(s.Close)
	return s, func(addr, path string) (int, string) {
		t.Helper()
		resp, err := client.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
}

func newLoop(t *testing.T) *loop.Loop {
	t.Helper()
	l, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	t.Cleanup(func() { l.Stop(); <-l.Done() })
	return l
}

func TestLive(t *testing.T) {
	a, b := newLoop(t), newLoop(t)
	s, get := start(t, Options{Loops: []*loop.Loop{a, b}})
	if code, body := get(s.HealthAddr(), "/livez"); code != 200 || body != "ok\n" {
		t.Errorf("got %d %q while all loops run", code, body)
	}
	free := make(chan struct{})
	b.Post(func() { <-free })
	if code, body := get(s.HealthAddr(), "/livez"); code != 503 || !strings.Contains(body, "1 of 2 event loops did not answer within 2s") {
		t.Errorf("got %d %q while one of two loops is stuck", code, body)
	}
	close(free)
	if code, body := get(s.HealthAddr(), "/livez"); code != 200 {
		t.Errorf("got %d %q once it is not stuck any more", code, body)
	}
}

func TestReady(t *testing.T) {
	r := &resolver{status: discovery.Status{Source: "kube"}}
	s, get := start(t, Options{Resolver: r})
	if code, body := get(s.HealthAddr(), "/readyz"); code != 503 || !strings.Contains(body, "discovery (kube)") {
		t.Errorf("got %d %q before discovery has answered", code, body)
	}
	// A pod must not fail to start because the API server is slow.
	s.started = time.Now().Add(-syncGrace - time.Second)
	if code, body := get(s.HealthAddr(), "/readyz"); code != 200 || !strings.Contains(body, "pass through") {
		t.Errorf("got %d %q after the time of grace", code, body)
	}
	r.status.Synced = true
	if code, body := get(s.HealthAddr(), "/readyz"); code != 200 || body != "ok\n" {
		t.Errorf("got %d %q when discovery has answered", code, body)
	}
}

func TestClusters(t *testing.T) {
	ep := cluster.NewEndpoint(netip.MustParseAddrPort("10.0.0.1:8080"), 1)
	ep.Name, ep.Location = "web-1", unique.Make(cluster.Location{Node: "node-a", Zone: "zone-a"})
	roundRobin, _ := rules.Parse(map[string]string{"sluice.mesh/policy": "round-robin"}, nil)
	target := discovery.NewTarget("default", "web", "http", 80, &discovery.Snapshot{Protocol: cluster.HTTP1, Rules: roundRobin,
		Set: &cluster.EndpointSet{Generation: 3, Endpoints: []*cluster.Endpoint{ep}, Terminating: true}})
	empty := discovery.NewTarget("default", "none", "", 81, &discovery.Snapshot{Set: &cluster.EndpointSet{}})
	empty.Remove()
	zero, byName := cluster.NewEndpoint(netip.MustParseAddrPort("10.0.0.2:8080"), 1), cluster.NewEndpoint(netip.MustParseAddrPort("10.0.0.3:8080"), 1)
	weights, _ := rules.Parse(map[string]string{"sluice.mesh/weights": "*.3:8080=7,pods"}, nil)
	weighted := discovery.NewTarget("default", "weighted", "", 82, &discovery.Snapshot{Rules: weights,
		Set: &cluster.EndpointSet{Endpoints: []*cluster.Endpoint{zero, byName}, Weights: []uint32{0, 5}}})
	s, get := start(t, Options{Resolver: &resolver{status: discovery.Status{Source: "files", Synced: true, Age: 1500 * time.Millisecond,
		Targets: []*discovery.Target{target, empty, weighted}, Problems: []string{"a.yaml: not readable"}}}})
	code, body := get(s.AdminAddr(), "/clusters")
	var got, want any
	if err := json.Unmarshal([]byte(body), &got); code != 200 || err != nil {
		t.Fatalf("got %d %q: %v", code, body, err)
	}
	json.Unmarshal([]byte(`{"source":"files","synced":true,"age_seconds":1.5,"problems":["a.yaml: not readable"],"clusters":[
		{"name":"default/web:80","protocol":"http","policy":"round-robin","settings":{"sluice.mesh/policy":"round-robin"},"generation":3,"terminating":true,
		 "endpoints":[{"addr":"10.0.0.1:8080","pod":"web-1","node":"node-a","zone":"zone-a"}]},
		{"name":"default/none:81","protocol":"undeclared","policy":"least-request","generation":0,"removed":true,"endpoints":[]},
		{"name":"default/weighted:82","protocol":"undeclared","policy":"least-request","settings":{"sluice.mesh/weights":"*.3:8080=7,pods"},"generation":0,
		 "endpoints":[{"addr":"10.0.0.2:8080","pod":"10.0.0.2:8080","weight":0},{"addr":"10.0.0.3:8080","pod":"10.0.0.3:8080","weight":7}]}]}`), &want)
	if g, w := indent(got), indent(want); g != w {
		t.Errorf("got %s\nwant %s", g, w)
	}
}

func indent(v any) string {
	b, _ := json.MarshalIndent(v, "", "  ")
	return string(b)
}

// What is on which port matters: the health port is open to other pods.
func TestWhichPortServesWhat(t *testing.T) {
	for _, pprof := range []bool{false, true} {
		s, get := start(t, Options{Settings: map[string]int{"ProxyPort": 15301}, Pprof: pprof})
		for _, c := range []struct {
			path          string
			health, admin int
		}{
			{"/livez", 200, 404},
			{"/readyz", 200, 404},
			{"/metrics", 200, 404},
			{"/config", 404, 200},
			{"/clusters", 404, 200},
			{"/debug/pprof/cmdline", 404, map[bool]int{false: 404, true: 200}[pprof]},
			{"/", 404, 404},
		} {
			if code, _ := get(s.HealthAddr(), c.path); code != c.health {
				t.Errorf("health port, %s: %d, want %d", c.path, code, c.health)
			}
			if code, _ := get(s.AdminAddr(), c.path); code != c.admin {
				t.Errorf("admin port, %s (pprof %v): %d, want %d", c.path, pprof, code, c.admin)
			}
		}
		if _, body := get(s.AdminAddr(), "/config"); !strings.Contains(body, `"ProxyPort": 15301`) {
			t.Errorf("/config answers %q", body)
		}
		if _, body := get(s.HealthAddr(), "/metrics"); !strings.Contains(body, "sluice_test 0") || !strings.Contains(body, "go_goroutines") {
			t.Errorf("/metrics answers %q", body)
		}
	}
}

func TestWhatIsReadOnlyStaysSo(t *testing.T) {
	s, _ := start(t, Options{})
	for _, url := range []string{"http://" + s.HealthAddr() + "/metrics", "http://" + s.AdminAddr() + "/config"} {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader("x"))
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d, want 405", url, resp.StatusCode)
		}
	}
}

func TestPortInUse(t *testing.T) {
	s, _ := start(t, Options{})
	taken := netip.MustParseAddrPort(s.HealthAddr())
	o := Options{HealthAddr: taken, Log: slog.New(slog.DiscardHandler), Resolver: &resolver{}, Collector: prometheus.NewGauge(prometheus.GaugeOpts{Name: "x"})}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "health port") || !strings.Contains(err.Error(), taken.String()) {
		t.Errorf("got %v, want an error that names the port", err)
	}
	o.HealthAddr, o.AdminPort = netip.MustParseAddrPort("127.0.0.1:0"), taken.Port()
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "admin port") || !strings.Contains(err.Error(), taken.String()) {
		t.Errorf("got %v, want an error that names the port", err)
	}
}
