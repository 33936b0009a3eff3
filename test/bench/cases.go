package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// metric is one figure of a case. Less is better, always.
type metric struct {
	key, title, unit string
	digits           int  // behind the point
	ratio            bool // is compared with HAProxy's
	apart            bool // is compared with it by the difference
}

// testcase is one thing that every peer does.
type testcase struct {
	name    string
	title   string
	how     string // the command behind it, for a reader who wants to repeat one case
	mode    mode
	direct  bool     // is also done without a proxy
	latency bool     // is about time that passes, not CPU time
	quiet   bool     // others on the machine move it, so that a round in which they use much of it does not count
	only    []string // peers that do it; nil is all
	once    bool     // counts rather than times: two rounds are enough
	machine values   // figures of the machine and the servers, with the most they may be for a round to count
	noise   string   // HAProxy's figure that tells whether a round was quiet; empty: the case does not depend on it
	added   []string // figures that also count as the difference to no proxy; it may be nothing and less, so that there are no ratios of it
	metrics []metric
	measure func(b *bench, w *way) (values, error)
}

type values map[string]float64

// sizes are how much is done in a measurement.
type sizes struct {
	Full     time.Duration // at full speed
	Rate     time.Duration // at a fixed rate
	Bodies   int           // of 128 MiB
	Connects int           // connections for one request each
	Idle     int           // idle connections
}

var (
	fullSizes  = sizes{Full: 4 * time.Second, Rate: 6 * time.Second, Bodies: 8, Connects: 10000, Idle: 4000}
	quickSizes = sizes{Full: 2 * time.Second, Rate: 3 * time.Second, Bodies: 3, Connects: 2000, Idle: 4000}
)

const (
	fullConns    = 50
	latencyConns = 64
	lowRate      = 1000 // requests a second on all connections together
	latencyRate  = 5000
	connectConns = 32
)

var (
	cpuPerRequest = metric{key: "cpu_us", title: "CPU", unit: "µs/request", digits: 1, ratio: true}
	allCalls      = metric{key: "all", title: "system calls", unit: "/request", digits: 2}
	switches      = metric{key: "switches", title: "context switches", unit: "/request", digits: 2}
)

// allCases are done in this order.
func allCases() []testcase {
	return append([]testcase{
		{name: "full", title: "HTTP/1.1 keep-alive, 50 connections, full speed", mode: requests, direct: true, noise: "cpu_us",
			how: "wrk -t 1 -c 50 http://SERVICE/", measure: fullSpeed,
			metrics: []metric{cpuPerRequest, switches, {key: "rps", title: "requests", unit: "/s"}}},
		{name: "rate", title: "HTTP/1.1 keep-alive, 50 connections, 1,000 requests/s in all", mode: requests, direct: true, noise: "cpu_us",
			how: "loader rate --connections=50 --rate=1000", measure: fixedRate,
			metrics: []metric{cpuPerRequest, switches, {key: "p50", title: "p50", unit: "µs"}, {key: "p99", title: "p99", unit: "µs"}}},
		{name: "latency", title: "HTTP/1.1 keep-alive, 64 connections, 5,000 requests/s in all", mode: requests, direct: true, latency: true, noise: "p50",
			how: "loader rate --connections=64 --rate=5000", measure: latency, added: []string{"p50", "p99", "p999"},
			metrics: []metric{{key: "p50", title: "p50", unit: "µs"}, {key: "p99", title: "p99", unit: "µs"},
				{key: "p999", title: "p99.9", unit: "µs"}, {key: "added_p50", title: "added p50", unit: "µs", apart: true},
				{key: "added_p99", title: "added p99", unit: "µs", apart: true}, {key: "added_p999", title: "added p99.9", unit: "µs", apart: true},
				cpuPerRequest}},
		{name: "bodies", title: "HTTP/1.1 answers of 128 MiB, one connection", mode: requests, direct: true, noise: "cpu_gib",
			how: "loader fetch --path=/blob", measure: bodies, metrics: []metric{
				{key: "cpu_gib", title: "CPU", unit: "ms/GiB", ratio: true}, {key: "gib_s", title: "throughput", unit: "GiB/s", digits: 2}}},
		{name: "opaque", title: "opaque TCP, one connection", mode: opaque, direct: true, noise: "cpu_gib",
			how: "loader pull", measure: opaqueBulk, metrics: []metric{
				{key: "cpu_gib", title: "CPU", unit: "ms/GiB", ratio: true}, {key: "gib_s", title: "throughput", unit: "GiB/s", digits: 2}}},
		{name: "connect", title: "HTTP/1.0, a connection for each request, 32 at a time", mode: requests, noise: "cpu_us",
			how: "ab -c 32 http://SERVICE/", measure: connects, metrics: []metric{cpuPerRequest, switches}},
		{name: "memory", title: "start and memory", mode: requests, once: true,
			how: "loader hold --connections=4000", measure: memory, metrics: []metric{
				{key: "listen_ms", title: "start to listening", unit: "ms"}, {key: "first_ms", title: "start to first answer", unit: "ms"},
				{key: "idle_mib", title: "RSS idle", unit: "MiB", digits: 1}, {key: "conn_kib", title: "RSS per idle connection", unit: "KiB", digits: 2},
				{key: "after_mib", title: "RSS 5 s after closing them", unit: "MiB", digits: 1}}},
		{name: "syscalls", title: "system calls, HTTP/1.1 keep-alive, full speed with 50 connections", mode: requests, once: true,
			how: "perf stat -e raw_syscalls:sys_enter -p PROXY -- wrk -t 1 -c 50 http://SERVICE/", measure: syscallsFull,
			metrics: []metric{allCalls, {key: "allocs", title: "allocations", unit: "/request", digits: 4}}},
		{name: "syscalls1", title: "system calls, HTTP/1.1 keep-alive, one connection", mode: requests, once: true,
			how: "perf stat -e raw_syscalls:sys_enter -p PROXY -- wrk -t 1 -c 1 http://SERVICE/", measure: syscallsOne,
			metrics: []metric{allCalls}},
		{name: "syscallsc", title: "system calls, HTTP/1.0, a connection for each request", mode: requests, once: true,
			how: "perf stat -e raw_syscalls:sys_enter -p PROXY -- ab -c 32 http://SERVICE/", measure: syscallsConnect,
			metrics: []metric{allCalls}},
	}, slices.Concat(crowdCases(), http2Cases(), keyedCases(), microCases())...)
}

// used measures what the proxy uses between begin and end.
type used struct {
	w      *way
	before usage
	usage  // valid after end
}

func (u *used) begin() (err error) {
	if u.w.proxy == nil {
		return nil
	}
	u.before, err = usageOf(u.w.proxy.Process.Pid)
	return err
}

func (u *used) end() error {
	if u.w.proxy == nil {
		return nil
	}
	after, err := usageOf(u.w.proxy.Process.Pid)
	u.usage = after.minus(u.before)
	return err
}

// per divides by the number of requests. Without a proxy there is nothing to divide.
func (u *used) per(requests float64) values {
	if u.w.proxy == nil {
		return make(values)
	}
	return values{"cpu_us": u.cpu.Seconds() * 1e6 / requests, "switches": u.switches / requests}
}

// perGiB divides by the gibibytes that were moved in so many seconds.
func (u *used) perGiB(gib, seconds float64) values {
	v := values{"gib_s": gib / seconds}
	if u.w.proxy != nil {
		v["cpu_gib"] = u.cpu.Seconds() * 1e3 / gib
	}
	return v
}

func fullSpeed(b *bench, w *way) (values, error) {
	if _, err := wrk(w, fullConns, time.Second); err != nil { // pools fill, buffers grow
		return nil, err
	}
	u := &used{w: w}
	if err := u.begin(); err != nil {
		return nil, err
	}
	n, err := wrk(w, fullConns, b.sizes.Full)
	if err := errors.Join(err, u.end()); err != nil {
		return nil, err
	}
	v := u.per(n)
	v["rps"] = n / b.sizes.Full.Seconds()
	return v, nil
}

func fixedRate(b *bench, w *way) (values, error) {
	return paced(b, w, fullConns, lowRate)
}

func latency(b *bench, w *way) (values, error) {
	return paced(b, w, latencyConns, latencyRate)
}

// paced sends at a rate. Every peer gets the same arrival times in a round.
func paced(b *bench, w *way, connections, rate int) (values, error) {
	var r struct {
		Due, Answered, Failed int
		Errors                map[string]int
		P50, P99, P999        float64
	}
	u := &used{w: w}
	err := w.load(&r, u.begin, u.end, "rate", "--target="+w.vip().String(), fmt.Sprintf("--connections=%d", connections),
		fmt.Sprintf("--rate=%d", rate), "--duration="+b.sizes.Rate.String(), fmt.Sprintf("--seed=%d", b.round))
	if err != nil {
		return nil, err
	}
	if r.Failed > 0 || r.Answered == 0 {
		return nil, fmt.Errorf("%d of %d requests failed: %v", r.Failed, r.Due, r.Errors)
	}
	v := u.per(float64(r.Answered))
	v["p50"], v["p99"], v["p999"] = r.P50, r.P99, r.P999
	return v, nil
}

func bodies(b *bench, w *way) (values, error) {
	return bulk(w, "fetch", "--target="+w.vip().String(), "--path=/blob", fmt.Sprintf("--count=%d", b.sizes.Bodies))
}

func opaqueBulk(b *bench, w *way) (values, error) {
	return bulk(w, "pull", "--target="+w.vip().String(), fmt.Sprintf("--bytes=%d", int64(b.sizes.Bodies)*blobBytes))
}

func bulk(w *way, args ...string) (values, error) {
	var r struct{ Bytes, Seconds float64 }
	u := &used{w: w}
	if err := w.load(&r, u.begin, u.end, args...); err != nil {
		return nil, err
	}
	return u.perGiB(r.Bytes/(1<<30), r.Seconds), nil
}

func connects(b *bench, w *way) (values, error) {
	u := &used{w: w}
	if err := u.begin(); err != nil {
		return nil, err
	}
	n, err := ab(w, connectConns, b.sizes.Connects)
	if err := errors.Join(err, u.end()); err != nil {
		return nil, err
	}
	return u.per(n), nil
}

// settle is how long a proxy gets to give memory back, and discovery to read its files, before memory is read.
const settle = 5 * time.Second

// memory starts the proxy anew and looks at what it takes: idle, with many idle connections, and after them.
func memory(b *bench, w *way) (values, error) {
	if err := w.stopProxy(); err != nil {
		return nil, err
	}
	started := time.Now()
	if err := w.startProxy(); err != nil {
		return nil, err
	}
	listening, first, err := w.firstAnswer(started)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, w.log())
	}
	if err := b.sleep(settle); err != nil {
		return nil, err
	}
	resident := func(into *float64, when string) (err error) {
		*into, err = residentOf(w.proxy.Process.Pid)
		b.profileMemory(w, when)
		return err
	}
	var idle, holding, after float64
	if err := resident(&idle, "idle"); err != nil {
		return nil, err
	}
	stdin, release := io.Pipe()
	var r struct{ Held int }
	begin := func() error {
		defer release.Close()
		return errors.Join(b.sleep(settle), resident(&holding, "holding"))
	}
	err = w.loading(&r, stdin, begin, func() error { return nil }, "hold", "--target="+w.vip().String(), fmt.Sprintf("--connections=%d", b.sizes.Idle))
	release.Close()
	if err != nil {
		return nil, err
	}
	if r.Held != b.sizes.Idle {
		return nil, fmt.Errorf("%d of %d idle connections were closed", b.sizes.Idle-r.Held, b.sizes.Idle)
	}
	if err := errors.Join(b.sleep(settle), resident(&after, "after")); err != nil {
		return nil, err
	}
	return values{"listen_ms": listening.Seconds() * 1e3, "first_ms": first.Seconds() * 1e3, "idle_mib": idle / 1024,
		"conn_kib": (holding - idle) / float64(b.sizes.Idle), "after_mib": after / 1024}, nil
}

// firstAnswer calls the Service until a connection is accepted and a request answered, and tells when that was.
func (w *way) firstAnswer(started time.Time) (listening, first time.Duration, err error) {
	const pause = 200 * time.Microsecond // between two refused connections
	for time.Since(started) < startTime {
		c, err := w.pod.Dial(w.rig.ctx, "tcp", w.vip().String())
		if err != nil {
			time.Sleep(pause)
			continue
		}
		if listening == 0 {
			listening = time.Since(started)
		}
		_ = c.SetDeadline(time.Now().Add(startTime)) // cannot fail on an open connection
		_, err = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", w.vip().Addr())
		line := ""
		if err == nil {
			line, err = bufio.NewReader(c).ReadString('\n')
		}
		c.Close()
		if err == nil && strings.HasPrefix(line, "HTTP/1.1 200") {
			return listening, time.Since(started), nil
		}
		time.Sleep(pause)
	}
	return 0, 0, errors.New("no answer after the start")
}
