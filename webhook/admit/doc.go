// Package admit answers the API server's admission requests around package inject: decode, decide, patch, count, log,
// tell. Pods go through it when they are created in an opted-in namespace, Services when an annotation of ours changes, ConfigMaps when
// their data does: of those that Services have for tables of keys and owners, wrong ones are refused. Handlers are safe for concurrent use,
// keep no state, and hold a request up only where the namespace, the read access of its proxies or the table of a Service is not known yet.
package admit
