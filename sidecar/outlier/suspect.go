package outlier

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// The first and the longest time a failed connect makes an endpoint suspect.
const (
	SuspectFirst = time.Second
	SuspectMost  = time.Minute
)

// ConnectFailed notes a failed connect at time now, in nanoseconds of the loop's clock. A failure within a suspicion that runs
// already is of an attempt that began before it, and does not count again, unless it is of the one that was to find out.
func ConnectFailed(l *cluster.Load, now int64) {
	if l.SuspectUntil > now && !l.Probing {
		return
	}
	if l.Fails == 0 {
		forgive(l, now)
	}
	l.Probing = false
	d := suspicion(l.Fails)
	if d < SuspectMost {
		l.Fails++
	}
	l.SuspectUntil = max(l.SuspectUntil, now+int64(d))
}

// Connected notes a connect that succeeded at time now. It returns an endpoint that was suspect; one that accepts connections and answers errors
// stays ejected, and how often it was is not forgotten for it.
func Connected(l *cluster.Load, now int64) {
	if l.Fails == 0 {
		return
	}
	l.Fails = 0
	if l.Bad != ejected {
		comeBack(l, now)
	}
}

// suspicion is how long an endpoint is suspect after that many failed connects before the latest.
func suspicion(fails uint8) time.Duration {
	if fails < 6 {
		return SuspectFirst << fails
	}
	return SuspectMost
}
