package outlier

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

func TestSuspicionDoublesToAMinuteAndEnds(t *testing.T) {
	var l cluster.Load
	now := int64(time.Hour)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		want *= time.Second
		ConnectFailed(&l, now)
		if got := time.Duration(l.SuspectUntil - now); got != want {
			t.Errorf("failure %d: suspect for %v, want %v", i+1, got, want)
		}
		ConnectFailed(&l, now+1)
		if got := time.Duration(l.SuspectUntil - now); got != want {
			t.Errorf("failure %d: one more within the suspicion moved its end to %v, want %v", i+1, got, want)
		}
		now = l.SuspectUntil
	}
	Connected(&l)
	if l.SuspectUntil != 0 || l.Fails != 0 {
		t.Errorf("after a connect that succeeded: %+v", l)
	}
}
