package loop

import "time"

// Vigil tells a peer whose machine is gone from one whose program is slow, while something is expected of it and no byte comes. A machine
// that is there acknowledges what it is sent, keep-alive probes, and the question whether its window has opened, whatever its program does. The
// zero value is due at once; Begin whenever bytes came.
type Vigil struct {
	next  int64 // when to look again
	since int64 // when something was first seen to be unanswered; 0 is not
}

const (
	// VigilAfter is how long silence means nothing, in nanoseconds, and vigilEvery how often the kernel is asked then.
	VigilAfter = int64(10 * time.Second)
	vigilEvery = int64(3 * time.Second)
	// vigilTime is how long nothing may be answered, and Unanswered how often in a row the kernel must have asked in vain, before the peer
	// counts as gone: an interruption of the network that is shorter ends nothing.
	vigilTime  = int64(9 * time.Second)
	unanswered = 3
)

// Begin starts the vigil anew.
func (v *Vigil) Begin(now int64) { *v = Vigil{next: now + VigilAfter} }

// Next answers when to look again.
func (v *Vigil) Next() int64 { return v.next }

// Look asks the kernel. silent says that the peer's machine does not answer at present, and gone that it has not for so long that it never
// will.
func (v *Vigil) Look(c *Conn, now int64) (silent, gone bool) {
	v.next = now + vigilEvery
	n := c.Unanswered()
	switch {
	case n == 0:
		v.since = 0
	case v.since == 0:
		v.since = now
	}
	silent = n >= unanswered
	return silent, silent && now-v.since >= vigilTime
}
