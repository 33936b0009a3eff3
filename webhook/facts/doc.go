// Package facts knows what the webhook has to know of the cluster: the labels and annotations of namespaces, which Services have tables
// of keys and owners, which addresses Services have, and whether every node knows native sidecars. It watches namespaces and Services
// (their metadata only) and ServiceCIDRs, asks for a ConfigMap where a Service has named it, and for versions every now and then. All
// methods are safe for concurrent use.
package facts
