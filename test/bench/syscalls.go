package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func syscallsFull(b *bench, w *way) (values, error) {
	if _, err := wrk(w, fullConns, time.Second); err != nil {
		return nil, err
	}
	d := b.sizes.Full + time.Second
	return callsAndAllocations(b, w, d, parseWrk, append([]string{"wrk"}, wrkArgs(w, fullConns, d)...)...)
}

// callsAndAllocations counts system calls, and with Sluice what it allocates, while a client runs for d.
func callsAndAllocations(b *bench, w *way, d time.Duration, parse func(string) (float64, error), client ...string) (values, error) {
	steady := make(chan steadyResult, 1)
	if w.name == sluice {
		go func() { steady <- steadyAllocations(b, w) }()
	} else {
		close(steady)
	}
	v, err := callsPerRequest(w, parse, client...)
	if r, ok := <-steady; ok && err == nil {
		if r.err != nil {
			return nil, r.err
		}
		v["allocs"] = r.perSecond / (v[requestsKey] / d.Seconds())
	}
	return v, err
}

func syscallsOne(b *bench, w *way) (values, error) {
	if _, err := wrk(w, 1, time.Second); err != nil {
		return nil, err
	}
	return callsPerRequest(w, parseWrk, append([]string{"wrk"}, wrkArgs(w, 1, b.sizes.Full)...)...)
}

func syscallsConnect(b *bench, w *way) (values, error) {
	return callsPerRequest(w, parseAb, append([]string{"ab"}, abArgs(w, connectConns, b.sizes.Connects)...)...)
}

// requestsKey is where callsPerRequest puts the number of requests.
const requestsKey = "requests"

// callsPerRequest divides the counts by the number of requests that parse finds in the client's report.
func callsPerRequest(w *way, parse func(string) (float64, error), client ...string) (values, error) {
	counts, out, err := countSyscalls(w, client...)
	if err != nil {
		return nil, err
	}
	n, err := parse(out)
	if err != nil {
		return nil, err
	}
	v := values{requestsKey: n}
	for name, c := range counts {
		if c > 0 {
			v[name] = c / n
		}
	}
	return v, nil
}

type steadyResult struct {
	perSecond float64 // objects
	err       error
}

// steadyAllocations reads the sidecar's counter in the middle of a load, so that neither opening the connections nor filling
// the pools is in between. What reading it makes is taken off: two readings behind one another tell how much.
func steadyAllocations(b *bench, w *way) (r steadyResult) {
	var m [4]float64
	var at [4]time.Time
	for i, pause := range []time.Duration{500 * time.Millisecond, 0, 0, b.sizes.Full - time.Second} {
		if r.err = b.sleep(pause); r.err != nil {
			return r
		}
		if m[i], r.err = mallocs(w); r.err != nil {
			return r
		}
		at[i] = time.Now()
	}
	asking := m[2] - m[1] // the first reading makes more
	return steadyResult{perSecond: max(m[3]-m[2]-asking, 0) / at[3].Sub(at[2]).Seconds()}
}

// syscallEvents are counted one by one besides their sum.
var syscallEvents = []string{"read", "write", "recvfrom", "sendto", "readv", "writev", "recvmsg", "sendmsg", "accept4", "connect", "close",
	"epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "futex", "nanosleep", "getsockopt", "setsockopt", "clock_gettime", "splice"}

const allSyscalls = "raw_syscalls:sys_enter"

// countSyscalls runs a client under perf, which counts the system calls that the proxy makes meanwhile.
func countSyscalls(w *way, client ...string) (counts map[string]float64, out string, err error) {
	pids, err := tree(w.proxy.Process.Pid)
	if err != nil {
		return nil, "", err
	}
	var list []string
	for _, p := range pids {
		list = append(list, strconv.Itoa(p))
	}
	events := allSyscalls
	for _, e := range syscallEvents {
		events += ",syscalls:sys_enter_" + e
	}
	file := filepath.Join(w.dir, "perf.csv")
	out, err = w.run("perf", append([]string{"stat", "-x", ";", "-o", file, "-e", events, "-p", strings.Join(list, ","), "--"}, client...)...)
	if err != nil {
		return nil, "", err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	counts, err = parsePerf(string(text))
	return counts, out, err
}

// parsePerf reads "count;unit;event;…" lines. The sum of all calls is under "all".
func parsePerf(text string) (map[string]float64, error) {
	counts := make(map[string]float64)
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ";")
		if len(f) < 3 || strings.HasPrefix(line, "#") {
			continue
		}
		n, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			return nil, fmt.Errorf("perf did not count %s: %s", f[2], f[0])
		}
		counts[strings.TrimPrefix(f[2], "syscalls:sys_enter_")] = n
	}
	all, ok := counts[allSyscalls]
	if !ok {
		return nil, fmt.Errorf("perf: no count of %s in %q", allSyscalls, text)
	}
	delete(counts, allSyscalls)
	counts["all"] = all
	return counts, nil
}
