package discovery

import (
	"net/netip"
	"slices"
	"strings"
)

// Table is what a source knows at one moment. It is immutable once published; sources replace it as a whole.
type Table struct {
	// Targets are the Service ports by destination.
	Targets map[netip.AddrPort]*Target
	// Addrs are all Service addresses, with what is to be answered for a port that Targets does not have: UnknownPort, or
	// why the whole Service passes through.
	Addrs map[netip.Addr]Reason
}

// Lookup answers what the table knows of a destination, and Pending where it knows nothing. A target is held for the
// caller. An IPv4 address mapped to IPv6 is the IPv4 address. It takes no lock.
func (t *Table) Lookup(dst netip.AddrPort) Answer {
	dst = Unmap(dst)
	if target := t.Targets[dst]; target != nil {
		if target.Hold() {
			return Answer{Target: target}
		}
		return Answer{Reason: Pending}
	}
	if reason, ok := t.Addrs[dst.Addr()]; ok {
		return Answer{Reason: reason}
	}
	return Answer{Reason: Pending}
}

// Unmap answers the IPv4 destination of an IPv4-mapped IPv6 one, and any other as it is.
func Unmap(dst netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
}

// Sorted answers all targets by name, those of one name by destination.
func (t *Table) Sorted() []*Target {
	dsts := make([]netip.AddrPort, 0, len(t.Targets))
	for dst := range t.Targets {
		dsts = append(dsts, dst)
	}
	slices.SortFunc(dsts, func(a, b netip.AddrPort) int {
		if c := strings.Compare(t.Targets[a].Name, t.Targets[b].Name); c != 0 {
			return c
		}
		return a.Compare(b)
	})
	targets := make([]*Target, len(dsts))
	for i, dst := range dsts {
		targets[i] = t.Targets[dst]
	}
	return targets
}
