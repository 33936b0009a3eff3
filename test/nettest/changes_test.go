package nettest

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// Endpoints come and go under load. Each change has reached all requests within a second, and none fails.
func TestEndpointChangesMoveTrafficWithinASecond(t *testing.T) {
	m := newMesh(t, 3)
	m.addSluice()
	wait := m.startLoad(shopURL+"/pod", "--rate=200", "--concurrency=10", "--duration=5s")
	a, b, c := m.servers[0], m.servers[1], m.servers[2]
	for _, ready := range [][]*server{{a}, {a, b, c}, {b, c}, {a, b}} {
		began := time.Now()
		m.publish(ready...)
		published := time.Now()
		names := map[string]bool{}
		for _, s := range ready {
			names[s.name] = true
		}
		// The change is done when all of the pods, and no other, have answered 30 requests in a row.
		var last time.Time // when an answer was wrong last
		var row []string
		for since := time.Now(); len(row) < 30; {
			pod, _, err := m.get(shopURL + "/pod")
			if err != nil {
				t.Fatal(err)
			}
			if row = append(row, pod); !names[pod] {
				row, last = nil, time.Now()
			}
			if time.Since(since) > patience {
				t.Fatalf("%v still get requests", row)
			}
		}
		seen := map[string]bool{}
		for _, pod := range row {
			seen[pod] = true
		}
		if len(seen) != len(names) {
			t.Errorf("of %v only %v answer", names, seen)
		}
		if took := last.Sub(published); took > time.Second {
			t.Errorf("requests went elsewhere for %v (the rules took %v)", took, published.Sub(began))
		}
	}
	wait().none(t)
}

// A kept connection outlives its Service: what comes after goes where kube-proxy leads, and to the new endpoints when the
// Service is back.
func TestAServiceGoesAndComesBack(t *testing.T) {
	m := newMesh(t, 2)
	m.addSluice()
	wait := m.startLoad(shopURL+"/pod", "--rate=100", "--concurrency=2", "--duration=3s")
	requests := func() float64 { return m.metric("sluice_requests_total", `service="default/shop:80"`) }
	more := func(why string) {
		t.Helper()
		before := requests()
		err := meshtest.Poll(m.within(patience), why, func() (bool, error) { return requests() > before+20, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	more("requests")
	if err := os.Remove(m.dir + "/shop.json"); err != nil {
		t.Fatal(err)
	}
	err := meshtest.Poll(m.within(patience), "the Service to be unknown", func() (bool, error) {
		return m.metric("sluice_discovery_targets") == 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.get(shopURL + "/pod"); err != nil {
		t.Errorf("a call to a Service that is gone, while kube-proxy still has it: %v", err)
	}
	m.discover("shop", []netip.Addr{shop4, shop6}, shopPorts, m.servers...)
	more("requests to the Service that is back")
	wait().none(t)
}

// The kubelet may run init containers again (a node restarts): nothing changes, and no connection notices.
func TestTheInitContainerRunsAgainUnderTraffic(t *testing.T) {
	m := newMesh(t, 2)
	m.addSluice()
	rules := func() string {
		return m.run(m.client, "iptables", "-t", "nat", "-S") + m.run(m.client, "ip6tables", "-t", "nat", "-S")
	}
	before := rules()
	kept := m.startLoad(shopURL+"/pod", "--rate=200", "--concurrency=4", "--duration=2s")
	short := m.startLoad(shopURL+"/pod", "--rate=200", "--concurrency=4", "--duration=2s", "--keep-alive=false")
	for range 3 {
		if log := m.initContainer(); strings.Contains(log, `"msg":"done"`) {
			t.Errorf("a second run did something:\n%s", log)
		}
		if after := rules(); after != before {
			t.Errorf("the rules were\n%s\nand are\n%s", before, after)
		}
	}
	kept().none(t)
	short().none(t)
	if open := m.metric("sluice_downstream_connections_total"); open < 400 {
		t.Errorf("the proxy saw %.0f connections; the short ones are 400", open)
	}
}
