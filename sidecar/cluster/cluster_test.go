package cluster

import (
	"net/netip"
	"strings"
	"testing"
)

func TestWhoLeavesASetIsGone(t *testing.T) {
	all := map[byte]*Endpoint{}
	for _, c := range []byte("abcd") {
		all[c] = NewEndpoint(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, c}), 80), 1)
	}
	other := NewEndpoint(all['b'].Addr, 1) // another pod at the same address
	set := func(names string) *EndpointSet {
		s := &EndpointSet{}
		for _, c := range []byte(names) {
			e := all[c]
			if c == 'B' {
				e = other
			}
			s.Endpoints = append(s.Endpoints, e)
		}
		return s
	}
	last := set("")
	for _, step := range []struct{ set, gone string }{
		{"abc", ""}, {"ac", "b"}, {"aBcd", "b"}, {"abc", "Bd"}, {"", "abcBd"}, {"cba", "Bd"}, {"bc", "aBd"},
	} {
		next := set(step.set)
		last.Leave(next)
		last = next
		for _, c := range []byte("abcBd") {
			e := all[c]
			if c == 'B' {
				e = other
			}
			if want := strings.IndexByte(step.gone, c) >= 0; e.Gone.Load() != want {
				t.Errorf("behind %q: %c is gone: %v, want %v", step.set, c, !want, want)
			}
		}
	}
}
