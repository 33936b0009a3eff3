// Package ruleset says which rules the settings ask for. It is pure: settings in, ordered rules out; apply brings them
// into the kernel.
//
// The rules of a family stand in two chains, to which OUTPUT leads.
//
// Redirects, in the nat table, takes TCP. Nat rules see the first packet of a connection only; everything after it costs
// a connection-tracking lookup. In their order:
//
//  1. -o lo: RETURN. What stays inside the pod is never touched, not even when the ranges are as wide as 0.0.0.0/0.
//  2. The proxy's user: RETURN. This is the loop guard: what the proxy sends (to a pod, or on to the ClusterIP when it
//     has nothing better) must not come back to it.
//  3. Excluded users: RETURN.
//  4. TCP port 53: RETURN. DNS over TCP has nothing to balance, and names must resolve while the proxy is away.
//  5. Excluded ports: RETURN.
//  6. The API server's ClusterIP and excluded addresses: RETURN. The API is TLS, so that a redirect could not balance
//     its requests; it would only make every controller and leader election in the pod depend on the proxy.
//  7. Each Service range: REDIRECT to the proxy's port, on 127.0.0.1 or ::1 since it happens in OUTPUT. The
//     destination the application asked for is what SO_ORIGINAL_DST then says.
//
// Whatever reaches the end of the chain goes on as if the chain were not there.
//
// Drops, in the filter table, takes TCP packets that connection tracking calls invalid, such as one from outside the
// window. They belong to no connection as far as the kernel knows, so that it does not translate them: to the wrong
// address they cause a reset, which ends the connection they came from. They are dropped, and TCP sends them again if
// they mattered. In their order:
//
//  1. From the proxy's port on loopback: DROP. Untranslated, an answer would reach the application from an address it
//     has no connection to, whichever user is said to send it: what the kernel sends for a closed socket has none.
//  2. Rules 1 to 6 above: what is not redirected is not touched here either.
//  3. Each Service range: DROP. Untranslated, it would leave the pod for the Service, past the proxy.
//
// A pod that calls its own Service is redirected like any other; the proxy then connects to the pod's own address over
// lo, without the detour through the node. Two connections from one source port to two Services become one tuple
// behind REDIRECT; the kernel then moves one of them to another source port, which only the proxy sees.
package ruleset
