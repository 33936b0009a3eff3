package balancer

import (
	"fmt"
	"slices"
	"strings"
)

// The policies by the names that users write.
const (
	LeastRequest          = "least-request"
	PeakEWMA              = "peak-ewma"
	RoundRobin            = "round-robin"
	Random                = "random"
	ShortestExpectedDelay = "shortest-expected-delay"
	NeverQueue            = "never-queue"
	SourceHash            = "source-hash"
	DestinationHash       = "destination-hash"

	// Default is the policy of a Service that names none.
	Default = LeastRequest
)

// aliases are the names that IPVS has for what comes closest here.
var aliases = []struct{ name, policy string }{
	{"rr", RoundRobin}, {"lc", LeastRequest}, {"sh", SourceHash}, {"dh", DestinationHash},
	{"sed", ShortestExpectedDelay}, {"nq", NeverQueue},
}

// Policies answers the names of all policies, sorted, without their aliases. The slice is the caller's.
func Policies() []string {
	return []string{DestinationHash, LeastRequest, NeverQueue, PeakEWMA, Random, RoundRobin, ShortestExpectedDelay, SourceHash}
}

// Canonical answers the policy that a name stands for: Default for "", its policy for one of IPVS's names, and any other name
// itself.
func Canonical(name string) string {
	if name == "" {
		return Default
	}
	for _, a := range aliases {
		if a.name == name {
			return a.policy
		}
	}
	return name
}

// Check answers nil for a name that New accepts, "" included, and else an error that says what is allowed.
func Check(policy string) error {
	if slices.Contains(Policies(), Canonical(policy)) {
		return nil
	}
	return fmt.Errorf("balancing policy %q is unknown; allowed are %s", policy, Allowed())
}

// Allowed answers the list of all names, for messages.
func Allowed() string {
	var ipvs []string
	for _, a := range aliases {
		ipvs = append(ipvs, a.name)
	}
	return strings.Join(Policies(), ", ") + ", or IPVS's " + strings.Join(ipvs, ", ")
}
