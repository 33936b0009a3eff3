package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// usage is what a process and its descendants have used since they started.
type usage struct {
	cpu      time.Duration // on a CPU, user and system: /proc/PID/task/*/schedstat, in nanoseconds
	switches float64       // context switches, voluntary and not: /proc/PID/task/*/status
}

func (u usage) minus(o usage) usage { return usage{u.cpu - o.cpu, u.switches - o.switches} }

// usageOf adds up the threads of a process and of its descendants.
func usageOf(pid int) (u usage, err error) {
	pids, err := tree(pid)
	if err != nil {
		return u, err
	}
	for _, pid := range pids {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil {
			return u, err
		}
		for _, t := range tasks {
			stat, err1 := os.ReadFile(t + "/schedstat")
			status, err2 := os.ReadFile(t + "/status")
			if err := errors.Join(err1, err2); errors.Is(err, fs.ErrNotExist) {
				continue // a thread that has ended
			} else if err != nil {
				return u, err
			}
			ran, _, _ := strings.Cut(string(stat), " ")
			ns, err := strconv.ParseInt(ran, 10, 64)
			if err != nil {
				return u, fmt.Errorf("%s/schedstat: %w", t, err)
			}
			u.cpu += time.Duration(ns)
			u.switches += field(status, "voluntary_ctxt_switches") + field(status, "nonvoluntary_ctxt_switches")
		}
	}
	return u, nil
}

// field answers the number behind "name:" in the text of a /proc file, 0 when it is not there.
func field(text []byte, name string) float64 {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+":")); ok {
			n, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 64)
			return n
		}
	}
	return 0
}

// residentOf answers the resident memory in KiB of the processes that do the work: those without children of their own
// (an nginx master is left out).
func residentOf(pid int) (kib float64, err error) {
	pids, err := tree(pid)
	if err != nil {
		return 0, err
	}
	parents, err := parentsOf()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		leaf := true
		for _, parent := range parents {
			leaf = leaf && parent != pid
		}
		if !leaf {
			continue
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		kib += field(status, "VmRSS")
	}
	return kib, nil
}

// tree answers the process and its descendants.
func tree(pid int) (pids []int, err error) {
	parents, err := parentsOf()
	if err != nil {
		return nil, err
	}
	if _, ok := parents[pid]; !ok {
		return nil, fmt.Errorf("process %d has ended", pid)
	}
	pids = []int{pid}
	for i := 0; i < len(pids); i++ {
		for child, parent := range parents {
			if parent == pids[i] {
				pids = append(pids, child)
			}
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// parentsOf answers every process's parent.
func parentsOf() (map[int]int, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int, len(names))
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			continue // it has ended
		}
		f := statFields(b)
		pid, err1 := strconv.Atoi(filepath.Base(filepath.Dir(n)))
		parent, err2 := strconv.Atoi(f[1])
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		parents[pid] = parent
	}
	return parents, nil
}

// statFields answers the fields of /proc/PID/stat from the third one (state) on; the second is a name in parentheses that
// may hold anything.
func statFields(stat []byte) []string {
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}
