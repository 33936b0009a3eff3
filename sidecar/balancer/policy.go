package balancer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// The policies by the names that users write.
const (
	LeastRequest = "least-request"
	RoundRobin   = "round-robin"

	// Default is the policy of a Service that names none.
	Default = LeastRequest
)

// Policies answers the names New accepts, sorted. The slice is the caller's.
func Policies() []string { return []string{LeastRequest, RoundRobin} }

// Check answers nil for a name that New accepts, "" included, and else an error that says what is allowed.
func Check(policy string) error {
	if policy == "" || slices.Contains(Policies(), policy) {
		return nil
	}
	return fmt.Errorf("balancing policy %q is unknown; allowed are %s", policy, strings.Join(Policies(), ", "))
}

// New makes the picker of a policy over a set; "" stands for Default. The only error is Check's. The set may be empty,
// but not nil, and all its endpoints have as many Load elements as there are loops.
func New(policy string, set *cluster.EndpointSet) (Picker, error) {
	switch policy {
	case "", LeastRequest:
		return &leastRequest{endpoints: set.Endpoints}, nil
	case RoundRobin:
		return newRoundRobin(set.Endpoints), nil
	}
	return nil, Check(policy)
}

// taken leaves the pick in the endpoint's books.
func (r *Request) taken(e *cluster.Endpoint) *cluster.Endpoint {
	*r.Seq++
	load := &e.Load[r.Loop]
	load.LastPick = *r.Seq
	load.Picks++
	return e
}

// tried says whether an earlier attempt went to the endpoint. Attempts are few, so a scan is the quickest set.
func (r *Request) tried(e *cluster.Endpoint) bool {
	for _, t := range r.Tried {
		if t == e {
			return true
		}
	}
	return false
}

// suspect says whether the loop saw a connect to the endpoint fail lately.
func (r *Request) suspect(e *cluster.Endpoint) bool { return e.Load[r.Loop].SuspectUntil > r.Now }

// draw answers a random number in [0, n). The bias of multiplying instead of rejecting is below n/2³².
func (r *Request) draw(n int) int { return int(uint64(r.Rand.Uint32()) * uint64(n) >> 32) }
