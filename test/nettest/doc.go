// Package nettest tests init container and sidecar together, as programs, in network namespaces: real REDIRECT rules,
// rules like kube-proxy's on the node behind them, applications that know nothing of it. Nothing but tests is here. They
// need root (or root of a user namespace with the proxy's user in it) and are skipped, with a sentence, without it.
//
// What the tests hold is the outside of the promise: who answers, what fails, what servers and clients see of each other.
// How a thing is done inside is tested where it is done.
package nettest
