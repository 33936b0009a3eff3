package kube

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var errAway = errors.New("connection refused")

func TestAnswered(t *testing.T) {
	services := schema.GroupResource{Resource: "services"}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"no error", nil, true},
		{"a connection that failed", errAway, false},
		{"no answer in time", context.DeadlineExceeded, false},
		{"no permission", apierrors.NewForbidden(services, "", nil), true},
		{"no such resource", apierrors.NewNotFound(services, ""), true},
		{"a version that was forgotten", apierrors.NewResourceExpired(""), true},
		{"too many requests", apierrors.NewTooManyRequests("", 1), false},
		{"an error inside", apierrors.NewInternalError(errAway), false},
		{"a timeout inside", apierrors.NewTimeoutError("", 1), false},
		{"a version that it does not know yet", &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusGatewayTimeout,
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}}}}, true},
	} {
		if got := answered(c.err); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// A server that is away for a minute is tried by one at a time, after growing pauses; the first success lets all pass.
func TestTheGateLetsOneTryAServerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns []bool
		g := newGate(func(err error) { turns = append(turns, err != nil) })
		g.jitter = func() float64 { return 1 }
		back := time.Now().Add(time.Minute)
		var mu sync.Mutex
		var attempts []time.Duration
		began := time.Now()
		trying := 0
		send := func() error {
			mu.Lock()
			attempts = append(attempts, time.Since(began))
			trying++
			if trying > 1 && time.Since(began) > 0 && time.Now().Before(back) {
				t.Error("two tried at the same time")
			}
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			trying--
			mu.Unlock()
			if time.Now().Before(back) {
				return errAway
			}
			return nil
		}
		var followers sync.WaitGroup
		for range 20 {
			followers.Go(func() {
				for g.do(t.Context(), send) != nil {
				}
			})
		}
		followers.Wait()
		if took := time.Since(began); took > time.Minute+maxPause+100*time.Millisecond {
			t.Errorf("the last passed after %v", took)
		}
		// 20 at the start, then after 100, 200, 400 … 3,200 ms, then every 5 s, then those 20 that may pass.
		if n := len(attempts); n < 20+15 || n > 20+20+20 {
			t.Errorf("%d attempts: %v", n, attempts)
		}
		if len(turns) != 2 || !turns[0] || turns[1] {
			t.Errorf("turns %v, want away, back", turns)
		}
	})
}

func TestTheGateHeedsHowLongTheServerWantsToBeLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(func(error) {})
		began := time.Now()
		g.learn(apierrors.NewTooManyRequests("busy", 3), false)
		if err := g.do(t.Context(), func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("tried after %v", took)
		}
	})
}

func TestTheGatesTurnIsGivenBackByOneWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(func(error) {})
		g.learn(errAway, false)
		ctx, cancel := context.WithCancel(t.Context())
		go g.do(ctx, func() error { <-ctx.Done(); return ctx.Err() })
		time.Sleep(time.Second)
		passed := false
		go func() { g.do(t.Context(), func() error { return nil }); passed = true }()
		time.Sleep(time.Second)
		synctest.Wait()
		if passed {
			t.Fatal("two at a time")
		}
		cancel()
		synctest.Wait()
		if !passed {
			t.Error("the second did not get its turn")
		}
		if _, down := g.downSince(); down {
			t.Error("still down after a success")
		}
	})
}
