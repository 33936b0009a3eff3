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
	Connected(&l, now+1)
	if l.SuspectUntil != now+1 || l.Fails != 0 {
		t.Errorf("after a connect that succeeded: %+v", l)
	}
}

func TestSuspectIsProbedByOneConnectAtATime(t *testing.T) {
	var l cluster.Load
	now := int64(time.Hour)
	ConnectFailed(&l, now)
	now = l.SuspectUntil
	Began(&l, now, Defaults())
	if !l.Probing || l.SuspectUntil <= now {
		t.Fatalf("behind the first attempt after a suspicion: %+v, want a probe, and the endpoint passed over meanwhile", l)
	}
	ConnectFailed(&l, now+5)
	if got := time.Duration(l.SuspectUntil - now - 5); l.Probing || got != 2*time.Second {
		t.Errorf("behind a probe that failed: suspect for %v, want 2 s (%+v)", got, l)
	}
	now = l.SuspectUntil
	Began(&l, now, Defaults())
	Connected(&l, now)
	if l.SuspectUntil > now || l.Probing {
		t.Errorf("behind a probe that was connected: %+v", l)
	}
}
