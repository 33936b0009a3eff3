// Package ruleset says which nat rules the settings ask for. It is pure: settings in, ordered rules out; apply brings
// them into the kernel.
//
// All rules of a family stand in one chain, which OUTPUT jumps to for TCP. Nat rules see the first packet of a
// connection only; everything after it costs a connection-tracking lookup. In their order:
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
// A pod that calls its own Service is redirected like any other; the proxy then connects to the pod's own address over
// lo, without the detour through the node. Two connections from one source port to two Services become one tuple
// behind REDIRECT; the kernel then moves one of them to another source port, which only the proxy sees.
package ruleset
