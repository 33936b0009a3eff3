package nettest

import (
	"fmt"
	"os"
	"testing"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

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
	s.even(t, 2, 0.2)
	if s.Connections != 10000 {
		t.Errorf("the client made %d connections", s.Connections)
	}
	err := meshtest.Poll(m.within(patience), "descriptors to be given back", func() (bool, error) {
		return descriptors() <= before && m.metric("sluice_downstream_connections") <= 0, nil
	})
	if err != nil {
		t.Errorf("%v: %d before, %d after, %.0f connections open", err, before, descriptors(),
			m.metric("sluice_downstream_connections"))
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
	err = meshtest.Poll(m.within(patience), "opaque connections' descriptors to be given back", func() (bool, error) {
		return descriptors() <= before, nil
	})
	if err != nil {
		t.Errorf("%v: %d before, %d after", err, before, descriptors())
	}
}
