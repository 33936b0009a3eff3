package assemble

import (
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

// Targets are the published targets of one Service. They are changed by one goroutine at a time, their owner's; what is
// published through them is for everybody. The zero value with Loops set is ready for use.
type Targets struct {
	Loops      int    // of the process
	Zone, Node string // where its pod runs; "" is unknown

	service Service
	ports   map[netip.AddrPort]Port
	byDst   map[netip.AddrPort]*discovery.Target
}

// Update publishes what follows from the Service and its slices as they are now; a zero Service removes all. It reports
// whether targets came or went, or what other ports of the addresses answer changed, so that the source's table has to be
// made anew. A change of endpoints alone reaches everybody through the targets.
func (t *Targets) Update(s Service, all []*Slice) (changed bool) {
	ports := Assemble(s, all, t.ports, Home{t.Loops, t.Zone, t.Node})
	byDst := make(map[netip.AddrPort]*discovery.Target, len(ports))
	if s.Reason == discovery.Found {
		for _, addr := range s.Addrs {
			for _, p := range s.Ports {
				dst := netip.AddrPortFrom(addr, p.Port)
				target, snapshot := t.byDst[dst], ports[dst].Snapshot
				switch {
				case target == nil || target.PortName != p.Name || s.Namespace != t.service.Namespace || s.Name != t.service.Name:
					target = discovery.NewTarget(s.Namespace, s.Name, p.Name, p.Port, snapshot)
					changed = true
				case snapshot != t.ports[dst].Snapshot:
					target.Publish(snapshot)
				}
				byDst[dst] = target
			}
		}
	}
	for dst, target := range t.byDst {
		if byDst[dst] != target {
			target.Remove()
			changed = true
		}
	}
	changed = changed || s.Reason != t.service.Reason || !slices.Equal(s.Addrs, t.service.Addrs)
	t.service, t.ports, t.byDst = s, ports, byDst
	return changed
}

// AddTo puts the Service into a table that is being made.
func (t *Targets) AddTo(table *discovery.Table) {
	reason := t.service.Reason
	if reason == discovery.Found {
		reason = discovery.UnknownPort
	}
	for _, addr := range t.service.Addrs {
		table.Addrs[addr] = reason
	}
	for dst, target := range t.byDst {
		table.Targets[dst] = target
	}
}

// Retire retires all targets when all of them are unused since the given time. It reports whether they are retired, and
// whether the table has to be made anew: a target that was taken into use meanwhile keeps the whole Service, and those
// that were retired already are replaced.
func (t *Targets) Retire(unusedSince time.Time) (retired, changed bool) {
	for _, target := range t.byDst {
		if !target.Idle(unusedSince) {
			return false, false
		}
	}
	var gone []netip.AddrPort
	for dst, target := range t.byDst {
		if target.Retire(unusedSince) {
			gone = append(gone, dst)
		}
	}
	if len(gone) == len(t.byDst) {
		return true, true
	}
	for _, dst := range gone {
		old := t.byDst[dst]
		t.byDst[dst] = discovery.NewTarget(old.Namespace, old.Service, old.PortName, old.Port, t.ports[dst].Snapshot)
	}
	return false, len(gone) > 0
}
