package meshtest

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// leakGrace is how long goroutines and descriptors get to end after the last test.
const leakGrace = 5 * time.Second

// Main runs the tests and ends the process: TestMain calls it and nothing else. When all tests passed but goroutines
// or descriptors that were not there before are still there after five seconds, it prints them and fails the run.
// Ignored are goroutines whose stack contains one of the given words.
//
//	func TestMain(m *testing.M) { meshtest.Main(m) }
func Main(m *testing.M, ignore ...string) {
	if err := initPoller(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	before := descriptors()
	code := m.Run()
	if code == 0 && !fuzzing() {
		if left := leaks(before, ignore); len(left) > 0 {
			fmt.Fprintf(os.Stderr, "left over after the tests (%d):\n\n%s\n", len(left), strings.Join(left, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// initPoller makes the runtime open its own descriptors (epoll, eventfd) before they are counted.
func initPoller() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	r.Close()
	w.Close()
	return nil
}

// fuzzing reports whether this process drives or is a fuzz worker; these keep pipes and goroutines of their own.
func fuzzing() bool {
	return slices.ContainsFunc(os.Args, func(a string) bool {
		return strings.HasPrefix(a, "-test.fuzz=") || strings.HasPrefix(a, "-test.fuzzworker")
	})
}

// leaks waits for what is left over to go, and returns what stays.
func leaks(before map[string]string, ignore []string) (left []string) {
	ctx, cancel := context.WithTimeout(context.Background(), leakGrace)
	defer cancel()
	// Poll's error is its deadline: then left holds what was found last.
	_ = Poll(ctx, "leftovers to end", func() (bool, error) {
		left = goroutines(ignore)
		after := descriptors()
		for _, fd := range slices.Sorted(maps.Keys(after)) {
			if before[fd] != after[fd] {
				left = append(left, fmt.Sprintf("descriptor %s: %s", fd, after[fd]))
			}
		}
		return len(left) == 0, nil
	})
	return left
}

// goroutines returns the stacks of all goroutines but the caller's and those that outlive every test.
func goroutines(ignore []string) (stacks []string) {
	ignore = append([]string{
		"testing.(*M).", "testing.tRunner.func", "os/signal.loop", "runtime.ensureSigM", "runtime.ReadTrace",
		"k8s.io/klog/v2.(*flushDaemon)", // started by an init function, ends with the process
	}, ignore...)
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for i, s := range strings.Split(string(buf), "\n\n") {
		if i == 0 || slices.ContainsFunc(ignore, func(w string) bool { return strings.Contains(s, w) }) {
			continue // the first one is the caller's own
		}
		stacks = append(stacks, s)
	}
	return stacks
}

// descriptors returns the open descriptors and what they lead to.
func descriptors() map[string]string {
	open := make(map[string]string)
	names, _ := filepath.Glob("/proc/self/fd/*") // the pattern is well formed, which is Glob's only error
	for _, n := range names {
		// The directory's own descriptor is gone by now, and so is whatever Glob used.
		if target, err := os.Readlink(n); err == nil {
			open[filepath.Base(n)] = target
		}
	}
	return open
}
