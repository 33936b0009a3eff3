package proxy

import (
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// What an answer says of its endpoint's latency reaches peak-ewma: the slow one of two gets the first request or two, and then none.
func TestPeakEWMAHearsOfAnswers(t *testing.T) {
	r := newRig(t)
	addrs, counts := counting(t, 1)
	slow := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		time.Sleep(50 * time.Millisecond)
		io.WriteString(w, "ok")
	})})
	eps := r.eps(append(addrs, slow)...)
	r.target.Publish(snapshot(t, 2, cluster.Undeclared, balancer.PeakEWMA, eps...))
	client := r.dial()
	const n = 200
	for range n {
		client.send(get)
		if !answers(t, client.c, 1) {
			return
		}
	}
	client.close()
	if got := counts[0].Load(); got < n-3 {
		t.Errorf("the fast one got %d of %d requests", got, n)
	}
	for i, e := range eps {
		if l := &e.Load[0]; l.LatencyAt == 0 || l.Latency < []float64{1, 50e6}[i]/2 {
			t.Errorf("endpoint %d: %+v", i, l)
		}
	}
}

// All of a client's connections lead to the same endpoint.
func TestSourceHashGoesByTheClient(t *testing.T) {
	for _, policy := range []string{balancer.SourceHash, balancer.DestinationHash} {
		r := newRig(t)
		addrs, counts := counting(t, 5)
		r.target.Publish(snapshot(t, 2, cluster.Undeclared, policy, r.eps(addrs...)...))
		for range 5 {
			client := r.dial()
			client.send(get)
			answers(t, client.c, 1)
			client.close()
		}
		most := int64(0)
		for _, c := range counts {
			most = max(most, c.Load())
		}
		if most != 5 {
			t.Errorf("%s: at most %d of 5 requests went to one endpoint", policy, most)
		}
	}
}

// A picker is told who asks and for what.
func TestThePickerKnowsClientAndDestination(t *testing.T) {
	r := newRig(t)
	addrs, _ := counting(t, 1)
	set := &cluster.EndpointSet{Endpoints: r.eps(addrs...)}
	var client, destination netip.Addr
	s := *r.target.Snapshot()
	s.Set = set
	s.Picker = pickSeen{pickFirst(set.Endpoints), func(q *balancer.Request) { client, destination = q.Client, q.Destination }}
	r.target.Publish(&s)
	c := r.dial()
	c.send(get)
	answers(t, c.c, 1)
	c.close()
	if !client.IsLoopback() || !destination.IsValid() {
		t.Errorf("client %v, destination %v", client, destination)
	}
}

type pickSeen struct {
	balancer.Picker
	see func(*balancer.Request)
}

func (p pickSeen) Pick(r *balancer.Request) *cluster.Endpoint {
	p.see(r)
	return p.Picker.Pick(r)
}
