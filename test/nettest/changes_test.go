package nettest

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/manifest"
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
	m.publish(m.servers...)
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

// 10,000 connections, one after the other in 20 lanes, through one proxy: ports, descriptors and memory are given back.
func TestShortConnectionsExhaustNothing(t *testing.T) {
	m := newMesh(t, 2)
	m.addSluice()
	warm := m.load(shopURL+"/pod", "--requests=200", "--concurrency=20", "--keep-alive=false")
	warm.none(t)
	descriptors := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", m.sidecar.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := descriptors()
	s := m.load(shopURL+"/pod", "--requests=10000", "--concurrency=20", "--keep-alive=false")
	s.none(t)
	s.even(t, 2, 0.05)
	if s.Connections != 10000 {
		t.Errorf("the client made %d connections", s.Connections)
	}
	err := meshtest.Poll(m.within(patience), "descriptors to be given back", func() (bool, error) {
		return descriptors() <= before && m.metric("sluice_downstream_connections") <= 0, nil
	})
	if err != nil {
		t.Errorf("%v: %d before, %d after, %.0f connections open", err, before, descriptors(), m.metric("sluice_downstream_connections"))
	}
	// Some more than there are lanes: an endpoint is dialled ahead for a client that is slow to speak.
	connects := m.metric("sluice_upstream_connects_total")
	if t.Logf("%.0f connections to endpoints for 10,200 requests", connects); connects > 5000 {
		t.Errorf("%.0f connections to endpoints: they are not kept", connects)
	}
	// Opaque ones need an upstream connection each.
	for range 500 {
		c, err := m.dial("tcp", "10.96.0.10:25")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	err = meshtest.Poll(m.within(patience), "descriptors of opaque connections", func() (bool, error) { return descriptors() <= before, nil })
	if err != nil {
		t.Errorf("%v: %d before, %d after", err, before, descriptors())
	}
}

func TestRedisThroughItsOwnClients(t *testing.T) {
	installed(t, "redis-server", "redis-cli", "redis-benchmark")
	m := newMesh(t, 1)
	s := m.servers[0]
	dir := t.TempDir()
	m.start(s.Pod, "redis-server", "--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", dir)
	m.waitPorts(s.Pod, 6379)
	redis := netip.MustParseAddr("10.96.0.63")
	m.service("redis", []netip.Addr{redis}, []manifest.Port{{Port: 6379, Target: 6379}}, s)
	m.addSluice()
	cli := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(m.run(m.client, "redis-cli", append([]string{"-h", redis.String()}, args...)...))
	}
	value := strings.Repeat("a value with spaces and é ", 1000)
	if got := cli("set", "key", value); got != "OK" {
		t.Errorf("set answers %q", got)
	}
	if got := cli("get", "key"); got != strings.TrimSpace(value) {
		t.Errorf("get answers %d bytes, want %d", len(got), len(value))
	}
	if got := cli("incr", "counter"); got != "1" {
		t.Errorf("incr answers %q", got)
	}
	out := m.run(m.client, "redis-benchmark", "-h", redis.String(), "-n", "10000", "-c", "20", "-P", "4", "-t", "set,get,lpush", "--csv")
	if n := strings.Count(out, "\n"); n < 4 || strings.Contains(strings.ToLower(out), "error") {
		t.Errorf("redis-benchmark says\n%s", out)
	}
	if n := m.metric("sluice_opaque_connections_total", "redis"); n < 20 {
		t.Errorf("the proxy has carried %.0f connections", n)
	}
}
