// Package facts knows what the webhook has to know of the cluster: the labels and annotations of namespaces, which
// addresses Services have, and whether every node knows native sidecars. It watches namespaces (their metadata only) and
// ServiceCIDRs, and asks for versions every now and then. All methods are safe for concurrent use.
package facts
