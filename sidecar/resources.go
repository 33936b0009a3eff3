package sidecar

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// maxLoops bounds the loops where nobody sets their number. One loop carries some 70,000 requests a second; each more has its own
// connections, buffers and view of who is busy, on a node with 64 CPUs 64 times.
const maxLoops = 2

// processors answers how many loops to run: the CPUs of the container's quota or of the machine, and one below 1.5. Go's own answer
// is never below two, and a second loop that the quota cannot carry only adds switches and throttling.
func processors() int { return loopsFor(runtime.NumCPU(), cpuQuota()) }

func loopsFor(cpus int, quota float64) int {
	n := min(cpus, maxLoops)
	if quota > 0 {
		n = min(n, max(1, int(math.Round(quota))))
		if quota < 1.5 {
			n = 1
		}
	}
	return n
}

// cpuQuota answers the CPUs of this cgroup's quota, 0 for none: cgroup v2, then v1.
func cpuQuota() float64 {
	if b, err := os.ReadFile("/sys/fs/cgroup/cpu.max"); err == nil {
		quota, period, ok := strings.Cut(strings.TrimSpace(string(b)), " ")
		q, err1 := strconv.ParseFloat(quota, 64)
		p, err2 := strconv.ParseFloat(period, 64)
		if ok && err1 == nil && err2 == nil && p > 0 {
			return q / p
		}
		return 0
	}
	q, ok1 := number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
	p, ok2 := number("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
	if ok1 && ok2 && q > 0 && p > 0 {
		return q / p
	}
	return 0
}

// limitMemory makes the garbage collector work harder before the container's memory limit is reached, unless GOMEMLIMIT says
// otherwise.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	for _, f := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		// Version 1 writes "no limit" as a number near the largest.
		if n, ok := number(f); ok && n > 0 && n < 1<<50 {
			debug.SetMemoryLimit(int64(n * 0.9)) // as the injector does
			return
		}
	}
}

// descriptorsSpared are those that are no connection's: listeners, event loops, the API server, health and metrics, files, pipes.
const descriptorsSpared = 64

// mostConnections answers how many connections of applications there are descriptors for, with half as many to endpoints: idle ones have none,
// and a connect that finds no descriptor closes an idle connection to another endpoint.
func mostConnections() int {
	var limit syscall.Rlimit // whose soft part Go's runtime has raised
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt32
	}
	return connectionsFor(limit.Cur)
}

func connectionsFor(descriptors uint64) int {
	n := min(descriptors, 2*math.MaxInt32)
	return max(int(max(n, descriptorsSpared)-descriptorsSpared)/3*2, 1)
}

func number(file string) (float64, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
	return n, err == nil
}
