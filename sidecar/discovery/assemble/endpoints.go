package assemble

import (
	"net/netip"
	"slices"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// candidate is a slice's endpoint on one of the slice's ports.
type candidate struct {
	*record
	slice *Slice
	port  uint16
}

func (c candidate) at() netip.AddrPort { return netip.AddrPortFrom(c.addr, c.port) }

// candidates are what all slices offer for one Service port in one address family: slice ports are matched by name, and
// their number may differ from slice to slice (a named target port).
type candidates struct {
	port   string
	v4     bool
	slices []*Slice
	sorted []candidate // by address, and the better ones of an address first; all of slices
}

// with answers the candidates of other slices. Slices that stay, which is nearly all of them at a usual change, are not
// looked at again.
func (c candidates) with(slicesNow []*Slice) candidates {
	now := candidates{port: c.port, v4: c.v4, slices: slicesNow}
	stays := make(map[*Slice]bool, len(slicesNow))
	for _, s := range slicesNow {
		stays[s] = true
	}
	var gone []*Slice
	for _, s := range c.slices {
		if !stays[s] {
			gone = append(gone, s)
		}
	}
	was := make(map[*Slice]bool, len(c.slices))
	for _, s := range c.slices {
		was[s] = true
	}
	var come []candidate
	for _, s := range slicesNow {
		if !was[s] {
			come = now.appendOf(come, s)
		}
	}
	slices.SortFunc(come, compare)

	if len(gone) == 0 && len(come) == 0 {
		now.sorted = c.sorted
		return now
	}
	now.sorted = make([]candidate, 0, len(c.sorted)+len(come))
	from := 0
	keep := func(to int) {
		for _, k := range c.sorted[from:to] {
			if !slices.Contains(gone, k.slice) {
				now.sorted = append(now.sorted, k)
			}
		}
		from = to
	}
	for _, n := range come {
		i, _ := slices.BinarySearchFunc(c.sorted[from:], n, compare)
		keep(from + i)
		now.sorted = append(now.sorted, n)
	}
	keep(len(c.sorted))
	return now
}

// appendOf appends a slice's candidates.
func (c candidates) appendOf(list []candidate, s *Slice) []candidate {
	for _, p := range s.ports {
		if p.name != c.port {
			continue
		}
		for i := range s.records {
			if r := &s.records[i]; r.addr.Is4() == c.v4 {
				list = append(list, candidate{r, s, p.port})
			}
		}
	}
	return list
}

func compare(a, b candidate) int {
	if c := a.at().Compare(b.at()); c != 0 {
		return c
	}
	return -a.compareTrust(b)
}

// fill gives a set the endpoints to pick from: the ready candidates, or if there are none those that still serve while
// they terminate. Of an address and port that is in several slices, as happens while the controller moves it from one to
// another, the first candidate is believed. Those that were in the set before keep their pointers; one that was out of it,
// as a pod that failed its probe, comes back as a new endpoint: what was observed of it then says nothing about it now.
// Both lists are sorted by address. New ones are there since the time given. Hints are nil where none of the endpoints has any, and
// weights where all are 1.
func fill(set *cluster.EndpointSet, sorted []candidate, w weights, before []*cluster.Endpoint, since int64, loops int) {
	best := terminating
	usable := 0
	for _, c := range sorted {
		if c.condition > best {
			best, usable = c.condition, 0
		}
		if c.condition == best {
			usable++
		}
	}
	set.Endpoints = make([]*cluster.Endpoint, 0, usable)
	plain := w.none()
	var last netip.AddrPort
	for i := range sorted {
		c := &sorted[i]
		at := c.at()
		if i > 0 && at == last {
			continue
		}
		last = at
		if c.condition != best {
			continue
		}
		for len(before) > 0 && before[0].Addr.Compare(at) < 0 {
			before = before[1:]
		}
		n := len(set.Endpoints)
		if len(before) > 0 && same(before[0], c) {
			set.Endpoints = append(set.Endpoints, before[0])
		} else {
			set.Endpoints = append(set.Endpoints, newEndpoint(c, since, loops))
		}
		if c.hints != noHints || set.Hints != nil {
			set.Hints = appendAt(set.Hints, n, usable, noHints, c.hints)
		}
		if plain {
			continue
		}
		if weight := w.of(c); weight != 1 || set.Weights != nil {
			set.Weights = appendAt(set.Weights, n, usable, 1, weight)
		}
	}
	set.Terminating = best == terminating && len(set.Endpoints) > 0
}

// appendAt appends the element of place n; a list that begins with it has the usual one before.
func appendAt[T any](list []T, n, most int, usual, v T) []T {
	if list == nil {
		list = make([]T, n, most)
		for i := range list {
			list[i] = usual
		}
	}
	return append(list, v)
}

// same reports whether an endpoint is the candidate: the same pod (or, without pods, the same name) at the same address.
func same(e *cluster.Endpoint, c *candidate) bool {
	return e.Addr == c.at() && e.UID == c.uid && (c.uid != "" || e.Name == nameOf(c))
}

func nameOf(c *candidate) string {
	if c.name == "" {
		return c.at().String()
	}
	return c.name
}

func newEndpoint(c *candidate, since int64, loops int) *cluster.Endpoint {
	return &cluster.Endpoint{
		Addr: c.at(), Name: nameOf(c), UID: c.uid, Hostname: c.hostname, Location: c.location,
		Since: since, Load: make([]cluster.Load, loops),
	}
}
