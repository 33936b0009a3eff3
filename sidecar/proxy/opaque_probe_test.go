package proxy

import (
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
)

// Once an opaque endpoint's time is over one connection finds out whether it can be reached; the others pass it over until then.
func TestOneOpaqueConnectionFindsOut(t *testing.T) {
	r, o := one(t)
	hung := unanswered(t)
	r.declare(cluster.Opaque, hung, o.addr)
	load := &r.eps(hung)[0].Load[0]
	r.on(func() { outlier.ConnectFailed(load, r.l.Now()-int64(2*time.Second)) })
	var clients []*peer
	for range 20 {
		c := r.dial()
		c.send("x")
		clients = append(clients, c)
	}
	var inFlight int64
	r.eventually("the connections", func() bool {
		var all int64
		r.on(func() { inFlight, all = load.InFlight, load.InFlight+r.eps(o.addr)[0].Load[0].InFlight })
		return all >= 20
	})
	if inFlight != 1 {
		t.Errorf("%d connections try the endpoint, want 1", inFlight)
	}
	for range clients {
		o.accept().close()
	}
	for _, c := range clients {
		c.close()
	}
}

// Bytes that nobody reads say that a connect succeeds, and not that an endpoint which was ejected answers again.
func TestAnOpaqueConnectionDoesNotHoldAProbe(t *testing.T) {
	r, o := one(t)
	r.declare(cluster.Opaque, o.addr)
	load := &r.eps(o.addr)[0].Load[0]
	r.on(func() {
		other := cluster.NewEndpoint(clusterIP, 1)
		s := outlier.Scene{Settings: outlier.Defaults(), Endpoints: []*cluster.Endpoint{r.eps(o.addr)[0], other}, Now: r.l.Now() - int64(5*time.Second)}
		for range 5 {
			outlier.Bad(s.Endpoints[0], outlier.Began(load, s.Now, s.Settings), s)
		}
	})
	c := r.dial()
	c.send("x")
	s := o.accept()
	s.expect("x", "a byte")
	r.on(func() {
		if !outlier.Ejected(load) || load.Probing || load.Ejections != 1 {
			t.Errorf("with an opaque connection: %+v", *load)
		}
	})
	c.close()
	s.close()
}
