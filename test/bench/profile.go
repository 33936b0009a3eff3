package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// profiling takes a CPU profile of the sidecar in the first round of a case when that was asked for; the round's figure
// includes what profiling costs. The function that is returned waits for its end.
func (b *bench) profiling(c testcase, w *way) (wait func()) {
	if !b.profile || w.name != sluice || b.round != 1 || c.name == "memory" {
		return func() {}
	}
	var done sync.WaitGroup
	done.Go(func() {
		const seconds = 3
		p, err := w.get(adminPort, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), (seconds+10)*time.Second)
		if err == nil {
			err = os.WriteFile(filepath.Join(b.options.out, c.name+".pprof"), p, 0o644)
		}
		if err != nil {
			fmt.Fprintf(b.out, "  %s: no profile: %v\n", c.name, err)
		}
	})
	return done.Wait
}

// profileMemory writes what the sidecar says about its memory, when that was asked for. Call it after memory was read: answering
// takes memory.
func (b *bench) profileMemory(w *way, when string) {
	if !b.profile || w.name != sluice || b.round != 1 {
		return
	}
	for _, what := range []struct {
		port       int
		path, file string
	}{
		{healthPort, "/metrics", "memory-" + when + ".metrics"},
		{adminPort, "/debug/pprof/heap", "memory-" + when + ".heap.pprof"},
		{adminPort, "/debug/pprof/goroutine?debug=1", "memory-" + when + ".goroutines"},
	} {
		text, err := w.get(what.port, what.path, 10*time.Second)
		if err == nil {
			err = os.WriteFile(filepath.Join(b.options.out, what.file), text, 0o644)
		}
		if err != nil {
			fmt.Fprintf(b.out, "  memory, %s: %v\n", when, err)
		}
	}
}
