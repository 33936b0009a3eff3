package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine describes where the figures come from, without names.
type machine struct {
	CPU    string  `json:"cpu"`
	CPUs   int     `json:"cpus"`
	RAM    string  `json:"ram"`
	Kernel string  `json:"kernel"`
	Go     string  `json:"go"`
	Load   float64 `json:"loadAverage"` // of one minute, before the run
}

func describe() machine {
	m := machine{CPU: "unknown", CPUs: runtime.NumCPU(), Go: runtime.Version(), Load: loadAverage()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.RAM = fmt.Sprintf("%.0f GiB", field(b, "MemTotal")/(1<<20))
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		version, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
		m.Kernel = "Linux " + version
	}
	return m
}

func loadAverage() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	one, _, _ := strings.Cut(string(b), " ")
	n, _ := strconv.ParseFloat(one, 64)
	return n
}

// clockTick is the unit of /proc/stat: USER_HZ, which is 100 on all of Go's Linux ports.
const clockTick = 10 * time.Millisecond

// cpuTimes splits the machine's CPU time since its start.
type cpuTimes struct {
	at   time.Time
	busy time.Duration // of all, the kernel's interrupts and what the hypervisor took included
	ours time.Duration // of this process and its descendants
}

// cpuNow reads the clock, /proc/stat and the descendants of this process.
func cpuNow() (c cpuTimes, err error) {
	c.at = time.Now()
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return c, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	for i, f := range strings.Fields(string(line)) {
		// cpu user nice system idle iowait irq softirq steal guest guest_nice; guests are part of user.
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return c, fmt.Errorf("/proc/stat: %w", err)
		}
		c.busy += time.Duration(n) * clockTick
	}
	pids, err := tree(os.Getpid())
	if err != nil {
		return c, err
	}
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended; its parent's figure has it
		}
		for _, f := range statFields(b)[11:15] { // utime stime cutime cstime
			n, _ := strconv.ParseInt(f, 10, 64)
			c.ours += time.Duration(n) * clockTick
		}
	}
	return c, nil
}

// othersSince answers which share of the machine others used between two readings, from 0 to 1.
func (c cpuTimes) othersSince(o cpuTimes) float64 {
	total := c.at.Sub(o.at) * time.Duration(runtime.NumCPU())
	if total <= 0 {
		return 0
	}
	used := (c.busy - o.busy) - (c.ours - o.ours)
	return min(max(float64(used)/float64(total), 0), 1)
}
