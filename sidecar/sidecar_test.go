package sidecar

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/config"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

var quiet = slog.New(slog.DiscardHandler)

// freePorts answers ports where nobody listens but the test, if it does.
func freePorts(t *testing.T, n int) (ports []uint16) {
	t.Helper()
	for range n {
		ports = append(ports, meshtest.HoldPort(t).Port())
	}
	return ports
}

// settings are those of a sidecar that reads manifests, on free ports.
func settings(t *testing.T, more ...string) *config.Settings {
	t.Helper()
	p := freePorts(t, 3)
	args := append([]string{"--discovery=files", "--manifests=" + t.TempDir(), "--loops=2", fmt.Sprint("--proxy-port=", p[0]),
		fmt.Sprint("--health-port=", p[1]), fmt.Sprint("--admin-port=", p[2])}, more...)
	s, err := config.Parse(args, func(string) (string, bool) { return "", false }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	procs := runtime.GOMAXPROCS(0)
	limit := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { runtime.GOMAXPROCS(procs); debug.SetMemoryLimit(limit) })
	return s
}

// get asks the sidecar's own servers; an error is answered as status 0.
func get(port uint16, path string) (int, string) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestRunServesAndEnds(t *testing.T) {
	s := settings(t)
	stop, stopped := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(stop, t.Context(), s, quiet) }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	last := ""
	if err := meshtest.Poll(ctx, "the sidecar to be ready", func() (ok bool, _ error) {
		code, body := get(s.HealthPort, "/readyz")
		last = body
		return code == 200, nil
	}); err != nil {
		t.Fatalf("%v: %s", err, last)
	}
	if code, body := get(s.HealthPort, "/livez"); code != 200 {
		t.Errorf("/livez: %d %s", code, body)
	}
	// There is no REDIRECT rule here, so every connection was made to the proxy itself.
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(s.ProxyPort)))
		if err != nil && host == "::1" {
			t.Logf("no IPv6 here: %v", err)
			continue
		}
		if err == nil {
			io.ReadAll(c)
			c.Close()
		}
	}
	code, body := get(s.HealthPort, "/metrics")
	for _, want := range []string{"sluice_loop_guard_total", `sluice_loop_polls_total{loop="1"}`, "sluice_discovery_synced 1",
		`sluice_refused_requests_total{reason="bare LF"} 0`, `sluice_passthroughs_total{reason="unknown-service"} 0`} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics (%d) has no %s", code, want)
		}
	}
	if strings.Contains(body, "sluice_loop_guard_total 0") {
		t.Error("the connections were not refused")
	}
	if code, body := get(s.AdminPort, "/config"); code != 200 || !strings.Contains(body, fmt.Sprint(s.ProxyPort)) {
		t.Errorf("/config: %d %s", code, body)
	}
	stopped()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run answers %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run does not end")
	}
	if code, _ := get(s.HealthPort, "/livez"); code != 0 {
		t.Error("the health server is still there")
	}
}

// What cannot be had is said at once, and nothing stays behind.
func TestRunFails(t *testing.T) {
	for _, port := range []string{config.ProxyPort, config.HealthPort, config.AdminPort} {
		t.Run(port+" in use", func(t *testing.T) {
			s := settings(t)
			taken := map[string]uint16{config.ProxyPort: s.ProxyPort, config.HealthPort: s.HealthPort, config.AdminPort: s.AdminPort}[port]
			ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", taken))
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			var log bytes.Buffer
			start := time.Now()
			err = Run(t.Context(), t.Context(), s, slog.New(slog.NewTextHandler(&log, nil)))
			word, _, _ := strings.Cut(port, "-")
			if err == nil || !strings.Contains(err.Error(), fmt.Sprint(taken)) || !strings.Contains(err.Error(), word) {
				t.Errorf("got %v, want an error that names the %s port %d", err, word, taken)
			}
			if d := time.Since(start); d > stopTime/2 || log.Len() > 0 {
				t.Errorf("it took %v, and the log says %q", d, log.String())
			}
		})
	}
}

// process with n loops that serve nothing, to be drained.
func newDrained(t *testing.T) *process {
	t.Helper()
	return &process{metrics: metrics.New(2, words()), log: quiet}
}

func TestDrain(t *testing.T) {
	cases := []struct {
		name   string
		native bool
		open   []time.Duration // when connections end; at that time the next one may begin
		gap    time.Duration   // between one connection's end and the next one's beginning
		kill   time.Duration   // 0 is never
		want   time.Duration   // at the earliest; a tick or two later at most
	}{
		{name: "native, nothing open: at once", native: true, want: 0},
		{name: "native: when the last connection ends", native: true, open: []time.Duration{3 * time.Second}, want: 3 * time.Second},
		{name: "native, a connection that does not end: until it is killed", native: true, open: []time.Duration{time.Hour}, kill: time.Minute, want: time.Minute},
		{name: "classic, nothing open: the application may still call for a while", want: 5 * time.Second},
		{name: "classic: the while begins when the last connection ends", open: []time.Duration{3 * time.Second}, want: 8 * time.Second},
		{name: "classic: another connection begins it anew", open: []time.Duration{time.Second, 2 * time.Second}, gap: 4 * time.Second, want: 12 * time.Second},
		{name: "classic, killed meanwhile", kill: time.Second, want: time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := newDrained(t)
			p.loops = append(p.loops, nil, nil) // open counts those of the metrics
			synctest.Test(t, func(t *testing.T) {
				kill, killed := context.WithCancel(t.Context())
				defer killed()
				if c.kill > 0 {
					time.AfterFunc(c.kill, killed)
				}
				over := make(chan struct{})
				var wg sync.WaitGroup
				if len(c.open) > 0 {
					p.metrics.Loop(1).Open.Add(1)
				}
				wg.Go(func() {
					for i, d := range c.open {
						if i > 0 {
							time.Sleep(c.gap)
							p.metrics.Loop(1).Open.Add(1)
						}
						select {
						case <-time.After(d):
						case <-over:
							return
						}
						p.metrics.Loop(1).Open.Add(-1)
					}
				})
				start := time.Now()
				p.drain(kill, &config.Settings{Native: c.native, DrainIdle: 5 * time.Second})
				if d := time.Since(start); d < c.want || d > c.want+50*time.Millisecond {
					t.Errorf("it took %v, want %v", d, c.want)
				}
				close(over)
				wg.Wait()
			})
		})
	}
}

func TestWait(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked < 3 || r.URL.Path != "/readyz" {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); hs.Serve(ln) }()
	defer func() { hs.Close(); <-done; http.DefaultClient.CloseIdleConnections() }()
	port := fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
	lookup := func(name string) (string, bool) { return port, name == "SLUICE_HEALTH_PORT" }
	var out bytes.Buffer
	if code := Wait(nil, lookup, &out); code != 0 {
		t.Errorf("exit status %d and %q once the sidecar is ready, want 0", code, out.String())
	}
	port = fmt.Sprint(freePorts(t, 1)[0])
	if code := Wait([]string{"--timeout=100ms"}, lookup, &out); code != 1 || !strings.Contains(out.String(), "not ready after 100ms") {
		t.Errorf("exit status %d and %q when nothing is there, want 1 and why", code, out.String())
	}
	if code := Wait([]string{"--timeout=soon"}, lookup, &out); code != 2 {
		t.Errorf("exit status %d for arguments that are wrong, want 2", code)
	}
}
