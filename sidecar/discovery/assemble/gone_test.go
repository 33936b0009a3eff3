package assemble

import (
	"net/netip"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

// Connections to the endpoints of a target that is removed are not kept, unless another target of the same destination has them.
func TestTheEndpointsOfARemovedTargetAreGone(t *testing.T) {
	const (
		service = "service addrs=10.9.0.1 ports=http/80"
		both    = "slice a ports=http:8080 web-1@10.1.0.1 web-2@10.1.0.2"
	)
	dst := netip.MustParseAddrPort("10.9.0.1:80")
	for _, c := range []struct{ name, change, gone string }{
		{"the Service is deleted", "no service", "web-1 web-2"},
		{"and its slices", "no service\nno slice a", "web-1 web-2"},
		{"the port is another one", "service addrs=10.9.0.1 ports=http/81", "web-1 web-2"},
		{"the address is another one", "service addrs=10.9.0.2 ports=http/80", "web-1 web-2"},
		{"the Service passes through", service + " affinity=ClientIP", "web-1 web-2"},
		{"the port is renamed, and with it the slice's", "service addrs=10.9.0.1 ports=web/80\nslice a ports=web:8080 web-1@10.1.0.1 web-3@10.1.0.3", "web-2"},
		{"the target stays", "slice a ports=http:8080 web-1@10.1.0.1", "web-2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			w.step(t, service+"\n"+both)
			old := w.targets.byDst[dst]
			all := old.Snapshot().Set.Endpoints
			w.step(t, c.change)
			gone := ""
			for _, e := range all {
				if e.Gone.Load() {
					gone += " " + e.Name
				}
			}
			if gone != " "+c.gone {
				t.Errorf("gone are%s, want %s", gone, c.gone)
			}
			present(t, w.targets.byDst)

			w.step(t, "no service")
			w.step(t, service+"\n"+both)
			if w.targets.byDst[dst] == old {
				t.Error("the target is the one that was removed")
			}
			if n := present(t, w.targets.byDst); n != 2 {
				t.Errorf("%d endpoints, once the Service is there anew; want 2", n)
			}
		})
	}
}

// present fails for endpoints that are published and gone, and answers how many are published.
func present(t *testing.T, targets map[netip.AddrPort]*discovery.Target) (n int) {
	t.Helper()
	for _, target := range targets {
		for _, e := range target.Snapshot().Set.Endpoints {
			if n++; e.Gone.Load() {
				t.Errorf("%s is published, and gone", e.Name)
			}
		}
	}
	return n
}
