package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/test/manifest"
)

// crowdCases are about what many, slow and large ones do to the proxy's memory and to others. They are Sluice's alone: the peers'
// configurations do not allow as many connections.
func crowdCases() []testcase {
	mine := []string{sluice, earlier}
	return []testcase{
		{name: "crowd", title: "one calm client beside 10,000 idle and 1,000 busy connections, 500 heads that never end and 500 slow readers",
			mode: requests, latency: true, only: mine, measure: crowd, machine: values{"alone_p99": crowdGate / 2, "past_p99": crowdGate / 2},
			how: "loader rate --connections=4 --rate=200, beside loader hold, rate, halves and sip",
			metrics: []metric{{key: "alone_p99", title: "p99 of the calm client alone", unit: "µs"},
				{key: "calm_p50", title: "p50 in the crowd", unit: "µs"}, {key: "calm_p99", title: "p99 in the crowd", unit: "µs"},
				{key: "past_p99", title: "p99 past the proxy, at the same time", unit: "µs"},
				{key: "before_mib", title: "RSS before", unit: "MiB", digits: 1}, {key: "during_mib", title: "RSS in the crowd", unit: "MiB", digits: 1},
				{key: "after_mib", title: "RSS after", unit: "MiB", digits: 1},
				{key: "mib_left", title: "RSS left over", unit: "MiB", digits: 1},
				{key: "fds_before", title: "descriptors before"}, {key: "fds_during", title: "descriptors in the crowd"}, {key: "fds_left", title: "descriptors left over"},
				{key: "goroutines_before", title: "coroutines and goroutines before"},
				{key: "goroutines_during", title: "coroutines and goroutines in the crowd"}, {key: "goroutines_left", title: "coroutines and goroutines left over"}}},
		{name: "echo", title: "1 GiB each way at once, checksums compared", mode: requests, once: true, only: mine, measure: echoes,
			how: "loader echo --bytes=1073741824 [--opaque]",
			metrics: []metric{{key: "http_mib", title: "more RSS, HTTP/1.1", unit: "MiB", digits: 1}, {key: "http_gib_s", title: "throughput, HTTP/1.1", unit: "GiB/s", digits: 2},
				{key: "opaque_mib", title: "more RSS, opaque", unit: "MiB", digits: 1}, {key: "opaque_gib_s", title: "throughput, opaque", unit: "GiB/s", digits: 2}}},
	}
}

func crowdTargets() []target {
	return []target{
		{Case: "crowd", Metric: "calm_p99", Text: "p99 of a calm client in a crowd", Gate: crowdGate, Unit: "µs"},
		{Case: "crowd", Metric: "mib_left", Text: "memory left over by a crowd", Gate: 10, Unit: "MiB"},
		{Case: "crowd", Metric: "fds_left", Text: "descriptors left over by a crowd", Gate: 0},
		{Case: "crowd", Metric: "goroutines_left", Text: "coroutines left over by a crowd", Gate: 0},
		{Case: "echo", Metric: "http_mib", Text: "more memory for 1 GiB each way, HTTP/1.1", Gate: 32, Unit: "MiB"},
		{Case: "echo", Metric: "opaque_mib", Text: "more memory for 1 GiB each way, opaque", Gate: 32, Unit: "MiB"},
	}
}

const (
	mirrorPort    = 8090 // HTTP/1.1
	mirrorRawPort = 9001 // opaque
)

var (
	mirrorVIP    = netip.MustParseAddrPort("10.96.0.30:80")
	mirrorRawVIP = netip.MustParseAddrPort("10.96.0.30:9001")
)

func mirrorService() manifest.Service {
	return manifest.Service{Name: "mirror", ClusterIPs: []netip.Addr{mirrorVIP.Addr()}, Ports: []manifest.Port{
		{Name: "web", Port: mirrorVIP.Port(), Target: mirrorPort}, {Name: "raw", Port: mirrorRawVIP.Port(), Target: mirrorRawPort}}}
}

// aside is a loader that runs beside others.
type aside struct {
	stdin *io.PipeWriter
	began chan struct{}
	ended chan error

	Held   int // connections, at the end
	Failed int // requests
}

// beside starts a loader and waits until its measured part begins.
// Then it runs until end, or for as long as its arguments say.
func (w *way) beside(args ...string) (*aside, error) {
	stdin, release := io.Pipe()
	a := &aside{stdin: release, began: make(chan struct{}), ended: make(chan error, 1)}
	go func() {
		begin := func() error { close(a.began); return nil }
		a.ended <- w.loading(a, stdin, begin, func() error { return nil }, append(args, "--target="+w.vip().String())...)
	}()
	select {
	case <-a.began:
		return a, nil
	case err := <-a.ended:
		return nil, fmt.Errorf("loader %s: %w", args[0], err)
	}
}

// end ends a loader that waits for its standard input, and checks how many connections were open until then.
func (a *aside) end(want int) error {
	a.stdin.Close()
	if err := <-a.ended; err != nil {
		return err
	}
	if a.Held != want {
		return fmt.Errorf("%d of %d connections were closed", want-a.Held, want)
	}
	return nil
}

const (
	// crowdGate is in microseconds. Where a client sees half of it without a crowd, or past the proxy, it is not the proxy that is measured.
	crowdGate = 20_000

	crowdIdle, crowdBusy, crowdSlow = 10000, 1000, 500 // connections; as many half heads as slow readers
	crowdRate                       = 2000             // requests a second of the busy ones
	calmConns, calmRate             = 4, 200           // of the client that is looked at
	goneTime                        = 30 * time.Second // for everything of a crowd to be closed
)

// crowd measures what a calm client sees, alone and in a crowd, and what the sidecar has and keeps.
func crowd(b *bench, w *way) (v values, err error) {
	if err := w.renew(b); err != nil {
		return nil, err
	}
	v = make(values)
	alone, err := w.calm(b)
	if err != nil {
		return nil, err
	}
	v["alone_p99"] = alone["p99"]
	if err := errors.Join(b.sleep(settle), w.holds(b, v, "before")); err != nil {
		return nil, err
	}
	during, err := w.crowded(b, v)
	if err != nil {
		return nil, err
	}
	v["calm_p50"], v["calm_p99"] = during["p50"], during["p99"]
	// Connections to endpoints are kept for a while; then everything must be gone.
	for gone := time.Now().Add(goneTime); ; {
		if err := errors.Join(b.sleep(time.Second), w.holds(b, v, "after")); err != nil {
			return nil, err
		}
		if v["fds_after"] <= v["fds_before"] || time.Now().After(gone) {
			break
		}
	}
	if err := errors.Join(b.sleep(settle), w.holds(b, v, "after")); err != nil {
		return nil, err
	}
	for _, what := range []string{"fds", "goroutines"} {
		v[what+"_left"] = v[what+"_after"] - v[what+"_before"]
	}
	v["mib_left"] = v["after_mib"] - v["before_mib"]
	return v, nil
}

// crowded makes the crowd, looks at the calm client in it, and lets it go.
func (w *way) crowded(b *bench, v values) (calm values, err error) {
	for _, l := range []struct {
		name, path string
		count      int
	}{{"hold", "/", crowdIdle}, {"halves", "/", crowdSlow}, {"sip", "/blob", crowdSlow}} {
		a, err := w.beside(l.name, "--path="+l.path, fmt.Sprintf("--connections=%d", l.count))
		if err != nil {
			return nil, err
		}
		defer func() {
			if ended := a.end(l.count); ended != nil && err == nil {
				calm, err = nil, fmt.Errorf("loader %s: %w", l.name, ended)
			}
		}()
	}
	if err := b.sleep(settle); err != nil {
		return nil, err
	}
	busy, err := w.beside("rate", fmt.Sprintf("--connections=%d", crowdBusy), fmt.Sprintf("--rate=%d", crowdRate),
		"--duration="+(b.sizes.Rate+2*time.Second).String())
	if err != nil {
		return nil, err
	}
	busy.stdin.Close() // it ends by itself
	defer func() {
		if ended := <-busy.ended; ended != nil || busy.Failed > 0 {
			calm, err = nil, errors.Join(err, fmt.Errorf("busy connections: %d requests failed: %w", busy.Failed, ended))
		}
	}()
	// Another client calls the same servers without a proxy meanwhile: what it sees too is the machine's doing, and theirs.
	past := make(chan error, 1)
	go func() {
		i := slices.IndexFunc(b.peers, func(p *peer) bool { return p.name == direct })
		control, err := b.rig.way(b.peers[i], w.mode).calm(b)
		v["past_p99"] = control["p99"]
		past <- err
	}()
	calm, err = w.calm(b)
	if err := errors.Join(err, <-past); err != nil {
		return nil, err
	}
	return calm, w.holds(b, v, "during")
}

// calm is the client that is looked at.
func (w *way) calm(b *bench) (values, error) {
	return paced(b, w, calmConns, calmRate)
}

// holds notes what the sidecar has at a moment.
func (w *way) holds(b *bench, v values, when string) error {
	pid := w.proxy.Process.Pid
	kib, err := residentOf(pid)
	if err != nil {
		return err
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return err
	}
	b.profileMemory(w, "crowd-"+when)
	v[when+"_mib"], v["fds_"+when] = kib/1024, float64(len(fds))
	text, err := w.get(healthPort, "/metrics", 10*time.Second)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			v["goroutines_"+when], err = strconv.ParseFloat(strings.TrimSpace(n), 64)
			return err
		}
	}
	return errors.New("the sidecar's metrics do not tell go_goroutines")
}

// renew starts the proxy anew and waits until it has settled.
func (w *way) renew(b *bench) error {
	if err := w.stopProxy(); err != nil {
		return err
	}
	started := time.Now()
	if err := w.startProxy(); err != nil {
		return err
	}
	if _, _, err := w.firstAnswer(started); err != nil {
		return fmt.Errorf("%w: %s", err, w.log())
	}
	return b.sleep(settle)
}

// echoes sends 1 GiB there and back, as HTTP/1.1 and opaque, each through a proxy of its own, and looks at its memory meanwhile.
func echoes(b *bench, w *way) (values, error) {
	v := make(values)
	for _, how := range []struct {
		name   string
		target netip.AddrPort
		flags  []string
	}{{"http", mirrorVIP, nil}, {"opaque", mirrorRawVIP, []string{"--opaque"}}} {
		if err := w.renew(b); err != nil {
			return nil, err
		}
		pid := w.proxy.Process.Pid
		before, err := residentOf(pid)
		if err != nil {
			return nil, err
		}
		stop, most := make(chan struct{}), make(chan float64)
		go func() {
			high := before
			for {
				select {
				case <-stop:
					most <- high
					return
				case <-time.After(20 * time.Millisecond):
					if now, err := residentOf(pid); err == nil {
						high = max(high, now)
					}
				}
			}
		}()
		var r struct{ Bytes, Seconds float64 }
		nothing := func() error { return nil }
		err = w.load(&r, nothing, nothing, append([]string{"echo", "--target=" + how.target.String(), fmt.Sprintf("--bytes=%d", 1<<30)}, how.flags...)...)
		close(stop)
		high := <-most
		if err != nil {
			return nil, err
		}
		v[how.name+"_mib"], v[how.name+"_gib_s"] = (high-before)/1024, 2*r.Bytes/(1<<30)/r.Seconds
	}
	return v, nil
}
