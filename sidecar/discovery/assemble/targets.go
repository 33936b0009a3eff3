package assemble

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// Targets are the published targets of one Service. They are changed by one goroutine at a time, their owner's; what is
// published through them is for everybody. The zero value with Loops set is ready for use.
type Targets struct {
	Loops      int    // of the process
	Zone, Node string // where its pod runs; "" is unknown

	// Given is what there is of the objects that Needs answers. Update goes by it; whoever changes it calls Update.
	Given Given

	service  Service
	rules    *rules.Rules // in force, or last before the Service was out of use; nil before the first Update
	slices   []*Slice
	ports    map[netip.AddrPort]Port
	byDst    map[netip.AddrPort]*discovery.Target
	weights  weights
	needs    Needs
	needsErr error
	known    string // the last StatefulSet that was there
	table    table
}

// Needs answers which objects are to be Given before an Update with the same Service and slices.
func (t *Targets) Needs(s Service, all []*Slice) Needs {
	if s.Reason != discovery.Found {
		return Needs{}
	}
	n, _ := needsOf(s, s.rulesAfter(t.rules), all, t.needs, t.known)
	return n
}

// Update publishes what follows from the Service and its slices as they are now; a zero Service removes all. It reports
// whether targets came or went, or what other ports of the addresses answer changed, so that the source's table has to be
// made anew. A change of endpoints alone reaches everybody through the targets.
func (t *Targets) Update(s Service, all []*Slice) (changed bool) {
	r := s.rulesAfter(t.rules)
	t.rules = r
	sh := t.sharding(s, r, all)
	var pods *Pods
	if balancer.Weights(r.Weights).EachPod() {
		pods = &t.Given.Pods
	} else {
		t.Given.Pods = Pods{}
	}
	t.weights = t.weights.after(all, pods)
	ports := assemble(s, r, all, t.weights, t.ports, Home{t.Loops, t.Zone, t.Node}, sh)
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
			// Another target of the same destination may have taken endpoints over; the rest nobody picks any more, but requests that are under way.
			next := &cluster.EndpointSet{}
			if s := ports[dst].Snapshot; s != nil {
				next = s.Set
			}
			target.Snapshot().Set.Leave(next)
			changed = true
		}
	}
	changed = changed || s.Reason != t.service.Reason || !slices.Equal(s.Addrs, t.service.Addrs)
	t.service, t.slices, t.ports, t.byDst = s, all, ports, byDst
	return changed
}

// sharding answers what the maps of all ports have in common; nil where there are none.
func (t *Targets) sharding(service Service, r *rules.Rules, all []*Slice) *sharding {
	if service.Reason != discovery.Found {
		return nil
	}
	t.needs, t.needsErr = needsOf(service, r, all, t.needs, t.known)
	if !r.Shard.On() {
		t.table = table{}
		return nil
	}
	s := &sharding{spec: r.Shard.Spec(), now: time.Now()}
	if s.set = t.statefulSet(); s.set != nil {
		t.known = s.set.Name
	}
	if t.needs.ConfigMap != "" {
		s.table = t.table.read(s.spec.Kind, t.Given.Data)
	}
	return s
}

// statefulSet answers the one that is needed, where it is given.
func (t *Targets) statefulSet() *shard.StatefulSet {
	if given := t.Given.StatefulSet; given != nil && given.Name == t.needs.StatefulSet {
		return given
	}
	return nil
}

// Again publishes what follows from time having gone on: it is to be called at HoldUntil.
func (t *Targets) Again() { t.Update(t.service, t.slices) }

// HoldUntil answers when a pod that is away loses its keys unless it is back by then; the zero time where there is none.
func (t *Targets) HoldUntil() (first time.Time) {
	for _, p := range t.ports {
		if m := p.Snapshot.Shard; m != nil {
			if until := m.HoldUntil(); first.IsZero() || !until.IsZero() && until.Before(first) {
				first = until
			}
		}
	}
	return first
}

// Problems are what keeps keys from having owners, or the right ones, as of the last Update.
func (t *Targets) Problems() (problems []error) {
	if t.service.Reason != discovery.Found {
		return nil
	}
	name := t.service.Namespace + "/"
	switch set := t.statefulSet(); {
	case t.needsErr != nil && set == nil:
		problems = append(problems, fmt.Errorf("no key has an owner: %w", t.needsErr))
	case t.needsErr != nil:
		const say = "%w; meanwhile those of %s own the keys, as before, and sidecars that start know no owner"
		problems = append(problems, fmt.Errorf(say, t.needsErr, set.Name))
	}
	if t.needs.StatefulSet != "" && t.statefulSet() == nil {
		problems = append(problems, fmt.Errorf("no key has an owner: StatefulSet %s is not there, or not known", name+t.needs.StatefulSet))
	}
	if t.needs.ConfigMap != "" && t.Given.Data == nil {
		problems = append(problems, fmt.Errorf("no key has an owner: ConfigMap %s is not there, or not known", name+t.needs.ConfigMap))
	}
	if t.table.err != nil {
		stays := "no key has an owner"
		if t.table.good != nil {
			stays = "what it last said correctly stays in force"
		}
		problems = append(problems, fmt.Errorf("ConfigMap %s: %w; %s", name+t.needs.ConfigMap, t.table.err, stays))
	}
	return problems
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
