// Package balancer answers which endpoint gets the next attempt. A Picker is an immutable snapshot over one
// EndpointSet; what changes between picks is each endpoint's Load, and the place of a round robin: one element for each
// loop, of which a loop touches its own only. Pickers take no lock, block on nothing, start nothing and allocate
// nothing; they are safe for use by all loops at once.
package balancer

import (
	"math/rand/v2"

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
}
