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
	needsErr error // why it cannot be told which StatefulSet is needed
	table    table
	owning   owning  // whose pods are meant by ordinals: what is known of it
	ordinals verdict // whose pods a table's ordinals are
}

// Needs answers which objects are to be Given before an Update with the same Service and slices. Where what is Given then says that others are
// needed, or time has gone on meanwhile, Needed answers those.
func (t *Targets) Needs(s Service, all []*Slice) Needs {
	if s.Reason != discovery.Found {
		return Needs{}
	}
	n, _ := needsOf(s, s.rulesAfter(t.rules), all, t.needs, t.owning, false, time.Now())
	return n
}

// Needed answers which objects the last Update would have had Given.
func (t *Targets) Needed() Needs {
	if t.service.Reason != discovery.Found {
		return Needs{}
	}
	return t.needs
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
		t.owning.until = time.Time{} // nobody waits for it
		return nil
	}
	now := time.Now()
	var v verdict
	t.needs, v = needsOf(service, r, all, t.needs, t.owning, t.Given.StatefulSet == nil, now)
	t.needsErr = v.err
	if !r.Shard.On() {
		t.table, t.owning, t.ordinals = table{}, v.owning, verdict{}
		return nil
	}
	s := &sharding{spec: r.Shard.Spec(), set: t.statefulSet(), now: now}
	if t.needs.ConfigMap != "" {
		s.table = t.table.read(s.spec.Kind, t.Given.Data)
	}
	t.ordinals = verdict{}
	switch {
	case t.needs.ConfigMap != "" && s.spec.StatefulSet == "":
		t.ordinals = ordinals(service, all, t.owning, s.spec, now)
		t.owning = t.ordinals.learn()
		s.ordinalsOf, s.ordinalsUnknown = t.ordinals.is, t.ordinals.is == "" && t.ordinals.err != nil
	case s.set != nil:
		t.owning = v.learn()
	default: // a pod's name is no proof
		t.owning = v.owning
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

// HoldUntil answers when pods that are away lose their keys unless they are back by then; the zero time where there are none. An Update is due
// then, of which other objects may be needed.
func (t *Targets) HoldUntil() (first time.Time) {
	first = t.owning.until
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
		problems = append(problems, meanwhile(t.needsErr, "those of "+set.Name+" own the keys"))
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
	if err := t.ordinals.err; err != nil && t.table.good != nil && t.table.good.HasOrdinals() {
		table := "ConfigMap " + name + t.needs.ConfigMap
		if of := t.ordinals.is; of == "" {
			err = fmt.Errorf("no key has an owner that %s says by ordinal: %w", table, err)
		} else {
			err = meanwhile(err, "the ordinals in "+table+" are those of "+of)
		}
		problems = append(problems, err)
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
