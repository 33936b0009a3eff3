// Package outlier says which endpoints are to be avoided because of what was observed of them. A failed connect makes an endpoint
// suspect at once, for a time that doubles with each further failure; pickers pass suspects over while others are left.
package outlier

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// The first and the longest time an endpoint stays suspect.
const (
	SuspectFirst = time.Second
	SuspectMost  = time.Minute
)

// ConnectFailed notes a failed connect at time now, in nanoseconds of the loop's clock. A failure within a suspicion that runs
// already is of an attempt that began before it, and does not count again.
func ConnectFailed(l *cluster.Load, now int64) {
	if l.SuspectUntil > now {
		return
	}
	d := SuspectMost
	if l.Fails < 6 {
		d = SuspectFirst << l.Fails
		l.Fails++
	}
	l.SuspectUntil = now + int64(d)
}

// Connected notes a connect that succeeded.
func Connected(l *cluster.Load) { l.SuspectUntil, l.Fails = 0, 0 }
