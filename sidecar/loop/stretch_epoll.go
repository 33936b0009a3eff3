//go:build linux && !netloop && !race

package loop

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// stretch is a time through which a loop makes turns and does not park. The thread that waited in Go's poller is the one that runs the loop, and
// no other takes its place by itself: who else waits there, as a loop whose connections are silent does, is not woken until this one parks. Go's
// monitor looks every 10 ms; but it sleeps when all is quiet, and nothing that a loop does wakes it, as raw calls pass the scheduler by. A client that
// kept one loop busy was seen to hold up another's for 200 ms. So whoever makes turns for long calls for a relief. docs/decisions/0020.
type stretch struct {
	began    int64 // 0 before its first turn has ended
	relieved bool
}

// stretchLong is after how many nanoseconds the relief is called. It wakes a thread, which costs some microseconds, once in a stretch.
const stretchLong = 250_000

// turned notes when a turn began and ended.
func (s *stretch) turned(began, ended int64) {
	if s.began == 0 {
		s.began = began
	}
	if s.relieved || ended-s.began < stretchLong {
		return
	}
	s.relieved = true
	// A processor that is idle is woken for the goroutine, and when that has ended its thread waits in the poller. If none is idle it
	// runs when the loop parks.
	go func() {}()
	// A call that is no raw one wakes the monitor, which looks in where all processors are busy.
	syscall.Syscall(unix.SYS_GETPID, 0, 0, 0)
}
