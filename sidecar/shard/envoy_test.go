package shard

import (
	"fmt"
	"math"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// envoyHosts are the hosts of Envoy's own tests: 127.0.0.1:90 to :95, which it hashes by address, or 90 to 95 by hostname.
func envoyHosts(format string) *cluster.EndpointSet {
	var all []*cluster.Endpoint
	for i := 90; i <= 95; i++ {
		e := pod(fmt.Sprintf(format, i), i)
		e.UID = ""
		all = append(all, e)
	}
	return setOf(all...)
}

// The positions of the points are those in Envoy's ring_hash_lb_test.cc, test Basic: six hosts, two points each.
func TestTheRingHasEnvoysPoints(t *testing.T) {
	m := New(mustSpec(t, "ring,size=12"), Input{Set: envoyHosts("127.0.0.1:%d")})
	want := []struct {
		port int
		at   uint64
	}{
		{94, 833437586790550860}, {92, 928266305478181108}, {90, 1033482794131418490}, {95, 3551244743356806947},
		{93, 3851675632748031481}, {91, 5583722120771150861}, {91, 6311230543546372928}, {93, 7700377290971790572},
		{95, 13144177310400110813}, {92, 13444792449719432967}, {94, 15516499411664133160}, {90, 16117243373044804889},
	}
	if len(m.points) != len(want) {
		t.Fatalf("%d points, want %d", len(m.points), len(want))
	}
	for i, w := range want {
		if got, name := m.points[i], m.members[m.owners[i]].Name; got != w.at || name != fmt.Sprintf("127.0.0.1:%d", w.port) {
			t.Errorf("point %d is %s at %d, want port %d at %d", i, name, got, w.port, w.at)
		}
	}
	for _, c := range []struct {
		hash uint64
		port int
	}{{0, 94}, {math.MaxUint64, 94}, {3551244743356806947, 95}, {3551244743356806948, 93}} {
		if got := m.Owner(shardkey.Key{Hash: c.hash}).Member.Name; got != fmt.Sprintf("127.0.0.1:%d", c.port) {
			t.Errorf("hash %d is %s's, want port %d", c.hash, got, c.port)
		}
	}
}

// The tables are those in Envoy's maglev_lb_test.cc: tests Basic, by address, and BasicWithHostName.
func TestMaglevHasEnvoysTable(t *testing.T) {
	for format, want := range map[string][]int{
		"127.0.0.1:%d": {92, 94, 90, 91, 95, 90, 93},
		"%d":           {92, 95, 90, 93, 94, 91, 90},
	} {
		m := New(mustSpec(t, "maglev,size=7"), Input{Set: envoyHosts(format)})
		for i := range 21 {
			if got := m.Owner(shardkey.Key{Hash: uint64(i)}).Member.Name; got != fmt.Sprintf(format, want[i%7]) {
				t.Errorf("hash %d is %s's, want %d", i, got, want[i%7])
			}
		}
	}
}
