package proxy

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// Who stays for room at an endpoint, since the others are full, does so as long as it may: to take it away in half of its time, and half of
// what is left, would only bring it back there, behind those that came later.
func TestAStreamThatStaysForRoomIsLeftThere(t *testing.T) {
	other := closedPort(t)
	r, _, ask, done := full(t, func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = 2, patience }, other)
	places := &r.eps(other)[0].Places
	places.Take(2)
	places.Take(2)
	defer func() { places.Give(); places.Give() }()
	r.with(func(ru *rules.Rules) { ru.HangRace.On, ru.Timeout = false, 2*time.Second })
	ask("/", "here")
	time.Sleep(1300 * time.Millisecond)
	if n := r.attempts(classify.ConnectFailed); n != 1 {
		t.Errorf("%d attempts found no connection, want the first alone", n)
	}
	done()
}
