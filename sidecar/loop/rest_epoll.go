//go:build linux && !netloop && !race

package loop

import (
	"syscall"
	"unsafe"
)

// rest is for connections that many requests share. Their frames come one by one when the loop is quick enough to look at each, and then each costs
// a read, a write and a wake-up of somebody else; a moment later several would be there, to be read and answered together. So where a crowd of
// requests is under way and events come one upon the other, the loop leaves the processor alone for a while between polls. docs/decisions/0017.
type rest struct {
	shared int // requests under way on connections that others share
	moved  int // of these, those that have begun or ended since the last rest began
	crowd  int // how many requests go round: those that move behind a rest are half of them or more
	quick  int // turns in a row that followed upon each other at once
	vain   int // rests in a row that were not worth it
	took   bool
}

const (
	// restEach is how long a rest is for each request that goes round, in nanoseconds: 125,000 a second get through a loop in spite of their two rests
	// each, as many as it has time for, and if all of them move behind each rest still half as many. The kernel's timer slack is in it: a sleep is
	// longer by that.
	restEach  = 4_000
	restSlack = 55_000
	restMost  = 80_000 // that is slept
	// restFrom is the least crowd, and restLeast how many have to have moved for a rest to be worth it: others may be under way for hours and move
	// nothing.
	restFrom  = 16
	restLeast = 6
	// restAfter is how many turns have to follow upon each other before the first rest, and twice as many behind each one in a row that was not worth it.
	restAfter = 32
	restVain  = 3 // of which no more are counted
	// restSoon is how soon a turn follows upon the last one, in nanoseconds.
	restSoon = 20_000
)

// Share counts requests that begin, or end, on connections which several share. On the loop only.
func (l *Loop) Share(n int) {
	l.rest.shared += n
	l.rest.moved++
}

// came notes how long after the last turn the events of one came.
func (r *rest) came(waited int64) {
	switch {
	case r.took:
	case waited < restSoon:
		r.quick = min(r.quick+1, r.after())
	default:
		r.quick = max(r.quick-4, 0)
	}
}

// judge says whether the last rest was worth it, once all that came behind it has been done.
func (r *rest) judge() {
	if !r.took {
		return
	}
	r.took = false
	if r.moved < restLeast {
		r.quick, r.crowd, r.vain = 0, 0, min(r.vain+1, restVain)
		return
	}
	r.crowd, r.vain = min(r.shared, 2*r.moved), 0
}

func (r *rest) after() int { return restAfter << r.vain }

func (r *rest) pays() bool { return r.shared >= restFrom && r.quick >= r.after() }

// length answers how long to sleep, in nanoseconds.
func (r *rest) length() int64 {
	return int64(min(max(max(r.crowd, restFrom)*restEach-restSlack, 1), restMost))
}

// resting is epollWait after a rest. Nobody's answer waits for its end.
func (l *Loop) resting() int {
	l.release()
	ts := struct{ sec, nsec int64 }{nsec: l.rest.length()}
	syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
	l.rest.took, l.rest.moved = true, 0
	return l.epollWait()
}
