package proxy

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// Over a rolling restart of a StatefulSet every request is answered, and every key stays with the pod of its name, wherever that runs.
func TestNoKeyMovesOverARollingRestart(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 3, byAccount(rules.FallWait, patience))
		owners := map[string]string{}
		for n := range 12 {
			owners[fmt.Sprint("key-", n)] = p.owner(fmt.Sprint("key-", n))
		}
		var running sync.WaitGroup
		var stop atomic.Bool
		var asked atomic.Int64
		for key, owner := range owners {
			running.Go(func() {
				cl := client(p.r)
				defer cl.CloseIdleConnections()
				for n := 0; !stop.Load(); n++ {
					if status, pod, _ := ask(t, cl, []string{"GET", "POST"}[n%2], "/", "", "account: "+key); status != 200 || pod != owner {
						t.Errorf("key %q: %d from %q, want %s", key, status, pod, owner)
						return
					}
					asked.Add(1)
					time.Sleep(time.Millisecond)
				}
			})
		}
		some := func() {
			t.Helper()
			before := asked.Load()
			p.r.eventually("requests to be answered", func() bool { return asked.Load() > before+20 || t.Failed() })
		}
		for i := range p.eps {
			some()
			p.publish(i) // it terminates: no new requests, those under way end
			time.Sleep(20 * time.Millisecond)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			p.servers[i].Shutdown(ctx)
			cancel()
			p.move(t, i)
			p.start(t, i)
			some()
			p.publish()
		}
		some()
		stop.Store(true)
		running.Wait()
	})
}
