// Package balancer answers which endpoint gets the next attempt. A Picker is an immutable snapshot over one EndpointSet; what
// changes between picks is each endpoint's Load, and a place or a count of a picker's: one element for each loop, of which a
// loop touches its own only. Pickers take no lock, block on nothing, start nothing and allocate nothing; they are safe for
// use by all loops at once. A pick takes the same time whatever the number of endpoints; docs/policies.md tells users what
// each policy does.
//
// A picker is made of tiers (tiers.go), the nearer endpoints first, and each tier of a core, the policy. A core finds endpoints
// by their weight (group.go, alias.go), leaves out those whose turn it is not yet (ramp.go), that are suspect (health.go)
// or were tried, and chooses by what is in flight (choices.go, cost.go) and how fast answers came (ewma.go), by turns
// (roundrobin.go), by chance (random.go), or by a hash (hash.go).
//
// What was observed of an endpoint is read from its Load only: SuspectUntil, which package outlier keeps, InFlight, which who
// makes attempts counts, and Latency, which Observe and GaveUp keep.
package balancer
