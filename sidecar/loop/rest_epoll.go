//go:build linux && !netloop && !race

package loop

import (
	"syscall"
	"unsafe"
)

// rest is for connections that many requests share. Their frames come one by one when the loop is quick enough to look at each, and then each costs
// a read, a write and a wake-up of somebody else; a moment later several would be there, to be read and answered together. So where a crowd of
// requests is under way and events come one upon the other, the loop leaves the processor alone for a while between polls.
type rest struct {
	shared int // requests under way on connections that others share
	quick  int // turns in a row that followed upon each other at once
	took   bool
}

const (
	// restEach is how long a rest is for each request under way, in nanoseconds: 125,000 a second get through a loop in spite of their two rests each,
	// as many as it has time for. The kernel's timer slack is in it: a sleep is longer by that.
	restEach  = 4_000
	restSlack = 55_000
	restMost  = 60_000 // that is slept
	// restFrom is the least crowd, and restAfter how many turns have to follow upon each other before the first rest.
	restFrom  = 16
	restAfter = 32
	// restSoon is how soon a turn follows upon the last one, in nanoseconds.
	restSoon = 20_000
	// restLeast is how many events make a rest worth it; behind one that was not, restAfter quick turns have to come again.
	restLeast = 2
)

// Share counts requests that begin, or end, on connections which several share. On the loop only.
func (l *Loop) Share(n int) { l.rest.shared += n }

// came notes the turn's events, and how long after the last turn they came.
func (r *rest) came(n int, waited int64) {
	switch {
	case r.took && n < restLeast:
		r.quick = 0
	case r.took:
	case waited < restSoon:
		r.quick = min(r.quick+1, restAfter)
	default:
		r.quick = max(r.quick-4, 0)
	}
	r.took = false
}

// length answers how long to sleep, in nanoseconds.
func (r *rest) length() int64 { return int64(min(max(r.shared*restEach-restSlack, 1), restMost)) }

func (r *rest) pays() bool { return r.shared >= restFrom && r.quick >= restAfter }

// resting is epollWait after a rest. Nobody's answer waits for its end.
func (l *Loop) resting() int {
	l.release()
	ts := struct{ sec, nsec int64 }{nsec: l.rest.length()}
	syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
	l.rest.took = true
	return l.epollWait()
}
