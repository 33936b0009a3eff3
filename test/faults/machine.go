package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

var (
	cpuModel = regexp.MustCompile(`(?m)^model name\s*: (.*)$`)
	memTotal = regexp.MustCompile(`(?m)^MemTotal:\s+(\d+) kB$`)
)

// machine describes where a run was made.
func machine() string {
	text := fmt.Sprintf("Machine: %d CPUs", runtime.NumCPU())
	if m := cpuModel.FindStringSubmatch(read("/proc/cpuinfo")); m != nil {
		text += " (" + strings.TrimSpace(m[1]) + ")"
	}
	if m := memTotal.FindStringSubmatch(read("/proc/meminfo")); m != nil {
		kib, _ := strconv.Atoi(m[1]) // digits
		text += fmt.Sprintf(", %d GB", (kib+1<<19)>>20)
	}
	release, _, _ := strings.Cut(strings.TrimSpace(read("/proc/sys/kernel/osrelease")), "-")
	return text + fmt.Sprintf(", Linux %s, %s.", release, runtime.Version())
}

// commandLine is how the program was called.
func commandLine() string { return strings.Join(append([]string{"bin/faults"}, os.Args[1:]...), " ") }
