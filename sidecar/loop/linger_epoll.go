//go:build linux && !netloop && !race

package loop

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lingerTime is how long the loop waits for events in its own system call before it leaves the wait to Go's poller. Meanwhile it
// keeps its processor, so it is short; an answer from a server nearby comes within it.
const lingerTime = 50 * time.Microsecond

// linger guesses from the waits before whether the next one will be short. A wait in the loop's own call costs one system call where
// Go's poller takes three and a pass of its scheduler, but one in vain costs a timer: it pays when two in three are short.
type linger struct{ score int8 }

const (
	lingerMost = 6
	lingerFrom = 3
)

// waited notes how long a wait took, however it was made.
func (g *linger) waited(ns int64) {
	if ns < int64(lingerTime) {
		g.score = min(g.score+1, lingerMost)
	} else {
		g.score = max(g.score-2, 0)
	}
}

func (g *linger) pays() bool { return g.score >= lingerFrom }

// lingering is epollWait that waits, until next (Never: no bound but lingerTime) at most.
func (l *Loop) lingering(next int64) int {
	wait := int64(lingerTime)
	if next != Never {
		wait = min(wait, next-l.now)
	}
	l.stats.polls.Add(1)
	ts := struct{ sec, nsec int64 }{nsec: wait} // struct __kernel_timespec, which is the same everywhere
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.epfd), uintptr(unsafe.Pointer(&l.events)), maxEvents,
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	if errno != 0 {
		return 0 // EINTR, or a kernel before 5.11: the wait goes on in Go's poller
	}
	return int(n)
}
