package balancer

import (
	"math/rand/v2"
	"net/netip"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// Picker chooses an endpoint.
type Picker interface {
	// Pick answers the endpoint for one attempt, or nil when every endpoint is in r.Tried or there is none. It does not
	// change InFlight: who starts the attempt counts it.
	Pick(r *Request) *cluster.Endpoint
}

// Request is what a pick may depend on. It belongs to the loop that picks.
type Request struct {
	Loop int        // index of the loop, and of its element in Endpoint.Load
	Now  int64      // the loop's clock, in nanoseconds
	Rand *rand.Rand // the loop's own
	Seq  *uint64    // the loop's pick counter; Pick adds one and leaves it in the picked endpoint's LastPick

	// Tried are the endpoints that earlier attempts of the same request went to; they are not picked again.
	Tried []*cluster.Endpoint

	// NoSpare leaves endpoints of weight 0 out: there are others, which only have no room at the moment.
	NoSpare bool

	// Client and Destination are what source-hash and destination-hash go by: who asks, and the address that was asked for.
	Client, Destination netip.Addr

	mood mood // of the pick under way
}

// taken leaves the pick in the endpoint's books.
func (r *Request) taken(load *cluster.Load) {
	*r.Seq++
	load.LastPick = *r.Seq
	load.Picks++
	if load.AskedAt == 0 || load.InFlight == 0 {
		load.AskedAt = r.Now
	}
}

// Take leaves a pick in the endpoint's books that was made by other means than a Picker.
func (r *Request) Take(e *cluster.Endpoint) { r.taken(&e.Load[r.Loop]) }

// tried says whether an earlier attempt went to the endpoint. Attempts are few, so a scan is the quickest set.
func (r *Request) tried(e *cluster.Endpoint) bool {
	for _, t := range r.Tried {
		if t == e {
			return true
		}
	}
	return false
}

// draw answers a random number in [0, n). The bias of multiplying instead of rejecting is below n/2³².
func (r *Request) draw(n int) int { return int(uint64(r.Rand.Uint32()) * uint64(n) >> 32) }

// chance reports true with probability p.
func (r *Request) chance(p float64) bool { return p >= 1 || r.Rand.Float64() < p }
