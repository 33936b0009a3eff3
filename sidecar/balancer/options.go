package balancer

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// Options say how a Service is balanced. The zero value works; two values that are equal by == balance alike.
type Options struct {
	// Policy is one of Policies or an alias; "" is Default.
	Policy string
	// Weights are the endpoints' shares by name, which go before those of the set; with "" and without those, all are the same. The
	// hash policies heed only a weight of 0.
	Weights Weights
	// SlowStart is the time in which the share of an endpoint that joins grows from a tenth to all of what is due to it; 0 is
	// off. It does not concern the hash policies.
	SlowStart time.Duration
	// PanicThreshold is a fraction: with fewer of the endpoints than that in good health, health is ignored for as many picks
	// that those in good health get no more than 1/PanicThreshold times their even share. 0 never ignores it, nor do sets of
	// up to eight endpoints, where each one counts.
	PanicThreshold float64
	// Zone and Node are where this pod runs. Without Zone it is read off an endpoint on the same node, where there is one.
	Zone, Node string
	// IgnoreZones leaves the hints of EndpointSlices unheeded.
	IgnoreZones bool
}

// DefaultPanicThreshold is for Services that say nothing; Envoy's.
const DefaultPanicThreshold = 0.5

// New makes the picker of a policy over a set. The only error is Check's. The set may be empty, but not nil, and all its
// endpoints have as many Load elements as there are loops. Loads are not looked at.
func New(o Options, set *cluster.EndpointSet) (Picker, error) {
	if err := Check(o.Policy); err != nil {
		return nil, err
	}
	o.Policy = Canonical(o.Policy)
	if len(set.Endpoints) == 0 {
		return nobody{}, nil
	}
	parts, spare := o.split(set)
	if len(parts) == 1 && spare == nil {
		return &single{o.tier(parts[0])}, nil
	}
	p := &tiered{threshold: o.PanicThreshold}
	for _, part := range parts {
		p.tiers = append(p.tiers, o.tier(part))
		p.size += len(part.endpoints)
	}
	p.plans = make([]plan, len(p.tiers[0].tallies))
	if spare != nil {
		t := o.tier(part{endpoints: spare})
		p.spare = &t
	}
	return p, nil
}

// core is what a policy does within one tier.
type core interface {
	// pick answers the index of an endpoint that was not tried and, unless health is ignored, is not suspect; -1 where there is none.
	pick(r *Request) int
}

func (o *Options) tier(p part) tier {
	g := newGroup(p, o.SlowStart, o.PanicThreshold)
	switch o.Policy {
	case PeakEWMA:
		return tier{g, &choices{g, byLatency}}
	case ShortestExpectedDelay:
		return tier{g, &choices{g, byDelay}}
	case NeverQueue:
		return tier{g, &choices{g, byIdleness}}
	case RoundRobin:
		return tier{g, newRoundRobin(g)}
	case Random:
		return tier{g, random{g}}
	case SourceHash, DestinationHash:
		return tier{g, newHashed(g, o.Policy == DestinationHash)}
	}
	return tier{g, &choices{g, byRequests}}
}

// hashes says whether the policy sends a key to the same endpoint from everywhere, so that nothing local may come in between.
func (o *Options) hashes() bool { return o.Policy == SourceHash || o.Policy == DestinationHash }

// nobody is the picker of an empty set.
type nobody struct{}

func (nobody) Pick(*Request) *cluster.Endpoint { return nil }
