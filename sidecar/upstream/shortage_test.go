package upstream

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

// Without a descriptor for a connection, those that are kept for later give way; when there are none, the error says whose fault it is.
func TestIdleConnectionsGiveWayWhenDescriptorsRunOut(t *testing.T) {
	if !meshtest.InChild(t) {
		return
	}
	r := newRig(t, Defaults())
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	wanted := cluster.NewEndpoint(netip.MustParseAddrPort(other.Addr().String()), 1)
	u := r.get()
	r.put(u)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 40, Max: 40}); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		defer f.Close()
	}
	var made *h1.Upstream
	for i, want := range []bool{true, false} {
		r.do(func() {
			v, err := r.p.Get(wanted, false, 0)
			if (err == nil) != want {
				t.Errorf("connection %d: %v", i, err)
			}
			if err != nil && !OutOfDescriptors(err) {
				t.Errorf("the endpoint is blamed for it: %v", err)
			}
			if v != nil {
				made = v
			}
		})
	}
	if made != nil {
		r.do(func() { made.Close() })
	}
	if n, k := r.stats.Limited[metrics.LimitDescriptors].Load(), r.stats.Idle.Load(); n != 1 || k != 0 {
		t.Errorf("%d shortages, %d idle connections; want 1, 0", n, k)
	}
}
