// Package kube is discovery from the Kubernetes API, paid for by use: a destination is looked up when the first
// connection to it comes, and from then on that one Service and its EndpointSlices are watched, until nobody has used
// them for a while. There is never a cluster-wide watch.
//
// # From an address to a Service
//
// Services are listed by the field selector spec.clusterIP, which the API server keeps for the primary address only. For
// an address that no Service has as its primary one, all Services are listed in pages and the secondary addresses of
// dual-stack Services remembered; this list is made at most once a minute, or once in ten minutes where all Services have
// addresses of one family, and only when a pod calls an address that is secondary or nobody's. The request
//
//	list services            of all namespaces   to find an address
//	list, watch services     of one namespace    to follow one Service
//	list, watch endpointslices of one namespace  to follow its endpoints
//
// are all that is ever sent for most Services, but for one cheap one at the start: a list of the Service default/kubernetes. While
// annotations of a Service ask for it, there are besides
//
//	list, watch statefulsets   of one namespace  one of them, by its name, for a shard map
//	list, watch configmaps     of one namespace  one of them, by its name, for a shard map
//	list, watch pods           of one namespace  those the Service selects, their metadata only, for their weights
//
// # When the API server is away
//
// What was known stays in force. Each connection to an address that is not known yet waits for Options.ResolveTimeout at
// most and passes through; after a failure, connections to the same address pass through at once for a second. Followers
// do not all knock at a server that is down: one of them tries, at growing, jittered intervals of at most maxPause, and
// the others go on when it got through. A watch is resumed where it ended; when the server has forgotten that place (410),
// everything is listed anew. HTTP/2 pings find a connection that hangs within pingIdle + pingWait.
//
// # When permission is lost
//
// A refusal (401, 403) is not an outage: the server works, and nobody will say any more where the endpoints are. When a
// list or watch of one Service has been refused for Options.RefusedFor without a break, its targets are removed and its
// addresses answer Forbidden, so that new connections pass through to kube-proxy at once. Its followers go on asking, at
// jittered intervals of at most maxRefused, and put it back from a new list once both watch again. The API server checks
// permission when a watch is opened only: one that is open goes on until its lifetime ends, and stays current until then.
//
// # Goroutines
//
// Two for each followed Service, one for each object or set of pods that its annotations ask for, and those that client-go starts for a watch. Run waits for all of them.
package kube
