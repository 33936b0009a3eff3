// Package sidecar assembles the proxy and runs it: event loops with a listener and a worker each, discovery, the health and
// admin servers, and the way it ends.
//
// A connection's way: listener (accept, original destination) → proxy.Worker.Serve (Service port, protocol) → h1 (requests) or
// tunnel (opaque bytes); a request's way: proxy.exchange (pick, attempt, classify, retry) → upstream (connection) → h1 (relay).
package sidecar
