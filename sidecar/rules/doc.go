// Package rules holds what a Service asks of the proxies that call it: the settings of its annotations sluice.mesh/NAME, as
// one immutable struct. One table (Table) has every setting: its name, default, what is allowed, its documentation and its
// parser. The sidecars, the webhook and docs/annotations.md all come from it.
//
// Rules decide nothing. Discovery reads them off a Service and publishes them with its endpoints; the proxy hands each part to
// whom it concerns. Packages whose settings are parsed here (balancer, shard, …) are imported by this one and so know
// nothing of it.
//
// All functions are safe for concurrent use, and a *Rules that was handed out is never changed.
package rules
