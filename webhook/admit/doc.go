// Package admit answers the API server's admission requests around package inject: decode, decide, patch, count, log,
// tell. Pods go through it when they are created in an opted-in namespace, Services when an annotation of ours changes.
// Handlers are safe for concurrent use, keep no state, and hold a request up only where the namespace or the read access
// of its proxies is not known yet.
package admit
